"""The contracts: every schema says what it means, has an example, and stays readable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.facts import CommandKind, Tick
from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.triggers.announcing import SuppressedTrigger, Trigger
from pipelines.domain.triggers.gate import Suppression
from pipelines.domain.triggers.rules import TriggerKind
from schemas import catalogue, compatibility
from schemas.codec import Codec, DeadLetter, InvalidFact, topic_of
from tests.support.facts import command, engagement, line, member, order, refund, run, tick
from tests.support.history import play
from tests.support.owed import FEBRUARY, Owed
from tests.support.programmes import reference

CODEC = Codec.offline()
FACTS = [
    member("2026-01-01T00:00:00Z"),
    order("O1", "2026-02-01T10:00:00Z", line("A", 160_00, "trail"), line("B", 20_00)),
    refund("R1", "O1", "2026-02-03T10:00:00Z", ("A", 1, 40_00)),
    run("E1", "2026-02-02T10:00:00Z", 6_400),
    command("C1", CommandKind.ADJUST, "2026-02-05T10:00:00Z", -5),
    tick("2026-04-03T00:00:00Z"),
]


def parts(schema: Any) -> Any:
    if isinstance(schema, list):
        for part in schema:
            yield from parts(part)
    elif isinstance(schema, dict):
        yield schema
        for part in (*schema.get("fields", ()), schema.get("items"), schema.get("type")):
            yield from parts(part)


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_every_record_field_and_enum_says_what_it_means(topic: str) -> None:
    for part in parts(json.loads(catalogue.released(topic))):
        if "name" in part:
            assert part.get("doc"), f"{topic}: {part['name']} has no doc"
        if part.get("type") == "enum":
            assert part["default"] == "UNKNOWN" in part["symbols"], part["name"]
        if isinstance(part.get("type"), list):
            assert part["type"][0] == "null", part["name"]
            assert part["default"] is None, part["name"]
        assert part.get("type") not in ("float", "double"), part


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_every_topic_has_an_example_and_a_page(topic: str) -> None:
    folder = catalogue.FOLDER / topic
    page = (folder / "README.md").read_text()
    schema = json.loads(catalogue.released(topic))
    example = json.loads((folder / "v1.example.json").read_text())

    assert set(example) == {field["name"] for field in schema["fields"]}
    for word in ("Written by", "Read by", "Key", "Kept", "Compatibility"):
        assert f"| {word} |" in page


def test_no_released_schema_was_edited_and_all_versions_read_each_other() -> None:
    assert compatibility.problems() == []


@pytest.mark.parametrize("fact", FACTS, ids=lambda f: type(f).__name__)
def test_what_is_written_is_read_again(fact: Any) -> None:
    assert CODEC.decode(topic_of(fact), CODEC.encode(fact)) == fact


def test_every_result_can_be_written() -> None:
    history = play(FACTS, reference())
    letter = DeadLetter("t", 1, 2, None, b"x", (("h", None),), 3, "LATE", "too late")

    head = ("t", "m-1", "CH", TriggerKind.BIRTHDAY, "2026", "marketing", "push", 1, 2, 3)
    told = Trigger(*head, None, None, (), (("year", 2026), ("sku", "A")))
    results = (
        told,
        SuppressedTrigger(*told, Suppression.HOLDOUT),
        *history.ledger,
        *history.balances,
        *history.tiers,
        *history.progress,
        *history.answers,
        letter,
    )
    owed = Owed().play(FEBRUARY)
    assert len({type(record) for record in (*results, *owed.told)}) == 9
    for record in (*results, *owed.told):
        body = CODEC.body(topic_of(record), CODEC.encode(record))
        assert set(body) == {name.removesuffix("_ms") for name in record._fields}


def test_a_part_of_what_is_owed_is_read_again() -> None:
    owed = Owed()
    for told in FEBRUARY:
        owed.count(told)
        owed.commit()

    for part in owed.parts:
        assert CODEC.result(topic_of(part), CODEC.encode(part)) == part


def test_what_the_accounts_said_is_read_again_as_far_as_triggers_need_it() -> None:
    history = play(FACTS, reference())
    for change in history.tiers:
        assert CODEC.result(topic_of(change), CODEC.encode(change)) == change
    for progress in history.progress:
        assert CODEC.result(topic_of(progress), CODEC.encode(progress)) == progress
    for entry in history.ledger:
        told = CODEC.result(topic_of(entry), CODEC.encode(entry))
        assert isinstance(told, LedgerEntry)
        less = entry.derivation._replace(lines=(), terms=(), why_not=())
        assert told == entry._replace(derivation=less)


def test_a_result_of_a_kind_that_this_build_does_not_know_is_refused_by_class() -> None:
    change = play(FACTS, reference()).tiers[0]
    unknown = CODEC.encode(change._replace(kind="UNKNOWN"))  # type: ignore[arg-type]

    with pytest.raises(InvalidFact) as refused:
        CODEC.result(topic_of(change), unknown)
    assert refused.value.error_class == "UNKNOWN_ENUM"


ORDER = CODEC.encode(FACTS[1])


@pytest.mark.parametrize(
    ("value", "error_class"),
    [
        (None, "NULL_VALUE"),
        (b"", "TRUNCATED"),
        (b"\x00\x00\x00", "TRUNCATED"),
        (b"\x01" + ORDER[1:], "BAD_MAGIC"),
        (b"\x00\x00\x00\x03\xe7" + ORDER[5:], "UNKNOWN_SCHEMA"),
        (CODEC.encode(FACTS[2]), "WRONG_SCHEMA"),
        (ORDER[:-3], "UNDECODABLE"),
        (ORDER + b"\x00", "TRAILING_BYTES"),
        (b"{}" * 20, "BAD_MAGIC"),
    ],
)
def test_what_is_no_order_is_refused_by_class(value: bytes | None, error_class: str) -> None:
    with pytest.raises(InvalidFact) as refused:
        CODEC.decode(catalogue.ORDERS, value)

    assert refused.value.error_class == error_class


@given(st.integers(5, len(ORDER) - 1), st.integers(0, 255), st.binary(max_size=3))
def test_damage_is_an_invalid_fact_or_a_fact_and_never_anything_else(at: int, byte: int, more: bytes) -> None:
    damaged = ORDER[:at] + bytes([byte]) + ORDER[at + 1 :] + more
    try:
        fact = CODEC.decode(catalogue.ORDERS, damaged)
    except InvalidFact:
        return
    assert type(fact) is type(FACTS[1])


def test_a_symbol_of_the_future_is_unknown_not_a_crash() -> None:
    schema = json.loads(catalogue.released(catalogue.CLOCK))
    newer = json.dumps(
        schema | {"fields": [*schema["fields"], {"name": "more", "type": "long", "default": 0, "doc": "x"}]}
    )
    codec = Codec({t: n for n, t in enumerate(catalogue.TOPICS, 1)}, {99: newer}.__getitem__)

    assert codec.decode(catalogue.CLOCK, b"\x00\x00\x00\x00\x63" + b"\x02" + b"\x04") == Tick(1)


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


A = {"name": "a", "type": "long"}
E1 = {"type": "enum", "name": "E", "symbols": ["X"], "default": "X"}
E2 = {"type": "enum", "name": "E", "symbols": ["X", "Y"], "default": "X"}
STRICT = {"type": "enum", "name": "E", "symbols": ["X"]}


@pytest.mark.parametrize(
    ("reader", "writer", "told"),
    [
        (record(A, {"name": "b", "type": "int", "default": 0}), record(A), ""),
        (record(A, {"name": "b", "type": "int"}), record(A), "b: is not written"),
        (record(A), record(A, {"name": "b", "type": "int"}), ""),
        (record({"name": "a", "type": "int"}), record(A), "a: long cannot be read as int"),
        (record(A), record({"name": "a", "type": "int"}), ""),
        (record(A), record(A, name="S"), "a S cannot be read as a R"),
        (record({"name": "a", "type": ["null", "long"], "default": None}), record(A), ""),
        (record(A), record({"name": "a", "type": ["null", "long"]}), "a: null cannot be read as long"),
        (record({"name": "a", "type": ["null", "string"], "default": None}), record(A), "fits no branch"),
        (record({"name": "e", "type": E1}), record({"name": "e", "type": E2}), ""),
        (record({"name": "e", "type": STRICT}), record({"name": "e", "type": E2}), "symbols Y"),
        (record({"name": "b", "aliases": ["a"], "type": "long"}), record(A), ""),
        (
            record({"name": "l", "type": {"type": "array", "items": record(A, A | {"name": "c"}, name="I")}}),
            record({"name": "l", "type": {"type": "array", "items": record(A, name="I")}}),
            "l[].c: is not written",
        ),
    ],
)
def test_compatibility_is_avros(reader: Any, writer: Any, told: str) -> None:
    found = compatibility.breaks(reader, writer)

    assert (told in " ".join(found)) if told else found == []


def test_an_engagement_without_measures_is_whole() -> None:
    from pipelines.domain.facts import EngagementKind

    fact = engagement("E9", EngagementKind.APP_OPENED, "2026-02-02T10:00:00Z")

    assert CODEC.decode(catalogue.ENGAGEMENTS, CODEC.encode(fact)) == fact
