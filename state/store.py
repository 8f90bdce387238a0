"""Where an account lives between facts. Two stores keep this promise: RocksDB under Kafka, and a dictionary.

A key is a kind, a member and, for kinds that hold several records a member, a name. Values are bytes that
`state.layout` made: they begin with a layout number that is neither 0x00 nor 0xFF.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Store(Protocol):
    """The records of one partition. What is written is seen at once, and is kept when the transaction commits."""

    def get(self, kind: bytes, member_id: str, name: str = "") -> bytes | None:
        """The record, or None."""
        ...

    def put(self, kind: bytes, member_id: str, name: str, value: bytes) -> None:
        """Keep `value`; it replaces what was there."""
        ...

    def delete(self, kind: bytes, member_id: str, name: str = "") -> None:
        """Forget the record; no harm when there is none."""
        ...

    def of_member(self, kind: bytes, member_id: str) -> Iterator[tuple[str, bytes]]:
        """All of a member's records of a kind, by name, staged writes included."""
        ...

    def schedule(self, at_ms: int, member_id: str) -> None:
        """Have `due` name this member from `at_ms` on."""
        ...

    def unschedule(self, at_ms: int, member_id: str) -> None:
        """Take that back."""
        ...

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str]]:
        """The first `limit` (instant, member) scheduled at or before `until_ms`, earliest first, then by member."""
        ...


def reschedule(store: Store, member_id: str, before_ms: int | None, due_ms: int | None) -> None:
    """Move a member's timer; there may be none, before or from now on."""
    if due_ms == before_ms:
        return
    if before_ms is not None:
        store.unschedule(before_ms, member_id)
    if due_ms is not None:
        store.schedule(due_ms, member_id)
