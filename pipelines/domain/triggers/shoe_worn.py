"""A pair of shoes has gone its distance: the join of what was bought, kept and run."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.triggers.condition import Condition, Example, Figures
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch, WatchedLine, WatchedOrder, WatchedReturn

KIND = TriggerKind.SHOE_WORN


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """Per order line of a shoe, less what was sent back; two pairs of one line last twice as far."""
    for order_id, order in watch.orders.items():
        if not any(_gone(watch, rules, order_id, line) for line in order.lines):
            continue  # one pair has not gone its distance; what was sent back need not be looked for
        for line in watch.kept(order_id):
            name, lasts_m = f"{order_id}:{line.line_id}", rules.shoe_m.get(line.category)
            worn_m = watch.worn_m.get(name, 0)
            if lasts_m is not None and worn_m >= lasts_m * line.quantity:
                figures: Figures = (
                    ("order_id", order_id),
                    ("line_id", line.line_id),
                    ("sku", line.sku),
                    ("category", line.category),
                    ("worn_m", worn_m),
                    ("lasts_m", lasts_m * line.quantity),
                    ("left_m", max(0, lasts_m * line.quantity - worn_m)),
                )
                yield Condition(name, (order.event_id,), figures)


def _gone(watch: Watch, rules: TriggerRules, order_id: str, line: WatchedLine) -> bool:
    """Whether the line's runs would have worn out a single pair."""
    lasts_m = rules.shoe_m.get(line.category)
    return lasts_m is not None and watch.worn_m.get(f"{order_id}:{line.line_id}", 0) >= lasts_m


def instants(watch: Watch, rules: TriggerRules) -> tuple[int, ...]:
    return ()


def _shoe(category: str, quantity: int, worn_m: int, returned: int = 0) -> Watch:
    line = WatchedLine("A", "sku-A", category, quantity)
    returns = {"R1": WatchedReturn("O1", 1, True, (("A", returned),))} if returned else {}
    order = WatchedOrder(1, "e", 0, 0, True, (line,))
    return Watch("m", orders={"O1": order}, returns=returns, worn_m={"O1:A": worn_m})


EXAMPLES = (
    Example("600 km on the road", _shoe("road", 1, 600_000), "2026-03-01T00:00Z", ("O1:A",)),
    Example("a metre less", _shoe("road", 1, 599_999), "2026-03-01T00:00Z", ()),
    Example("500 km on the trail", _shoe("trail", 1, 500_000), "2026-03-01T00:00Z", ("O1:A",)),
    Example("two pairs", _shoe("road", 2, 1_199_999), "2026-03-01T00:00Z", ()),
    Example("one of two sent back", _shoe("road", 2, 600_000, 1), "2026-03-01T00:00Z", ("O1:A",)),
    Example("sent back", _shoe("road", 1, 600_000, 1), "2026-03-01T00:00Z", ()),
    Example("socks wear as they like", _shoe("socks", 1, 900_000), "2026-03-01T00:00Z", ()),
)
