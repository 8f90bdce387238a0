"""The liability join over real RocksDB partitions: what it tells at a commit, and to which partition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quixstreams.state.rocksdb import RocksDBStorePartition

from pipelines.domain.ledger import LedgerEntry
from pipelines.runtime import metrics
from pipelines.runtime.partition import partition_of
from pipelines.runtime.profile import Profile
from pipelines.runtime.settings import settings
from pipelines.topology import LiabilityJoin, Source
from schemas import catalogue
from schemas.codec import Codec, InvalidFact
from state.rocks import RocksStore
from tests.support.owed import FEBRUARY, Owed

PARTITIONS = 2
CODEC = Codec.offline()
HOME = {market: partition_of(market.encode(), PARTITIONS) for market in ("CH", "DE")}
Produced = tuple[str, bytes | None, bytes | None, int, int | None]


class Rolling:
    """One worker with both partitions, an open transaction each until `commit`."""

    def __init__(self, at: Path) -> None:
        chosen = settings(
            bootstrap_servers="none",
            schema_registry_url="none",
            state_dir=".",
            replica="w0",
            processor="liability",
            topic_prefix="t-",
        )
        self.partitions = [RocksDBStorePartition(str(at / str(n))) for n in range(PARTITIONS)]
        self.produced: list[Produced] = []
        self.join = LiabilityJoin(CODEC, chosen, self._produce, Profile(), PARTITIONS)
        self.open: dict[int, RocksStore] = {}
        self.offset = 0

    def _produce(
        self, topic: str, key: bytes | None, value: bytes | None, at_ms: int, partition: int | None = None, /
    ) -> None:
        self.produced.append((topic.removeprefix("t-"), key, value, at_ms, partition))

    def store(self, partition: int) -> RocksStore:
        if partition not in self.open:
            self.open[partition] = RocksStore(self.partitions[partition].begin())
        return self.open[partition]

    def pipe(self, topic: str, value: bytes | None, partition: int, key: bytes | None = None) -> None:
        self.offset += 1
        self.join(Source("t-" + topic, partition, self.offset, key, value, [], 5), self.store(partition))

    def count(self, entry: LedgerEntry) -> None:
        self.pipe(catalogue.LEDGER, CODEC.encode(entry), partition_of(entry.member_id.encode(), PARTITIONS))

    def commit(self) -> list[Produced]:
        """What is told by it."""
        self.produced.clear()
        self.join.tell(self.store)
        for store in self.open.values():
            store._transaction.prepare()
            store._transaction.flush()
        self.open.clear()
        return list(self.produced)

    def hand_round(self) -> list[Produced]:
        """Commit, and let what is told come in again; what is told of that."""
        for topic, key, value, _, partition in self.commit():
            assert topic == catalogue.LIABILITY_PARTS
            assert partition is not None
            self.pipe(topic, value, partition, key)
        return self.commit()


@pytest.fixture
def rolling(tmp_path: Path) -> Iterator[Rolling]:
    made = Rolling(tmp_path)
    yield made
    for partition in made.partitions:
        partition.close()


def body(produced: Produced) -> dict[str, Any]:
    return CODEC.body(produced[0], produced[2])


def test_nothing_is_told_before_the_commit_and_then_each_part_and_each_day_once(rolling: Rolling) -> None:
    for entry in FEBRUARY:
        rolling.count(entry)
    assert rolling.produced == []

    told = rolling.hand_round()

    assert [key for _, key, *_ in told] == [
        f"{market}|{day}".encode()
        for market in sorted(HOME, key=lambda one: (HOME[one], one))
        for day in ("2026-02-01", "2026-02-28", "2026-03-01")
        if (market, day) != ("DE", "2026-02-28")
    ]
    assert [body(one) for one in told] == [
        {name.removesuffix("_ms"): value for name, value in day._asdict().items()}
        for _, day in sorted(Owed().play(FEBRUARY).days().items(), key=lambda d: (HOME[d[0][0]], d[0]))
    ]
    assert rolling.commit() == []


def test_a_market_is_told_where_it_is_at_home_whoever_its_members_are(rolling: Rolling) -> None:
    for entry in FEBRUARY:
        rolling.count(entry)

    parts = rolling.commit()
    for topic, key, value, at_ms, partition in parts:
        assert body((topic, key, value, at_ms, partition))["recorded_at"] == at_ms
        assert partition == HOME[(key or b"")[:2].decode()]
    assert {(key or b"")[-2:] for _, key, *_ in parts} == {b"|0", b"|1"}
    for topic, key, value, _, partition in parts:
        rolling.pipe(topic, value, partition or 0, key)

    assert all(partition == HOME[body(one)["market"]] for one in rolling.commit() for *_, partition in [one])


def test_what_comes_again_is_counted_as_a_duplicate(rolling: Rolling) -> None:
    rolling.count(FEBRUARY[0])
    (part,) = rolling.commit()
    for _ in range(2):
        rolling.pipe(catalogue.LIABILITY_PARTS, part[2], HOME["CH"])

    counts = rolling.join.tally._counts
    assert counts[metrics.FACTS, catalogue.LIABILITY_PARTS, "APPLIED"] == 1
    assert counts[metrics.FACTS, catalogue.LIABILITY_PARTS, "DUPLICATE"] == 1


def test_an_entry_that_cannot_be_read_stops_the_worker(rolling: Rolling) -> None:
    with pytest.raises(InvalidFact):
        rolling.pipe(catalogue.LEDGER, b"nonsense", 0)
