"""A worker that is hindered from inside: one record that takes too long, a disk that is slow, or a restore that stops.

    python -m pipelines.torture.hindered BLOCKED 12 run accounts --replica w0 ...
    python -m pipelines.torture.hindered SLOW-DISK 0.5 run accounts --replica w0 ...

As in `kill_points`, the product has no switch for this: the engine's functions are wrapped here, and the command line
behind the two words is run as it is.
"""

from __future__ import annotations

import functools
import os
import runpy
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from itertools import count
from types import ModuleType
from typing import Any, Final

from quixstreams.checkpointing import Checkpoint
from quixstreams.state.base.transaction import PartitionTransaction

from pipelines.failure import Failure
from pipelines.runtime import restoring
from pipelines.torture.kill_points import COMMAND

LAUNCHER: Final = "pipelines.torture.hindered"
BLOCKED_AT: Final = 100
"""The record whose handling blocks: late enough for a transaction to be open, early enough to come soon."""
SAID: Final = "blocked for "


class Hindrance(StrEnum):
    """BLOCKED: one record, once, behind its processing and before its commit. SLOW_DISK: each write of one partition's
    state to the database. RESTORE: the first records of a restore, once, before they are written."""

    BLOCKED = "BLOCKED"
    SLOW_DISK = "SLOW-DISK"
    RESTORE = "RESTORE"


def arm(hindrance: Hindrance, seconds: float) -> None:
    """Wrap the engine's function of this process."""
    if hindrance is Hindrance.BLOCKED:
        _wrap(Checkpoint, "store_offset", _nth(BLOCKED_AT, functools.partial(_block, seconds)))
    elif hindrance is Hindrance.RESTORE:
        _wrap(restoring, "write", _nth(1, functools.partial(_block, seconds)))
    else:
        _wrap(PartitionTransaction, "flush", functools.partial(time.sleep, seconds))


def _block(seconds: float) -> None:
    os.write(2, f"\n{SAID}{seconds:g} s\n".encode())
    time.sleep(seconds)


def _nth(wanted: int, do: Callable[[], None]) -> Callable[[], None]:
    calls = count(1)

    def doing() -> None:
        if next(calls) == wanted:
            do()

    return doing


def _wrap(owner: type | ModuleType, name: str, before: Callable[[], None]) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*given: Any, **more: Any) -> Any:
        before()
        return function(*given, **more)

    setattr(owner, name, wrapped)


def hindered(arguments: list[str]) -> tuple[Hindrance, float, list[str]]:
    """What `HINDRANCE SECONDS COMMAND...` says."""
    try:
        name, seconds, *command = arguments
        found, length = Hindrance(name), float(seconds)
        if not command or not 0 < length < float("inf"):
            raise ValueError
    except ValueError:
        raise Failure(
            f"not a hindrance, seconds and a command: {' '.join(arguments)}",
            f"give one of {', '.join(Hindrance)}, how long, and what `loyalty` is to run",
        ) from None
    return found, length, command


def main() -> None:
    try:
        hindrance, seconds, command = hindered(sys.argv[1:])
    except Failure as failure:
        sys.exit(str(failure))
    arm(hindrance, seconds)
    sys.argv[1:] = command
    runpy.run_module(COMMAND, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
