"""The producer of a worker's transactions: what it is given is delivered when the transaction commits, or nothing is.

librdkafka fails a transaction one of whose records it could not deliver, and refuses to commit it. So a record needs
no report of its own, and the six records of a fact cost no callback into Python. One thing is still to be learnt: the
offset of the last record in each partition of the changelog, with which the local store is stamped. Of such a partition
the newest record is therefore held back until the next one comes, and asks for a report only if it was the last.
"""

from __future__ import annotations

from typing import Any, Final

from quixstreams.internal_producer import InternalProducer

_BY_KEY: Final = -1
FULL_S: Final = 1.0
"""How long to wait for room in a full queue before looking again."""


class TransactionalProducer(InternalProducer):
    """The engine's producer, of results (`send`) and of the changelog (`produce`)."""

    def __init__(self, **given: Any) -> None:
        super().__init__(transactional=True, **given)
        self._newest: dict[tuple[str, int], tuple[Any, ...]] = {}

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        /,
    ) -> None:
        """Queue a result; its key decides the partition, unless one is given."""
        where = _BY_KEY if partition is None else partition
        more = () if headers is None else (headers,)
        self._queue(topic, value, key, where, None, None, timestamp_ms, *more)

    def produce(  # type: ignore[override]
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int,
        headers: Any,
        on_delivery: None = None,
    ) -> None:
        """Queue a record of a given partition, as the engine does of its changelogs."""
        assert on_delivery is None, "the last record of a partition reports, to the producer itself"
        place = topic, partition
        before = self._newest.get(place)
        self._newest[place] = (topic, value, key, partition, None, None, 0, headers)
        if before is not None:
            self._queue(*before)

    def flush(self, timeout: float | None = None) -> int:
        """Deliver all that is queued; how many records are not delivered in time."""
        for topic, value, key, partition, _, _, at_ms, headers in self._newest.values():
            self._queue(topic, value, key, partition, self._on_delivery, None, at_ms, headers)
        self._newest.clear()
        return super().flush(timeout)

    def abort_transaction(self, timeout: float | None = None) -> None:
        """Forget all that was queued since the transaction began."""
        self._newest.clear()
        super().abort_transaction(timeout)

    def purge(self) -> None:
        """Forget all that is queued."""
        self._newest.clear()
        super().purge()  # type: ignore[no-untyped-call]

    def _queue(self, *record: Any) -> None:
        """Queue a record; when the queue is full, wait until there is room.

        In the client's order, which takes a third less time than names: topic, value, key, partition, callback, None
        (its other name), timestamp, headers.
        """
        client: Any = self._producer._producer
        while True:
            self._raise_for_error()  # type: ignore[no-untyped-call]
            try:
                client.produce(*record)
                return
            except BufferError:
                client.poll(FULL_S)
