"""Facts into Kafka: checked at the border first, keyed by member, timed by when they were recorded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipelines.domain.facts import Tick
from pipelines.failure import Failure
from pipelines.feeds.arrivals import Arrival
from pipelines.runtime.producers import Sender
from pipelines.runtime.ticks import send_tick
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.border import check_fact
from schemas.codec import Codec, InvalidFact, topic_of


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
    sender = Sender(bootstrap, "facts")
    fed = Fed()
    started = time.monotonic()
    try:
        for arrival in checked(arrivals):
            fed.topics += _send(sender, arrival, codec, partitions, prefix)
            on_sent(1)
    finally:
        sender.flush()
        fed.seconds = time.monotonic() - started
    return fed


def _send(sender: Sender, arrival: Arrival, codec: Codec, partitions: int, prefix: str) -> Counter[str]:
    fact = arrival.fact
    topic = topic_of(fact)
    if isinstance(fact, Tick):
        send_tick(sender, codec, fact.at_ms, partitions, prefix)
        return Counter({topic: partitions})
    key, at_ms = fact.member_id, fact.recorded_at_ms
    sender.send(prefixed(prefix, topic), codec.encode(fact), key=key, timestamp=at_ms)
    return Counter({topic: 1})
