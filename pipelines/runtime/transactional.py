"""The producer of a worker's transactions: what it is given is delivered when the transaction commits, or nothing is.

librdkafka fails a transaction one of whose records it could not deliver, and refuses to commit it. So a record needs
no report of its own, and the six records of a fact cost no callback into Python. One thing is still to be learnt: the
offset of the last record in each partition of the changelog, with which the local store is stamped. Of such a partition
the newest record is therefore held back until the next one comes, and asks for a report only if it was the last.
"""

from __future__ import annotations

from typing import Any, Final

from quixstreams.internal_producer import InternalProducer

FULL_S: Final = 1.0
"""How long to wait for room in a full queue before looking again."""


class TransactionalProducer(InternalProducer):
    """The engine's producer, of results (`send`) and of the changelog (`produce`)."""

    def __init__(self, **given: Any) -> None:
        super().__init__(transactional=True, **given)
        self._newest: dict[tuple[str, int], dict[str, Any]] = {}

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
        where: dict[str, Any] = {} if partition is None else {"partition": partition}
        if headers is not None:
            where["headers"] = headers
        self._queue(topic, value, key, timestamp=timestamp_ms, **where)

    def produce(self, topic: str, **given: Any) -> None:  # type: ignore[override]
        """Queue a record of a given partition, as the engine does of its changelogs."""
        record = {name: value for name, value in given.items() if value is not None}
        place = topic, record["partition"]
        before = self._newest.get(place)
        self._newest[place] = record
        if before is not None:
            self._queue(topic, **before)

    def flush(self, timeout: float | None = None) -> int:
        """Deliver all that is queued; how many records are not delivered in time."""
        for (topic, _), record in self._newest.items():
            self._queue(topic, **record, on_delivery=self._on_delivery)
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

    def _queue(self, *record: Any, **more: Any) -> None:
        """Queue a record; when the queue is full, wait until there is room."""
        client: Any = self._producer._producer
        while True:
            self._raise_for_error()  # type: ignore[no-untyped-call]
            try:
                client.produce(*record, **more)
                return
            except BufferError:
                client.poll(FULL_S)
