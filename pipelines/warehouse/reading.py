"""Reads the topics of a warehouse's tables, each partition from where the tables are, and decodes what stands there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final, NamedTuple, Protocol

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError

from pipelines.connection import kafka_client
from pipelines.failure import Failure
from pipelines.grants import WAREHOUSE_GROUP
from pipelines.runtime import offsets
from pipelines.runtime.offsets import Place
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.tables import MEMBER, OFFSET, PARTITION, REMOVED
from schemas import catalogue
from schemas.registry import client

FETCHED_MAX: Final = 5_000
_PASSING: Final = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
}
"""The client tells these and goes on trying by itself."""


class Unreadable(Exception):
    """A record that cannot become a row; if it is a fact, it is among the dead letters as well."""


class Registry(Protocol):
    """Where schemas come from."""

    def newest(self, subject: str) -> str: ...

    def by_id(self, schema_id: int) -> str:
        """LookupError when there is none."""
        ...


class SchemaRegistry:
    """The registry, asked once an id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: SchemaRegistryClient = client(url)

    def newest(self, subject: str) -> str:
        return str(self._ask(lambda: self._client.get_latest_version(subject).schema.schema_str))

    def by_id(self, schema_id: int) -> str:
        return str(self._ask(lambda: self._client.get_schema(schema_id).schema_str))

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                raise LookupError(error.error_message) from error
            raise self._away(error) from error
        except Exception as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> Failure:
        return Failure(
            f"the schema registry at {self._url} does not answer: {error}", "start it (`loyalty up`)"
        )


class Reader:
    """Decodes one topic's values: written with any schema of the registry, seen through its newest."""

    def __init__(self, topic: str, registry: Registry) -> None:
        self._topic = topic
        self._registry = registry
        self._writers: dict[bytes, Any] = {}
        self.newest = self._ask_newest()

    def _ask_newest(self) -> str:
        try:
            text = self._registry.newest(catalogue.subject(self._topic))
        except LookupError as error:
            raise Failure(
                f"the schema of {self._topic} is not registered", "run `loyalty schemas register`"
            ) from error
        self._seen = fastavro.parse_schema(catalogue.plain(json.loads(text)))
        return text

    def meet(self, value: bytes | None) -> bool:
        """Look a schema up that was not met before; whether the newest is another one now."""
        if value is None or value[:5] in self._writers or value[:1] != b"\0" or len(value) < 5:
            return False
        try:
            text = self._registry.by_id(int.from_bytes(value[1:5], "big"))
        except LookupError:
            return False
        before, self.newest = self.newest, self._ask_newest()
        self._writers[value[:5]] = fastavro.parse_schema(catalogue.plain(json.loads(text)))
        return before != self.newest

    def decode(self, value: bytes) -> dict[str, Any]:
        writer = self._writers.get(value[:5])
        if writer is None:
            raise Unreadable("no schema of the registry's")
        stream = BytesIO(value)
        stream.seek(5)
        try:
            record = fastavro.schemaless_reader(stream, writer, None if writer == self._seen else self._seen)
        except Exception as error:
            raise Unreadable(f"not what its schema says: {error!r}") from error
        if stream.tell() != len(value) or not isinstance(record, dict):
            raise Unreadable("more or something else than its schema says")
        return record


class Row(NamedTuple):
    """A record decoded, with its place; `values` is None when it takes back what its key had."""

    partition: int
    offset: int
    key: str
    timestamp_ms: int
    values: dict[str, Any] | None


def row_of(reader: Reader, message: Message) -> Row:
    """Raises Unreadable; of a topic that a pipeline writes, nothing is."""
    key, value = message.key(), message.value()
    try:
        name = "" if key is None else key.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("its key is no text") from error
    values = None if value is None else reader.decode(value)
    partition, offset, (_, timestamp_ms) = message.partition(), message.offset(), message.timestamp()
    assert isinstance(partition, int) and isinstance(offset, int)
    return Row(partition, offset, name, timestamp_ms, values)


def placed(row: Row, shape: Shape) -> dict[str, Any]:
    """A row as its table has it. Raises Unreadable when an instant is on no calendar."""
    if row.values is None:
        if not shape.table.removable:
            raise Unreadable("it has no value")
        return {
            MEMBER: row.key,
            str(shape.table.day): row.timestamp_ms,
            REMOVED: True,
            PARTITION: row.partition,
            OFFSET: row.offset,
        }
    if (name := shape.absurd(row.values)) is not None:
        raise Unreadable(f"{name} is on no calendar")
    return {**row.values, PARTITION: row.partition, OFFSET: row.offset}


def consumer(bootstrap: str) -> Consumer:
    """Reads committed, tells ends, commits nothing: where it is stands in the tables."""
    return Consumer(
        kafka_client(bootstrap)
        | {
            "group.id": WAREHOUSE_GROUP,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": 65_536,
            "fetch.queue.backoff.ms": 5,
            "check.crcs": True,
            "log_level": 2,
        }
    )


def starts(
    admin: AdminClient, topics: Iterable[str], kept: Mapping[str, Sequence[Mapping[int, int]]]
) -> dict[Place, int]:
    """Where to read each partition on: at the least of what its topic's tables have, or at its begin.

    `kept` holds one mapping a table. A Failure when records were deleted before they were read, or a topic was made
    anew.
    """
    found = admin.list_topics(timeout=offsets.TIMEOUT_S).topics
    if missing := [topic for topic in topics if topic not in found]:
        raise Failure(f"topics are missing: {', '.join(missing)}", "run `loyalty topics apply`")
    places = [(topic, partition) for topic in topics for partition in found[topic].partitions]
    begin, end = offsets.begins(admin, places), offsets.ends(admin, places)
    return {place: _start(place, kept[place[0]], begin[place], end[place]) for place in places}


def _start(place: Place, kept: Sequence[Mapping[int, int]], begin: int, end: int) -> int:
    topic, partition = place
    at = [table[partition] for table in kept if partition in table]
    if at and min(at) < begin:
        what = f"{topic}[{partition}] begins at offset {begin}, the warehouse is at {min(at)}"
        raise Failure(f"{what}: {begin - min(at)} records are gone", "see runbooks/LoyaltyInputGap.md")
    if at and max(at) > end:
        what = f"{topic}[{partition}] ends at offset {end}, the warehouse is at {max(at)}: the topic was made anew"
        raise Failure(what, "run `loyalty warehouse rebuild`: it makes all tables anew from the topics")
    return begin if len(at) < len(kept) else min(at)


def ended(message: Message) -> bool | None:
    """None for a record, True for the end of a partition, False for what passes; anything else is raised."""
    error = message.error()
    if error is None:
        return None
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    if error.retriable() or error.code() in _PASSING:
        return False
    raise KafkaException(error)
