"""The floor: consume, decode, encode, produce, exactly once; no rules and no state. No engine in Python does less."""

from __future__ import annotations

import sys
import time

from confluent_kafka import Consumer, Producer

from pipelines.runtime.signals import told_by_signals
from schemas import catalogue
from schemas.registry import connect

bootstrap, registry, prefix, commit_ms, _, *topics = sys.argv[1:]
codec = connect(registry)
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": f"{prefix}floor",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "log_level": 2,
    }
)
producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "transactional.id": f"{prefix}floor",
        "compression.type": "lz4",
        "linger.ms": 50,
        "log_level": 2,
    }
)
producer.init_transactions(30)
consumer.subscribe([prefix + topic for topic in topics])
with told_by_signals() as told:
    while not told.is_set():
        producer.begin_transaction()
        ends = time.monotonic() + int(commit_ms) / 1000
        while time.monotonic() < ends:
            for message in consumer.consume(500, 0.02):
                if message.error():
                    raise RuntimeError(message.error())
                fact = codec.decode(message.topic().removeprefix(prefix), message.value())
                producer.produce(prefix + catalogue.LEDGER, codec.encode(fact), message.key())
            producer.poll(0)
        at = consumer.position(consumer.assignment())
        known = [place for place in at if place.offset >= 0]
        if known:
            producer.send_offsets_to_transaction(known, consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
consumer.close()
