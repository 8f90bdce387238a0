"""Ctrl-C ends the judging of a torture run in the middle of whatever it does."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from pipelines.torture.run import Interrupted, interrupted_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_what_does_not_look_at_it(number: signal.Signals) -> None:
    told = threading.Event()

    with pytest.raises(Interrupted):
        _wait_told_by(number, told)

    assert told.is_set()


def test_a_second_signal_does_not_disturb_the_clean_up() -> None:
    cleaned: list[str] = []

    with pytest.raises(Interrupted):
        _clean_up_told_again(cleaned)

    assert cleaned == ["all"]


def test_who_was_told_before_it_began_does_not_judge() -> None:
    told = threading.Event()
    told.set()

    with pytest.raises(Interrupted), interrupted_by_signals(told):
        raise AssertionError("it judged")


def _wait_told_by(number: signal.Signals, told: threading.Event) -> None:
    with interrupted_by_signals(told):
        os.kill(os.getpid(), number)
        time.sleep(30)


def _clean_up_told_again(cleaned: list[str]) -> None:
    with interrupted_by_signals(threading.Event()):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned.append("all")
