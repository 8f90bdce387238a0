"""The triggers' join in the in-memory driver, over real RocksDB partitions: what it tells, and what it passes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quixstreams.state.rocksdb import RocksDBStorePartition

from pipelines.domain.facts import Tick
from pipelines.programme_file import load_programme
from pipelines.topology import Source
from schemas import catalogue
from schemas.codec import InvalidFact, topic_of
from state.rocks import RocksStore
from tests.support.driver import Driver
from tests.support.facts import line, member, order, run, tick

REFERENCE = load_programme(Path("reference"))
FACTS: list[Any] = [
    member("2026-01-01T00:00:00Z"),
    order("O1", "2026-03-02T10:00:00Z", line("A", 600_00, "trail")),
    run("E1", "2026-03-05T10:00:00Z", 500_000, subject="O1:A"),
]


class Watching:
    """Accounts and triggers, each over a partition of its own; what the accounts say is read by recorded time."""

    def __init__(self, at: Path) -> None:
        self.partitions = [RocksDBStorePartition(str(at / name)) for name in ("accounts", "triggers")]
        self.driver = Driver(self.partitions[0], REFERENCE, topic_prefix="t-")
        self.join = self.driver.watching(REFERENCE)

    def play(self, *facts: Any) -> None:
        for fact in facts:
            before = len(self.driver.produced)
            self.driver.play([fact])
            value = self.driver.codec.encode(fact)
            at_ms = fact.at_ms if isinstance(fact, Tick) else fact.recorded_at_ms
            key = None if isinstance(fact, Tick) else fact.member_id.encode()
            said = [(name.removeprefix("t-"), k, v, at) for name, k, v, at in self.driver.produced[before:]]
            for topic, *record in sorted([*said, (topic_of(fact), key, value, at_ms)], key=lambda r: r[3]):
                if topic in catalogue.WATCHED:
                    self.pipe(topic, *record)

    def pipe(self, topic: str, key: bytes | None, value: bytes | None, at_ms: int) -> None:
        store = RocksStore(self.partitions[1].begin())
        self.join(Source("t-" + topic, 0, 0, key, value, [], at_ms), store)
        store._transaction.prepare()
        store._transaction.flush()

    def told(self) -> list[str]:
        codec, found = self.driver.codec, []
        for topic in catalogue.TOLD:
            for key, value, at_ms in self.driver.on(topic):
                body = codec.body(topic, value)
                assert (key, at_ms) == (body["member_id"].encode(), body["recorded_at"])
                found.append(f"{body['kind']} {body.get('reason', 'SENT')}")
        return found


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    made = Watching(tmp_path)
    yield made
    for partition in made.partitions:
        partition.close()


def test_facts_and_what_the_accounts_say_of_them_become_what_a_member_is_told(watching: Watching) -> None:
    watching.play(*FACTS, tick("2026-09-01T00:00:00Z"))

    assert watching.told() == [
        "TIER_REACHED SENT",
        "SHOE_WORN SENT",
        "POINTS_ACTIVATED SENT",
        "WIN_BACK_DUE SENT",
    ]


def test_what_is_no_fact_is_passed_over_for_the_accounts_have_set_it_aside(watching: Watching) -> None:
    watching.pipe(catalogue.ORDERS, b"m-1", b"nonsense", 5)
    watching.pipe(catalogue.ORDERS, None, None, 5)

    assert watching.told() == []


def test_a_result_of_the_accounts_that_cannot_be_read_stops_the_worker(watching: Watching) -> None:
    with pytest.raises(InvalidFact):
        watching.pipe(catalogue.LEDGER, b"m-1", b"nonsense", 5)


def test_a_removed_progress_is_no_longer_looked_at(watching: Watching) -> None:
    merged = member("2026-01-01T00:00:00Z", version=2, recorded="2026-03-06T10:00:00Z")._replace(
        merged_into="m-2", event_id="e2"
    )

    watching.play(*FACTS, merged, tick("2026-09-01T00:00:00Z"))

    assert watching.told() == ["TIER_REACHED SENT", "SHOE_WORN SENT", "SHOE_WORN WITHDRAWN"]
