"""A tier was reached: once a rise, and again only when it was lost in between."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.triggers.condition import Condition, Example
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Reached, Watch

KIND = TriggerKind.TIER_REACHED


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """True for as long as the member stands in a tier that was risen to."""
    reached = watch.reached
    if reached is not None and reached.change_id:
        figures = (("tier", reached.tier), ("from_tier", reached.from_tier or ""))
        yield Condition(reached.tier, (reached.change_id,), figures)


def instants(watch: Watch, rules: TriggerRules) -> tuple[int, ...]:
    return ()


EXAMPLES = (
    Example("risen", Watch("m", reached=Reached("Pacer", "c1", "Starter")), "2026-03-01T00:00Z", ("Pacer",)),
    Example("joined", Watch("m", reached=Reached("Starter", "", None)), "2026-03-01T00:00Z", ()),
    Example("fallen", Watch("m", reached=Reached("Pacer", "", "Elite")), "2026-03-01T00:00Z", ()),
    Example("nothing is known", Watch("m"), "2026-03-01T00:00Z", ()),
)
