"""What of each topic is personal, by its schema's own word: every field has one of four classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from schemas import catalogue


class Personal(StrEnum):
    """NO tells nothing of a member. A PSEUDONYM is an id that is the member's, or leads to them. BEHAVIOUR is what they
    did, are or have, and is theirs through the pseudonym beside it. RAW may hold anything that a source sent."""

    NO = "no"
    PSEUDONYM = "pseudonym"
    BEHAVIOUR = "behaviour"
    RAW = "raw"


def fields(topic: str) -> Iterator[tuple[str, str | None]]:
    """Every field of a topic's newest schema, by its path (`lines.sku`), with what it says of itself."""
    yield from _fields(json.loads(catalogue.released(topic)), "")


def _fields(schema: Any, path: str) -> Iterator[tuple[str, str | None]]:
    if isinstance(schema, list):
        for part in schema:
            yield from _fields(part, path)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            at = f"{path}.{field['name']}".removeprefix(".")
            yield at, field.get("personal")
            yield from _fields(field["type"], at)
        yield from _fields(schema.get("items"), path)
        if not isinstance(schema.get("type"), str):
            yield from _fields(schema.get("type"), path)


def table() -> str:
    """The data map as Markdown: a row a topic, a column a class."""
    lines = ["| Topic | Pseudonym | Behaviour | Raw | Not personal |", "|---|---|---|---|---|"]
    for topic in catalogue.TOPICS:
        found = list(fields(topic))
        columns = [
            ", ".join(path for path, said in found if said == kind)
            for kind in (Personal.PSEUDONYM, Personal.BEHAVIOUR, Personal.RAW, Personal.NO)
        ]
        lines.append(f"| `{topic}` | " + " | ".join(columns) + " |")
    return "\n".join(lines) + "\n"
