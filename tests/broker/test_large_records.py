"""What a broker takes as a fact, a worker can write on: no size of a lawful input stops it."""

from __future__ import annotations

from random import Random

import pytest
from confluent_kafka import Producer

from schemas import catalogue
from schemas.border import LINES_MAX
from tests.support.facts import line, member, order
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.broker
BROKER_TAKES = 1_048_588
"""Bytes of a batch that a topic takes unless told otherwise; around a record of this key are about 80 of them."""


def test_the_largest_record_that_a_broker_takes_becomes_a_dead_letter(pipeline: Pipeline) -> None:
    value = Random(1).randbytes(BROKER_TAKES - 100)
    producer = Producer(
        {"bootstrap.servers": pipeline.cluster.bootstrap_servers, "message.max.bytes": 2 * BROKER_TAKES}
    )
    producer.produce(pipeline.topic(catalogue.ORDERS), value, key=b"m-1", partition=0)
    assert producer.flush(30) == 0

    pipeline.run()

    (letter,) = pipeline.read(catalogue.DEAD_LETTERS)
    assert letter["value"] == value


def test_an_order_of_as_many_lines_as_may_be_earns(pipeline: Pipeline) -> None:
    rnd = Random(1)
    lines = [line(rnd.randbytes(20).hex(), 1_00) for _ in range(LINES_MAX)]
    pipeline.send([member("2026-01-01T00:00:00Z")])
    one = order("O1", "2026-02-01T10:00:00Z", *lines)
    value = pipeline.codec.encode(one)
    producer = Producer(
        {
            "bootstrap.servers": pipeline.cluster.bootstrap_servers,
            "message.max.bytes": 2 * BROKER_TAKES,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
        }
    )
    producer.produce(pipeline.topic(catalogue.ORDERS), value, key=b"m-1", timestamp=one.recorded_at_ms)
    assert producer.flush(30) == 0

    pipeline.run()

    earned = [e for e in pipeline.read(catalogue.LEDGER) if e["lot_id"] == "order:O1"]
    assert sum(entry["points"] for entry in earned) == LINES_MAX
