"""Ticks: one a partition of the clock's topic, at an instant."""

from __future__ import annotations

import time

from pipelines.domain.facts import Tick
from pipelines.runtime.producers import Sender
from pipelines.runtime.signals import told_by_signals
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import Codec

KEY = b"tick"


def send_tick(sender: Sender, codec: Codec, at_ms: int, partitions: int, prefix: str = "") -> None:
    """Send a tick of this instant to every partition."""
    value = codec.encode(Tick(at_ms))
    for partition in range(partitions):
        sender.send(prefixed(prefix, catalogue.CLOCK), value, key=KEY, partition=partition, timestamp=at_ms)


def run_clock(bootstrap: str, codec: Codec, partitions: int, every_s: float, prefix: str = "") -> None:
    """Tick until a signal says stop. The only place where the wall clock enters the pipeline."""
    with told_by_signals() as told:
        sender = Sender(bootstrap, "ticks")
        while not told.is_set():
            send_tick(sender, codec, time.time_ns() // 1_000_000, partitions, prefix)
            sender.flush()
            told.wait(every_s)
