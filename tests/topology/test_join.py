"""The join in the in-memory driver, over a real RocksDB partition: bytes in, bytes out, and what it sets aside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quixstreams.state.rocksdb import RocksDBStorePartition

from pipelines.failure import Failure
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares, with_ticks
from pipelines.programme_file import load_programme
from schemas import catalogue
from tests.support.driver import Driver
from tests.support.facts import DAY_MS, line, member, ms, order, refund
from tests.support.history import play

NOON = ms("2026-03-01T12:00:00Z")
SPOILT = Shares(late=0.05, too_late=0.01, duplicate=0.05, stale=0.05, out_of_order=0.05)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Any]:
    opened = RocksDBStorePartition(str(tmp_path / "db"))
    yield opened
    opened.close()


def test_bytes_in_bytes_out_are_what_the_rules_say(partition: Any) -> None:
    reference = load_programme(Path("reference"))
    arrivals = simulate.facts(5, 20, 200, ms("2026-01-01T00:00:00Z"), SPOILT)
    facts: list[Any] = [arrival.fact for arrival in with_ticks(arrivals, DAY_MS, 70 * DAY_MS)]
    driver = Driver(partition, reference)

    driver.play(facts)

    rules = play(facts, reference)
    encode = driver.codec.encode
    assert len(rules.ledger) > 200
    assert [v for _, v, _ in driver.on(catalogue.LEDGER)] == [encode(entry) for entry in rules.ledger]
    assert [v for _, v, _ in driver.on(catalogue.BALANCES)] == [encode(b) for b in rules.balances]
    assert [v for _, v, _ in driver.on(catalogue.TIERS)] == [encode(change) for change in rules.tiers]
    progress = driver.on(catalogue.TIER_PROGRESS)
    assert [v for _, v, _ in progress if v is not None] == [encode(p) for p in rules.progress]
    assert [k for k, v, _ in progress if v is None] == [gone.member_id.encode() for gone in rules.gone] != []
    assert len(driver.dead()) == len(rules.refusals) > 0


def test_a_result_has_its_members_key_and_the_time_of_its_cause(partition: Any) -> None:
    driver = Driver(partition, topic_prefix="t-")

    driver.play([member(NOON - DAY_MS), order("O1", NOON)])

    *_, (key, _, at_ms) = driver.on(catalogue.LEDGER)
    assert (key, at_ms) == (b"m-1", NOON)


def test_a_dead_letter_has_the_exact_bytes_and_where_they_were(partition: Any) -> None:
    driver = Driver(partition, topic_prefix="t-")
    driver.play([order("O0", NOON)])

    driver.pipe(catalogue.ORDERS, b"\xff", b"\x07nonsense", NOON, [("trace", b"\x00\x01"), ("empty", None)])

    (letter,) = driver.dead()
    assert letter == {
        "topic": "t-" + catalogue.ORDERS,
        "partition": 0,
        "offset": 1,
        "key": b"\xff",
        "value": b"\x07nonsense",
        "headers": [{"name": "trace", "value": b"\x00\x01"}, {"name": "empty", "value": None}],
        "recorded_at": NOON,
        "error_class": "BAD_MAGIC",
        "message": "the first byte is 7, not 0",
    }


def test_a_return_refused_when_its_order_comes_is_set_aside_as_it_came(partition: Any) -> None:
    driver = Driver(partition)
    early = refund("R1", "O1", NOON + DAY_MS, ("A", 9, 900_00))
    driver.pipe(catalogue.RETURNS, b"m-1", driver.codec.encode(early), NOON + DAY_MS, [("n", b"1")])
    assert driver.dead() == []

    driver.play([order("O1", NOON, line("A", 100_00))])

    (letter,) = driver.dead()
    assert letter["topic"] == catalogue.RETURNS
    assert letter["value"] == driver.codec.encode(early)
    assert letter["headers"] == [{"name": "n", "value": b"1"}]
    assert letter["error_class"] == "RETURN_EXCEEDS_ORDER"


def test_too_many_in_a_row_stop_the_worker_and_one_good_fact_begins_anew(partition: Any) -> None:
    driver = Driver(partition, dead_letters_in_a_row_max=3)
    for _ in range(2):
        driver.pipe(catalogue.ORDERS, b"m-1", b"", NOON)
    driver.play([order("O1", NOON)])
    for _ in range(2):
        driver.pipe(catalogue.ORDERS, b"m-1", b"", NOON)

    with pytest.raises(Failure, match="3 records in a row are dead letters, the last TRUNCATED"):
        driver.pipe(catalogue.ORDERS, b"m-1", b"", NOON)
