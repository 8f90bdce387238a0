"""What a topic is, as its folder and the grants say it: the source of what other teams read of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pipelines.grants import ROLES, Grant, grants, user
from schemas import catalogue

OPERATIONS: Final = ("READ", "WRITE")


@dataclass(frozen=True, slots=True)
class Readme:
    """What a topic's README says: the rows of its table, what is said beside it, and of its bytes. Markdown."""

    rows: dict[str, str]
    notes: str
    bytes: str


def readme(topic: str) -> Readme:
    """The README of a topic's folder."""
    text = (catalogue.FOLDER / topic / "README.md").read_text(encoding="utf-8")
    rows, beside = re.split(r"(?<=\|\n)\n", text, maxsplit=1)
    notes, example = beside.split("Example: ", maxsplit=1)
    found = re.findall(r"^\| ([A-Z][a-z ]+) \| (.+) \|$", rows, re.MULTILINE)
    told = {word: said.replace("\\|", "|") for word, said in found}
    return Readme(told, notes.strip(), f"Example: {example}".strip())


def on_topics(role: str) -> list[Grant]:
    """What a role may do with topics that others know."""
    return [
        grant
        for grant in grants(role)
        if grant.kind == "TOPIC" and grant.operation in OPERATIONS and grant.name in catalogue.TOPICS
    ]


def users(operation: str, topic: str) -> list[str]:
    """The product's own users that may READ or WRITE a topic."""
    wanted = (operation, topic)
    return [user(role) for role in ROLES if any(wanted == (g.operation, g.name) for g in on_topics(role))]
