"""Reads a topic to its end as a committed reader sees it, and decodes it without the pipeline's codec.

The end is the last stable offset: what stands behind it belongs to a transaction that is still open. Offsets
that are never delivered are commit markers, aborted records and what compaction removed: counted, not seen.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from time import monotonic
from typing import Any, NamedTuple, Protocol, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import fastavro
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from pipelines.connection import kafka_client, security
from pipelines.failure import Failure
from pipelines.grants import READER_GROUP
from pipelines.runtime.offsets import MOVED, Group, Place, listed
from pipelines.runtime.topic_admin import connect

BATCH = 10_000
ANSWER_S = 15.0
GATHER_S = 0.1
PATIENCE_S = 60.0
_PASSING = frozenset(
    {
        *MOVED,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


class Extent(NamedTuple):
    """What was read of a topic; `open_records` stand behind its end, in an open transaction."""

    topic: str
    records: int
    not_visible: int
    open_records: int


class Record(NamedTuple):
    """A record as Kafka delivered it."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


Take = Callable[[Sequence[Record]], None]


class Schemas(Protocol):
    """Where writer schemas come from."""

    def by_id(self, schema_id: int) -> dict[str, Any]:
        """The schema, as parsed JSON; LookupError when there is none."""
        ...


class RegistrySchemas:
    """Writer schemas from the registry, each asked for once."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._security = security()
        self._trust = self._security.registry_trust()
        self._known: dict[int, dict[str, Any]] = {}

    def by_id(self, schema_id: int) -> dict[str, Any]:
        if schema_id not in self._known:
            self._known[schema_id] = json.loads(self._asked(f"/schemas/ids/{schema_id}")["schema"])
        return self._known[schema_id]

    def _request(self, path: str) -> Request:
        user = self._security.registry(self._url).get("basic.auth.user.info")
        headers = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"} if user else {}
        return Request(self._url + path, headers=headers)

    def _asked(self, path: str) -> dict[str, Any]:
        try:
            with urlopen(self._request(path), timeout=ANSWER_S, context=self._trust) as answer:
                return cast(dict[str, Any], json.load(answer))
        except HTTPError as error:
            raise LookupError(f"the registry has no {path}: {error}") from error
        except OSError as error:
            what = f"the schema registry at {self._url} does not answer: {error}"
            raise Failure(what, "run `loyalty up`") from error


class Unreadable(Exception):
    """These bytes are no record of this topic."""


class Decoder:
    """Decodes the Confluent wire format into dictionaries; instants stay epoch milliseconds.

    With `wanted`, reading stops after the last of those fields: a prefix of a record can be decoded alone.
    Without it, every byte must belong to the record.
    """

    def __init__(self, schemas: Schemas, wanted: Sequence[str] = ()) -> None:
        self._schemas = schemas
        self._wanted = frozenset(wanted)
        self._parsed: dict[bytes, Any] = {}

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """The record as a dictionary; raises Unreadable."""
        if value is None:
            raise Unreadable("no value")
        schema = self._parsed.get(value[:5]) or self._schema(value)
        stream = BytesIO(value)
        stream.seek(5)
        try:
            record = fastavro.schemaless_reader(stream, schema, None)
        except Exception as error:
            raise Unreadable(f"not what its schema says: {error!r}") from error
        if not self._wanted and stream.tell() != len(value):
            raise Unreadable(f"{len(value) - stream.tell()} bytes too many")
        if not isinstance(record, dict):
            raise Unreadable("not a record")
        return record

    def _schema(self, value: bytes) -> Any:
        if len(value) < 5 or value[0] != 0:
            raise Unreadable("not the Confluent wire format")
        try:
            schema = self._schemas.by_id(int.from_bytes(value[1:5], "big"))
        except LookupError as error:
            raise Unreadable(str(error)) from error
        parsed = fastavro.parse_schema(_cut(_plain(schema), self._wanted))
        self._parsed[value[:5]] = parsed
        return parsed


def _plain(schema: Any) -> Any:
    """The schema without logical types: whole numbers instead of dates."""
    if isinstance(schema, Mapping):
        return {name: _plain(part) for name, part in schema.items() if name != "logicalType"}
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    return schema


def _cut(schema: Any, wanted: frozenset[str]) -> Any:
    if not wanted:
        return schema
    last = max(n for n, field in enumerate(schema["fields"]) if field["name"] in wanted)
    return {**schema, "fields": schema["fields"][: last + 1]}


class Topics:
    """Reads topics of one cluster to their ends."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._address = bootstrap_servers
        self._admin = connect(bootstrap_servers)

    def partitions(self, topic: str) -> int:
        """How many a topic has; 0 when there is no such topic (asked by name, a broker might create it)."""
        try:
            known = self._admin.list_topics(timeout=ANSWER_S).topics.get(topic)
        except KafkaException as error:
            raise self._unreachable(error) from error
        return 0 if known is None or known.error is not None else len(known.partitions)

    def read(self, topic: str, take: Take, partitions: Sequence[int] | None = None) -> Extent:
        """Hand every visible record to `take`, in batches; each partition's in their order."""
        count = self.partitions(topic)
        if not count:
            raise Failure(f"there is no topic {topic}", "run `loyalty topics apply`")
        chosen = range(count) if partitions is None else partitions
        places = [(topic, number) for number in chosen]
        begin = self._offsets(places, OffsetSpec.earliest(), committed=True)
        end = self._offsets(places, OffsetSpec.latest(), committed=True)
        written = self._offsets(places, OffsetSpec.latest(), committed=False)
        seen = self._drain(topic, begin, end, take)
        span = sum(end.values()) - sum(begin.values())
        return Extent(topic, seen, span - seen, sum(written.values()) - sum(end.values()))

    def committed(self, group: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Up to where a consumer group has processed each partition of these topics, where it has at all."""
        places = [(topic, number) for topic in topics for number in range(self.partitions(topic))]
        try:
            found = Group(self._address, group).committed(places)
        except KafkaException as error:
            raise self._unreachable(error) from error
        return {place: offset for place, offset in found.items() if offset is not None}

    def _offsets(self, places: list[Place], spec: OffsetSpec, committed: bool) -> dict[int, int]:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        try:
            found = listed(self._admin, places, spec, passing=_PASSING, isolation_level=level)
        except KafkaException as error:
            raise self._unreachable(error) from error
        return {number: offset for (_, number), offset in found.items()}

    def _drain(self, topic: str, begin: Mapping[int, int], end: Mapping[int, int], take: Take) -> int:
        missing = {number for number in end if begin[number] < end[number]}
        if not missing:
            return 0
        consumer = Consumer(
            {
                **kafka_client(self._address),
                "group.id": READER_GROUP,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "queued.max.messages.kbytes": 32_768,
                "fetch.queue.backoff.ms": 5,
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, number, begin[number]) for number in sorted(missing)])
            return self._consume(consumer, topic, missing, end, take)
        finally:
            consumer.close()

    def _consume(
        self, consumer: Consumer, topic: str, missing: set[int], end: Mapping[int, int], take: Take
    ) -> int:
        seen, last_heard = 0, monotonic()
        while missing:
            messages = consumer.consume(BATCH, timeout=GATHER_S)
            batch = [_record(m) for m in messages if m.error() is None and _offset(m) < end[_partition(m)]]
            for message in messages:
                self._raise_or_finish(message, missing, end)
            if batch:
                take(batch)
                seen += len(batch)
            if messages:
                last_heard = monotonic()
            elif monotonic() - last_heard > PATIENCE_S:
                raise Failure(
                    f"{topic}, partitions {sorted(missing)}: nothing for {PATIENCE_S:.0f} s before the end",
                    "see whether the brokers are up: `loyalty status`",
                )
        return seen

    def _raise_or_finish(self, message: Message, missing: set[int], end: Mapping[int, int]) -> None:
        """A partition is finished at its end, or at what came after the end was asked for."""
        error = message.error()
        if error is None:
            if _offset(message) + 1 >= end[_partition(message)]:
                missing.discard(_partition(message))
        elif error.code() == KafkaError._PARTITION_EOF:
            missing.discard(_partition(message))
        else:
            raise self._unreachable(KafkaException(error))

    def _unreachable(self, error: KafkaException) -> Failure:
        return Failure(f"Kafka at {self._address} does not answer: {error}", "run `loyalty up`")


def _partition(message: Message) -> int:
    partition = message.partition()
    assert isinstance(partition, int)
    return partition


def _offset(message: Message) -> int:
    offset = message.offset()
    assert isinstance(offset, int)
    return offset


def _record(message: Message) -> Record:
    return Record(
        _partition(message), _offset(message), message.timestamp()[1], message.key(), message.value()
    )
