"""State from its changelog, a thousand records at a time.

The engine's own loop writes each record by itself, and a second entry beside it, for a census of stores whose values
were to expire. Ours never do. What stays the engine's: which partitions are restored, from where to where, when that
is over, and what a rebalance in the middle of it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Final

from confluent_kafka import Message
from quixstreams.kafka.consumer import raise_for_msg_error
from quixstreams.state.metadata import CHANGELOG_CF_MESSAGE_HEADER, CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER
from quixstreams.utils.json import loads
from rocksdict import WriteBatch

from pipelines.failure import Failure

BATCH: Final = 1_000
"""Records that are written at once; what they may hold is bounded by the topic's longest record."""
WAIT_S: Final = 0.2
_CF: Final = "default"
_KIND: Final = (CHANGELOG_CF_MESSAGE_HEADER, _CF.encode())

Headers = list[tuple[str, bytes]]


def restore(manager: Any) -> None:
    """Until no partition of the engine's recovery manager has anything left, or it is told to stop.

    Raises the client's errors, and a `Failure` for a record that no build of this pipeline has written.
    """
    consumer = manager._consumer
    while manager.recovering:
        manager._log_recovery_progress()
        messages = consumer.consume(BATCH, WAIT_S)
        for (topic, partition), some in groupby(messages, _place):
            if target := manager._recovery_partitions.get(partition, {}).get(topic):
                write(target, some)
            elif topic in manager._topic_manager.non_changelog_topics:
                manager._rewind_data_partition(next(some))
        if messages:
            consumer._broker_available()
        if len(messages) < BATCH:
            manager._position_cache.clear()  # of the last second, and the end may have been reached in it
            manager._update_recovery_status()
        if patience_s := manager._broker_availability_timeout:
            consumer.raise_if_broker_unavailable(patience_s)


def write(target: Any, messages: Iterable[Message]) -> None:
    """Write a partition's records, in their order, with the offset of the last: all of it or nothing."""
    store = target._store_partition
    is_committed = _committed(target)
    batch, kept = WriteBatch(raw_mode=True), store.get_column_family_handle(_CF)
    for message in messages:
        if is_committed(message):
            key, value = message.key(), message.value()
            if value is None:
                batch.delete(key, kept)
            else:
                batch.put(key, value, kept)
        last = message.offset()
    store._update_changelog_offset(batch, last)
    store._write(batch)


def _place(message: Message) -> tuple[str, int]:
    raise_for_msg_error(message)
    return message.topic(), message.partition()


def _committed(target: Any) -> Callable[[Message], bool]:
    """Whether a record was written with inputs that are committed; all records of a transaction say the same."""
    said: dict[bytes, bool] = {}

    def is_committed(message: Message) -> bool:
        headers: Headers = message.headers() or []
        offsets = _offsets(headers, message)
        answer = said.get(offsets)
        if answer is None:
            answer = said[offsets] = target._should_apply_changelog(loads(offsets))
        return answer

    return is_committed


def _offsets(headers: Headers, message: Message) -> bytes:
    """The offsets of the inputs that made a record, as it was written with them."""
    if (
        len(headers) == 2
        and headers[0] == _KIND
        and headers[1][0] == CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER
    ):
        return headers[1][1]
    raise Failure(
        f"{message.topic()}[{message.partition()}] has a record of state at offset {message.offset()} that no build "
        f"of this pipeline writes, with the headers {headers}",
        "find out who writes to that topic: only the workers may (`loyalty acls plan`)",
    )
