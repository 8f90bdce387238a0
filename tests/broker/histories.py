"""Histories for the real broker: some members, each with orders, returns and runs, by recorded time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.domain.facts import OrderStatus, Tick
from tests.support.facts import DAY_MS, HOUR_MS, line, member, ms, order, refund, run

START_MS = ms("2026-02-01T00:00:00Z")
END = Tick(START_MS + 120 * DAY_MS)


def history(members: int, orders: int) -> list[Any]:
    """`members` x (1 + 4 x `orders`) facts, no two of a member in one millisecond."""
    facts: list[Any] = []
    for number in range(members):
        member_id = f"m-{number}"
        facts.append(member(START_MS - DAY_MS)._replace(member_id=member_id, event_id=f"e-{member_id}"))
        for nth in range(orders):
            placed = START_MS + nth * DAY_MS + number * 61
            order_id = f"O{number}-{nth}"
            lines = (line("A", 99_95, "trail"), line("B", 49_90))
            facts += [
                order(order_id, placed, *lines, member_id=member_id),
                order(
                    order_id,
                    placed,
                    *lines,
                    member_id=member_id,
                    version=2,
                    status=OrderStatus.DELIVERED,
                    delivered_at_ms=placed + 2 * HOUR_MS,
                ),
                refund(f"R{number}-{nth}", order_id, placed + 5 * HOUR_MS, ("B", 1, 49_90))._replace(
                    member_id=member_id
                ),
                run(f"E{number}-{nth}", placed + 7 * HOUR_MS, 5_000)._replace(member_id=member_id),
            ]
    return sorted(facts, key=lambda fact: fact.recorded_at_ms)


def shares(facts: list[Any], number: int) -> Iterator[list[Any]]:
    """The facts in so many shares, member by member: each has something to tell, as no share of deliveries has."""
    by_member = sorted(facts, key=lambda fact: fact.member_id)
    size = len(facts) // number
    for nth in range(number):
        yield by_member[nth * size :][: size if nth < number - 1 else None]
