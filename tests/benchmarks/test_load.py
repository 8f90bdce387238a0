"""The load's facts are what they say, and all pass the border."""

from __future__ import annotations

from collections import Counter

from benchmarks.load import a_week, enrolling, orders_of_one
from pipelines.domain.facts import Member, Order, Tick
from pipelines.domain.programme import DAY_MS
from pipelines.feeds.arrivals import Arrival
from pipelines.feeds.producer import checked
from tests.support.facts import ms

NOW_MS = ms("2026-03-01T00:00:00Z")


def passed(facts: object) -> list[object]:
    arrivals = [Arrival(0, fact) for fact in facts]  # type: ignore[attr-defined]
    return [arrival.fact for arrival in checked(arrivals)]


def test_a_week_has_its_facts_and_its_ticks_in_order_of_time() -> None:
    week = passed(a_week(NOW_MS - 7 * DAY_MS, 0.01, 500, 600_000))

    ticks = [fact.at_ms for fact in week if isinstance(fact, Tick)]
    assert len(ticks) == 7 * 24 * 6
    assert (ticks[0], ticks[-1]) == (NOW_MS - 7 * DAY_MS + 600_000, NOW_MS)
    assert len(week) - len(ticks) == 6_048
    times = [fact.at_ms if isinstance(fact, Tick) else fact.recorded_at_ms for fact in week]  # type: ignore[attr-defined]
    assert times == sorted(times)


def test_one_members_orders_end_now() -> None:
    facts = passed(orders_of_one(50, 60_000, NOW_MS))

    assert [type(fact) for fact in facts] == [Member, *[Order] * 50]
    assert {fact.member_id for fact in facts} == {"m-1"}  # type: ignore[attr-defined]
    placed = [fact.placed_at_ms for fact in facts if isinstance(fact, Order)]
    assert placed == list(range(NOW_MS - 49 * 60_000, NOW_MS + 1, 60_000))


def test_every_second_of_those_who_enrol_orders() -> None:
    facts = passed(enrolling(100))

    assert Counter(type(fact) for fact in facts) == {Member: 100, Order: 50}
    assert len({fact.member_id for fact in facts}) == 100  # type: ignore[attr-defined]
