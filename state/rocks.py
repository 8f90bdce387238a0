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

from quixstreams.state.base.transaction import PartitionTransactionStatus

from state.layout import checked

_TIMERS: Final = b"t"
_TIMER: Final = b"\x01"
_AFTER_BAR: Final = b"}"
_CF: Final = "default"


class RocksStore:
    """Keeps the promise of `state.store.Store` within one open transaction of one partition.

    It reads and writes what the transaction has staged, and the database below, themselves: a fact takes some ten such
    steps, and the engine's own way to each is five calls long.
    """

    __slots__ = ("_deleted", "_partition", "_staged", "_transaction", "_updated")

    def __init__(self, transaction: Any) -> None:
        assert transaction.status is PartitionTransactionStatus.STARTED, transaction.status
        self._transaction = transaction
        self._partition = transaction._partition
        assert not self._partition.uses_ttl_stamps, (
            "values would be read with the engine's own stamps in front"
        )
        self._staged = transaction._update_cache
        self._updated: dict[bytes, dict[bytes, bytes]] = self._staged._updated[_CF]
        self._deleted: set[bytes] = self._staged._deleted[_CF]

    def get(self, kind: bytes, member_id: str, name: str = "") -> bytes | None:
        prefix = _prefix(kind, member_id)
        key = prefix + b"|" + name.encode()
        if key in self._deleted:
            return None
        staged = self._updated.get(prefix)
        if staged is not None and key in staged:
            return staged[key]
        # asked for each time: kept here it would keep the database open, and its lock, behind the partition's end
        found: bytes | None = self._partition.get_or_create_column_family(_CF).get(key)
        return found

    def put(self, kind: bytes, member_id: str, name: str, value: bytes) -> None:
        prefix = _prefix(kind, member_id)
        self._put(prefix, prefix + b"|" + name.encode(), checked(value))

    def delete(self, kind: bytes, member_id: str, name: str = "") -> None:
        prefix = _prefix(kind, member_id)
        self._delete(prefix, prefix + b"|" + name.encode())

    def of_member(self, kind: bytes, member_id: str) -> Iterator[tuple[str, bytes]]:
        prefix = _prefix(kind, member_id)
        found = self._range(prefix, prefix + b"|", prefix + _AFTER_BAR)
        return iter([(key.decode(), value) for key, value in found])

    def schedule(self, at_ms: int, member_id: str) -> None:
        self._put(_TIMERS, _timer(at_ms, member_id), _TIMER)

    def unschedule(self, at_ms: int, member_id: str) -> None:
        self._delete(_TIMERS, _timer(at_ms, member_id))

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str]]:
        upper = _TIMERS + b"|" + _instant(until_ms + 1)
        found = self._range(_TIMERS, _TIMERS + b"|", upper, limit)
        return [(int.from_bytes(key[:8], "big"), key[8:].decode()) for key, _ in found]

    def _put(self, prefix: bytes, key: bytes, value: bytes) -> None:
        self._updated[prefix][key] = value
        self._deleted.discard(key)
        self._staged._empty = False

    def _delete(self, prefix: bytes, key: bytes) -> None:
        self._updated[prefix].pop(key, None)
        self._deleted.add(key)
        self._staged._empty = False

    def _range(
        self, prefix: bytes, lower: bytes, upper: bytes, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """The first keys (less the prefix) and values in [lower, upper), what is staged taken into account."""
        deleted = self._deleted
        stored = self._partition.iter_items(lower, upper, cf_name=_CF)
        found = dict(islice(((key, value) for key, value in stored if key not in deleted), limit))
        for key, value in self._updated.get(prefix, {}).items():
            if lower <= key < upper:
                found[key] = value
        return sorted((key[len(prefix) + 1 :], value) for key, value in found.items())[:limit]


def _prefix(kind: bytes, member_id: str) -> bytes:
    return kind + b"|" + member_id.encode()


def _timer(at_ms: int, member_id: str) -> bytes:
    return _TIMERS + b"|" + _instant(at_ms) + member_id.encode()


def _instant(at_ms: int) -> bytes:
    return at_ms.to_bytes(8, "big")
