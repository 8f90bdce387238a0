"""Any bytes at all: a fact, or an InvalidFact with a class; and no fact that the rules choke on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.facts import Tick
from pipelines.domain.merging import Handover
from pipelines.failure import Failure
from pipelines.feeds import jsonl
from pipelines.processors.accounts import Accounts
from schemas import catalogue
from schemas.border import check_fact
from schemas.codec import Codec, InvalidFact
from state.memory import MemoryStore
from tests.broker.test_bad_facts import CLASSES
from tests.support.bad_facts import TOPICS, bad_facts
from tests.support.facts import DAY_MS, member, ms, order, run
from tests.support.programmes import reference

ODD_IDS = {
    900: '"long"',
    901: "[]",
    902: "syntax",
    903: '["null"]',
    904: "{}",
    905: '{"type": "record"}',
    906: "0",
}


def writer_schema(schema_id: int) -> str:
    if schema_id in ODD_IDS:
        return ODD_IDS[schema_id]
    raise LookupError(schema_id)


IDS = {topic: number for number, topic in enumerate(catalogue.TOPICS, 1)}
CODEC = Codec(IDS, writer_schema)
CORPUS = [
    record.value
    for bad in bad_facts(
        {kind: IDS[topic] for kind, topic in TOPICS.items()}
        | dict.fromkeys(("a number", "a union", "JSON Schema", "protocol buffers"), 900)
    )
    for record in (bad.record, *bad.given)
    if record.value
]


def refusal(step: Callable[[], Any]) -> str | None:
    """The error class with which a step refuses, one of those documented; anything else that it raises, rises."""
    try:
        step()
    except InvalidFact as invalid:
        found = invalid.error_class
    else:
        return None
    assert found in CLASSES
    return found


heads = st.sampled_from([*IDS.values(), *ODD_IDS, 0, 1 << 31]).map(lambda n: b"\0" + n.to_bytes(4, "big"))


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Noise; noise under a known schema; and damaged records, which come furthest."""
    if draw(st.integers(0, 4)) == 0:
        return draw(
            st.one_of(st.binary(max_size=40), st.builds(bytes.__add__, heads, st.binary(max_size=200)))
        )
    value = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value)))
        piece = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from([b"\xff" * 9 + b"\x01", b"\xff" * 12, b"\x01", b"\x80"]),
            )
        )
        value[at : at + draw(st.integers(0, 3))] = piece
    return bytes(value)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(catalogue.INPUTS), values(), st.one_of(st.none(), st.binary(max_size=8)))
def test_a_value_is_an_input_or_an_invalid_fact(topic: str, value: bytes, key: bytes | None) -> None:
    refusal(lambda: check_fact(CODEC.decode(topic, value), key, 0))


@settings(max_examples=300, deadline=None)
@given(values())
def test_what_operators_read_is_read_or_refused(value: bytes) -> None:
    refusal(lambda: CODEC.dead_letter(value))
    refusal(lambda: CODEC.redrive(value))


EXTREMES: dict[str, list[Any]] = {
    "int": [-(1 << 31), -1, 0, 1, 2, 12, 13, 29, 10**6, (1 << 31) - 1],
    "long": [
        -(1 << 63),
        -1,
        0,
        1,
        99,
        10**9,
        10**12,
        10**12 + 1,
        253_402_300_800_000,
        (1 << 63) - 1,
        *[ms("2026-02-01T10:00:00Z") + n for n in (-400 * DAY_MS, -45 * DAY_MS, -DAY_MS, -1, 0, 1, 300_000)],
    ],
    "string": [
        "",
        "a",
        "m-1",
        "m-2",
        "O1",
        "A",
        "O1:A",
        "EUR",
        "JPY",
        "SEK",
        "CH",
        "XX",
        "UTC",
        "Europe/Zurich",
        *["Pacific/Apia", "trail", "marketing", "\0", "\U0001f45f", "x" * 128, "x" * 5000, "a/b", "a|b"],
    ],
    "boolean": [True, False],
}


@st.composite
def of(draw: st.DrawFn, schema: Any) -> Any:
    """Any value of a schema, extremes first."""
    if isinstance(schema, list):
        return draw(of(draw(st.sampled_from(schema))))
    if isinstance(schema, dict):
        match schema["type"]:
            case "record":
                return {field["name"]: draw(of(field["type"])) for field in schema["fields"]}
            case "array":
                return [draw(of(schema["items"])) for _ in range(draw(st.integers(0, 3)))]
            case "enum":
                return draw(st.sampled_from(schema["symbols"]))
            case kind:
                return draw(of(kind))
    if schema == "null":
        return None
    if schema == "bytes":
        return draw(st.binary(max_size=8))
    return draw(st.sampled_from(EXTREMES[schema]))


TIMES = {
    *(
        "at",
        "occurred_at",
        "recorded_at",
        "placed_at",
        "paid_at",
        "delivered_at",
        "cancelled_at",
        "requested_at",
    ),
    *("settled_at", "enrolled_at", "erased_at"),
}


@st.composite
def strange_facts(draw: st.DrawFn) -> tuple[str, bytes, int]:
    """A topic and a value that its schema allows: mostly a good record, with some fields at their extremes."""
    topic = draw(st.sampled_from([*catalogue.FACTS, catalogue.CLOCK]))
    schema = catalogue.parsed(topic)
    body = dict(GOOD[topic])
    for field in draw(st.lists(st.sampled_from(schema["fields"]), max_size=4)):
        body[field["name"]] = draw(of(field["type"]))
    shift = draw(st.sampled_from([0, 0, 0, -(10**12), 10**12, 10**14, 10**15]))
    for name in body.keys() & TIMES:
        body[name] = body[name] and max(-(1 << 63), min(body[name] + shift, (1 << 63) - 1))
    if draw(st.integers(0, 9)):
        body |= {"member_id": "m-1"} if "member_id" in body else {}
    out = BytesIO()
    schemaless_writer(out, parse_schema(schema), body)
    at_ms = body.get("recorded_at", body.get("at", 0))
    return topic, b"\0" + IDS[topic].to_bytes(4, "big") + out.getvalue(), at_ms


def _good() -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in (*catalogue.FACTS, catalogue.CLOCK):
        example = json.loads((catalogue.FOLDER / topic / "v1.example.json").read_text())
        yield topic, example


GOOD = dict(_good())
BEFORE = [
    member("2024-01-01T00:00:00Z"),
    order("O1", "2026-02-01T10:00:00Z"),
    run("E1", "2026-02-01T10:00:00Z", 5_000),
]


def keyed(topic: str, value: bytes) -> tuple[Any, bytes]:
    """The fact, and the key that its source would have given it."""
    fact: Any = CODEC.decode(topic, value)
    return fact, getattr(fact, "member_id", "").encode()


@settings(max_examples=600, deadline=None)
@given(st.lists(strange_facts(), min_size=1, max_size=4))
def test_what_the_border_lets_through_the_rules_can_work_with(facts: list[tuple[str, bytes, int]]) -> None:
    accounts, store = Accounts(reference()), MemoryStore()
    waiting: list[Any] = list(BEFORE)
    for topic, value, at_ms in facts:
        if refusal(lambda v=value, t=topic, at=at_ms: check_fact(*keyed(t, v), at)) is None:  # type: ignore[misc]
            waiting.append(CODEC.decode(topic, value))
    for fact in waiting:
        handed: list[Any] = [fact]
        while handed:
            answer = accounts.process(handed.pop(), store, b"")
            handed += [result for result in answer.results if isinstance(result, Handover)]
            for result in answer.results:
                if (
                    hasattr(result, "_fields")
                    and type(result) is not Tick
                    and "No" not in type(result).__name__[:2]
                ):
                    CODEC.encode(result)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["2026-02-01T00:00:00Z", "PAID"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = sorted({name.removesuffix("_ms") for kind in jsonl.KINDS.values() for name in kind._fields})  # type: ignore[attr-defined]
json_lines = st.one_of(
    st.text(max_size=60),
    json_values.map(json.dumps),
    st.builds(
        lambda kind, fields: json.dumps({kind: fields}),
        st.sampled_from([*jsonl.KINDS, "nosuch"]),
        st.one_of(json_values, st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=18)),
    ),
    st.builds(
        lambda kind, name, value: json.dumps({kind: GOOD[TOPICS[kind]] | {name: value}}),
        st.sampled_from([*jsonl.KINDS]),
        st.sampled_from(FIELDS),
        json_values,
    ),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("fuzz") / "facts.jsonl"


@settings(max_examples=400, deadline=None)
@given(lines=st.lists(json_lines, min_size=1, max_size=3))
def test_a_file_of_facts_is_read_or_refused_by_its_line(file: Any, lines: list[str]) -> None:
    file.write_text("\n".join(lines))
    told = None
    try:
        jsonl.read(file)
    except Failure as failure:
        told = failure.what
    assert told is None or "facts.jsonl:" in told
