"""The time from a fact to its entry, at shares of the rate that an engine reached: both by the same clock.

From the call that hands a fact to the producer, until a reader of committed records has the first entry that it caused;
of facts that cause one, and of some members only, so that looking does not slow what is looked at. Each share begins
when nothing is left of the one before, and its first seconds do not count.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from subprocess import Popen
from typing import Final
from zlib import crc32

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.peers.engines import (
    Course,
    Engine,
    Record,
    committed,
    course,
    fill,
    started,
    wait_until_committed,
)
from benchmarks.peers.workload import Workload
from pipelines.connection import kafka_client
from pipelines.failure import Failure
from pipelines.local.endpoints import Endpoints
from pipelines.runtime.offsets import ends
from pipelines.runtime.producers import produce
from pipelines.runtime.topic_admin import connect as connect_admin
from pipelines.topics import PARTITIONS
from schemas import catalogue
from schemas.codec import Codec

SHARES: Final = (0.1, 0.5, 0.9)
SECONDS: Final = 12
SETTLING_S: Final = 3
DRAINING_S: Final = 60
"""For what an engine that does not keep up has left; facts that take longer are not among those timed."""
SHOWING_S: Final = 1
"""From a commit until its entries can be read, at most."""
SAMPLES_PER_S: Final = 400
SAMPLES_MIN: Final = 200
"""Of fewer no hundredth part can be told."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One engine at one share of its rate."""

    engine: str
    share: float
    offered_per_second: float
    p50_ms: float | None
    """None, as the next two, where the sender or the reader, which share the machine, could not keep up; or where the
    engine ended, having read a return long before its order."""
    p99_ms: float | None
    max_ms: float | None
    samples: int
    behind_s: float | None
    """Facts not yet committed when the last one was sent, in seconds of the rate; None of an engine that has ended."""
    load_average: float


def paced(work: Workload, top: float) -> Workload:
    """The work for all shares of that rate, and for what is done before.

    An order rests for longer than an engine may read one topic ahead of another: peers park no returns.
    """
    before = before_the_first(top)
    facts = before + sum(_facts_of(share, top) for share in SHARES)
    return replace(work, facts=facts, resting=before // 8)


def before_the_first(top: float) -> int:
    """Facts done when the first one is timed, beside all members' enrolments: two seconds' work, and no few."""
    return max(4_000, int(2 * top))


def _facts_of(share: float, top: float) -> int:
    return int(share * top * SECONDS)


def latencies(
    engine: Engine, top: float, records: Sequence[Record], found: Endpoints, codec: Codec
) -> Iterator[Latency]:
    """The latencies of one process, share by share; the records are those of `paced`."""
    at = len(records) - sum(_facts_of(share, top) for share in SHARES)
    with course(engine, found) as run:
        fill(engine, run, records[:at])
        with started(engine, run) as process:
            for share in SHARES:
                wait_until_committed(engine, run, process, at)
                some = records[at : at + _facts_of(share, top)]
                try:
                    yield _measured(engine, run, process, share, share * top, some, at, codec)
                except Failure:  # of the engine, which has ended: its log says why
                    yield Latency(
                        engine.name, share, round(share * top, 1), None, None, None, 0, None, _load()
                    )
                    return
                at += len(some)


def _measured(
    engine: Engine, run: Course, process: Popen[bytes], share: float, rate: float,
    records: Sequence[Record], before: int, codec: Codec,
) -> Latency:  # fmt: skip
    every = max(1, int(rate / SAMPLES_PER_S))
    names = {
        number: codec.body(record.topic, record.value)["event_id"]
        for number, record in enumerate(records)
        if _watched(record.key.encode(), every)
    }
    progress = committed(engine, run, process)
    seen: dict[str, int] = {}
    with ThreadPoolExecutor(1) as sender, _watch(engine, run) as reader:
        paced = sender.submit(_paced, engine, run, records, rate, names)
        drained = sender.submit(_behind, progress, before + len(records))
        while not drained.done():
            _look(reader, codec, every, seen)
        ends_at = time.monotonic() + SHOWING_S
        while time.monotonic() < ends_at:
            _look(reader, codec, every, seen)
    sent, settled_ns = paced.result()
    took = [(seen[name] - at) / 1e6 for name, at in sent.items() if name in seen and at > settled_ns]
    p50, p99, most = _percentiles(took)
    return Latency(
        engine.name, share, round(rate, 1), p50, p99, most, len(took), round(drained.result() / rate, 2),
        _load(),
    )  # fmt: skip


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _percentiles(took: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    if len(took) < SAMPLES_MIN:
        return None, None, None
    percentiles = statistics.quantiles(took, n=100)
    return round(percentiles[49], 1), round(percentiles[98], 1), round(max(took), 1)


def _watched(key: bytes, every: int) -> bool:
    """Whether the facts of this member are timed."""
    return crc32(key) % every == 0


def _paced(
    engine: Engine, run: Course, records: Sequence[Record], rate: float, names: Mapping[int, str]
) -> tuple[dict[str, int], int]:
    """Send them evenly at the rate: when each watched fact was sent first, and when settling ended."""
    producer = Producer(
        {
            **kafka_client(run.found.bootstrap_servers),
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "log_level": 2,
        }
    )
    topics = {topic: engine.reads_at(run.prefix, topic) for topic in {record.topic for record in records}}
    sent: dict[str, int] = {}
    begun_ns = time.monotonic_ns()
    for number, (topic, value, key, at_ms) in enumerate(records):
        ahead_s = number / rate - (time.monotonic_ns() - begun_ns) / 1e9
        if ahead_s > 0.001:
            producer.poll(0)
            time.sleep(ahead_s)
        if number in names:
            sent.setdefault(names[number], time.monotonic_ns())
        produce(producer, topics[topic], value, key=key, timestamp=at_ms)
    producer.flush(30)
    return sent, begun_ns + SETTLING_S * 10**9


def _behind(progress: Iterator[int], total: int) -> int:
    """How many facts are not committed when all are sent; afterwards most engines have committed them."""
    left = total - next(progress)
    ends_at = time.monotonic() + DRAINING_S
    while time.monotonic() < ends_at and next(progress) < total:
        pass
    return left


@contextmanager
def _watch(engine: Engine, run: Course) -> Iterator[Consumer]:
    """A reader of committed entries, from where they end now."""
    bootstrap = run.found.bootstrap_servers
    topic = engine.writes(run.prefix, catalogue.LEDGER)
    places = ends(connect_admin(bootstrap), [(topic, number) for number in range(PARTITIONS)])
    reader = Consumer(
        {
            **kafka_client(bootstrap),
            "group.id": f"{run.prefix}watch",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "log_level": 2,
        }
    )
    reader.assign([TopicPartition(*place, offset) for place, offset in places.items()])
    try:
        yield reader
    finally:
        reader.close()


def _look(reader: Consumer, codec: Codec, every: int, seen: dict[str, int]) -> None:
    """Note when the first entry of each watched fact came."""
    messages = reader.consume(1_000, 0.005)
    now_ns = time.monotonic_ns()
    for message in messages:
        if message.error():
            raise RuntimeError(message.error())
        if _watched(message.key(), every):
            for name in codec.body(catalogue.LEDGER, message.value())["caused_by"]:
                seen.setdefault(name, now_ns)
