"""Facts in a few words. Instants are ISO 8601 text or milliseconds; a milestone follows from the status."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
    Tick,
    Verification,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
When = str | int


def ms(when: When) -> int:
    """Milliseconds of an ISO 8601 instant."""
    if isinstance(when, int):
        return when
    return round(datetime.fromisoformat(when).timestamp() * 1000)


def line(line_id: str, gross_minor: int, category: str = "road", **given: Any) -> OrderLine:
    values = {"quantity": 1, "discount_minor": 0, "eligible": True} | given
    return OrderLine(line_id, f"sku-{line_id}", category, gross_minor=gross_minor, **values)


def order(
    order_id: str,
    placed: When,
    *lines: OrderLine,
    version: int = 1,
    status: OrderStatus = OrderStatus.PAID,
    recorded: When | None = None,
    **given: Any,
) -> Order:
    placed_ms = ms(placed)
    milestones: dict[str, int | None] = {
        "paid_at_ms": None if status is OrderStatus.PLACED else placed_ms,
        "delivered_at_ms": None,
        "cancelled_at_ms": None,
    }
    values: dict[str, Any] = {
        "market": "CH",
        "currency": "EUR",
        "order_discount_minor": 0,
        "paid_with_points_minor": 0,
        "shipping_minor": 0,
        "tax_minor": 0,
    }
    values |= milestones | given
    occurred = values["cancelled_at_ms"] or values["delivered_at_ms"] or values["paid_at_ms"] or placed_ms
    return Order(
        event_id=f"e-{order_id}@{version}",
        member_id=values.pop("member_id", "m-1"),
        occurred_at_ms=values.pop("occurred_at_ms", occurred),
        recorded_at_ms=occurred if recorded is None else ms(recorded),
        order_id=order_id,
        version=version,
        status=status,
        placed_at_ms=placed_ms,
        lines=lines or (line("A", 100_00),),
        **values,
    )


def refund(
    return_id: str,
    order_id: str,
    at: When,
    *lines: tuple[str, int, int],
    version: int = 1,
    status: ReturnStatus = ReturnStatus.REFUNDED,
    recorded: When | None = None,
    requested: When | None = None,
) -> Return:
    at_ms = ms(at)
    settled = at_ms if status in (ReturnStatus.REFUNDED, ReturnStatus.REJECTED) else None
    return Return(
        event_id=f"e-{return_id}@{version}",
        member_id="m-1",
        occurred_at_ms=at_ms,
        recorded_at_ms=at_ms if recorded is None else ms(recorded),
        return_id=return_id,
        order_id=order_id,
        version=version,
        status=status,
        requested_at_ms=at_ms if requested is None else ms(requested),
        settled_at_ms=settled,
        lines=tuple(ReturnLine(*one) for one in lines),
    )


def engagement(
    engagement_id: str,
    kind: EngagementKind,
    at: When,
    *,
    version: int = 1,
    status: EngagementStatus = EngagementStatus.RECORDED,
    zone: str = "Europe/Zurich",
    distance_m: int | None = None,
    verification: Verification = Verification.GPS,
    subject: str | None = None,
    recorded: When | None = None,
) -> Engagement:
    return Engagement(
        f"e-{engagement_id}@{version}",
        "m-1",
        ms(at),
        ms(at) + 60_000 if recorded is None else ms(recorded),
        engagement_id,
        version,
        kind,
        status,
        zone,
        distance_m,
        None,
        verification,
        subject,
    )


def run(engagement_id: str, at: When, distance_m: int, **given: Any) -> Engagement:
    return engagement(engagement_id, EngagementKind.RUN, at, distance_m=distance_m, **given)


def member(enrolled: When, version: int = 1, recorded: When | None = None, **given: Any) -> Member:
    values: dict[str, Any] = {
        "market": "CH",
        "zone": "Europe/Zurich",
        "birthday_month": None,
        "birthday_day": None,
        "consents": (Consent("marketing", ms(enrolled), None),),
        "erased_at_ms": None,
    }
    at_ms = ms(enrolled) if recorded is None else ms(recorded)
    return Member(f"e-m@{version}", "m-1", at_ms, at_ms, version, ms(enrolled), **(values | given))


def command(command_id: str, kind: CommandKind, at: When, points: int = 0, **given: Any) -> PointsCommand:
    said = {"actor": "agent-1", "reason": "goodwill", "ticket": "T-1"} if kind is CommandKind.ADJUST else {}
    values: dict[str, Any] = {"actor": None, "reason": None, "ticket": None, "subject_id": None} | said
    return PointsCommand(
        given.pop("event_id", f"e-{command_id}"),
        given.pop("member_id", "m-1"),
        ms(at),
        ms(at),
        command_id,
        kind,
        points=points,
        **(values | given),
    )


def tick(at: When) -> Tick:
    return Tick(ms(at))
