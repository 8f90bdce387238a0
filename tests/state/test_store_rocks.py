"""RocksDB keeps the store's promise, on a real partition of the engine: a change of its private ways shows here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quixstreams.state.rocksdb import RocksDBOptions, RocksDBStorePartition

from state.rocks import RocksStore
from tests.state.contract import A, B, StoreContract


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Any]:
    opened = RocksDBStorePartition(str(tmp_path / "db"))
    yield opened
    opened.close()


def commit(store: RocksStore) -> None:
    store._transaction.prepare()
    store._transaction.flush()


class TestRocksStore(StoreContract):
    @pytest.fixture
    def store(self, partition: Any) -> RocksStore:
        return RocksStore(partition.begin())


class TestRocksStoreOverWhatIsCommitted(StoreContract):
    """The same promise when other records, committed before, lie below the open transaction."""

    @pytest.fixture
    def store(self, partition: Any) -> RocksStore:
        before = RocksStore(partition.begin())
        before.put(b"o", "m-9", "O1", A)
        before.put(b"o", "m", "O1", A)
        before.schedule(100_000, "m-9")
        commit(before)
        return RocksStore(partition.begin())


def test_what_is_committed_is_there_in_the_next_transaction(partition: Any) -> None:
    store = RocksStore(partition.begin())
    store.put(b"o", "m-1", "O1", A)
    store.put(b"o", "m-1", "O2", A)
    store.schedule(100, "m-1")
    store.schedule(200, "m-1")
    commit(store)

    store = RocksStore(partition.begin())
    store.put(b"o", "m-1", "O2", B)
    store.put(b"o", "m-1", "O3", B)
    store.delete(b"o", "m-1", "O1")
    store.unschedule(100, "m-1")
    store.schedule(150, "m-2")

    assert list(store.of_member(b"o", "m-1")) == [("O2", B), ("O3", B)]
    assert store.due(200, 9) == [(150, "m-2"), (200, "m-1")]
    assert store.get(b"o", "m-1", "O1") is None


def test_what_is_not_committed_is_gone(partition: Any) -> None:
    RocksStore(partition.begin()).put(b"a", "m-1", "", A)

    assert RocksStore(partition.begin()).get(b"a", "m-1") is None


def test_a_transaction_that_is_over_takes_nothing_more(partition: Any) -> None:
    transaction = partition.begin()
    transaction.prepare()

    with pytest.raises(AssertionError, match="PREPARED"):
        RocksStore(transaction)


def test_a_store_that_outlives_its_partition_keeps_no_database_open(tmp_path: Path) -> None:
    """As one does that a failure's traceback holds: a database still open here cannot be opened by the next owner."""
    path = str(tmp_path / "db")
    first = RocksDBStorePartition(path)
    outlives = RocksStore(first.begin())
    outlives.put(b"o", "m", "O1", A)
    commit(outlives)
    assert outlives.get(b"o", "m", "O1") == A
    first.close()

    again = RocksDBStorePartition(path, RocksDBOptions(open_max_retries=0))

    assert RocksStore(again.begin()).get(b"o", "m", "O1") == A
    again.close()
