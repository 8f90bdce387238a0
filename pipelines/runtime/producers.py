"""How facts are produced: in order, once, each to the partition that Kafka's own clients would choose."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from pipelines.connection import kafka_client
from pipelines.failure import Failure

FLUSH_S: Final = 60


def fact_producer(bootstrap: str) -> Producer:
    """A producer whose topics hold what it was given, in the order given.

    Without idempotence a batch that is sent again, while a new topic's leader settles, lands behind its successor:
    1,982 facts into fresh topics of a busy, just started broker came out of order in 4 of 18 runs, and never with it.
    """
    return Producer(
        {
            **kafka_client(bootstrap),
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 50,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
            "log_level": 2,
        }
    )


def produce(producer: Producer, topic: str, value: bytes | None, **place: Any) -> None:
    """Hand a record over, waiting while the queue is full; `place` is key, timestamp (ms), maybe partition, headers."""
    while True:
        try:
            producer.produce(topic, value=value, **place)
            return
        except BufferError:
            producer.poll(0.1)


class Sender:
    """Sends records in the order given. One that the broker refuses, or that cannot be delivered, is a Failure."""

    def __init__(self, bootstrap: str, what: str) -> None:
        self._producer = fact_producer(bootstrap)
        self._what = what
        self._refused: KafkaError | None = None

    def send(self, topic: str, value: bytes | None, **place: Any) -> None:
        """Hand a record over, as `produce` does."""
        produce(self._producer, topic, value, on_delivery=self._delivered, **place)
        self._producer.poll(0)
        if self._refused is not None:
            self.flush()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error

    def flush(self) -> None:
        """Wait until all is delivered."""
        left = self._producer.flush(FLUSH_S)
        if self._refused is not None or left:
            why = f"{left} records waited for {FLUSH_S} s" if self._refused is None else self._refused.str()
            what = f"{self._what} could not be delivered: {why}"
            raise Failure(what, "check `loyalty status`; sending them again is harmless")
