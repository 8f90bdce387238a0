"""Facts into Kafka: checked at the border first, keyed by member, timed by when they were recorded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from pipelines.domain.facts import Tick
from pipelines.failure import Failure
from pipelines.feeds.arrivals import Arrival
from pipelines.runtime.producers import fact_producer
from pipelines.runtime.ticks import KEY
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.border import check_fact
from schemas.codec import Codec, InvalidFact, topic_of

FLUSH_S: Final = 60


@dataclass(slots=True)
class Fed:
    """What was sent, by topic."""

    topics: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def facts(self) -> int:
        return sum(count for topic, count in self.topics.items() if topic != catalogue.CLOCK)


def checked(arrivals: Iterable[Arrival]) -> Iterable[Arrival]:
    """The arrivals; a Failure at the first that the border would refuse."""
    for arrival in arrivals:
        fact = arrival.fact
        if not isinstance(fact, Tick):
            try:
                check_fact(fact, fact.member_id.encode(), fact.recorded_at_ms)
            except InvalidFact as invalid:
                raise Failure(f"{fact.event_id} would be refused: {invalid}", "correct the feed") from invalid
        yield arrival


def feed(
    arrivals: Iterable[Arrival],
    bootstrap: str,
    codec: Codec,
    partitions: int,
    prefix: str = "",
    on_sent: Callable[[int], None] = lambda sent: None,
) -> Fed:
    """Send them in this order. Sending the same facts again is harmless: they are duplicates.

    What was handed over is delivered even when interrupted; a fact that cannot be delivered is a Failure.
    """
    producer = fact_producer(bootstrap)
    fed = Fed()
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    started = time.monotonic()
    try:
        for arrival in checked(arrivals):
            _send(producer, arrival, codec, partitions, prefix, delivered, fed)
            if failed:
                break
            on_sent(1)
    finally:
        left = producer.flush(FLUSH_S)
        fed.seconds = time.monotonic() - started
    if failed or left:
        why = failed[0].str() if failed else f"{left} records waited for {FLUSH_S} s"
        raise Failure(
            f"facts could not be delivered: {why}", "check `loyalty status`; feeding again is harmless"
        )
    return fed


def _send(
    producer: Producer,
    arrival: Arrival,
    codec: Codec,
    partitions: int,
    prefix: str,
    delivered: Callable[[KafkaError | None, Message], None],
    fed: Fed,
) -> None:
    fact = arrival.fact
    topic = topic_of(fact)
    value = codec.encode(fact)
    places = (
        [{"key": KEY, "partition": p, "timestamp": fact.at_ms} for p in range(partitions)]
        if isinstance(fact, Tick)
        else [{"key": fact.member_id, "timestamp": fact.recorded_at_ms}]
    )
    for place in places:
        while True:
            try:
                producer.produce(prefixed(prefix, topic), value=value, on_delivery=delivered, **place)
                break
            except BufferError:
                producer.poll(0.1)
    producer.poll(0)
    fed.topics[topic] += len(places)
