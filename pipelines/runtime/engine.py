"""Quix Streams, hardened: exactly once with ids that outlive a crash, and no way on after a lost membership.

What differs from the library's defaults, and why, is in docs/rfcs/0001. In short: a stable transactional id lets a
restarted worker abort what the crashed one left open, so that readers wait seconds; a commit interval below every
pause makes a worker that slept find its transaction expired; and a worker that lost its partitions aborts and
leaves, because committing then would double what the new owner already did.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import structlog
from confluent_kafka import TopicPartition
from quixstreams import Application
from quixstreams.state.rocksdb.options import RocksDBOptions

from pipelines.runtime.settings import Settings
from pipelines.topics import ACCOUNT_BYTES_MAX

EXIT_FENCED: Final = 75
"""Exit code of a worker that lost its partitions or its transaction: restart it, nothing is wrong with its input."""

ABORT_S: Final = 5.0
log = structlog.get_logger()


class HardenedApplication(Application):
    """An application that never commits what it processed before it lost its partitions."""

    stopped_by: BaseException | None = None
    """What ended the run, whatever fails in the clean-up behind it.

    Kept here because the client's C code drops what was being handled: an abort that is refused behind a failure
    carries no `__context__`, and the operator would be told of the abort alone.
    """

    def _exception_handler(self, exc_type: Any, exc_val: BaseException | None, exc_tb: Any) -> Any:
        self.stopped_by = exc_val
        return super()._exception_handler(exc_type, exc_val, exc_tb)  # type: ignore[no-untyped-call]

    def _on_lost(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        log.error("partitions lost, leaving", partitions=len(topic_partitions), exit_code=EXIT_FENCED)
        try:
            self._producer.abort_transaction(timeout=ABORT_S)
        except Exception as error:  # noqa: BLE001  whatever it is, the worker ends
            log.warning("the transaction could not be aborted", error=str(error))
        sys.stderr.flush()
        os._exit(EXIT_FENCED)

    @property
    def producer(self) -> Any:
        """The transactional producer: what is produced with it commits with the offsets and the state."""
        return self._producer

    @property
    def consumer(self) -> Any:
        """The consumer of the inputs."""
        return self._consumer

    @property
    def context(self) -> Any:
        """Where the open checkpoint, and with it the store's transaction, is found."""
        return self._processing_context


def application(settings: Settings, **callbacks: Any) -> HardenedApplication:
    """The engine of one worker. Every setting here has a test that fails when it is taken away."""
    return HardenedApplication(
        broker_address=settings.bootstrap_servers,
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
            "message.max.bytes": ACCOUNT_BYTES_MAX,
            "compression.type": "lz4",
            "linger.ms": 5,
        },
        loglevel="WARNING",
        **callbacks,
    )
