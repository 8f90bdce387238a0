"""The network between one worker and the brokers: cut, slow, reset; and one transaction's end that comes late."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random
from typing import Final

from pipelines.torture.fault import Fault, Strike, Unmet, wait_for
from pipelines.torture.ground import Ground
from pipelines.torture.wire import BOTH, END_TRANSACTION, Way

SLOW_S: Final = 0.2
HELD_S: Final = 90.0
AGAIN_S: Final = 30.0
AT_WORK_S: Final = 45.0


def _wired(ground: Ground) -> str:
    """The worker on the wire, as soon as it ends a transaction: a network that nobody uses cannot be cut."""
    with ground.wire.holding(END_TRANSACTION, most=0) as ends:
        at_work = wait_for(lambda: ends.seen > 0, AT_WORK_S)
    return ground.wired if at_work else f"{ground.wired}, which was away"


def cut(ways: frozenset[Way], told: str) -> Strike:
    """Nothing arrives, and nobody is told; behind the fault all of it does, late."""

    @contextlib.contextmanager
    def strike(ground: Ground, _: Random) -> Iterator[str]:
        target = _wired(ground)
        with ground.wire.stalled(ways):
            yield f"{target}, {told}"

    return strike


@contextlib.contextmanager
def refused(ground: Ground, _: Random) -> Iterator[str]:
    target = _wired(ground)
    with ground.wire.refusing():
        yield target


@contextlib.contextmanager
def reset(ground: Ground, _: Random) -> Iterator[str]:
    target = _wired(ground)
    yield f"{ground.wire.reset()} connections of {target}"


@contextlib.contextmanager
def slow(ground: Ground, _: Random) -> Iterator[str]:
    target = _wired(ground)
    with ground.wire.slowed(SLOW_S):
        yield f"{target}, {SLOW_S * 1_000:.0f} ms each way"


@contextlib.contextmanager
def end_delayed(ground: Ground, _: Random) -> Iterator[str]:
    """Every end of a transaction is held back until its coordinator has given the transaction up."""
    with ground.wire.holding(END_TRANSACTION) as held:
        if not wait_for(lambda: held.seen > 0, HELD_S):
            raise Unmet(f"{ground.wired} ended no transaction within {HELD_S:.0f} s")
        yield ground.wired


@contextlib.contextmanager
def end_behind_its_repetition(ground: Ground, _: Random) -> Iterator[str]:
    """One end is held back; the worker asks again, goes on with its next transaction, and the first comes then."""
    pid = ground.workers.pid(ground.wired)
    with ground.wire.holding(END_TRANSACTION, most=1) as held:
        if not wait_for(lambda: held.seen > 0, HELD_S):
            raise Unmet(f"{ground.wired} ended no transaction within {HELD_S:.0f} s")
        wait_for(lambda: held.passed > 0 or ground.workers.pid(ground.wired) != pid, AGAIN_S)
        yield f"{ground.wired}, which {'asked again' if held.passed else 'did not ask again'}"


RETURNS: Final = "It goes on, or leaves and starts again; what comes late changes nothing"
FENCED: Final = "The coordinator aborts the transaction; its end comes late and changes nothing"

FAULTS: Final = (
    Fault("F13", "end-delayed", FENCED, end_delayed, (12, 25), recovers_s=90, weight=2, alone=True),
    Fault(
        "F13", "end-behind-its-repetition", FENCED, end_behind_its_repetition, (0, 0.5), alone=True, weight=2
    ),
    Fault("F14", "network-cut", RETURNS, cut(BOTH, "both ways"), (3, 8), weight=2),
    Fault("F14", "network-cut-long", RETURNS, cut(BOTH, "both ways"), (14, 20), recovers_s=90),
    Fault(
        "F14",
        "requests-cut",
        RETURNS,
        cut(frozenset({Way.TO_BROKER}), "its requests"),
        (8, 16),
        recovers_s=90,
    ),
    Fault(
        "F14", "answers-cut", RETURNS, cut(frozenset({Way.TO_WORKER}), "its answers"), (8, 16), recovers_s=90
    ),
    Fault("F14", "connections-reset", RETURNS, reset, (0, 1), weight=2),
    Fault("F14", "connections-refused", RETURNS, refused, (3, 10), weight=2),
    Fault("F20", "slow-network", "Lag grows and goes back; nothing else", slow, (5, 10), weight=2),
)
