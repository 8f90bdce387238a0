"""A sink: a worker of its own that reads the topics as committed, and writes them to a warehouse, each row once.

It takes part in no transaction of the pipelines': however slow or far away a warehouse is, no fact waits for it. Rows
of a table wait for others until there are many or the first has waited long enough; then they are written at once,
together with the offsets up to which the topic was read for them. While the warehouse is away the sink waits, and goes
on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final

import pyarrow as pa
import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipelines.failure import Failure
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.runtime.metrics import SINK_AWAY
from pipelines.runtime.offsets import Place
from pipelines.runtime.signals import told_by_signals
from pipelines.runtime.topic_admin import connect
from pipelines.topics import prefixed
from pipelines.warehouse import metrics
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.reading import (
    FETCHED_MAX,
    Reader,
    Registry,
    Row,
    SchemaRegistry,
    Unreadable,
    consumer,
    ended,
    placed,
    row_of,
    starts,
)
from pipelines.warehouse.settings import WarehouseSettings
from pipelines.warehouse.tables import Table
from pipelines.warehouse.target import Away, Batch, Target, same

POLL_S: Final = 0.1
PAUSE_S: Final = 0.2
PAUSE_MAX_S: Final = 15.0
Tell = Callable[[int], None]
"""Told of so many rows whenever they have become visible."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SinkSummary:
    """What a sink did until it ended."""

    rows: int
    unreadable: int
    commits: int
    seconds: float


@dataclass(slots=True)
class Buffer:
    """The rows of one table that are read and not written, and where its topic was read for them."""

    shape: Shape
    base: dict[int, int]
    upto: dict[int, int]
    chunks: list[pa.Table] = field(default_factory=list)
    latest: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    count: int = 0
    nbytes: int = 0
    since: float | None = None
    oldest_ms: int = 0

    @property
    def table(self) -> Table:
        return self.shape.table

    def take(self, rows: Iterable[Row], now: float) -> int:
        """Keep the rows that the table has not; how many of them are no rows at all."""
        new = [row for row in rows if row.offset >= self.base.get(row.partition, 0)]
        if not new:
            return 0
        made: list[dict[str, Any]] = []
        for row in new:
            try:
                self._keep(row, made)
            except Unreadable as problem:
                self._refuse(row, problem)
            self.upto[row.partition] = row.offset + 1
        if made:
            self.chunks.append(self.shape.rows(made))
            self.nbytes += self.chunks[-1].nbytes
        if self.since is None:
            self.since, self.oldest_ms = now, new[0].timestamp_ms
        self.count += len(new)
        return len(new) - len(made) if not self.table.current else 0

    def _keep(self, row: Row, made: list[dict[str, Any]]) -> None:
        if not self.table.current:
            made.append(placed(row, self.shape))
        elif row.values is None:
            self.latest[row.key] = None
        else:
            self.latest[row.key] = placed(row, self.shape)

    def _refuse(self, row: Row, problem: Unreadable) -> None:
        if not self.table.fact:
            what = f"{self.table.topic}[{row.partition}] offset {row.offset} cannot be a row: {problem}"
            raise Failure(what, "see who writes this topic; nothing was skipped")
        log.warning("not a row", table=self.table.name, partition=row.partition, offset=row.offset)

    def batch(self) -> Batch:
        rows = self.chunks
        if self.table.current:
            rows = [self.shape.rows([row for row in self.latest.values() if row is not None])]
        gone = frozenset(member for member, row in self.latest.items() if row is None)
        whole = pa.concat_tables(rows) if rows else self.shape.arrow.empty_table()
        return Batch(whole, dict(self.base), dict(self.upto), gone)

    def written(self) -> None:
        self.base = dict(self.upto)
        self.chunks, self.latest = [], {}
        self.count = self.nbytes = 0
        self.since = None


class Sink:
    """Topics into the tables of one warehouse."""

    def __init__(
        self,
        settings: WarehouseSettings,
        target: Target,
        registry: Registry,
        prefix: str,
        told: Event,
        tell: Tell = lambda _: None,
    ) -> None:
        self._settings, self._target, self._told, self._tell = settings, target, told, tell
        self.rows = self.unreadable = self.commits = 0
        self.beat_s = time.time()
        """When this sink last asked for records, or tried to write them; by the clock on the wall."""
        self.away: str | None = None
        """Why the warehouse takes nothing just now."""
        topics = dict.fromkeys(table.topic for table in target.tables)
        self._readers = {prefixed(prefix, topic): Reader(topic, registry) for topic in topics}
        self._buffers: dict[str, list[Buffer]] = {topic: [] for topic in self._readers}
        for table in target.tables:
            topic = prefixed(prefix, table.topic)
            shape = Shape(table, self._readers[topic].newest)
            kept = self._open(shape)
            self._buffers[topic].append(Buffer(shape, kept, dict(kept)))
        self._begun: dict[Place, int] = {}
        self._ended: dict[Place, int] = {}

    @property
    def target_name(self) -> str:
        return self._target.name

    def starts(self, bootstrap: str) -> dict[Place, int]:
        kept = {topic: [buffer.base for buffer in found] for topic, found in self._buffers.items()}
        self._begun = starts(connect(bootstrap), self._readers, kept)
        return self._begun

    def visible(self) -> dict[tuple[str, Place], int]:
        """Up to where each partition of a table's topic is to be seen in it; asked from another thread.

        Behind its last record a partition may have marks of transactions, which are read, and no rows.
        """
        found = {}
        for place, begin in self._begun.items():
            topic, partition = place
            for buffer in self._buffers[topic]:
                at = max(begin, buffer.base.get(partition, 0))
                ended = 0 if buffer.count else self._ended.get(place, 0)
                found[buffer.table.name, place] = max(at, ended)
        return found

    def run(self, source: Consumer, at: Mapping[Place, int], until_caught_up: bool) -> None:
        """Read and write until told to stop, or until everything is written; then write what is left."""
        source.assign([TopicPartition(*place, offset) for place, offset in at.items()])
        open_ends = set(at)
        while not self._told.is_set():
            self.beat_s = time.time()
            messages = source.consume(FETCHED_MAX, POLL_S)
            self._take(messages, open_ends)
            if until_caught_up and not open_ends:
                break
            self._write(self._due)
        self._write(lambda _: True)

    def _take(self, messages: list[Message], open_ends: set[Place]) -> None:
        by_topic: dict[str, list[Message]] = {}
        ends: dict[Place, int] = {}
        for message in messages:
            topic, end = str(message.topic()), ended(message)
            place = topic, message.partition()
            if end is None:
                by_topic.setdefault(topic, []).append(message)
                open_ends.add(place)
            elif end:
                open_ends.discard(place)
                ends[place] = message.offset()
        now = time.monotonic()
        for topic, found in by_topic.items():
            self._meet_schemas(topic, found)
            rows = list(self._rows(topic, found))
            for buffer in self._buffers[topic]:
                self.unreadable += buffer.take(rows, now)
        self._ended |= ends

    def _meet_schemas(self, topic: str, messages: list[Message]) -> None:
        """A schema that is new to the registry may bring columns: they are there before the first row that has them."""
        reader = self._readers[topic]
        newer = [reader.meet(message.value()) for message in messages]
        if not any(newer):
            return
        self._write(lambda buffer: buffer in self._buffers[topic])
        for buffer in self._buffers[topic]:
            buffer.shape = Shape(buffer.table, reader.newest)
            self._open(buffer.shape)
            log.info("columns follow the registry", table=buffer.table.name)

    def _rows(self, topic: str, messages: list[Message]) -> Iterator[Row]:
        fact = self._buffers[topic][0].table.fact
        for message in messages:
            try:
                yield row_of(self._readers[topic], message)
            except Unreadable as problem:
                where = f"{topic}[{message.partition()}] offset {message.offset()}"
                if not fact:
                    raise Failure(
                        f"{where} is unreadable: {problem}", "see who writes this topic"
                    ) from problem
                self.unreadable += 1
                log.warning("unreadable, see the dead letters", where=where, why=str(problem))

    def _due(self, buffer: Buffer) -> bool:
        if buffer.since is None:
            return False
        waited_ms = (time.monotonic() - buffer.since) * 1000
        return (
            waited_ms >= self._target.prefers_ms(buffer.table)
            or buffer.nbytes >= self._settings.commit_bytes_max
            or max(buffer.count if not buffer.table.current else 0, len(buffer.latest))
            >= self._settings.commit_rows_max
        )

    def _write(self, chosen: Callable[[Buffer], bool]) -> None:
        for buffer in (one for found in self._buffers.values() for one in found):
            if buffer.count and chosen(buffer):
                self._commit(buffer)

    def _commit(self, buffer: Buffer) -> None:
        """Write what waits. When the warehouse does not say what became of it, its offsets do: at the base it is to be
        written again, at the end it has been."""
        batch, started = buffer.batch(), time.monotonic()
        self._until_taken(
            lambda: self._target.write(buffer.table, batch), lambda: self._landed(buffer.table, batch)
        )
        metrics.committed(self._target.name, buffer.table.name, buffer.count, started, buffer.oldest_ms)
        self._tell(buffer.count)
        self.rows += buffer.count
        self.commits += 1
        buffer.written()

    def _open(self, shape: Shape) -> dict[int, int]:
        """Have the table there with its columns; up to where it goes."""
        offsets: dict[int, int] = {}

        def ask() -> None:
            self._target.fit(shape)
            offsets.update(self._target.offsets(shape.table))

        self._until_taken(ask, lambda: False)
        return offsets

    def _until_taken(self, give: Callable[[], None], taken: Callable[[], bool]) -> None:
        """Give something to the warehouse, for as long as that is away, until it takes it or is seen to have it."""
        pause = PAUSE_S
        while True:
            try:
                give()
                break
            except Away as away:
                self.away, self.beat_s = str(away), time.time()
                SINK_AWAY.labels(self._target.name).inc()
                log.warning("the warehouse is away, waiting", why=str(away), seconds=round(pause, 1))
                if self._told.wait(pause):
                    raise Failure(
                        f"stopped while the warehouse was away: {away}", "start again", 75
                    ) from away
                pause = min(pause * 2, PAUSE_MAX_S)
                if taken():
                    break
        self.away, self.beat_s = None, time.time()

    def _landed(self, table: Table, batch: Batch) -> bool:
        try:
            return same(self._target.offsets(table), batch.upto)
        except Away:
            return False


Beside = Callable[[Sink], AbstractContextManager[None]]
"""What goes on beside a sink for as long as it runs."""


def run_sink(
    settings: WarehouseSettings,
    target: Callable[[WarehouseSettings], Target],
    bootstrap: str,
    registry_url: str,
    prefix: str = "",
    *,
    until_caught_up: bool = False,
    beside: Beside = lambda _: nullcontext(),
) -> SinkSummary:
    """Write the topics to the warehouse until a signal says stop, or until all there is has been written."""
    with told_by_signals() as told:
        return write_topics(
            settings, target(settings), bootstrap, registry_url, prefix, told, until_caught_up, beside=beside
        )


def write_topics(
    settings: WarehouseSettings,
    target: Target,
    bootstrap: str,
    registry_url: str,
    prefix: str,
    told: Event,
    until_caught_up: bool,
    tell: Tell = lambda _: None,
    beside: Beside = lambda _: nullcontext(),
) -> SinkSummary:
    """The same, until `told` is set."""
    started = time.monotonic()
    sink = Sink(settings, target, SchemaRegistry(registry_url), prefix, told, tell)
    source = consumer(bootstrap)
    try:
        log.info("sink started", target=sink.target_name)
        at = sink.starts(bootstrap)
        with beside(sink):
            sink.run(source, at, until_caught_up)
    except KafkaException as error:
        what = f"Kafka at {bootstrap} stopped answering: {error.args[0].str()}"
        raise Failure(what, "start the sink again; it goes on where its tables end", EXIT_FENCED) from error
    finally:
        source.close()
    return SinkSummary(sink.rows, sink.unreadable, sink.commits, time.monotonic() - started)
