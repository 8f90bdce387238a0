"""Every kind of fault there is, by family."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from pipelines.failure import Failure
from pipelines.torture.fault import Fault
from pipelines.torture.faults import (
    brokers,
    commits,
    hindrances,
    inputs,
    network,
    states,
    surroundings,
    workers,
)

ALL: Final[tuple[Fault, ...]] = (
    *workers.FAULTS,
    *commits.FAULTS,
    *hindrances.FAULTS,
    *states.FAULTS,
    *brokers.FAULTS,
    *network.FAULTS,
    *surroundings.FAULTS,
    *inputs.FAULTS,
)


def chosen(only: Collection[str]) -> tuple[Fault, ...]:
    """The faults of these numbers (`F6`) or names (`pause-beyond-session`); all when none is given."""
    unknown = [word for word in only if not any(word in (f.number, f.name) for f in ALL)]
    if unknown:
        raise Failure(f"there is no fault {', '.join(unknown)}", "see `loyalty torture --list`")
    return tuple(f for f in ALL if not only or f.number in only or f.name in only)


def possible(faults: Sequence[Fault]) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
    """The faults that this machine lets be struck, and the names of the others."""
    struck = tuple(fault for fault in faults if fault.possible())
    left_out = tuple(fault.name for fault in faults if fault not in struck)
    if not struck:
        raise Failure(
            f"this machine lets none of these be struck: {', '.join(left_out)}",
            "choose others (`loyalty torture --list`), or allow user namespaces",
        )
    return struck, left_out
