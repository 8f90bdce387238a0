"""A member's tier over time: qualifying points in a rolling window of days, up at once.

A standing is a fold over steps in the order of their instants. A step behind the frontier means that the fold
must be made again from the beginning; both ways give the same standing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.domain.calendar import local_day, months_later
from pipelines.domain.programme import ProgrammeVersion

Position = tuple[int, str, int]
"""Where a step stands in the fold: its instant, its order, its number within the order."""


class TierSpan(NamedTuple):
    """From `since_ms` on the tier is `tier`, reached with `qualifying_points`."""

    since_ms: int
    tier: int
    qualifying_points: int


@dataclass(slots=True)
class Standing:
    """`days` holds the window's qualifying points by the day (proleptic ordinal) of their order, oldest first."""

    tier: int = 0
    points: int = 0
    days: dict[int, int] = field(default_factory=dict)
    frontier: Position = (-(1 << 62), "", 0)
    spans: list[TierSpan] = field(default_factory=list)

    def join(self, at_ms: int) -> None:
        """Begin at the lowest tier."""
        self.spans.append(TierSpan(at_ms, 0, 0))

    def take(self, position: Position, earned_on: int, points: int, version: ProgrammeVersion) -> None:
        """Let `points`, earned on that day, count from `position` on; the tier rises at once when it may."""
        assert position > self.frontier, (position, self.frontier)
        self.frontier = position
        today = local_day(position[0], version.zone)
        self._drop_off(today, version.window_months)
        if months_later(earned_on, version.window_months) > today:
            self.days[earned_on] = self.days.get(earned_on, 0) + points
            self.points += points
        self._rise(position[0], version)

    def _drop_off(self, today: int, window_months: int) -> None:
        while self.days and months_later(day := next(iter(self.days)), window_months) <= today:
            self.points -= self.days.pop(day)

    def tier_at(self, at_ms: int) -> int:
        """The tier in force at that instant, as far as it is known."""
        return next((span.tier for span in reversed(self.spans) if span.since_ms <= at_ms), 0)

    def _rise(self, at_ms: int, version: ProgrammeVersion) -> None:
        risen = self.tier
        while risen + 1 < len(version.tiers) and self.points >= version.tiers[risen + 1].threshold:
            risen += 1
        if risen != self.tier:
            self.tier = risen
            self.spans.append(TierSpan(at_ms, risen, self.points))
