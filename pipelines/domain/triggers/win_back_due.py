"""The member has not ordered for a long time."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.programme import DAY_MS
from pipelines.domain.triggers.condition import Condition, Example, Figures
from pipelines.domain.triggers.favourite import favourite
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch, WatchedLine, WatchedOrder

KIND = TriggerKind.WIN_BACK_DUE


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """True from `win_back_days` after the last order that stands, until the next."""
    last = _last(watch)
    if last is not None and last.placed_at_ms + rules.win_back_days * DAY_MS <= at_ms:
        categories = ",".join(sorted({line.category for line in last.lines}))
        figures: Figures = (
            ("last_order_at_ms", last.placed_at_ms),
            ("categories", categories),
            *favourite(watch),
        )
        yield Condition("order", (last.event_id,), figures)


def _last(watch: Watch) -> WatchedOrder | None:
    standing = [order for order in watch.orders.values() if order.stands]
    return max(standing, key=lambda order: order.placed_at_ms, default=None)


def instants(watch: Watch, rules: TriggerRules) -> tuple[int, ...]:
    last = _last(watch)
    return () if last is None else (last.placed_at_ms + rules.win_back_days * DAY_MS,)


_LINES = (WatchedLine("A", "sku", "road", 1),)
_AT = 1_767_261_600_000  # 1 January 2026 10:00 UTC
_ORDERED = Watch("m", orders={"O1": WatchedOrder(1, "e", _AT, None, True, _LINES)})
_CANCELLED = Watch("m", orders={"O1": WatchedOrder(2, "e", _AT, None, False, _LINES)})
EXAMPLES = (
    Example("180 days", _ORDERED, "2026-06-30T10:00Z", ("order",)),
    Example("a second less", _ORDERED, "2026-06-30T09:59:59Z", ()),
    Example("never ordered", Watch("m"), "2026-06-30T10:00Z", ()),
    Example("only a cancelled order", _CANCELLED, "2026-06-30T10:00Z", ()),
)
