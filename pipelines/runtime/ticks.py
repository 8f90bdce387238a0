"""Ticks: one a partition of the clock's topic, at an instant."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable

from confluent_kafka import Producer

from pipelines.domain.facts import Tick
from pipelines.failure import Failure
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import Codec

KEY = b"tick"


def tick_producer(bootstrap: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5})


def produce_ticks(
    producer: Producer, codec: Codec, instants: Iterable[int], partitions: int, prefix: str = ""
) -> int:
    """Send a tick to every partition at each instant (ms); how many were sent."""
    topic = prefixed(prefix, catalogue.CLOCK)
    sent = 0
    for at_ms in instants:
        value = codec.encode(Tick(at_ms))
        for partition in range(partitions):
            producer.produce(topic, value=value, key=KEY, partition=partition, timestamp=at_ms)
            sent += 1
        producer.poll(0)
    if producer.flush(30):
        raise Failure("ticks could not be delivered in 30 s", "check that Kafka answers: `loyalty status`")
    return sent


def run_clock(bootstrap: str, codec: Codec, partitions: int, every_s: float, prefix: str = "") -> None:
    """Tick until a signal says stop. The only place where the wall clock enters the pipeline."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    producer = tick_producer(bootstrap)
    while not told.is_set():
        produce_ticks(producer, codec, [time.time_ns() // 1_000_000], partitions, prefix)
        told.wait(every_s)
