"""Reads tests/bad_facts.yaml: good facts with something wrong about them, as the bytes that go on a topic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from fastavro import parse_schema, schemaless_writer
from ruamel.yaml import YAML

from schemas import catalogue

FILE: Final = Path(__file__).parents[1] / "bad_facts.yaml"
TOPICS: Final = {
    "order": catalogue.ORDERS,
    "return": catalogue.RETURNS,
    "engagement": catalogue.ENGAGEMENTS,
    "member": catalogue.MEMBERS,
    "command": catalogue.COMMANDS,
    "tick": catalogue.CLOCK,
    "handover": catalogue.HANDOVERS,
}
_SCHEMAS: Final = {kind: parse_schema(catalogue.parsed(topic)) for kind, topic in TOPICS.items()}
_PLACEHOLDER: Final = "\x7f"
_OF_BYTES: Final = ("fact_value", "source")
_TIMES: Final = ("recorded_at", "at")


@dataclass(frozen=True, slots=True)
class Sent:
    """A record as it is sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class BadFact:
    """A record that must get this error class; `given` are good ones that come before."""

    error_class: str
    why: str
    record: Sent
    given: tuple[Sent, ...]


def bad_facts(schema_ids: dict[str, int]) -> list[BadFact]:
    """All of them. `schema_ids` has the id of each kind, and of the names that cases write under otherwise."""
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_constructor("!hex", lambda _, node: bytes.fromhex(node.value))
    yaml.constructor.add_constructor("!ms", lambda _, node: int(node.value))
    told = yaml.load(FILE.read_text())
    builder = Builder(told["good"], schema_ids)
    cases = [(error_class, case) for error_class, some in told["bad"].items() for case in some]
    return [builder.bad(f"m-bad-{n}", error_class, case) for n, (error_class, case) in enumerate(cases)]


class Builder:
    """Makes records from good facts and what is changed in them."""

    def __init__(self, good: dict[str, dict[str, Any]], schema_ids: dict[str, int]) -> None:
        self._good = good
        self._ids = schema_ids

    def bad(self, me: str, error_class: str, case: dict[str, Any]) -> BadFact:
        """The record of a case, with those that come before it."""
        before = [(me, fact) for fact in case.pop("given", [])]
        before += [(f"{me}-other", case.pop("given_of"))] if "given_of" in case else []
        given = tuple(
            self._record(of, f"{me}-other" if of == me else me, kind, changes or {}, {})
            for of, fact in before
            for kind, changes in fact.items()
        )
        why = case.pop("why")
        kind = next(name for name in case if name in TOPICS)
        record = self._record(me, f"{me}-other", kind, case.pop(kind), case)
        unknown = case.keys() - {"key", "later_ms", "cut", "add", "first", "raw", "as", "into"}
        assert not unknown, f"{why}: {unknown}"
        return BadFact(error_class, why, record, given)

    def _record(self, me: str, other: str, kind: str, changes: dict[str, Any], case: dict[str, Any]) -> Sent:
        body = _named(self._good[kind], me, other)
        for path, value in changes.items():
            _change(body, path.split("."), _named(value, me, other))
        key = _named(case["key"], me, other) if "key" in case else body.get("member_id", "tick")
        time = next(body[name] for name in _TIMES if name in body)
        return Sent(
            TOPICS[case.get("into", kind)],
            key.encode() if isinstance(key, str) else key,
            self._value(kind, body, case),
            time + case.get("later_ms", 0),
        )

    def _value(self, kind: str, body: dict[str, Any], case: dict[str, Any]) -> bytes | None:
        if "raw" in case:
            return None if case["raw"] is None else bytes.fromhex(case["raw"])
        written_as = case.get("as", kind)
        schema_id = written_as if isinstance(written_as, int) else self._ids[written_as]
        value = b"\0" + schema_id.to_bytes(4, "big") + _avro(kind, body)
        if "first" in case:
            value = bytes([case["first"]]) + value[1:]
        return value[: max(5, len(value) - case.get("cut", 0))] + bytes.fromhex(case.get("add", ""))


def _named(value: Any, me: str, other: str) -> Any:
    """A copy with the members' ids in their places, and instants in milliseconds."""
    if isinstance(value, str):
        return value.replace("{me}", me).replace("{other}", other)
    if isinstance(value, datetime):
        return round(value.replace(tzinfo=value.tzinfo or UTC).timestamp() * 1000)
    if isinstance(value, dict):
        return {name: _named(part, me, other) for name, part in value.items()}
    return [_named(part, me, other) for part in value] if isinstance(value, list) else value


def _change(body: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        body = body[int(name)] if name.isdigit() else body[name]
    assert path[-1] in body, path
    body[path[-1]] = value


def _avro(kind: str, body: dict[str, Any]) -> bytes:
    """The body in Avro; text given as bytes goes in as it is, whether or not it is UTF-8."""
    odd: list[bytes] = []

    def text(name: str, value: Any) -> Any:
        if isinstance(value, bytes) and name not in _OF_BYTES:
            odd.append(value)
            return _PLACEHOLDER * len(value)
        if isinstance(value, dict):
            return {inner: text(inner, part) for inner, part in value.items()}
        return [text(name, part) for part in value] if isinstance(value, list) else value

    out = BytesIO()
    schemaless_writer(out, _SCHEMAS[kind], text("", body))
    value = out.getvalue()
    for part in odd:
        value = value.replace(_PLACEHOLDER.encode() * len(part), part)
    return value
