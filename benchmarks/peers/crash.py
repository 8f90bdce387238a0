"""Whether exactly once holds: each engine is killed in the middle of a small work, and started again.

What it says then must be what is said by whoever was left in peace; our own vectors and torture runs ask us far more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.peers.answers import Answer, told
from benchmarks.peers.engines import (
    LOYALTY,
    Engine,
    Record,
    committed,
    course,
    fill,
    started,
    wait_until_committed,
)
from benchmarks.peers.workload import Workload
from pipelines.local.endpoints import Endpoints
from schemas.codec import Codec

WORK: Final = Workload(facts=4_000, members=400, seed=11, late=0.1, duplicates=0.05)
"""So few members that state which is wrong by one fact soon shows."""
PATIENCE_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Killed:
    """What an engine said after a kill -9, beside what it should."""

    engine: str
    same: bool
    committed: int
    facts: int
    entries: int
    entries_expected: int
    """Of orders, returns and welcomes."""


def kills(
    engines: Iterable[Engine], records: list[Record], found: Endpoints, codec: Codec
) -> Iterator[Killed]:
    """Each engine with rules, killed once."""
    expected, _ = done(LOYALTY, records, found, codec, kill=False)
    for engine in engines:
        if engine.rules:
            answer, facts = done(engine, records, found, codec, kill=True)
            counts = (int(one.entries.split(":")[0]) for one in (answer, expected))
            yield Killed(engine.name, answer == expected, facts, len(records), *counts)


def done(
    engine: Engine, records: list[Record], found: Endpoints, codec: Codec, *, kill: bool
) -> tuple[Answer, int]:
    """What an engine says of the work, and how many facts it committed in reasonable time."""
    with course(engine, found) as run:
        fill(engine, run, records)
        if kill:
            with started(engine, run) as process:
                wait_until_committed(engine, run, process, len(records) // 2)
                process.kill()
        with started(engine, run) as process:
            ends_at = time.monotonic() + PATIENCE_S
            for facts in committed(engine, run, process):
                if facts >= len(records) or time.monotonic() > ends_at:
                    break
        return told(engine, run, codec), facts
