"""Quix Streams, hardened: exactly once with ids that outlive a crash, and no way on after a lost membership.

What differs from the library's defaults, and why, is in docs/rfcs/0001. In short: a stable transactional id lets a
restarted worker abort what the crashed one left open, so that readers wait seconds; a commit interval below every
pause makes a worker that slept find its transaction expired; and a worker that lost its partitions aborts and
leaves, because committing then would double what the new owner already did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from threading import Lock, Timer
from time import monotonic, time
from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import KafkaException, TopicPartition
from quixstreams import Application
from quixstreams.exceptions import PartitionAssignmentError, QuixException
from quixstreams.kafka.configuration import ConnectionConfig
from quixstreams.state.rocksdb.options import RocksDBOptions

from pipelines.connection import kafka_client
from pipelines.runtime import metrics
from pipelines.runtime.restoring import restore
from pipelines.runtime.settings import Settings
from pipelines.runtime.signals import leave
from pipelines.runtime.transactional import TransactionalProducer
from pipelines.topics import ACCOUNT_BYTES_MAX

EXIT_FENCED: Final = 75
"""Exit code of a worker that lost its partitions or its transaction: restart it, nothing is wrong with its input."""

ABORT_S: Final = 5.0
BATCH_MAX: Final = 100
"""Records between two looks at signals, delivery reports and rebalances."""

log = structlog.get_logger()


class Looked(NamedTuple):
    """Where a worker stands: how far each input partition is processed (below 0: not read yet), the records of state
    left to restore by partition, and whether a restore is under way."""

    processed: Mapping[tuple[str, int], int]
    left_to_restore: Mapping[int, int]
    restoring: bool


class EndInDoubt(QuixException):
    """A transaction took so long to end that a request of it may have been sent twice, and one still be under way."""


class HardenedApplication(Application):
    """An application that never commits what it processed before it lost its partitions."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._looking = Lock()

    _process: Callable[[Any], None]

    stopped_by: BaseException | None = None
    """What ended the run, whatever fails in the clean-up behind it.

    Kept here because the client's C code drops what was being handled: an abort that is refused behind a failure
    carries no `__context__`, and the operator would be told of the abort alone.
    """

    beat_s: float = 0.0
    """When records were last asked for, by the wall clock; 0 before the first time."""

    refused: Exception | None = None
    """Why partitions could not be taken or given back, until the client's call is over in which that was.

    It must not leave the client's callback: what `consume` had fetched by then is never let go, and the end of the
    client waits for it for ever.
    """

    settled: bool = False
    """Whether the partitions that were last given to this worker are in hand, and what to restore is known."""

    asks_again_s: float = 60.0
    """After how long without an answer the producer's client sends a request again, by another connection."""

    def _get_internal_producer(self, on_error: Any = None, transactional: bool | None = None) -> Any:
        if transactional is False:  # for what the engine writes beside transactions
            return super()._get_internal_producer(on_error, transactional)
        config = self._config
        return TransactionalProducer(
            broker_address=config.broker_address,
            extra_config=config.producer_extra_config,
            flush_timeout=config.flush_timeout,
            on_error=on_error,
        )

    def each(self, process: Callable[[Any], None]) -> None:
        """Have each record processed by this, as the client's message, in the engine's order."""
        self._process = process

    def _process_message(self, dataframe_composed: Any) -> None:
        """Process the records at hand, until the transaction is due for its commit, but no more than a batch.

        The engine's own way takes each through a row, a context and the graph (RFC 0010).
        """
        self.beat_s = time()
        self._producer.poll(0)
        if not self._process_at_hand():
            consumer: Any = self._consumer
            consumer._feed_buffer(timeout=self._config.consumer_poll_timeout)
            self._process_at_hand()

    def _process_at_hand(self) -> int:
        consumer: Any = self._consumer
        checkpoint = self._processing_context.checkpoint
        done = 0
        for message in in_order(consumer._buffer):
            self._process(message)
            checkpoint.store_offset(message.topic(), message.partition(), message.offset())
            done += 1
            if done == BATCH_MAX or checkpoint.expired():
                break
        if done:
            self.producer._broker_available()
            consumer._broker_available()
        return done

    def _run_dataframe(self, sink: Any = None) -> None:
        consumer: Any = self._consumer
        states: Any = self._state_manager
        for name in ("poll", "consume", "close"):
            setattr(consumer, name, self._told_behind(getattr(consumer, name)))
        recovery = states._recovery_manager
        recovery._recovery_loop = partial(restore, recovery)
        states.do_recovery = _timed_restore(states.do_recovery)
        producer: Any = self._producer
        for name in ("commit_transaction", "abort_transaction"):
            setattr(producer, name, self._asked_once(getattr(producer, name)))
        super()._run_dataframe(sink)

    def _asked_once(self, end: Callable[..., None]) -> Callable[..., None]:
        """An end of a transaction behind which no other begins, where it may have been asked for twice.

        The client asks again when no answer comes. The first request may still be under way then, in the network or in
        a broker that has stopped for a while, and would end whatever transaction it meets: without its offsets, or in
        the middle. Brokers refuse it only once somebody has begun anew under the transactional id, as the worker does
        when it starts.
        """

        def ending(*given: Any, **more: Any) -> None:
            began = monotonic()
            with self._bounded():
                end(*given, **more)
            took_s = monotonic() - began
            if took_s >= self.asks_again_s:
                raise EndInDoubt(f"a transaction ended after {took_s:.0f} s, and may have been ended twice")

        return ending

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Leave the process when an end of a transaction does not return.

        Offsets go to the group's coordinator, and when that broker goes away the client may wait for it for ever,
        past any time-out that it is given (librdkafka issues 5511 and 5456). The transaction has expired by then.
        """
        watch = Timer(
            self.asks_again_s + ABORT_S, leave, ["a transaction does not end, leaving", EXIT_FENCED]
        )
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def _told_behind(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call in which partitions come and go, and which is over before it is told that they could not."""

        def calling(*given: Any, **more: Any) -> Any:
            self.beat_s = time()
            answer = call(*given, **more)
            error, self.refused = self.refused, None
            if error is None:
                return answer
            if isinstance(error, (QuixException, KafkaException)):
                raise error
            raise PartitionAssignmentError(f"partitions could not be taken or given back: {error}") from error

        return calling

    @contextmanager
    def _keeping_refusal(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  told behind the call, whatever it is
            self.refused = self.refused or error

    def _on_assign(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self._unsettle()
        with self._keeping_refusal():
            super()._on_assign(consumer, topic_partitions)
            self.settled = True
            if topic_partitions:
                metrics.REBALANCES.inc()
                log.info("partitions assigned", partitions=sorted({tp.partition for tp in topic_partitions}))

    def _on_revoke(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self._unsettle()
        with self._keeping_refusal():
            super()._on_revoke(consumer, topic_partitions)

    def _exception_handler(self, exc_type: Any, exc_val: BaseException | None, exc_tb: Any) -> Any:
        self.stopped_by = exc_val
        self._unsettle()
        return super()._exception_handler(exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]

    def _on_lost(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        log.error("partitions lost", partitions=len(topic_partitions))
        try:
            self._producer.abort_transaction(timeout=ABORT_S)
        except Exception as error:  # noqa: BLE001  whatever it is, the worker ends
            log.warning("the transaction could not be aborted", error=str(error))
        leave("without partitions, leaving", EXIT_FENCED)

    def before_each_commit(self, tell: Callable[[], None]) -> None:
        """Have `tell` called before each commit of what was processed: what it produces and keeps is part of it."""
        context = self._processing_context
        commit = context.commit_checkpoint

        def committing(force: bool = False, revoking: bool = False) -> None:
            if force or context.checkpoint.expired():
                if not context.checkpoint.empty():
                    tell()
                commit(force=True, revoking=revoking)

        context.commit_checkpoint = committing  # type: ignore[method-assign]

    @property
    def producer(self) -> Any:
        """The transactional producer: what is produced with it commits with the offsets and the state."""
        return self._producer

    @property
    def consumer(self) -> Any:
        """The consumer of the inputs."""
        return self._consumer

    def look(self) -> Looked:
        """Where this worker stands, for a thread beside the engine's.

        The client is asked under a lock, and only between an assignment and the end of it: to ask one that is being
        made or closed ends the process.
        """
        with self._looking:
            if not self.settled:
                return Looked({}, {}, False)
            inputs = self._topic_manager.non_changelog_topics
            read = [tp for tp in self._consumer.assignment() if tp.topic in inputs]
            at = {(tp.topic, tp.partition): self._processed(tp) for tp in self._consumer.position(read)}
            return Looked(at, self._left_to_restore(), self._state_manager.recovery_required)

    def _processed(self, read: TopicPartition) -> int:
        """The offset up to which a partition is processed: what was read, less what waits for its turn."""
        group = self._consumer._buffer._partition_groups.get(read.partition)
        buffer = None if group is None else group._partition_buffers.get(read.topic)
        return int(read.offset) - (0 if buffer is None else len(buffer._messages))

    def _left_to_restore(self) -> dict[int, int]:
        """Records of the changelog that each partition's store does not have yet, read ahead or not."""
        left: dict[int, int] = {}
        recovery: Any = self._state_manager._recovery_manager
        for partition, logs in dict(recovery._recovery_partitions).items():
            for restored in list(logs.values()):
                written = max(restored.offset + 1, restored._changelog_lowwater)
                left[partition] = left.get(partition, 0) + max(0, restored.changelog_highwater - written)
        return left

    def _unsettle(self) -> None:
        with self._looking:
            self.settled = False

    @property
    def context(self) -> Any:
        """Where the open checkpoint, and with it the store's transaction, is found."""
        return self._processing_context


_recorded: Final = attrgetter("next_timestamp")


def in_order(buffer: Any) -> Iterator[Any]:
    """The messages that the engine's buffer would give, one after the other, in its order and with its waiting.

    Its own `pop` looks at every topic twice for each message. Which is next only needs the topics that have some; only
    when one of them has run dry is there anything new to decide, and then the buffer does that.
    """
    for group in buffer._partition_groups.values():
        while (message := group.pop()) is not None:
            yield message
            topics = group._partition_buffers
            filled = [one for one in topics.values() if not one.empty()]
            lead = topics[message.topic()]
            while not lead.empty():
                lead = min(filled, key=_recorded)
                yield lead.popleft()


def _timed_restore(restore: Callable[[], Any]) -> Callable[[], Any]:
    def restoring() -> Any:
        log.info("restoring state")
        with metrics.RESTORE_S.time():
            restored = restore()
        log.info("state restored")
        return restored

    return restoring


def application(settings: Settings, **callbacks: Any) -> HardenedApplication:
    """The engine of one worker. Every setting here has a test that fails when it is taken away."""
    made = HardenedApplication(
        broker_address=ConnectionConfig.from_librdkafka_dict(kafka_client(settings.bootstrap_servers)),
        consumer_group=settings.group,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        auto_recover_from_source_offset_out_of_range=False,
        commit_interval=settings.commit_interval_ms / 1000,
        consumer_poll_timeout=settings.poll_timeout_ms / 1000,
        max_partition_buffer_size=settings.partition_buffer_max,
        state_dir=settings.state_dir,
        rocksdb_options=RocksDBOptions(
            write_buffer_size=settings.write_buffer_bytes, block_cache_size=settings.block_cache_bytes
        ),
        consumer_extra_config={
            "group.instance.id": settings.replica,
            "session.timeout.ms": settings.session_timeout_ms,
            "max.poll.interval.ms": settings.max_poll_interval_ms,
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
        },
        producer_extra_config={
            "transactional.id": settings.transactional_id,
            "transaction.timeout.ms": settings.transaction_timeout_ms,
            "socket.timeout.ms": settings.transaction_timeout_ms,
            "message.max.bytes": ACCOUNT_BYTES_MAX,
            "compression.type": "lz4",
            "linger.ms": 50,
        },
        loglevel=None,
        **callbacks,
    )
    made.asks_again_s = settings.transaction_timeout_ms / 1000
    return made
