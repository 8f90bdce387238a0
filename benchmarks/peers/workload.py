"""The one work that all engines of the comparison do: seeded, and within the rules that a peer implements.

Orders 45 %, returns 7 %, engagements 48 %, before repetition. Members are drawn with a weight of rank^-skew. A share of
the engagements is recorded days late, and a share of all facts comes twice. Orders and returns come in order.
Orders are PAID, in EUR, without discounts, all within 20 days: nothing becomes active. Returns are REFUNDED at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.orders import paid_order
from pipelines.domain.facts import (
    Engagement,
    EngagementKind,
    EngagementStatus,
    Fact,
    Member,
    Order,
    OrderLine,
    Return,
    ReturnLine,
    ReturnStatus,
    Verification,
)
from pipelines.domain.programme import DAY_MS

START_MS: Final = 1_760_000_400_000
SPAN_MS: Final = 20 * DAY_MS
ENROLLED_MS: Final = START_MS - 30 * DAY_MS
ZONE: Final = "Europe/Zurich"
ORDERS: Final = 0.45
RETURNS: Final = 0.07
ARTICLES: Final = (("trail", 159_90), ("road", 119_95), ("shirt", 44_50), ("socks", 19_99))


@dataclass(frozen=True, slots=True)
class Workload:
    """What decides every fact. Shares are of 1; with `skew` 0 all members are alike, with 1 it is Zipf's own law."""

    facts: int
    members: int = 1_000_000
    seed: int = 1
    skew: float = 0.5
    late: float = 0.02
    duplicates: float = 0.01
    resting: int = 0
    """Orders that are placed after an order before it can come back."""

    def __post_init__(self) -> None:
        assert 0 <= self.skew < 1, self.skew


def facts(work: Workload) -> Iterator[Fact]:
    """The workload in order of arrival: first the members that occur, then `work.facts` facts."""
    measured = list(_measured(work))
    for member_id in sorted({fact.member_id for fact in measured}):
        yield enrolment(member_id, ENROLLED_MS)
    yield from measured


def _measured(work: Workload) -> Iterator[Fact]:
    rnd = Random(f"{work.seed}:peers")
    sold: list[Order] = []
    made = 0
    while made < work.facts:
        recorded_ms = START_MS + SPAN_MS * made // work.facts
        fact = next_fact(work, made, recorded_ms, sold, rnd)
        yield fact
        made += 1
        if made < work.facts and rnd.random() < work.duplicates:
            yield fact
            made += 1


def next_fact(work: Workload, number: int, at_ms: int, sold: list[Order], rnd: Random) -> Fact:
    """The fact of that number, recorded then; `sold` are the orders that can still come back."""
    chance = rnd.random()
    at_rest = len(sold) <= work.resting
    if chance < ORDERS or (chance < ORDERS + RETURNS and at_rest):
        order = some_order(number, drawn_member(work, rnd), at_ms, rnd)
        sold.append(order)
        return order
    if chance < ORDERS + RETURNS:
        last = len(sold) - work.resting - 1
        at = rnd.randrange(last + 1)
        sold[at], sold[last] = sold[last], sold[at]
        return _return(number, sold.pop(last), at_ms, rnd)
    late_ms = rnd.randrange(DAY_MS, 10 * DAY_MS) if rnd.random() < work.late else 0
    return _engagement(number, drawn_member(work, rnd), at_ms - late_ms, at_ms, rnd)


def member_name(number: int) -> str:
    return f"m-{number:07d}"


def drawn_member(work: Workload, rnd: Random) -> str:
    """The member of a rank that is drawn with the weight rank^-skew."""
    return member_name(int(work.members * rnd.random() ** (1 / (1 - work.skew))))


def enrolment(member_id: str, at_ms: int) -> Member:
    """Told a second after it."""
    told_ms = at_ms + 1_000
    return Member(
        f"{member_id}@1", member_id, at_ms, told_ms, 1, at_ms, "DE", ZONE, None, None, (), None
    )  # fmt: skip


def some_order(number: int, member_id: str, at_ms: int, rnd: Random) -> Order:
    """One to three articles."""
    articles = rnd.choices(ARTICLES, k=rnd.choice((1, 1, 2, 3)))
    lines = tuple(
        OrderLine(str(n), f"{category}-{rnd.randrange(40)}", category, 1, minor, 0, True)
        for n, (category, minor) in enumerate(articles, 1)
    )
    tax_minor = sum(line.gross_minor for line in lines) // 12
    ids = f"o{number}@1", f"o{number}"
    return paid_order(*ids, member_id, at_ms, lines, market="DE", shipping_minor=9_95, tax_minor=tax_minor)


def _return(number: int, order: Order, at_ms: int, rnd: Random) -> Return:
    line = rnd.choice(order.lines)
    given_back = (ReturnLine(line.line_id, line.quantity, line.gross_minor),)
    name = f"r{number}"
    return Return(
        f"{name}@1", order.member_id, at_ms, at_ms, name, order.order_id, 1, ReturnStatus.REFUNDED, at_ms, at_ms,
        given_back,
    )  # fmt: skip


def _engagement(number: int, member_id: str, at_ms: int, recorded_ms: int, rnd: Random) -> Engagement:
    name = f"e{number}"
    run = rnd.random() < 0.9
    checked = rnd.choices((Verification.GPS, Verification.DEVICE, Verification.MANUAL), (80, 12, 8))[0]
    return Engagement(
        f"{name}@1",
        member_id,
        at_ms,
        recorded_ms,
        name,
        1,
        EngagementKind.RUN if run else EngagementKind.REVIEW,
        EngagementStatus.RECORDED,
        ZONE,
        max(400, int(rnd.gauss(8_000, 3_000))) if run else None,
        rnd.randrange(900, 9_000) if run else None,
        checked if run else Verification.NONE,
        None if run else f"{rnd.choice(ARTICLES)[0]}-{rnd.randrange(40)}",
    )
