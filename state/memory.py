"""A store in a dictionary: for tests of laws in the thousands, for conformance on pure rules, for what-ifs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from state.layout import checked


class MemoryStore:
    """Keeps the promise of `state.store.Store`, in memory and without transactions."""

    def __init__(self) -> None:
        self.records: dict[tuple[bytes, str, str], bytes] = {}
        self._names: dict[tuple[bytes, str], set[str]] = defaultdict(set)
        self.timers: set[tuple[int, str]] = set()

    def get(self, kind: bytes, member_id: str, name: str = "") -> bytes | None:
        return self.records.get((kind, member_id, name))

    def put(self, kind: bytes, member_id: str, name: str, value: bytes) -> None:
        self.records[kind, member_id, name] = checked(value)
        self._names[kind, member_id].add(name)

    def delete(self, kind: bytes, member_id: str, name: str = "") -> None:
        self.records.pop((kind, member_id, name), None)
        self._names[kind, member_id].discard(name)

    def of_member(self, kind: bytes, member_id: str) -> Iterator[tuple[str, bytes]]:
        names = sorted(self._names[kind, member_id])
        return iter([(name, self.records[kind, member_id, name]) for name in names])

    def schedule(self, at_ms: int, member_id: str) -> None:
        self.timers.add((at_ms, member_id))

    def unschedule(self, at_ms: int, member_id: str) -> None:
        self.timers.discard((at_ms, member_id))

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str]]:
        return sorted(timer for timer in self.timers if timer[0] <= until_ms)[:limit]
