"""The tier will be lost unless something is earned: told in good time, with how much and by when."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.ledger import TierProgress
from pipelines.domain.programme import DAY_MS
from pipelines.domain.triggers.condition import Condition, Example, Figures, money
from pipelines.domain.triggers.favourite import favourite
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch

KIND = TriggerKind.TIER_LAPSING


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """True from `lapsing_days` before the instant by which the missing points must be earned, until then."""
    told = watch.progress
    if told is None or told.keep_by_ms is None or not told.to_keep_points:
        return
    if told.keep_by_ms - rules.lapsing_days * DAY_MS <= at_ms < told.keep_by_ms:
        figures: Figures = (
            ("tier", told.tier),
            ("to_keep_points", told.to_keep_points),
            ("keep_by_ms", told.keep_by_ms),
            *money("to_keep_minor", told.to_keep_minor, told.currency),
            *favourite(watch),
        )
        yield Condition(told.tier, (), figures, told.keep_by_ms)


def instants(watch: Watch, rules: TriggerRules) -> tuple[int, ...]:
    told = watch.progress
    if told is None or told.keep_by_ms is None or not told.to_keep_points:
        return ()
    return told.keep_by_ms - rules.lapsing_days * DAY_MS, told.keep_by_ms


def _missing(points: int) -> TierProgress:
    by_ms = 1_773_097_200_000  # 10 March 2026 00:00 in Zurich
    return TierProgress(
        "m",
        "CH",
        0,
        "Elite",
        0,
        by_ms,
        1_800,
        points,
        points * 100,
        by_ms,
        None,
        None,
        None,
        None,
        "CHF",
    )


EXAMPLES = (
    Example("thirty days before", Watch("m", progress=_missing(600)), "2026-02-07T23:00Z", ("Elite",)),
    Example("a second earlier", Watch("m", progress=_missing(600)), "2026-02-07T22:59:59Z", ()),
    Example("nothing is missing", Watch("m", progress=_missing(0)), "2026-03-01T00:00Z", ()),
    Example("it is too late", Watch("m", progress=_missing(600)), "2026-03-09T23:00Z", ()),
    Example(
        "a market without money of its own",
        Watch("m", progress=_missing(600)._replace(to_keep_minor=None)),
        "2026-03-01T00:00Z",
        ("Elite",),
    ),
    Example("nothing is known", Watch("m"), "2026-03-01T00:00Z", ()),
)
