"""Members of a running brand, out of a seed: the same seed gives the same facts, byte for byte.

How active a member is follows a power law. Everything here is simulated, and event ids begin with `sim-`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random
from typing import Any, Final, NamedTuple

from pipelines.domain.facts import (
    CommandKind,
    Consent,
    Engagement,
    EngagementKind,
    EngagementStatus,
    Member,
    Order,
    OrderLine,
    OrderStatus,
    PointsCommand,
    Return,
    ReturnLine,
    ReturnStatus,
    Verification,
)
from pipelines.domain.programme import DAY_MS
from pipelines.feeds.arrivals import HOUR_MS, Arrival, Shares, arrivals, delayed, merged, one_instant_each

ARTICLES: Final = (
    ("trail", 160_00),
    ("road", 120_00),
    ("spike", 140_00),
    ("shirt", 45_00),
    ("tights", 75_00),
    ("socks", 20_00),
    ("jacket", 180_00),
)


SHOES: Final = frozenset({"trail", "road", "spike"})
TRAINING: Final = 0.01
"""The share of members who train for a marathon, if they have bought shoes."""
MERGED: Final = 0.02
"""The share of members who turn out to be the one before them."""


class Market(NamedTuple):
    """Where a member lives, and the money there; `scale` turns euro cents into its minor units."""

    market: str
    currency: str
    zone: str
    scale: int


class Change(NamedTuple):
    """Something about a member that is other from an instant on, and when that was learnt."""

    at_ms: int
    learnt_ms: int
    changed: dict[str, Any]


MARKETS: Final = (
    Market("CH", "CHF", "Europe/Zurich", 100),
    Market("DE", "EUR", "Europe/Berlin", 100),
    Market("GB", "GBP", "Europe/London", 90),
    Market("US", "USD", "America/Los_Angeles", 110),
    Market("JP", "JPY", "Asia/Tokyo", 160),
)


def facts(
    seed: int, members: int, days: int, start_ms: int, shares: Shares | None = None, first: int = 0
) -> Iterator[Arrival]:
    """All facts of `members`, from number `first` on, over `days` from `start_ms` on, in order of arrival."""
    chosen, numbers = shares or Shares(), range(first, first + members)
    return merged(_member_facts(seed, number, days, start_ms, chosen) for number in numbers)


def exactly(seed: int, members: int, count: int, start_ms: int) -> Iterator[Arrival]:
    """Exactly `count` facts, about 45 % orders, 7 % returns and 48 % engagements, for benchmarks."""
    days = max(30, count // members * 3)
    while True:
        made = list(facts(seed, members, days, start_ms))
        if len(made) >= count:
            return islice(iter(made), count)
        days *= 2


def _member_facts(seed: int, number: int, days: int, start_ms: int, shares: Shares) -> Iterator[Arrival]:
    rnd = Random(f"{seed}:{number}")
    member_id = f"m-{number:06d}"
    market = rnd.choices(MARKETS, (30, 30, 15, 15, 10))[0]
    end_ms = start_ms + days * DAY_MS
    joined = _member(member_id, market, start_ms, days, rnd)
    changes = [*_merges(joined, number, end_ms, rnd)]
    changes += _changes_of_mind(joined, end_ms, Random(f"{seed}:{number}:consents"))
    told: list[Any] = [*_versions(joined, changes)]
    orders_a_year = min(40.0, rnd.paretovariate(1.1) * 1.5)
    for n in range(_count(orders_a_year * days / 365, rnd)):
        told += _order(member_id, n, market, rnd.randrange(start_ms, end_ms), rnd)
    runs = orders_a_year * days / 365 * 2.1
    worn = [f"{f.order_id}:{f.lines[0].line_id}" for f in told if isinstance(f, Order) and f.version == 1]
    for n in range(_count(runs, rnd)):
        told += _run(member_id, n, market, rnd.randrange(start_ms, end_ms), worn, rnd)
    told += _training(member_id, market, told, end_ms, Random(f"{seed}:{number}:training"))
    if rnd.random() < 0.4:
        at_ms = rnd.randrange(start_ms, end_ms)
        told.append(_engagement(member_id, "profile", EngagementKind.PROFILE_COMPLETED, at_ms, market, None))
    for n in range(_count(orders_a_year * days / 365 * 0.2, rnd)):
        told += _commands(member_id, n, rnd.randrange(start_ms, end_ms), rnd)
    learnt = [_learnt_late(fact, rnd, shares) for fact in told]
    return arrivals(one_instant_each(learnt), rnd, shares)


def _learnt_late(fact: Any, rnd: Random, shares: Shares) -> Any:
    """The fact as its source learns it; what a member is or asks for is known at once."""
    if isinstance(fact, Member | PointsCommand):
        return fact
    return fact._replace(recorded_at_ms=delayed(fact.recorded_at_ms, rnd, shares))


def _count(expected: float, rnd: Random) -> int:
    """A whole number that is `expected` on average."""
    return int(expected) + (rnd.random() < expected % 1)


def _member(member_id: str, market: Market, start_ms: int, days: int, rnd: Random) -> Member:
    enrolled = start_ms - rnd.randrange(300 * DAY_MS)
    if rnd.random() < 0.2:
        enrolled = start_ms + rnd.randrange(days * DAY_MS)
    tells_birthday = rnd.random() < 0.6
    consents = (Consent("marketing", enrolled, None),) if rnd.random() < 0.7 else ()
    return Member(
        f"sim-{member_id}@1",
        member_id,
        enrolled,
        enrolled + rnd.randrange(1, 60_000),
        1,
        enrolled,
        market.market,
        market.zone,
        rnd.randint(1, 12) if tells_birthday else None,
        rnd.randint(1, 28) if tells_birthday else None,
        consents,
        None,
    )


def _merges(joined: Member, number: int, end_ms: int, rnd: Random) -> Iterator[Change]:
    """Some turn out to be the member before them, whose second card this is; and some of those were not, after all."""
    if not number or rnd.random() >= MERGED:
        return
    at_ms = rnd.randrange(joined.enrolled_at_ms, end_ms)
    learnt_ms = at_ms + rnd.randrange(1, 60_000)
    yield Change(at_ms, learnt_ms, {"merged_into": f"m-{number - 1:06d}"})
    if rnd.random() < 0.3:
        later_ms = learnt_ms + rnd.randrange(HOUR_MS, 40 * DAY_MS)
        yield Change(later_ms, later_ms, {"merged_into": None})


def _changes_of_mind(joined: Member, end_ms: int, rnd: Random) -> Iterator[Change]:
    """Some withdraw what they agreed to, and some of those agree again; some who were silent agree later."""
    at_ms = rnd.randrange(joined.enrolled_at_ms, end_ms)
    if not joined.consents:
        if rnd.random() < 0.2:
            yield _consent(at_ms, Consent("marketing", at_ms, None))
    elif rnd.random() < 0.15:
        yield _consent(at_ms, joined.consents[0]._replace(withdrawn_at_ms=at_ms))
        if rnd.random() < 0.3:
            again_ms = at_ms + rnd.randrange(DAY_MS, 60 * DAY_MS)
            yield _consent(again_ms, Consent("marketing", again_ms, at_ms))


def _consent(at_ms: int, consent: Consent) -> Change:
    return Change(at_ms, at_ms, {"consents": (consent,)})


def _versions(joined: Member, changes: Iterable[Change]) -> Iterator[Member]:
    """The member, as told at first and again whenever something has changed."""
    yield joined
    known = joined
    for change in sorted(changes, key=lambda change: change.learnt_ms):
        known = known._replace(
            event_id=f"sim-{joined.member_id}@{known.version + 1}",
            version=known.version + 1,
            occurred_at_ms=change.at_ms,
            recorded_at_ms=change.learnt_ms,
            **change.changed,
        )
        yield known


def _order(member_id: str, number: int, market: Market, at_ms: int, rnd: Random) -> Iterator[Any]:
    articles = rnd.choices(ARTICLES, k=rnd.choice((1, 1, 2, 2, 3, 5)))
    lines = tuple(
        OrderLine(
            str(n), f"{category}-{rnd.randrange(40)}", category, 1, cents * market.scale // 100, 0, True
        )
        for n, (category, cents) in enumerate(articles, 1)
    )
    if rnd.random() < 0.03:
        lines = (*lines, OrderLine("gift", "gift-card", "gift", 1, 50 * market.scale, 0, eligible=False))
    goods = sum(line.gross_minor for line in lines if line.eligible)
    order_id = f"{member_id}-o{number}"
    paid = Order(
        event_id=f"sim-{order_id}@1",
        member_id=member_id,
        occurred_at_ms=at_ms,
        recorded_at_ms=at_ms + rnd.randrange(500, 120_000),
        order_id=order_id,
        version=1,
        status=OrderStatus.PAID,
        placed_at_ms=at_ms,
        paid_at_ms=at_ms,
        delivered_at_ms=None,
        cancelled_at_ms=None,
        market=market.market,
        currency=market.currency,
        lines=lines,
        order_discount_minor=goods // 10 if rnd.random() < 0.25 else 0,
        paid_with_points_minor=goods // 20 if rnd.random() < 0.05 else 0,
        shipping_minor=995 * market.scale // 100,
        tax_minor=goods // 12,
    )
    yield paid
    if rnd.random() < 0.03:
        yield _next(paid, OrderStatus.CANCELLED, at_ms + rnd.randrange(HOUR_MS, DAY_MS), rnd)
        return
    delivered_ms = at_ms + rnd.randrange(DAY_MS, 6 * DAY_MS)
    yield _next(paid, OrderStatus.DELIVERED, delivered_ms, rnd)
    if rnd.random() < 0.16:
        yield from _return(paid, delivered_ms, rnd)
    if rnd.random() < 0.1:
        reviewed_ms = delivered_ms + rnd.randrange(20 * DAY_MS)
        kind = EngagementKind.REVIEW
        yield _engagement(member_id, f"v{number}", kind, reviewed_ms, market, lines[0].sku)


def _next(paid: Order, status: OrderStatus, at_ms: int, rnd: Random) -> Order:
    return paid._replace(
        event_id=f"sim-{paid.order_id}@2",
        version=2,
        status=status,
        occurred_at_ms=at_ms,
        recorded_at_ms=at_ms + rnd.randrange(500, 60_000),
        delivered_at_ms=at_ms if status is OrderStatus.DELIVERED else None,
        cancelled_at_ms=at_ms if status is OrderStatus.CANCELLED else None,
    )


def _return(order: Order, delivered_ms: int, rnd: Random) -> Iterator[Return]:
    line = rnd.choice([line for line in order.lines if line.eligible])
    asked_ms = delivered_ms + rnd.randrange(HOUR_MS, 30 * DAY_MS)
    settled_ms = asked_ms + rnd.randrange(DAY_MS, 9 * DAY_MS)
    requested = Return(
        f"sim-r-{order.order_id}@1",
        order.member_id,
        asked_ms,
        asked_ms + rnd.randrange(500, 60_000),
        f"r-{order.order_id}",
        order.order_id,
        1,
        ReturnStatus.REQUESTED,
        asked_ms,
        None,
        (ReturnLine(line.line_id, line.quantity, line.gross_minor),),
    )
    yield requested
    yield requested._replace(
        event_id=f"sim-r-{order.order_id}@2",
        version=2,
        status=ReturnStatus.REJECTED if rnd.random() < 0.08 else ReturnStatus.REFUNDED,
        occurred_at_ms=settled_ms,
        recorded_at_ms=settled_ms + rnd.randrange(500, 60_000),
        settled_at_ms=settled_ms,
    )


def _run(
    member_id: str, number: int, market: Market, at_ms: int, worn: list[str], rnd: Random
) -> Iterator[Engagement]:
    subject = rnd.choice(worn) if worn and rnd.random() < 0.6 else None
    run = _engagement(member_id, f"run{number}", EngagementKind.RUN, at_ms, market, subject)._replace(
        distance_m=max(400, int(rnd.gauss(8_000, 3_000))),
        duration_s=rnd.randrange(900, 9_000),
        verification=rnd.choices((Verification.GPS, Verification.DEVICE, Verification.MANUAL), (80, 12, 8))[
            0
        ],
    )
    yield run
    if rnd.random() < 0.05:
        deleted = rnd.random() < 0.4
        yield run._replace(
            event_id=f"sim-{member_id}-run{number}@2",
            version=2,
            status=EngagementStatus.DELETED if deleted else EngagementStatus.EDITED,
            recorded_at_ms=run.recorded_at_ms + rnd.randrange(HOUR_MS, 3 * DAY_MS),
            distance_m=max(400, (run.distance_m or 0) - rnd.randrange(3_000)),
        )


def _training(
    member_id: str, market: Market, told: list[Any], end_ms: int, rnd: Random
) -> Iterator[Engagement]:
    """A few train for a marathon in one pair of shoes, some 25 km a week."""
    if rnd.random() >= TRAINING:
        return
    orders = sorted(
        (f for f in told if isinstance(f, Order) and f.version == 1), key=lambda f: f.placed_at_ms
    )
    pairs = [(o, line) for o in orders for line in o.lines if line.category in SHOES]
    if not pairs:
        return
    order, line = pairs[0]
    at_ms, number = order.placed_at_ms + 7 * DAY_MS, 0
    while (at_ms := at_ms + rnd.randrange(2 * DAY_MS, 4 * DAY_MS)) < end_ms:
        number += 1
        run = _engagement(
            member_id, f"long{number}", EngagementKind.RUN, at_ms, market, f"{order.order_id}:{line.line_id}"
        )
        yield run._replace(
            distance_m=max(4_000, int(rnd.gauss(11_000, 3_000))), verification=Verification.GPS
        )


def _commands(member_id: str, number: int, at_ms: int, rnd: Random) -> Iterator[PointsCommand]:
    """A redemption, some cancelled; a reservation at the checkout that ends in each of its ways; or an agent's case."""
    name = f"{member_id}-c{number}"
    points = rnd.choice((50, 100, 250, 500, 1_000))
    later = at_ms + rnd.randrange(60_000, 50 * 60_000)
    match rnd.choices(
        ("redeem", "cancelled", "committed", "released", "forgotten", "agent"), (50, 10, 20, 8, 7, 5)
    )[0]:
        case "redeem":
            yield _command(name, member_id, CommandKind.REDEEM, at_ms, points)
        case "cancelled":
            yield _command(name, member_id, CommandKind.REDEEM, at_ms, points)
            days = rnd.randrange(DAY_MS, 20 * DAY_MS)
            yield _command(f"{name}-x", member_id, CommandKind.CANCEL_REDEMPTION, at_ms + days, 0, name)
        case "committed":
            yield _command(name, member_id, CommandKind.RESERVE, at_ms, points)
            yield _command(f"{name}-x", member_id, CommandKind.COMMIT, later, 0, name)
        case "released":
            yield _command(name, member_id, CommandKind.RESERVE, at_ms, points)
            yield _command(f"{name}-x", member_id, CommandKind.RELEASE, later, 0, name)
        case "forgotten":
            yield _command(name, member_id, CommandKind.RESERVE, at_ms, points)
        case _:
            given = _command(name, member_id, CommandKind.ADJUST, at_ms, rnd.choice((-100, 50, 200)))
            yield given._replace(actor="agent-7", reason="goodwill", ticket=f"T-{number}")


def _command(
    name: str, member_id: str, kind: CommandKind, at_ms: int, points: int, subject_id: str | None = None
) -> PointsCommand:
    return PointsCommand(
        f"sim-{name}", member_id, at_ms, at_ms + 800, name, kind, subject_id, points, None, None, None
    )


def _engagement(
    member_id: str, name: str, kind: EngagementKind, at_ms: int, market: Market, subject: str | None
) -> Engagement:
    return Engagement(
        f"sim-{member_id}-{name}@1",
        member_id,
        at_ms,
        at_ms + 20_000,
        f"{member_id}-{name}",
        1,
        kind,
        EngagementStatus.RECORDED,
        market.zone,
        None,
        None,
        Verification.NONE,
        subject,
    )
