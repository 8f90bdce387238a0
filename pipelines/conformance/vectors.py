"""Conformance vectors: the rules as data that any engine could run. The format is in tests/vectors/README.md.

A vector gives facts in order of arrival, runs the clock on, and expects a balance, a ledger, a tier. What it does not
say has a default, so that a vector shows only what its rule is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.conformance.given import Given, facts_of, instant, member_of
from pipelines.domain.facts import Fact, Member, Tick
from pipelines.domain.programme import Programme
from pipelines.failure import Failure
from pipelines.programme_file import ALONG, parse_programme

KEYS: Final = (
    "id",
    "rule",
    "source",
    "programme",
    "patch",
    "versions",
    "welcome",
    "members",
    "given",
    "until",
    "expect",
    "shuffle",
)
EXPECTATIONS: Final = (
    "balance",
    "ledger",
    "ledger_exact",
    "tier",
    "tiers",
    "changes",
    "progress",
    "answers",
    "refused",
    "outcomes",
    "triggers",
    "suppressed",
    "of",
)


@dataclass(frozen=True, slots=True)
class Vector:
    """One worked example; `given` in order of arrival, `until_ms` the instant to which the clock then runs."""

    name: str
    rule: str
    where: str
    programme: Programme
    programme_text: str
    members: tuple[Member, ...]
    given: tuple[Fact, ...]
    until_ms: int | None
    expect: Mapping[str, Any]
    shuffle: bool

    @property
    def looks_at_triggers(self) -> bool:
        """Whether what members are told is expected, of all or of one."""
        every = (self.expect, *self.expect.get("of", {}).values())
        return any(name in expect for name in ("triggers", "suppressed") for expect in every)

    @property
    def facts(self) -> tuple[Fact | Tick, ...]:
        """Everything in the order given: members first, then what is given, then the clock."""
        clock = () if self.until_ms is None else (Tick(self.until_ms),)
        return (*self.members, *self.given, *clock)


def load_vectors(path: Path) -> list[Vector]:
    """All vectors of a file, or of the files below a directory; each id once."""
    files = sorted(path.glob("**/*.yaml")) if path.is_dir() else [path]
    vectors = [vector for file in files for vector in _file(file)]
    if not vectors:
        raise Failure(f"there are no vectors at {path}", "give a YAML file, or a directory of them")
    seen: dict[str, str] = {}
    for vector in vectors:
        if vector.name in seen:
            what = f"{vector.where}: {vector.name} stands at {seen[vector.name]} already"
            raise Failure(what, "give it an id of its own")
        seen[vector.name] = vector.where
    return vectors


def _file(path: Path) -> Iterator[Vector]:
    try:
        text = path.read_text()
        documents = YAML(typ="base", pure=True).load(text)
        nodes = YAML(pure=True).compose(text)
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read as YAML: {error}", "give a file of vectors") from error
    if not isinstance(documents, list):
        raise Failure(f"{path}:1: a list of vectors is wanted", "begin each with `- id:`")
    for document, node in zip(documents, nodes.value, strict=True):
        yield _vector(Given(f"{path}:{node.start_mark.line + 1}", document))


def _vector(document: Given) -> Vector:
    found = document.only(KEYS, ("id", "rule", "expect"))
    expect = document.inside("expect")
    expect.only(EXPECTATIONS)
    for member_id in found["expect"].get("of", {}):
        expect.inside("of").inside(member_id).only(EXPECTATIONS)
    text = _programme_text(document, found)
    members: Mapping[str, Any] = found.get("members") or {"m-1": {}}
    steps = [Given(document.where, step) for step in found.get("given") or []]
    return Vector(
        found["id"],
        found["rule"],
        document.where,
        parse_programme(text, document.where),
        text,
        tuple(member_of(Given(document.where, told or {}), name) for name, told in members.items()),
        tuple(facts_of(steps, next(iter(members)))),
        instant(document, found["until"]) if found.get("until") else None,
        expect.value,
        found.get("shuffle") == "true",
    )


def _programme_text(document: Given, found: Mapping[str, Any]) -> str:
    """The programme's file as JSON, which is YAML: the vector's patch merged over its newest version.

    What a programme has above its versions (`window`, `downgrade`) is replaced, but `triggers`, which are merged.
    Each of the vector's `versions` then is the one before it with this merged over.
    """
    path = ALONG / f"{found.get('programme', 'reference')}.yaml"
    if not path.exists():
        document.wrong(f"there is no programme {found['programme']!r}")
    programme = YAML(typ="base", pure=True).load(path.read_text())
    patch: dict[str, Any] = {} if found.get("welcome") == "true" else {"welcome_points": "0"}
    patch |= found.get("patch") or {}
    if "triggers" in patch:
        _merge(programme["triggers"], patch.pop("triggers"))
    programme |= {key: patch[key] for key in patch if key in programme}
    _merge(programme["versions"][-1], {key: patch[key] for key in patch if key not in programme})
    for changes in found.get("versions") or ():
        programme["versions"].append(deepcopy(programme["versions"][-1]))
        _merge(programme["versions"][-1], changes)
    return json.dumps(programme)


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
