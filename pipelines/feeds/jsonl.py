"""Facts from a file of JSON lines, one a line: `{"order": {...}}`, `{"return": …}`, `{"engagement": …}`,
`{"member": …}`, `{"command": …}` or `{"tick": …}`, with the fields of the schemas and ISO 8601 instants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import TypeAdapter, ValidationError

from pipelines.domain.facts import Engagement, Fact, Member, Order, PointsCommand, Return, Tick
from pipelines.failure import Failure
from pipelines.feeds.arrivals import Arrival
from schemas.border import check_fact
from schemas.codec import InvalidFact

KINDS: Final[dict[str, type]] = {
    "order": Order,
    "return": Return,
    "engagement": Engagement,
    "member": Member,
    "command": PointsCommand,
    "tick": Tick,
}
_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {kind: TypeAdapter(record) for kind, record in KINDS.items()}
_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "order": {
        "paid_at_ms": None,
        "delivered_at_ms": None,
        "cancelled_at_ms": None,
        "order_discount_minor": 0,
        "paid_with_points_minor": 0,
        "shipping_minor": 0,
        "tax_minor": 0,
    },
    "return": {"settled_at_ms": None},
    "engagement": {"distance_m": None, "duration_s": None, "subject": None},
    "member": {"birthday_month": None, "birthday_day": None, "consents": [], "erased_at_ms": None}
    | {"merged_into": None},
    "command": {"subject_id": None, "points": 0, "actor": None, "reason": None, "ticket": None},
    "tick": {},
}


def read(path: Path) -> list[Arrival]:
    """All facts of the file, or a Failure that names the first bad line; nothing in between."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}", "give a file of JSON lines") from error
    return [arrival for number, line in enumerate(lines, 1) for arrival in _line(path, number, line)]


def _line(path: Path, number: int, line: str) -> Iterator[Arrival]:
    if not line.strip():
        return
    where = f"{path}:{number}"
    try:
        given = json.loads(line)
    except ValueError as error:
        _wrong(where, f"this is not JSON: {error}")
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in KINDS:
        _wrong(where, f"one of {', '.join(KINDS)} is wanted, with its fields")
    kind, fields = next(iter(given.items()))
    fact = _fact(where, kind, fields)
    if isinstance(fact, Tick):
        yield Arrival(fact.at_ms, fact)
        return
    try:
        check_fact(fact, fact.member_id.encode(), fact.recorded_at_ms)
    except InvalidFact as invalid:
        _wrong(where, str(invalid))
    yield Arrival(fact.recorded_at_ms, fact)


def _fact(where: str, kind: str, fields: Any) -> Fact | Tick:
    if not isinstance(fields, dict):
        _wrong(where, f"{kind} has no fields")
    known = KINDS[kind]._fields  # type: ignore[attr-defined]
    values = _DEFAULTS[kind] | {
        _attribute(name, known): _value(where, name, v, known) for name, v in fields.items()
    }
    unknown = [name for name in values if name not in known]
    if unknown:
        _wrong(
            where,
            f"{kind} has no field {unknown[0]!r}; its fields are {', '.join(_public(n) for n in known)}",
        )
    try:
        fact: Fact | Tick = _ADAPTERS[kind].validate_python([values.get(name, _Missing) for name in known])
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"][0]
        name = _public(known[place]) if isinstance(place, int) else str(place)
        missing = first.get("input") is _Missing
        _wrong(where, f"{kind}.{name} {'is missing' if missing else first['msg']}")
    return fact


class _Missing:
    pass


def _public(name: str) -> str:
    return name.removesuffix("_ms")


def _attribute(name: str, known: tuple[str, ...]) -> str:
    return f"{name}_ms" if f"{name}_ms" in known else name


def _value(where: str, name: str, value: Any, known: tuple[str, ...]) -> Any:
    """Instants become milliseconds; lines and consents keep the order of their fields."""
    if f"{name}_ms" in known:
        return _moment(where, name, value)
    if name == "consents" and isinstance(value, list):
        return [_consent(where, item) for item in value]
    return value


def _consent(where: str, item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {
        "purpose": item.get("purpose"),
        "granted_at_ms": _moment(where, "granted_at", item.get("granted_at")),
        "withdrawn_at_ms": _moment(where, "withdrawn_at", item.get("withdrawn_at")),
    }


def _moment(where: str, name: str, value: Any) -> Any:
    """An instant in text becomes milliseconds; what is none is for the field's type to judge."""
    return _instant(where, name, value) if isinstance(value, str) else value


def _instant(where: str, name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        _wrong(where, f"{name} is {text!r}; an instant such as 2026-03-01T00:00:00Z is wanted")
    if at.tzinfo is None:
        _wrong(where, f"{name} is {text!r}, without a zone; add Z or an offset")
    return round(at.timestamp() * 1000)


def _wrong(where: str, what: str) -> NoReturn:
    raise Failure(f"{where}: {what}", "correct the line; nothing was sent")
