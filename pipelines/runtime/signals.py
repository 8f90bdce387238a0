"""SIGTERM and Ctrl-C as something to ask for, where work is to be ended in good order."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from signal import Signals, set_wakeup_fd
from socket import socket, socketpair
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

import structlog

ASKS_TO_LEAVE: Final = (signal.SIGINT, signal.SIGTERM)
log = structlog.get_logger()


@contextmanager
def given_back() -> Iterator[None]:
    """Whoever handles the two signals meanwhile: their handlers of before do so afterwards."""
    before = {number: signal.getsignal(number) for number in ASKS_TO_LEAVE}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def handled_by(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """Both signals go to `handler` meanwhile. Of the main thread only."""
    with given_back():
        for number in ASKS_TO_LEAVE:
            signal.signal(number, handler)
        yield


@contextmanager
def told_by_signals() -> Iterator[Event]:
    """Set by either signal; the handlers of before are given back."""
    told = Event()
    with handled_by(lambda *_: told.set()):
        yield told


@contextmanager
def leaving_within(seconds: float, exit_code: int) -> Iterator[None]:
    """End this process with `exit_code` when it is still in here so long after SIGTERM or Ctrl-C.

    A handler runs between two steps of the main thread, and so never while that waits in the client's C code, for a
    transaction's coordinator for instance. The byte that the interpreter writes at once for each signal with a handler
    is read by a thread beside it. What ends like this has committed nothing by halves: it is as good as killed.

    Until somebody else handles SIGTERM it ends the process at once: the first of a container would not hear it, for
    the kernel knows no default there.
    """
    default = signal.signal(signal.SIGTERM, _leave)
    hears, tells = socketpair()
    tells.setblocking(False)
    before = set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    Thread(target=_end_late, args=(hears, seconds, exit_code), daemon=True).start()
    try:
        yield
    finally:
        set_wakeup_fd(before)
        tells.close()
        signal.signal(signal.SIGTERM, default)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _end_late(hears: socket, seconds: float, exit_code: int) -> None:
    """Wait for a signal; then until the other end is closed, and no longer than so many seconds."""
    with hears:
        heard = hears.recv(1)
        while heard and heard[0] not in ASKS_TO_LEAVE:
            heard = hears.recv(1)
        if not heard:
            return
        deadline = monotonic() + seconds
        while (left := deadline - monotonic()) > 0:
            hears.settimeout(left)
            with suppress(TimeoutError):
                if not hears.recv(1):
                    return
    name = Signals(heard[0]).name
    leave("still busy, leaving", exit_code, signal=name, after_s=seconds)


def leave(why: str, exit_code: int, **told: Any) -> None:
    """End the process at once, whatever any of its threads waits for."""
    log.error(why, **told, exit_code=exit_code)
    sys.stderr.flush()
    os._exit(exit_code)
