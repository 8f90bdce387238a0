"""SIGTERM and Ctrl-C as something to ask for, where work is to be ended in good order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event


@contextmanager
def told_by_signals() -> Iterator[Event]:
    """Set by either signal; the handlers of before are given back."""
    told = Event()
    before = {n: signal.signal(n, lambda *_: told.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
