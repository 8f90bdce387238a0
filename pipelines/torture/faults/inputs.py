"""Bad facts, repeated facts, too many facts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random
from typing import Final

from pipelines.torture.fault import Fault
from pipelines.torture.ground import Ground

IN_A_ROW: Final = 60
"""Fewer than the hundred in a row at which a worker stops, for good facts may come between, or may not."""
GIANT: Final = 900_000


@contextlib.contextmanager
def bad_facts(ground: Ground, rnd: Random) -> Iterator[str]:
    yield f"{ground.feed.bad_ones(IN_A_ROW, rnd)} bad records"


@contextlib.contextmanager
def giant(ground: Ground, rnd: Random) -> Iterator[str]:
    ground.feed.giant(GIANT, rnd)
    yield f"a record of {GIANT:,} bytes"


@contextlib.contextmanager
def again(ground: Ground, _: Random) -> Iterator[str]:
    yield f"{ground.feed.again(300)} records once more"


@contextlib.contextmanager
def burst(ground: Ground, _: Random) -> Iterator[str]:
    with ground.feed.faster(10):
        yield "ten times the rate"


@contextlib.contextmanager
def backlog(ground: Ground, _: Random) -> Iterator[str]:
    """All workers are down while facts come in at five times the rate."""
    with ground.workers.held(*ground.workers.replicas()), ground.feed.faster(5):
        yield "all workers, at five times the rate"


@contextlib.contextmanager
def hot_member(ground: Ground, _: Random) -> Iterator[str]:
    with ground.feed.hot() as member:
        yield f"{member}, half of all facts"


LETTERS: Final = "Each is one dead letter, byte for byte; the workers live"

FAULTS: Final = (
    Fault("F23", "bad-facts", LETTERS, bad_facts, (0, 1), weight=3),
    Fault("F26", "giant-record", LETTERS, giant, (0, 1), weight=2),
    Fault("F29", "facts-again", "Counted as duplicates; nothing else", again, (0, 1), weight=2),
    Fault(
        "F36", "hot-member", "One partition lags and goes back; nothing else", hot_member, (6, 12), weight=2
    ),
    Fault("F37", "burst", "Lag grows and goes back", burst, (3, 6), weight=2),
    Fault("F37", "backlog", "It is caught up with", backlog, (4, 8), weight=2),
)
