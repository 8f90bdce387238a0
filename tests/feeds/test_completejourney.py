"""The real baskets: all of them, the money as it was, and what is simulated labelled so."""

from __future__ import annotations

from functools import cache

from pipelines.domain.facts import EngagementKind, Order
from pipelines.feeds import completejourney
from pipelines.feeds.arrivals import Arrival
from pipelines.feeds.producer import checked


@cache
def some() -> tuple[Arrival, ...]:
    return tuple(completejourney.facts(seed=1, households=40))


def test_every_basket_of_the_source_is_read() -> None:
    baskets = completejourney.read_baskets()

    assert sum(len(of_household) for of_household in baskets.orders.values()) == 155_848
    assert len(baskets.orders) == 2_469


def test_the_seed_decides_what_is_simulated() -> None:
    assert tuple(completejourney.facts(seed=1, households=40)) == some()


def test_only_baskets_and_redemptions_are_real_and_the_rest_says_so() -> None:
    real = {
        type(a.fact) if isinstance(a.fact, Order) else a.fact.kind  # type: ignore[union-attr]
        for a in some()
        if not a.fact.event_id.startswith("sim-")  # type: ignore[union-attr]
    }

    assert real == {Order, EngagementKind.COUPON_REDEEMED}


def test_none_would_be_refused_and_all_are_in_order() -> None:
    assert len(list(checked(some()))) == len(some())
    assert [a.at_ms for a in some()] == sorted(a.at_ms for a in some())
