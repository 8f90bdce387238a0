"""What stands on the topics becomes rows, and what is no record of its topic is noted as such."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from io import BytesIO
from typing import Any

import fastavro
import pytest

from pipelines.audit.books import TABLES, Books
from pipelines.audit.gathering import Desk
from pipelines.audit.reading import Decoder, Record, Unreadable

TIME = {"type": "long", "logicalType": "timestamp-millis"}
MEMBER = {
    "type": "record",
    "name": "Member",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "member_id", "type": "string"},
        {"name": "occurred_at", "type": TIME},
        {"name": "recorded_at", "type": TIME},
        {"name": "version", "type": "int"},
        {"name": "enrolled_at", "type": TIME},
        {"name": "zone", "type": ["null", "string"]},
    ],
}
TICK = {"type": "record", "name": "Tick", "fields": [{"name": "at", "type": TIME}]}
LETTER = {
    "type": "record",
    "name": "DeadLetter",
    "fields": [
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "value", "type": ["null", "bytes"]},
        {"name": "error_class", "type": "string"},
    ],
}
KNOWN: dict[int, dict[str, Any]] = {1: MEMBER, 2: TICK, 3: LETTER}
JOINED = {
    "event_id": "e-1",
    "member_id": "m-1",
    "occurred_at": 5,
    "recorded_at": 7,
    "version": 1,
    "enrolled_at": 5,
    "zone": None,
}


class Shelf:
    def by_id(self, schema_id: int) -> dict[str, Any]:
        if schema_id not in KNOWN:
            raise LookupError(f"no schema {schema_id}")
        return KNOWN[schema_id]


def wire(schema_id: int, record: dict[str, Any]) -> bytes:
    stream = BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    stream.seek(5)
    fastavro.schemaless_writer(stream, fastavro.parse_schema(KNOWN[schema_id]), record)
    return stream.getvalue()


@pytest.fixture
def books() -> Iterator[Books]:
    with Books() as opened:
        yield opened


def taken(books: Books, *records: Record, letters: Sequence[Record] = ()) -> list[Any]:
    """Members' records through the desk; the rows that are now in the books."""
    desk = Desk(books, Shelf(), lambda topic, count: None)
    desk.dead_letters("dead", letters)
    desk.facts("fact_member")("members", records)
    query = 'SELECT "partition", "offset", member_id, occurred_at, version, enrolled_at FROM fact_member'
    return books.database.execute(query).fetchall()


def problems(books: Books) -> list[Any]:
    return books.database.execute('SELECT topic, "offset", problem FROM unreadable').fetchall()


def at(offset: int, value: bytes | None, key: bytes | None = b"m-1", timestamp_ms: int = 7) -> Record:
    return Record(2, offset, timestamp_ms, key, value)


@pytest.mark.parametrize(
    ("table", "topic"),
    [
        ("fact_order", "commerce.orders.v1"),
        ("fact_return", "commerce.returns.v1"),
        ("fact_engagement", "engagement.activities.v1"),
        ("fact_member", "loyalty.members.v1"),
        ("tick", "loyalty.clock.v1"),
        ("ledger", "loyalty.ledger.v1"),
        ("balance", "loyalty.balances.v1"),
        ("tier_progress", "loyalty.tier-progress.v1"),
        ("tier_changed", "loyalty.tiers.v1"),
        ("dead_letter", "loyalty.dead-letters.v1"),
        ("sent_trigger", "loyalty.triggers.v1"),
        ("suppressed_trigger", "loyalty.suppressed-triggers.v1"),
    ],
)
def test_every_column_is_a_field_of_its_topic(table: str, topic: str) -> None:
    latest = sorted((files("schemas") / topic).iterdir(), key=lambda file: file.name)
    schema = json.loads(next(f for f in reversed(latest) if f.name.endswith(".avsc")).read_text())
    fields = {field["name"] for field in schema["fields"]}

    assert set(TABLES[table].names) <= fields | {"topic", "partition", "offset"}


def test_instants_stay_milliseconds() -> None:
    assert Decoder(Shelf()).decode(wire(1, JOINED)) == JOINED


def test_a_prefix_of_the_fields_is_enough() -> None:
    assert Decoder(Shelf(), ["member_id"]).decode(wire(1, JOINED)) == {"event_id": "e-1", "member_id": "m-1"}


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\0\0", b"{}{}{}", b"\0\0\0\0\x09abc", wire(1, JOINED)[:-3], wire(1, JOINED) + b"x"],
    ids=["none", "empty", "short", "json", "unknown schema", "cut", "too long"],
)
def test_broken_bytes_are_unreadable(value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        Decoder(Shelf()).decode(value)


def test_a_fact_becomes_a_row(books: Books) -> None:
    assert taken(books, at(4, wire(1, JOINED))) == [(2, 4, "m-1", 5, 1, 5)]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (at(4, wire(1, JOINED), key=None), "the key is None, the member m-1"),
        (at(4, wire(1, JOINED), key=b"m-2"), "the key is b'm-2', the member m-1"),
        (at(4, wire(1, JOINED), timestamp_ms=8), "the record's time is 8, recorded_at is 7"),
        (at(4, wire(2, {"at": 7})), "a record of another topic"),
        (at(4, b"\0\0\0\0\x09"), "no schema 9"),
    ],
)
def test_what_is_no_fact_is_noted(books: Books, record: Record, problem: str) -> None:
    assert taken(books, record) == []
    assert problems(books) == [("members", 4, problem)]


def test_the_bytes_of_refused_records_are_kept(books: Books) -> None:
    letter = {
        "topic": "members",
        "partition": 2,
        "offset": 4,
        "key": b"m-1",
        "value": b"??",
        "error_class": "UNREADABLE",
    }
    taken(books, at(4, b"??"), at(5, wire(1, JOINED)), letters=[at(0, wire(3, letter))])

    kept = books.database.execute('SELECT topic, "offset", "value" FROM dead_bytes').fetchall()
    assert kept == [("members", 4, b"??")]


def test_a_removal_on_a_compacted_topic_is_no_row(books: Books) -> None:
    desk = Desk(books, Shelf(), lambda topic, count: None)

    desk.results("tick")("clock", [at(1, None), at(2, wire(2, {"at": 7}))])

    assert books.database.execute('SELECT "offset", "at" FROM tick').fetchall() == [(2, 7)]
