"""Sends dead letters' records to where they stood, once more and only once.

Record and note go out in one transaction: the record to its own topic and partition, with its key, value, headers
and timestamp; the note, which names the place of the dead letter, to `loyalty.redrives.v1`. All redrives of a
pipeline share one transactional id. Whoever begins ends what another left open, fences the other for good, and only
then reads the notes: so what was redriven is known, and nobody else can redrive any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaException, Producer

from pipelines.audit.reading import Topics
from pipelines.connection import kafka_client
from pipelines.dead_letters.letters import DeadLetters
from pipelines.failure import Failure
from pipelines.grants import REDRIVER
from pipelines.runtime.producers import produce
from pipelines.topics import ACCOUNT_BYTES_MAX, prefixed
from schemas import catalogue
from schemas.codec import Codec, DeadLetter, Redrive

HEADER: Final = "loyalty-redriven-from"
"""Added behind the record's own headers; its value is the place of the dead letter."""
TOGETHER: Final = 500
TIMEOUT_S: Final = 30.0


def redrive(
    bootstrap: str,
    codec: Codec,
    prefix: str,
    letters: Sequence[DeadLetter],
    at_ms: int,
    on_done: Callable[[int], None] = lambda done: None,
) -> int:
    """Redrive those that were not redriven before, in the order given; how many.

    A Failure leaves each either redriven and noted, or neither: run it again.
    """
    try:
        producer = _producer(bootstrap, prefix)
        done = DeadLetters(Topics(bootstrap), codec, prefix).redrives()
        left = [letter for letter in letters if letter.place not in done]
        for first in range(0, len(left), TOGETHER):
            batch = left[first : first + TOGETHER]
            with _transaction(producer):
                for letter in batch:
                    _send(producer, codec, prefix, letter, at_ms)
            on_done(len(batch))
        return len(left)
    except KafkaException as error:
        raise Failure(
            f"the redrive had to stop: {error.args[0].str()}",
            "run it again: what was redriven is noted, and stays out",
        ) from error


def _producer(bootstrap: str, prefix: str) -> Producer:
    producer = Producer(
        {
            **kafka_client(bootstrap),
            "transactional.id": prefixed(prefix, REDRIVER),
            "message.max.bytes": ACCOUNT_BYTES_MAX,
            "compression.type": "lz4",
            "log_level": 2,
        }
    )
    producer.init_transactions(TIMEOUT_S)
    return producer


@contextmanager
def _transaction(producer: Producer) -> Iterator[None]:
    producer.begin_transaction()
    try:
        yield
        producer.commit_transaction(TIMEOUT_S)
    except BaseException:
        producer.abort_transaction(TIMEOUT_S)
        raise


def _send(producer: Producer, codec: Codec, prefix: str, letter: DeadLetter, at_ms: int) -> None:
    produce(
        producer,
        letter.topic,
        letter.value,
        key=letter.key,
        partition=letter.partition,
        timestamp=letter.recorded_at_ms,
        headers=[*letter.headers, (HEADER, letter.place.encode())],
    )
    note = Redrive(
        letter.topic, letter.partition, letter.offset, letter.recorded_at_ms, letter.error_class, at_ms
    )
    topic = prefixed(prefix, catalogue.REDRIVES)
    produce(producer, topic, codec.encode(note), key=note.place.encode(), timestamp=at_ms)
