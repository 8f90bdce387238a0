"""So many weeks in a row with a run: told at each of the programme's milestones."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.calendar import day_starts_ms, local_week
from pipelines.domain.triggers.condition import Condition, Example
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch

KIND = TriggerKind.STREAK_REACHED


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """True while the streak holds; it is broken when a whole week, Monday to Sunday, has no run."""
    week = local_week(at_ms, watch.zone)
    last = week if week in watch.weeks else week - 1
    length = 0
    while last - length in watch.weeks:
        length += 1
    for milestone in rules.streak_weeks:
        if length >= milestone:
            yield Condition(str(milestone), (), (("weeks", milestone),))


def instants(watch: Watch, rules: TriggerRules) -> tuple[int, ...]:
    """The Monday after a week that has no run, when the week before that had one."""
    if not watch.weeks:
        return ()
    return (day_starts_ms((max(watch.weeks) + 2) * 7 + 1, watch.zone),)


_MONDAY = local_week(1_772_409_600_000, "UTC")  # the week of Monday, 2 March 2026
_FOUR = {_MONDAY - n: 1 for n in range(4)}
EXAMPLES = (
    Example("four weeks", Watch("m", weeks=_FOUR), "2026-03-02T08:00Z", ("4",)),
    Example("nothing yet this week", Watch("m", weeks=_FOUR), "2026-03-15T23:59Z", ("4",)),
    Example("a week without", Watch("m", weeks=_FOUR), "2026-03-16T00:00Z", ()),
    Example("a gap", Watch("m", weeks={_MONDAY - n: 1 for n in (0, 1, 3, 4)}), "2026-03-02T08:00Z", ()),
    Example("three weeks", Watch("m", weeks={_MONDAY - n: 1 for n in range(3)}), "2026-03-02T08:00Z", ()),
)
