"""A fault: what is done, to whom, and what must still be true.

A fault is struck as a context: entering injects it and tells the target, leaving heals it. It heals whatever happens
in between, so Ctrl-C in the middle of a fault leaves nothing stopped, paused or cut. What it demands besides recovery
(a twin that must be fenced, say) it checks itself, and raises `Unmet`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from pipelines.torture.ground import Ground

Strike = Callable[[Ground, Random], AbstractContextManager[str]]
"""Injects on entering and tells the target, for people; heals on leaving. All chance comes from the `Random`."""


class Unmet(Exception):
    """What the fault demanded did not happen; the text says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault; `number` is its row in docs/RELIABILITY.md, `lasts_s` from when to when it is healed."""

    number: str
    name: str
    required: str
    strike: Strike
    lasts_s: tuple[float, float] = (0.0, 1.0)
    recovers_s: float = 60.0
    """From the heal on: all that was sent before it must be committed by then."""
    weight: int = 1
    """How often it is drawn, against the others."""
    alone: bool = False
    """Never on top of another fault."""
    possible: Callable[[], bool] = lambda: True
    """Whether this machine lets it be struck."""


def wait_for(holds: Callable[[], bool], patience_s: float) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
