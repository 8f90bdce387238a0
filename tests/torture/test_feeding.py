"""A hot member: half of all facts are theirs, each another order, none before the one before."""

from __future__ import annotations

from pipelines.domain.facts import Order, OrderStatus
from pipelines.feeds import simulate
from pipelines.torture.feeding import START_MS, orders_on


def an_order() -> Order:
    facts = (arrival.fact for arrival in simulate.facts(1, 20, 60, START_MS))
    return next(fact for fact in facts if isinstance(fact, Order) and fact.status is OrderStatus.DELIVERED)


def test_a_hot_member_orders_on_and_on_under_ids_of_their_own() -> None:
    order = an_order()
    orders = orders_on(order, "hot-1")

    made = [orders(START_MS) for _ in range(3)]

    assert {fact.member_id for fact in made} == {order.member_id}
    assert len({fact.order_id for fact in made} | {order.order_id}) == 4
    assert len({fact.event_id for fact in made}) == 3
    assert {(fact.status, fact.version, fact.delivered_at_ms) for fact in made} == {
        (OrderStatus.PAID, 1, None)
    }
    assert [fact.recorded_at_ms - START_MS for fact in made] == [0, 1, 2], "no two in one millisecond"


def test_a_member_who_is_hot_again_repeats_no_order() -> None:
    first, second = orders_on(an_order(), "hot-1"), orders_on(an_order(), "hot-2")

    assert first(START_MS).order_id != second(START_MS).order_id
