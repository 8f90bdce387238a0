"""The order of a benchmark: told once, paid when it is placed, not yet delivered."""

from __future__ import annotations

from pipelines.domain.facts import Order, OrderLine, OrderStatus


def paid_order(
    event_id: str,
    order_id: str,
    member_id: str,
    placed_at_ms: int,
    lines: tuple[OrderLine, ...],
    *,
    market: str,
    currency: str = "EUR",
    recorded_at_ms: int | None = None,
    shipping_minor: int = 0,
    tax_minor: int = 0,
) -> Order:
    """Without discounts; recorded as it is placed, unless a later instant is given."""
    return Order(
        event_id=event_id,
        member_id=member_id,
        occurred_at_ms=placed_at_ms,
        recorded_at_ms=placed_at_ms if recorded_at_ms is None else recorded_at_ms,
        order_id=order_id,
        version=1,
        status=OrderStatus.PAID,
        placed_at_ms=placed_at_ms,
        paid_at_ms=placed_at_ms,
        delivered_at_ms=None,
        cancelled_at_ms=None,
        market=market,
        currency=currency,
        lines=lines,
        order_discount_minor=0,
        paid_with_points_minor=0,
        shipping_minor=shipping_minor,
        tax_minor=tax_minor,
    )
