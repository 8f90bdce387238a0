"""Simulated members: decided by the seed, spoiled as told, and never refused at the border."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from pipelines.domain.facts import Engagement, Member, Order, PointsCommand, Return, Tick
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Arrival, Shares, with_ticks
from pipelines.feeds.producer import checked
from tests.support.facts import DAY_MS, ms

START = ms("2025-01-01T00:00:00Z")
CLEAN = Shares(late=0, too_late=0, duplicate=0, stale=0, out_of_order=0)


def made(seed: int = 1, shares: Shares | None = None) -> list[Arrival]:
    return list(simulate.facts(seed, 60, 365, START, shares))


def test_the_seed_decides_every_fact() -> None:
    assert made() == made()
    assert made() != made(seed=2)


def test_more_members_do_not_change_those_there_were() -> None:
    fewer = list(simulate.facts(1, 59, 365, START))

    assert fewer == [a for a in made() if a.fact.member_id != "m-000059"]  # type: ignore[union-attr]


def test_arrivals_are_in_order_and_none_would_be_refused() -> None:
    arrivals = made()

    assert [a.at_ms for a in arrivals] == sorted(a.at_ms for a in arrivals)
    assert len(list(checked(arrivals))) == len(arrivals)
    assert {type(a.fact) for a in arrivals} == {Order, Return, Engagement, Member, PointsCommand}


def test_no_two_facts_of_a_member_share_an_instant() -> None:
    told = Counter((a.fact.member_id, a.fact.recorded_at_ms) for a in made(shares=CLEAN))  # type: ignore[union-attr]

    assert set(told.values()) == {1}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [(CLEAN, 0.0), (Shares(duplicate=0.2, late=0, too_late=0, stale=0), 0.2)],
)
def test_duplicates_come_as_often_as_told(shares: Shares, expected: float) -> None:
    arrivals = made(shares=shares)

    again = len(arrivals) - len({a.fact for a in arrivals})

    assert again / (len(arrivals) - again) == pytest.approx(expected, abs=0.03)


def test_late_orders_are_late_by_days() -> None:
    arrivals = made(shares=Shares(late=0.5, too_late=0, duplicate=0, stale=0))
    waits = [
        a.fact.recorded_at_ms - a.fact.occurred_at_ms
        for a in arrivals
        if isinstance(a.fact, Order) and a.fact.version == 1
    ]

    assert sum(wait >= DAY_MS for wait in waits) / len(waits) == pytest.approx(0.5, abs=0.1)


def test_some_agree_some_withdraw_some_agree_again_and_some_are_never_asked() -> None:
    lives: dict[str, list[Member]] = defaultdict(list)
    for arrival in simulate.facts(1, 1_000, 365, START, CLEAN):
        if isinstance(arrival.fact, Member):
            lives[arrival.fact.member_id].append(arrival.fact)
    told = {name: sorted(life, key=lambda fact: fact.version) for name, life in lives.items()}
    ways = Counter(
        "".join("+" if at_the_time(fact) else "-" for fact in life if changes_consent(fact, life))
        for life in told.values()
    )

    assert {way: round(count / 1_000, 1) for way, count in ways.items() if count >= 100} == {
        "+": 0.6,
        "-": 0.2,
    }
    assert {"+-", "+-+", "-+"} <= ways.keys()
    for life in told.values():
        assert [fact.version for fact in life] == list(range(1, len(life) + 1))
        assert [fact.recorded_at_ms for fact in life] == sorted(fact.recorded_at_ms for fact in life)


def at_the_time(fact: Member) -> bool:
    return any(
        c.granted_at_ms is not None and (c.withdrawn_at_ms or -1) < c.granted_at_ms for c in fact.consents
    )


def changes_consent(fact: Member, life: list[Member]) -> bool:
    return fact.version == 1 or fact.consents != life[fact.version - 2].consents


def test_a_few_wear_out_a_pair_of_shoes() -> None:
    worn: Counter[str] = Counter()
    for arrival in simulate.facts(1, 1_000, 365, START, CLEAN):
        if isinstance(arrival.fact, Engagement) and "-long" in arrival.fact.engagement_id:
            worn[arrival.fact.subject or ""] += arrival.fact.distance_m or 0

    assert 3 <= sum(metres > 600_000 for metres in worn.values()) <= len(worn) <= 15


@pytest.mark.parametrize("count", [1_000, 2_345])
def test_exactly_so_many(count: int) -> None:
    assert len(list(simulate.exactly(1, 50, count, START))) == count


def test_ticks_stand_before_what_they_precede_and_go_on_behind() -> None:
    arrivals = [Arrival(DAY_MS + 5, m.fact) for m in made()[:1]] + [Arrival(3 * DAY_MS, made()[1].fact)]

    told = list(with_ticks(arrivals, DAY_MS, 2 * DAY_MS))

    assert [a.at_ms // DAY_MS for a in told if isinstance(a.fact, Tick)] == [2, 3, 4, 5]
    assert [isinstance(a.fact, Tick) for a in told] == [False, True, True, False, True, True]
