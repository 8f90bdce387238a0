"""A worker that ends by SIGKILL at a named point of its commit, at the nth passage.

    python -m pipelines.torture.kill_points K5 3 run accounts --replica w0 ...

The points lie in the engine's `Checkpoint.commit`, in this order:

    records processed    K1  sinks flushed    K2  changelog produced    K3  all delivered    K4
    offsets sent    K4-OFFSETS  committed    K5  one partition's state written    K5-PARTITION  all    K6

Up to K4-OFFSETS nothing may be seen of the transaction; from K5 on all of it must be, though the state is behind. The
product has no switch for this: the engine's functions are wrapped here, in the process that is to die, and the
command line behind the point and the number is then run as it is. The last words, on stderr, say where it died and
the offsets that the checkpoint had processed, so that a reader can hold them against what the group committed.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, NoReturn

from quixstreams.checkpointing import Checkpoint
from quixstreams.internal_producer import InternalProducer
from quixstreams.state.base.transaction import PartitionTransaction

from pipelines.failure import Failure

LAUNCHER: Final = "pipelines.torture.kill_points"
COMMAND: Final = "pipelines.cli.main"
LAST_WORDS: Final = "killed at "


class KillPoint(StrEnum):
    """Where in a commit a worker ends; in the order in which a commit passes them."""

    PROCESSED = "K1"
    SINKS_FLUSHED = "K2"
    CHANGELOG_PRODUCED = "K3"
    DELIVERED = "K4"
    OFFSETS_SENT = "K4-OFFSETS"
    COMMITTED = "K5"
    BETWEEN_PARTITIONS = "K5-PARTITION"
    STATE_WRITTEN = "K6"

    @property
    def visible(self) -> bool:
        """Whether the Kafka transaction has been committed by then."""
        return self in (KillPoint.COMMITTED, KillPoint.BETWEEN_PARTITIONS, KillPoint.STATE_WRITTEN)


class Doom:
    """Counts the commits that pass the point, and ends the process in the nth of them.

    Each commit passes a point once, whatever is called how often in it. BETWEEN_PARTITIONS is passed only by commits
    that write more than one partition.
    """

    def __init__(self, point: KillPoint, passage: int) -> None:
        self._point, self._left = point, passage
        self._commit: Any = None
        self._passed: set[KillPoint] = set()

    def enter(self, commit: Any) -> None:
        """A commit of this checkpoint begins."""
        self._commit = commit
        self._passed.clear()

    def leave(self) -> None:
        self._commit = None

    def reached(self, point: KillPoint) -> None:
        """The commit under way is at this point; outside a commit nothing is."""
        if self._commit is None or point is not self._point or point in self._passed:
            return
        if point is KillPoint.BETWEEN_PARTITIONS and len(self._commit._store_transactions) < 2:
            return
        self._passed.add(point)
        self._left -= 1
        if not self._left:
            self._end()

    def _end(self) -> NoReturn:
        offsets = {f"{t}/{p}": offset for (t, p), offset in self._commit._tp_offsets.items()}
        os.write(2, f"\n{LAST_WORDS}{self._point} {json.dumps(offsets)}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL has been survived")


def arm(doom: Doom) -> None:
    """Wrap the engine's functions of this process."""
    _wrap(PartitionTransaction, "prepare", doom, before=KillPoint.SINKS_FLUSHED)
    _wrap(InternalProducer, "flush", doom, before=KillPoint.CHANGELOG_PRODUCED)
    _wrap(InternalProducer, "commit_transaction", doom, before=KillPoint.DELIVERED, after=KillPoint.COMMITTED)
    _wrap(PartitionTransaction, "flush", doom, after=KillPoint.BETWEEN_PARTITIONS)
    InternalProducer._retry_transaction_op = _before_the_end(  # type: ignore[method-assign]
        InternalProducer._retry_transaction_op, doom
    )
    Checkpoint.commit = _whole(Checkpoint.commit, doom)  # type: ignore[method-assign]


def _whole(commit: Callable[..., Any], doom: Doom) -> Callable[..., Any]:
    @functools.wraps(commit)
    def committing(self: Any, *given: Any, **more: Any) -> Any:
        doom.enter(self)
        doom.reached(KillPoint.PROCESSED)
        try:
            done = commit(self, *given, **more)
            doom.reached(KillPoint.STATE_WRITTEN)
        finally:
            doom.leave()
        return done

    return committing


def _before_the_end(operate: Callable[..., Any], doom: Doom) -> Callable[..., Any]:
    """The offsets are sent, and the end of the transaction comes next."""

    @functools.wraps(operate)
    def operating(self: Any, *given: Any, op_name: str, **more: Any) -> Any:
        if op_name == "commit_transaction":
            doom.reached(KillPoint.OFFSETS_SENT)
        return operate(self, *given, op_name=op_name, **more)

    return operating


def _wrap(
    owner: type, name: str, doom: Doom, before: KillPoint | None = None, after: KillPoint | None = None
) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*given: Any, **more: Any) -> Any:
        if before is not None:
            doom.reached(before)
        done = function(*given, **more)
        if after is not None:
            doom.reached(after)
        return done

    setattr(owner, name, wrapped)


def doomed(arguments: list[str]) -> tuple[Doom, list[str]]:
    """What `POINT PASSAGE COMMAND...` says."""
    points = [str(point) for point in KillPoint]
    if (
        len(arguments) < 3
        or arguments[0] not in points
        or not arguments[1].isdecimal()
        or arguments[1] == "0"
    ):
        raise Failure(
            f"not a kill point, a passage from 1 on and a command: {' '.join(arguments)}",
            f"give one of {', '.join(points)}, a number, and what `loyalty` is to run",
        )
    return Doom(KillPoint(arguments[0]), int(arguments[1])), arguments[2:]


def main() -> None:
    try:
        doom, command = doomed(sys.argv[1:])
    except Failure as failure:
        sys.exit(str(failure))
    arm(doom)
    sys.argv[1:] = command
    runpy.run_module(COMMAND, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
