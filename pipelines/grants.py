"""Who may do what, derived from the topic catalogue: the least with which each part of the product does its job.

Operations are Kafka's. READ and WRITE of a topic include DESCRIBE; nobody here may create, alter or delete anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pipelines.topics import ACCOUNTS, LIABILITY, OF_MEMBERS, PIPELINES, Pipeline, prefixed
from schemas import catalogue

READER_GROUP: Final = "loyalty-auditor-without-a-group"
"""What the auditor's and operators' consumers call themselves, for they must; never joined, commits nothing."""
WAREHOUSE_GROUP: Final = "loyalty-warehouse-without-a-group"
"""The same for the warehouse's sinks, and for what verifies them."""
REDRIVER: Final = "loyalty-redrive"
"""The transactional id of every redrive."""


WAREHOUSED: Final = (*catalogue.FACTS, *catalogue.OUTPUTS, *catalogue.TOLD)
"""The topics that stand in the warehouse as tables."""


class Grant(NamedTuple):
    """`operation` on `name`; `pattern` is LITERAL, or PREFIXED for all names that begin so."""

    principal: str
    operation: str
    kind: str
    name: str
    pattern: str = "LITERAL"

    def __str__(self) -> str:
        every = "*" if self.pattern == "PREFIXED" else ""
        return f"{self.operation} on {self.kind.lower().replace('_', ' ')} {self.name}{every}"


Wanted = tuple[str, str, str, str]
"""A grant without its principal."""


def _topics(operation: str, names: tuple[str, ...], prefix: str) -> Iterator[Wanted]:
    for name in names:
        yield operation, "TOPIC", prefixed(prefix, name), "LITERAL"


def _worker(pipeline: Pipeline) -> Callable[[str], Iterator[Wanted]]:
    """Reads its inputs, writes its outputs, keeps its state, in its group, under its transactional ids."""

    def wanted(prefix: str) -> Iterator[Wanted]:
        group = prefixed(prefix, pipeline.group)
        changelog = pipeline.changelog(prefix)
        yield from _topics("READ", pipeline.reads, prefix)
        yield from _topics("WRITE", pipeline.writes, prefix)
        yield "READ", "TOPIC", changelog, "LITERAL"
        yield "WRITE", "TOPIC", changelog, "LITERAL"
        for name in sorted(pipeline.topics(prefix)):
            yield "DESCRIBE_CONFIGS", "TOPIC", name, "LITERAL"
        yield "READ", "GROUP", group, "LITERAL"
        yield "WRITE", "TRANSACTIONAL_ID", f"{group}-", "PREFIXED"

    return wanted


def _clock(prefix: str) -> Iterator[Wanted]:
    yield from _topics("WRITE", (catalogue.CLOCK,), prefix)


def _sources(prefix: str) -> Iterator[Wanted]:
    yield from _topics("WRITE", catalogue.FACTS, prefix)


def _auditor(prefix: str) -> Iterator[Wanted]:
    yield from _topics("READ", catalogue.TOPICS, prefix)
    yield "DESCRIBE", "GROUP", prefixed(prefix, ACCOUNTS.group), "LITERAL"
    yield "READ", "GROUP", READER_GROUP, "LITERAL"


def _warehouse(prefix: str) -> Iterator[Wanted]:
    yield from _topics("READ", (*WAREHOUSED, *catalogue.OWED), prefix)
    yield "DESCRIBE", "GROUP", prefixed(prefix, LIABILITY.group), "LITERAL"
    yield "READ", "GROUP", WAREHOUSE_GROUP, "LITERAL"


def _operator(prefix: str) -> Iterator[Wanted]:
    yield from _topics("READ", (catalogue.DEAD_LETTERS, catalogue.REDRIVES, catalogue.MEMBERS), prefix)
    yield from _topics("WRITE", (*catalogue.INPUTS, catalogue.REDRIVES), prefix)
    yield "READ", "GROUP", READER_GROUP, "LITERAL"
    yield "WRITE", "TRANSACTIONAL_ID", prefixed(prefix, REDRIVER), "LITERAL"


def _privacy(prefix: str) -> Iterator[Wanted]:
    yield from _topics("READ", catalogue.TOPICS, prefix)
    for pipeline in OF_MEMBERS:
        yield "READ", "TOPIC", pipeline.changelog(prefix), "LITERAL"
    yield from _topics("WRITE", (catalogue.MEMBERS,), prefix)
    yield "READ", "GROUP", READER_GROUP, "LITERAL"


ROLES: Final[dict[str, Callable[[str], Iterator[Wanted]]]] = {
    **{name: _worker(pipeline) for name, pipeline in PIPELINES.items()},
    "clock": _clock,
    "sources": _sources,
    "auditor": _auditor,
    "warehouse": _warehouse,
    "operator": _operator,
    "privacy": _privacy,
}
"""Each worker; `loyalty clock`; who sends facts; `verify`, `member` and `explain`; both of the warehouse's
sinks, and `warehouse verify`; `dead-letters`; `erase`."""


def user(role: str, prefix: str = "") -> str:
    """The user name of a role."""
    return prefixed(prefix, f"loyalty-{role}")


def grants(role: str, prefix: str = "") -> tuple[Grant, ...]:
    """All that a role may do."""
    principal = f"User:{user(role, prefix)}"
    return tuple(Grant(principal, *wanted) for wanted in dict.fromkeys(ROLES[role](prefix)))
