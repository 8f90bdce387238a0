"""A store in RocksDB, changelogged and committed by the engine's transaction.

The only place that knows the engine's private ways: its store transaction, what is staged in it, and the range
scan of the partition below. A test of the store's contract on a real partition notices when they change.

Keys on disk: `<kind>|<member>|<name>`; timers `t|<instant, 8 bytes big-endian><member>`. Neither member nor name has
a `|` (the border sees to it), and instants are never negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from state.layout import checked

_TIMERS: Final = b"t"
_TIMER: Final = b"\x01"
_AFTER_BAR: Final = b"}"
_CF: Final = "default"


class RocksStore:
    """Keeps the promise of `state.store.Store` within one open transaction of one partition."""

    __slots__ = ("_partition", "_transaction")

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self._partition = transaction._partition

    def get(self, kind: bytes, member_id: str, name: str = "") -> bytes | None:
        found: bytes | None = self._transaction.get_bytes(name.encode(), _prefix(kind, member_id))
        return found

    def put(self, kind: bytes, member_id: str, name: str, value: bytes) -> None:
        self._transaction.set_bytes(name.encode(), checked(value), _prefix(kind, member_id))

    def delete(self, kind: bytes, member_id: str, name: str = "") -> None:
        self._transaction.delete(name.encode(), _prefix(kind, member_id))

    def of_member(self, kind: bytes, member_id: str) -> Iterator[tuple[str, bytes]]:
        prefix = _prefix(kind, member_id)
        found = self._range(prefix, prefix + b"|", prefix + _AFTER_BAR)
        return iter([(key.decode(), value) for key, value in found])

    def schedule(self, at_ms: int, member_id: str) -> None:
        self._transaction.set_bytes(_instant(at_ms) + member_id.encode(), _TIMER, _TIMERS)

    def unschedule(self, at_ms: int, member_id: str) -> None:
        self._transaction.delete(_instant(at_ms) + member_id.encode(), _TIMERS)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str]]:
        upper = _TIMERS + b"|" + _instant(until_ms + 1)
        found = self._range(_TIMERS, _TIMERS + b"|", upper, limit)
        return [(int.from_bytes(key[:8], "big"), key[8:].decode()) for key, _ in found]

    def _range(
        self, prefix: bytes, lower: bytes, upper: bytes, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """The first keys (less the prefix) and values in [lower, upper), what is staged taken into account."""
        staged = self._transaction._update_cache
        deleted = staged.get_deletes(_CF)
        stored = self._partition.iter_items(lower, upper, cf_name=_CF)
        found = dict(islice(stored, None if limit is None else limit + len(deleted)))
        for key, value in staged.get_updates(_CF).get(prefix, {}).items():
            if lower <= key < upper:
                found[key] = value
        for key in deleted:
            found.pop(key, None)
        return sorted((key[len(prefix) + 1 :], value) for key, value in found.items())[:limit]


def _prefix(kind: bytes, member_id: str) -> bytes:
    return kind + b"|" + member_id.encode()


def _instant(at_ms: int) -> bytes:
    return at_ms.to_bytes(8, "big")
