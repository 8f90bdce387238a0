"""What a schema and a topic's configuration say, as rows of tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas import catalogue, compatibility

Schema = Any
"""A part of an Avro schema: a name, a union as a list, or a complex type as a dictionary."""

_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its path (`lines.sku`), with the symbols of its enum, if it is one."""

    path: str
    type: str
    meaning: str
    personal: str
    default: str | None
    symbols: tuple[str, ...]

    @property
    def depth(self) -> int:
        return self.path.count(".")


@dataclass(frozen=True, slots=True)
class Version:
    """A released version: the sum that keeps it from being edited, and what it changed of the one before."""

    number: int
    path: Path
    sum: str
    changes: tuple[str, ...]


def fields(schema: Schema, under: str = "") -> Iterator[Field]:
    """All fields of a record, those of records in it after the field that holds them."""
    for field in schema["fields"]:
        path = f"{under}.{field['name']}".removeprefix(".")
        inner = _inner(field["type"])
        default = json.dumps(field["default"]) if "default" in field else None
        symbols = tuple(inner.get("symbols", ()))
        yield Field(path, type_of(field["type"]), field["doc"], field["personal"], default, symbols)
        if inner.get("type") == "record":
            yield from fields(inner, path)


def _inner(schema: Schema) -> dict[str, Any]:
    """What stands inside arrays and beside null; empty of a primitive."""
    if isinstance(schema, list):
        return _inner(next(part for part in schema if part != "null"))
    if isinstance(schema, dict):
        return _inner(schema["items"]) if schema["type"] == "array" else schema
    return {}


def type_of(schema: Schema) -> str:
    """A type in one line: `array of OrderLine`, `long (timestamp-millis) or null`."""
    if isinstance(schema, list):
        told = " or ".join(type_of(part) for part in schema if part != "null")
        return f"{told} or null" if "null" in schema else told
    if not isinstance(schema, dict):
        return str(schema)
    if schema["type"] == "array":
        return f"array of {type_of(schema['items'])}"
    if "logicalType" in schema:
        return f"{schema['type']} ({schema['logicalType']})"
    return f"{schema['type']} {schema['name']}" if "name" in schema else str(schema["type"])


def versions(topic: str) -> list[Version]:
    """A topic's released versions, newest first."""
    found: list[Version] = []
    before: Schema = None
    for number, path in catalogue.versions(topic):
        schema = json.loads(path.read_text(encoding="utf-8"))
        changed = tuple(changes(before, schema)) if before else ("The first version.",)
        found.append(Version(number, path, compatibility.fingerprint(path), changed))
        before = schema
    return found[::-1]


def changes(before: Schema, after: Schema) -> Iterator[str]:
    """What a version says that the one before it did not, a sentence a field."""
    old, new = ({field.path: field for field in fields(schema)} for schema in (before, after))
    for path, field in new.items():
        if path not in old:
            yield f"`{path}` is new: {field.meaning}"
        elif old[path].type != field.type:
            yield f"`{path}` was {old[path].type}, and is {field.type}."
        elif more := [symbol for symbol in field.symbols if symbol not in old[path].symbols]:
            yield f"`{path}` has new symbols: {', '.join(more)}."
    yield from (f"`{path}` is no more." for path in old if path not in new)


def configured(key: str, value: str) -> str:
    """A value of a topic's configuration in words; empty where it speaks for itself."""
    if key.endswith(".ms"):
        return "for ever" if value == "-1" else duration(int(value))
    return f"{int(value) / 2**20:g} MiB" if key.endswith(".bytes") else ""


def duration(ms: int) -> str:
    """A time in its greatest unit that leaves no rest."""
    size, unit = next(((size, unit) for size, unit in _UNITS if ms % size == 0), (1, "millisecond"))
    return f"{ms // size:,} {unit}{'' if ms == size else 's'}"


def kept(config: Mapping[str, str]) -> str:
    """How long a record stays, in a sentence."""
    if config["cleanup.policy"] == "compact":
        lag, gone = (duration(int(config[key])) for key in ("max.compaction.lag.ms", "delete.retention.ms"))
        return f"The last record of each key. An older one goes after {lag} or little more, a tombstone {gone} later."
    days = configured("retention.ms", config["retention.ms"])
    return "For ever: a log that can be replayed." if days == "for ever" else f"For {days}."
