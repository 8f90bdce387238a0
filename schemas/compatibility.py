"""FULL_TRANSITIVE: every version of a schema reads what every other wrote, by Avro's resolution rules.

A change is breaking when a reader meets a field that the writer lacks and has no default for, a type that does not
promote, an enum symbol without a default to fall back to, or a record of another name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from schemas import catalogue

FINGERPRINTS: Final = catalogue.FOLDER / "fingerprints.json"
_PROMOTES: Final = {
    "int": {"int", "long", "float", "double"},
    "long": {"long", "float", "double"},
    "float": {"float", "double"},
    "string": {"string", "bytes"},
    "bytes": {"bytes", "string"},
}


def problems() -> list[str]:
    """What is wrong with the released schemas: incompatible versions, and releases that were edited in place."""
    return [problem for topic in catalogue.TOPICS for problem in (*_incompatible(topic), *_edited(topic))]


def _incompatible(topic: str) -> Iterator[str]:
    texts = [(number, json.loads(path.read_text())) for number, path in catalogue.versions(topic)]
    for old, before in texts:
        for new, after in texts:
            if old < new:
                for said in breaks(reader=after, writer=before):
                    yield f"{topic}: v{new} cannot read what v{old} wrote: {said}"
                for said in breaks(reader=before, writer=after):
                    yield f"{topic}: v{old} cannot read what v{new} writes: {said}"


def _edited(topic: str) -> Iterator[str]:
    known = json.loads(FINGERPRINTS.read_text())
    for number, path in catalogue.versions(topic):
        name = f"{topic}/v{number}"
        if name not in known:
            yield f"{name} is not in {FINGERPRINTS.name}: release it with `loyalty schemas release`"
        elif known[name] != fingerprint(path):
            yield f"{name} was edited after its release: restore it, and add v{number + 1}.avsc instead"


def fingerprint(path: Path) -> str:
    """A release's sum, docs included; white space does not count."""
    canonical = json.dumps(json.loads(path.read_text()), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def release() -> list[str]:
    """Write the sums of versions that have none yet; their names."""
    known: dict[str, str] = json.loads(FINGERPRINTS.read_text()) if FINGERPRINTS.exists() else {}
    found = {f"{t}/v{n}": fingerprint(path) for t in catalogue.TOPICS for n, path in catalogue.versions(t)}
    fresh = sorted(set(found) - set(known))
    FINGERPRINTS.write_text(
        json.dumps(known | {name: found[name] for name in fresh}, indent=2, sort_keys=True) + "\n"
    )
    return fresh


def breaks(reader: Any, writer: Any) -> list[str]:
    """Why `reader` cannot read what `writer` wrote; empty when it can."""
    return list(_breaks(reader, writer, _names(reader, {}), _names(writer, {}), "", set()))


def _names(schema: Any, into: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema, dict):
        if "name" in schema and schema.get("type") in ("record", "enum", "fixed"):
            into[schema["name"]] = schema
        for part in (
            schema.get("items"),
            schema.get("values"),
            schema.get("type"),
            *schema.get("fields", ()),
        ):
            _names(part, into)
    elif isinstance(schema, list):
        for part in schema:
            _names(part, into)
    return into


def _breaks(
    reader: Any,
    writer: Any,
    reads: dict[str, Any],
    writes: dict[str, Any],
    at: str,
    seen: set[tuple[str, str]],
) -> Iterator[str]:
    reader, writer = _resolved(reader, reads), _resolved(writer, writes)
    if isinstance(writer, list):
        for branch in writer:
            yield from _breaks(reader, branch, reads, writes, at, seen)
        return
    if isinstance(reader, list):
        if not any(not list(_breaks(branch, writer, reads, writes, at, set(seen))) for branch in reader):
            yield f"{at or 'the record'}: {_kind(writer)} fits no branch of the union"
        return
    kind, wrote = _kind(reader), _kind(writer)
    if kind != wrote and kind not in _PROMOTES.get(wrote, ()):
        yield f"{at or 'the record'}: {wrote} cannot be read as {kind}"
    elif kind == wrote == "record":
        yield from _record(reader, writer, reads, writes, at, seen)
    elif kind == wrote == "enum":
        missing = [s for s in writer["symbols"] if s not in reader["symbols"]]
        if missing and "default" not in reader:
            yield f"{at}: the symbols {', '.join(missing)} have no default to fall back to"
    elif kind == wrote == "array":
        yield from _breaks(reader["items"], writer["items"], reads, writes, f"{at}[]", seen)


def _record(
    reader: Any,
    writer: Any,
    reads: dict[str, Any],
    writes: dict[str, Any],
    at: str,
    seen: set[tuple[str, str]],
) -> Iterator[str]:
    names = reader["name"], writer["name"]
    if names[0] != names[1]:
        yield f"{at or 'the record'}: a {names[1]} cannot be read as a {names[0]}"
    if names in seen:
        return
    seen.add(names)
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        place = f"{at}.{field['name']}".lstrip(".")
        found = next((written[n] for n in (field["name"], *field.get("aliases", ())) if n in written), None)
        if found is None:
            if "default" not in field:
                yield f"{place}: is not written, and has no default"
        else:
            yield from _breaks(field["type"], found["type"], reads, writes, place, seen)


def _resolved(schema: Any, names: dict[str, Any]) -> Any:
    return names.get(schema, schema) if isinstance(schema, str) else schema


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
