"""What was delivered has been worn for a while: a review would help others."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.programme import DAY_MS, HOUR_MS
from pipelines.domain.triggers.condition import Condition, Example, Figures
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch, WatchedLine, WatchedOrder, WatchedReturn

KIND = TriggerKind.REVIEW_DUE


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """Once an order, for what of it was delivered, not sent back and not reviewed."""
    for order_id, order in watch.orders.items():
        span = _span(order, rules)
        if span is None or not span[0] <= at_ms < span[1]:
            continue
        products = sorted({line.sku for line in watch.kept(order_id)} - watch.reviewed.keys())
        if products:
            figures: Figures = (
                ("order_id", order_id),
                ("products", ",".join(products)),
            )
            yield Condition(order_id, (order.event_id,), figures, span[1])


def _span(order: WatchedOrder, rules: TriggerRules) -> tuple[int, int] | None:
    kind = rules.kinds.get(KIND)
    if kind is None or order.delivered_at_ms is None:
        return None
    due_ms = order.delivered_at_ms + rules.review_days * DAY_MS
    return due_ms, due_ms + kind.lives_hours * HOUR_MS


def instants(watch: Watch, rules: TriggerRules) -> Iterator[int]:
    for order in watch.orders.values():
        yield from _span(order, rules) or ()


_LINES = (WatchedLine("A", "sku-A", "road", 1), WatchedLine("B", "sku-B", "socks", 2))
_ORDERS = {
    "O1": WatchedOrder(2, "e", 1_772_359_200_000, 1_772_359_200_000, True, _LINES)
}  # 1 March, 10:00 UTC
_BOTH_BACK = {"R1": WatchedReturn("O1", 1, True, (("A", 1), ("B", 2)))}
EXAMPLES = (
    Example("21 days", Watch("m", orders=_ORDERS), "2026-03-22T10:00Z", ("O1",)),
    Example("a second less", Watch("m", orders=_ORDERS), "2026-03-22T09:59:59Z", ()),
    Example(
        "one is reviewed", Watch("m", orders=_ORDERS, reviewed={"sku-A": 1}), "2026-03-22T10:00Z", ("O1",)
    ),
    Example(
        "both are reviewed",
        Watch("m", orders=_ORDERS, reviewed={"sku-A": 1, "sku-B": 1}),
        "2026-03-22T10:00Z",
        (),
    ),
    Example("all came back", Watch("m", orders=_ORDERS, returns=_BOTH_BACK), "2026-03-22T10:00Z", ()),
    Example("long ago", Watch("m", orders=_ORDERS), "2026-04-12T10:00Z", ()),
)
