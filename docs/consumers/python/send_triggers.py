"""Sends each trigger of `loyalty.triggers.v1` to a gateway of messages: once, in time, and not when it was withdrawn.

At least once from Kafka, once in effect: a trigger is sent, then noted, and only then its offset is committed. Whoever
dies between sending and noting sends again, under the same `Idempotency-Key`, by which the gateway knows it.

Withdrawals come on another topic, with the same keys and as many partitions, so that one worker has both of a member.
A partition's triggers wait until its withdrawals are read to their end: who comes back after an hour reads first what
was taken back in it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from types import FrameType
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

BATCH: Final = 100
POLL_S: Final = 0.5
ANSWER_WITHIN_S: Final = 10.0
PAUSE_MAX_S: Final = 10.0
AWAY_MAX_S: Final = 120.0
"""Less than the group waits for a worker that does not poll (`max.poll.interval.ms`, five minutes)."""
EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")

log = logging.getLogger("send-triggers")


class Missing(KeyError):
    """A setting that is not there."""


class Settings(dict[str, str]):
    """The environment."""

    def __missing__(self, name: str) -> str:
        raise Missing(name)


class Seen:
    """What became of each trigger until it expires; after that nobody sends it, and it need not be remembered.

    A file of this worker. Several workers share a table of their database instead.
    """

    def __init__(self, file: str) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("CREATE TABLE IF NOT EXISTS seen (trigger_id PRIMARY KEY, what, expires_at_ms)")
        self._db.execute("DELETE FROM seen WHERE expires_at_ms <= ?", [now_ms()])

    def what(self, trigger_id: str) -> str | None:
        found = self._db.execute("SELECT what FROM seen WHERE trigger_id = ?", [trigger_id]).fetchone()
        return found and str(found[0])

    def note(self, trigger_id: str, what: str, expires_at_ms: int) -> None:
        """Durable when it returns."""
        self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", [trigger_id, what, expires_at_ms])


class Gateway:
    """Whoever sends messages, by HTTP. It knows a repetition by its key."""

    def __init__(self, url: str, stopping: threading.Event) -> None:
        self._url, self._stopping = url, stopping

    def send(self, trigger: dict[str, Any]) -> bool:
        """Send, and again until it is taken. False when it expired, or this worker is to end, before that."""
        pause_s, give_up_s = 0.2, time.monotonic() + AWAY_MAX_S
        while not self._stopping.is_set() and ms(trigger["expires_at"]) > now_ms():
            try:
                self._post(trigger)
                return True
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                    raise SystemExit(f"the gateway refuses {trigger['trigger_id']}: {error}") from error
                log.warning("the gateway did not take %s: %s", trigger["trigger_id"], error)
            if time.monotonic() > give_up_s:
                raise SystemExit("the gateway is away; nothing is lost: start again when it is back")
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        return False

    def _post(self, trigger: dict[str, Any]) -> None:
        figures = {f["name"]: f["text"] if f["whole"] is None else f["whole"] for f in trigger["figures"]}
        told = {name: trigger[name] for name in ("member_id", "kind", "channel", "variant")}
        head = {"Content-Type": "application/json", "Idempotency-Key": trigger["trigger_id"]}
        body = json.dumps(told | {"figures": figures}).encode()
        with urllib.request.urlopen(urllib.request.Request(self._url, body, head), timeout=ANSWER_WITHIN_S):
            pass


class Sender:
    """One worker of the group."""

    def __init__(self, environment: Settings, stopping: threading.Event) -> None:
        self.triggers = environment.get("TRIGGERS_TOPIC", "loyalty.triggers.v1")
        self.withdrawals = environment.get("SUPPRESSED_TRIGGERS_TOPIC", "loyalty.suppressed-triggers.v1")
        self._stopping = stopping
        self._seen = Seen(environment["SEEN_FILE"])
        self._gateway = Gateway(environment["GATEWAY_URL"], stopping)
        registry = {"url": environment["SCHEMA_REGISTRY_URL"]}
        if "SCHEMA_REGISTRY_CA_FILE" in environment:
            registry["ssl.ca.location"] = environment["SCHEMA_REGISTRY_CA_FILE"]
        self._avro = AvroDeserializer(SchemaRegistryClient(registry))
        self._consumer = Consumer(
            {
                "bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"],
                "group.id": environment.get("GROUP_ID", "send-triggers"),
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 10_000,  # how long partitions of a worker that died wait for another
                "partition.assignment.strategy": "range",  # one worker gets partition 3 of both topics
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                **_as(environment),
            }
        )

    def run(self) -> None:
        """Until SIGTERM or SIGINT; what was sent is committed, and the group knows that this worker has left."""
        self._consumer.subscribe([self.triggers, self.withdrawals], on_assign=self._withdrawals_first)
        try:
            while not self._stopping.is_set():
                self._batch(self._consumer.consume(BATCH, POLL_S))
        finally:
            self._consumer.close()
            log.info("ended")

    def _withdrawals_first(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        consumer.pause([one for one in partitions if one.topic == self.triggers])

    def _batch(self, messages: list[Message]) -> None:
        """Withdrawals, then triggers. What is done is committed, also when this worker is to end in the middle."""
        done = False
        try:
            for message in sorted(messages, key=lambda one: one.topic() == self.triggers):
                if message.error() is not None:
                    self._not_a_record(message)
                elif self._stopping.is_set() or not self._handle(message):
                    break
                else:
                    self._consumer.store_offsets(message)
                    done = True
        finally:
            if done:
                self._consumer.commit(asynchronous=False)

    def _not_a_record(self, message: Message) -> None:
        """The end of a partition, for now; or an error, which ends the worker."""
        error = message.error()
        if error.code() != KafkaError._PARTITION_EOF:
            raise SystemExit(f"Kafka: {error.str()}")
        if message.topic() == self.withdrawals:
            self._consumer.resume([TopicPartition(self.triggers, message.partition())])

    def _handle(self, message: Message) -> bool:
        """False when it is not done, and must come again."""
        trigger = self._read(message)
        trigger_id, expires_at_ms = trigger["trigger_id"], ms(trigger["expires_at"])
        if message.topic() == self.withdrawals:
            if trigger["reason"] == "WITHDRAWN" and self._seen.what(trigger_id) is None:
                self._seen.note(trigger_id, "WITHDRAWN", expires_at_ms)
            return True
        if (what := self._seen.what(trigger_id)) is not None:
            log.info("%s is not sent: %s", trigger_id, what)
        elif self._gateway.send(trigger):
            self._seen.note(trigger_id, "SENT", expires_at_ms)
            log.info("%s is sent", trigger_id)
        elif expires_at_ms > now_ms():
            return False
        else:
            log.info("%s is not sent: EXPIRED", trigger_id)
        return True

    def _read(self, message: Message) -> dict[str, Any]:
        """The record. What cannot be read ends the worker: to pass it over would lose it."""
        topic = message.topic()
        try:
            found: Any = self._avro(message.value(), SerializationContext(topic, MessageField.VALUE))
        except Exception as error:
            place = f"{topic}/{message.partition()}/{message.offset()}"
            raise SystemExit(f"{place} cannot be read: {error}") from error
        return dict(found)


def _as(environment: Settings) -> dict[str, str]:
    """Who this worker is to Kafka; nobody, in the clear, on one's own machine."""
    if "KAFKA_USERNAME" not in environment:
        return {}
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": environment["KAFKA_USERNAME"],
        "sasl.password": environment["KAFKA_PASSWORD"],
        "ssl.ca.location": environment["KAFKA_CA_FILE"],
    }


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        Sender(Settings(os.environ), stopping).run()
    except Missing as missing:
        raise SystemExit(f"{missing.args[0]} is not set") from None
    except KafkaException as error:
        raise SystemExit(f"Kafka: {error.args[0].str()}; nothing is lost: start again") from error


if __name__ == "__main__":
    main()
