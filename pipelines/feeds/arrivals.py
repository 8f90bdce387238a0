"""Facts in the order in which they reach Kafka, and what a feed does to that order on purpose.

A feed makes histories; this module spoils them as the world does: some facts come late, some twice, some old
versions again. Shares are stated, seeds decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from pipelines.domain.facts import Fact, PointsCommand, Tick
from pipelines.domain.programme import DAY_MS

HOUR_MS = 3_600_000


class Arrival(NamedTuple):
    """A fact, and when it reaches Kafka."""

    at_ms: int
    fact: Fact | Tick


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of all facts are spoiled, as shares of 1."""

    late: float = 0.01
    too_late: float = 0.001
    duplicate: float = 0.01
    stale: float = 0.005
    out_of_order: float = 0.0


def one_instant_each(facts: Iterable[Any]) -> list[Any]:
    """The member's facts by recorded time, no two in the same millisecond: their order is then the same for all."""
    last = -1
    apart = []
    for fact in sorted(facts, key=lambda f: (f.recorded_at_ms, f.event_id)):
        last = max(last + 1, fact.recorded_at_ms)
        apart.append(fact._replace(recorded_at_ms=last))
    return apart


def delayed(recorded_at_ms: int, rnd: Random, shares: Shares) -> int:
    """When the source learns it instead: usually at once, sometimes days later, rarely beyond the horizon."""
    chance = rnd.random()
    if chance < shares.too_late:
        return recorded_at_ms + rnd.randrange(46 * DAY_MS, 60 * DAY_MS)
    if chance < shares.too_late + shares.late:
        return recorded_at_ms + rnd.randrange(1 * DAY_MS, 40 * DAY_MS)
    return recorded_at_ms


def arrivals(facts: list[Any], rnd: Random, shares: Shares) -> Iterator[Arrival]:
    """One member's facts as they come: most at their recorded time, some again, some too early or too late."""
    for fact in facts:
        at_ms = fact.recorded_at_ms
        if rnd.random() < shares.out_of_order:
            at_ms += rnd.randrange(-2 * HOUR_MS, 2 * HOUR_MS)
        yield Arrival(at_ms, fact)
        if rnd.random() < shares.duplicate:
            yield Arrival(at_ms + rnd.randrange(HOUR_MS), fact)
        if not isinstance(fact, PointsCommand) and fact.version > 1 and rnd.random() < shares.stale:
            yield Arrival(at_ms + rnd.randrange(HOUR_MS), fact._replace(version=fact.version - 1))


def with_ticks(facts: Iterable[Arrival], every_ms: int, after_ms: int) -> Iterator[Arrival]:
    """The arrivals with a tick at every `every_ms`, and on for `after_ms` behind the last."""
    next_ms: int | None = None
    last_ms = 0
    for arrival in facts:
        last_ms = max(last_ms, arrival.at_ms)
        next_ms = next_ms or (arrival.at_ms // every_ms + 1) * every_ms
        while next_ms <= arrival.at_ms:
            yield Arrival(next_ms, Tick(next_ms))
            next_ms += every_ms
        yield arrival
    while next_ms is not None and next_ms <= last_ms + after_ms:
        yield Arrival(next_ms, Tick(next_ms))
        next_ms += every_ms


def merged(members: Iterable[Iterator[Arrival]]) -> Iterator[Arrival]:
    """All members' arrivals, in order."""
    everything = [arrival for member in members for arrival in member]
    everything.sort(key=lambda arrival: arrival.at_ms)
    return iter(everything)
