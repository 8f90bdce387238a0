"""Every kind of fault there is, by family."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pipelines.failure import Failure
from pipelines.torture.fault import Fault
from pipelines.torture.faults import brokers, commits, inputs, states, surroundings, workers

ALL: Final[tuple[Fault, ...]] = (
    *workers.FAULTS,
    *commits.FAULTS,
    *states.FAULTS,
    *brokers.FAULTS,
    *surroundings.FAULTS,
    *inputs.FAULTS,
)


def chosen(only: Collection[str]) -> tuple[Fault, ...]:
    """The faults of these numbers (`F6`) or names (`pause-beyond-session`); all when none is given."""
    unknown = [word for word in only if not any(word in (f.number, f.name) for f in ALL)]
    if unknown:
        raise Failure(f"there is no fault {', '.join(unknown)}", "see `loyalty torture --list`")
    return tuple(f for f in ALL if not only or f.number in only or f.name in only)
