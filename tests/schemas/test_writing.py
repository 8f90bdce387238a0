"""What is written straight from named tuples are the bytes that fastavro writes, field by field under its name."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.facts import CommandKind
from pipelines.domain.merging import Handover, HandoverKind
from pipelines.domain.triggers.announcing import SuppressedTrigger, Suppression, Trigger
from pipelines.domain.triggers.rules import TriggerKind
from schemas import catalogue
from schemas.codec import Codec, DeadLetter, Redrive, topic_of
from schemas.writing import write_long, writer
from tests.support.facts import command, member, order, refund, run, tick
from tests.support.history import play
from tests.support.owed import FEBRUARY, Owed
from tests.support.programmes import reference

CODEC = Codec.offline()
HEAD_BYTES = 5


def by_fastavro(schema: Any, value: Any) -> bytes:
    out = BytesIO()
    schemaless_writer(out, parse_schema(schema), value)
    return out.getvalue()


def records() -> list[Any]:
    """At least one of every type that is written."""
    facts = [
        member("2026-01-01T00:00:00Z"),
        order("O1", "2026-03-02T10:00:00Z"),
        refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 40_00)),
        run("E1", "2026-03-04T10:00:00Z", 5_000),
        command("C1", CommandKind.REDEEM, "2026-03-05T10:00:00Z", 1),
    ]
    history = play(facts, reference())
    head = ("t", "m-1", "CH", TriggerKind.BIRTHDAY, "2026", "marketing", "push", 1, 2, 3)
    told = Trigger(*head, None, None, (), (("year", 2026), ("sku", "A")))
    moved = Handover(
        "m-2", "m-1", HandoverKind.FACT, 1, "e", "c", ("m-1",), ((b"l", "L", b"\x01"),), facts[1]
    )
    owed = Owed()
    for told_of in FEBRUARY:
        owed.count(told_of)
    owed.commit()
    owed.arrive(owed.parts)
    return [
        *facts,
        tick("2026-03-05T10:00:00Z"),
        told,
        SuppressedTrigger(*told, Suppression.HOLDOUT),
        *history.ledger,
        *history.balances,
        *history.tiers,
        *history.progress,
        *history.answers,
        *owed.told,
        *owed.parts,
        DeadLetter("t", 1, 2, None, b"x", (("h", None), ("i", b"1")), 3, "LATE", "too late"),
        Redrive("t", 1, 2, 3, "LATE", 4),
        moved,
        moved._replace(fact=None, records=()),
    ]


RECORDS = records()


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_a_record_is_written_as_fastavro_writes_what_is_read_of_it(record: Any) -> None:
    topic, value = topic_of(record), CODEC.encode(record)

    body = CODEC.body(topic, value)

    assert value[HEAD_BYTES:] == by_fastavro(catalogue.parsed(topic), body)
    for field, name in zip(record, record._fields, strict=True):
        read = body.get(name.removesuffix("_ms"))
        assert read == field or isinstance(field, tuple) or name == "fact", name


def test_every_type_that_is_written_is_among_them() -> None:
    assert {topic_of(record) for record in RECORDS} == set(catalogue.TOPICS)


def test_the_fields_of_lines_and_terms_stand_in_the_order_of_their_schema() -> None:
    for record in RECORDS:
        schema = catalogue.parsed(topic_of(record))
        for field, value in zip(schema["fields"], record, strict=False):
            in_order(field["type"], value)


def in_order(schema: Any, value: Any) -> None:
    if isinstance(schema, dict) and schema["type"] == "array":
        for one in value:
            in_order(schema["items"], one)
    elif isinstance(schema, dict) and schema["type"] == "record":
        names = [field["name"] for field in schema["fields"]]
        if hasattr(value, "_fields"):
            assert [name.removesuffix("_ms") for name in value._fields] == names
        for field, one in zip(schema["fields"], value, strict=False):
            in_order(field["type"], one)


@given(st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([s << b for b in range(63) for s in (1, -1)]))
def test_any_whole_number_of_64_bits(number: int) -> None:
    assert write_long(number) == by_fastavro("long", number)


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1])
def test_a_number_of_more_than_64_bits_is_refused(number: int) -> None:
    with pytest.raises(OverflowError, match="more than 64 bits"):
        write_long(number)


@given(st.text() | st.sampled_from(["é" * 4_095, "é" * 4_096]))
def test_any_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert writer("string")(text) == by_fastavro("string", text)


def test_a_list_is_written_as_it_is_now_and_a_tuple_like_it() -> None:
    write = writer({"type": "array", "items": "long"})
    numbers = [1, 2]

    before = write(numbers), write((1, 2)), write((1, 2))
    numbers.append(3)

    assert set(before) == {b"\x04\x02\x04\x00"}
    assert write(numbers) == b"\x06\x02\x04\x06\x00"


def test_a_value_that_a_schema_has_no_word_or_field_for_is_refused() -> None:
    enum = {"type": "enum", "name": "E", "symbols": ["A"]}
    record = {"type": "record", "name": "R", "fields": [{"name": "one", "type": enum}]}
    with pytest.raises(KeyError):
        writer(record)(("B",))
    with pytest.raises(AssertionError):
        writer(record)(("A", "A"))
