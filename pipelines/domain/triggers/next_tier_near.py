"""The next tier is within reach: so few points are missing that one more order may do."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.ledger import TierProgress
from pipelines.domain.triggers.condition import Condition, Example, Figures, money
from pipelines.domain.triggers.favourite import favourite
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch

KIND = TriggerKind.NEXT_TIER_NEAR


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """Told with the points and the money that are missing, and by when they must come."""
    told = watch.progress
    if told is None or told.next_tier is None or told.to_next_points is None:
        return
    if told.qualifying_points and 0 < told.to_next_points <= rules.near_points:
        figures: Figures = (
            ("tier", told.tier),
            ("next_tier", told.next_tier),
            ("to_next_points", told.to_next_points),
            *money("to_next_minor", told.to_next_minor, told.currency),
            *favourite(watch),
        )
        yield Condition(told.next_tier, (), figures, told.next_by_ms)


def instants(watch: Watch, rules: TriggerRules) -> tuple[int, ...]:
    return ()


def _progress(qualifying: int, next_tier: str | None, missing: int | None) -> TierProgress:
    money = None if missing is None else missing * 100
    return TierProgress(
        "m",
        "CH",
        0,
        "Starter",
        0,
        None,
        qualifying,
        None,
        None,
        None,
        next_tier,
        missing,
        money,
        None,
        "CHF",
    )


EXAMPLES = (
    Example("80 missing", Watch("m", progress=_progress(420, "Pacer", 80)), "2026-03-01T00:00Z", ("Pacer",)),
    Example(
        "100 missing", Watch("m", progress=_progress(400, "Pacer", 100)), "2026-03-01T00:00Z", ("Pacer",)
    ),
    Example("101 missing", Watch("m", progress=_progress(399, "Pacer", 101)), "2026-03-01T00:00Z", ()),
    Example("at the top", Watch("m", progress=_progress(1_600, None, None)), "2026-03-01T00:00Z", ()),
    Example(
        "a market without money of its own",
        Watch("m", progress=_progress(420, "Pacer", 80)._replace(to_next_minor=None)),
        "2026-03-01T00:00Z",
        ("Pacer",),
    ),
    Example("no progress", Watch("m"), "2026-03-01T00:00Z", ()),
    Example("nothing yet", Watch("m", progress=_progress(0, "Pacer", 50)), "2026-03-01T00:00Z", ()),
)
