"""A member's tier over time: qualifying points in a window of days; up at once, down after grace.

A standing is a fold over *steps* (what orders do to the qualifying points) and over what time does by itself: days
leave the window, periods end, grace runs out, another version of the programme begins. At one instant time comes
before steps. A step behind the frontier means that the fold must be made again from the beginning; both ways give
the same standing.

Points are kept in *buckets*: by the day of their order in a rolling window, else by the period of that day. What
carries a tier is the sum of a rolling window; by periods it is the better of the last and the current one, so that a
tier reached in one period holds to the end of the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.domain.calendar import day_starts_ms, local_day, months_later, period_begins, period_ends
from pipelines.domain.ledger import TierChange
from pipelines.domain.programme import Programme, ProgrammeVersion, WindowKind

Position = tuple[int, str, int]
"""Where a step stands in the fold: its instant, its order, its number within the order. Time's own is (at, "", -1)."""


class TierSpan(NamedTuple):
    """From `since_ms` on the tier is `tier`; `until_ms` is when it ends without more points, where that is certain."""

    since_ms: int
    kind: TierChange
    tier: int
    qualifying_points: int
    until_ms: int | None


class Outlook(NamedTuple):
    """When the tier is lost if nothing more is earned, and what would prevent that, by when."""

    valid_until_ms: int | None = None
    to_keep_points: int | None = None
    keep_by_ms: int | None = None


@dataclass(slots=True)
class Standing:
    """`buckets` are oldest first; `period` is the current period's first day (0 in a rolling window).

    At risk, `risk_until_ms` is when grace ends; `grace_until_ms` remembers the end of the last grace, also once
    the risk is cleared: what cleared it may be returned.
    """

    tier: int = 0
    joined_on: int = 0
    period: int = 0
    buckets: dict[int, int] = field(default_factory=dict)
    risk_until_ms: int | None = None
    grace_until_ms: int | None = None
    frontier: Position = (-(1 << 62), "", 0)
    spans: list[TierSpan] = field(default_factory=list)

    def join(self, at_ms: int, programme: Programme) -> None:
        """Begin at the lowest tier."""
        self.joined_on = local_day(at_ms, programme.zone)
        self.period = self._period_of(self.joined_on, programme)
        self.frontier = (at_ms, "", -1)
        self._tell(at_ms, TierChange.JOINED, 0, programme)

    def qualifying(self, programme: Programme) -> int:
        """The qualifying points of the window, or of the current period."""
        if programme.window.kind is WindowKind.ROLLING:
            return sum(self.buckets.values())
        return self.buckets.get(self.period, 0)

    def _carrying(self, programme: Programme) -> int:
        if programme.window.kind is WindowKind.ROLLING:
            return sum(self.buckets.values())
        return max(self.buckets.values(), default=0)

    def tier_at(self, at_ms: int) -> int:
        """The tier in force at that instant, as far as it is known."""
        return next((span.tier for span in reversed(self.spans) if span.since_ms <= at_ms), 0)

    def since_ms(self) -> int:
        """Since when the tier is what it is now."""
        since = self.spans[-1].since_ms
        for span in reversed(self.spans):
            if span.tier != self.tier:
                break
            since = span.since_ms
        return since

    def take(self, position: Position, earned_on: int, points: int, programme: Programme) -> None:
        """Let `points`, earned on that day, count from `position` on. The tier rises at once; what a return takes, it
        loses at once."""
        at_ms = position[0]
        self.pass_time(at_ms, programme)
        assert position > self.frontier, (position, self.frontier)
        self.frontier = position
        version = programme.at(at_ms)
        before = self._carrying(programme)
        self._count(local_day(at_ms, programme.zone), earned_on, points, programme)
        if points < 0:
            self._fall(at_ms, before, version, programme)
        else:
            self._rise(at_ms, version, programme)

    def _count(self, today: int, earned_on: int, points: int, programme: Programme) -> None:
        window = programme.window
        if window.kind is WindowKind.ROLLING:
            bucket, counts = earned_on, months_later(earned_on, window.months) > today
        else:
            if not self.buckets:
                self.period = self._period_of(today, programme)
            bucket = self._period_of(earned_on, programme)
            counts = period_ends(bucket, self.joined_on, window) >= self.period
        if counts:
            self.buckets[bucket] = self.buckets.get(bucket, 0) + points
            if not self.buckets[bucket]:
                del self.buckets[bucket]

    def _period_of(self, day: int, programme: Programme) -> int:
        return period_begins(day, self.joined_on, programme.window)

    def next_time_ms(self, programme: Programme) -> int | None:
        """The next instant at which time alone may change the points or the tier."""
        if not self.spans:
            return None
        moves_ms = self.window_moves_ms(programme) if self.buckets or self.tier else None
        found = (programme.next_tiers_ms(self.frontier[0]), moves_ms, self.risk_until_ms)
        return min([at_ms for at_ms in found if at_ms is not None], default=None)

    def window_moves_ms(self, programme: Programme) -> int | None:
        """When the first points leave a rolling window, or the period ends."""
        window = programme.window
        if window.kind is not WindowKind.ROLLING:
            return day_starts_ms(period_ends(self.period, self.joined_on, window), programme.zone)
        if not self.buckets:
            return None
        return day_starts_ms(months_later(next(iter(self.buckets)), window.months), programme.zone)

    def pass_time(self, until_ms: int, programme: Programme) -> None:
        """Let happen what time does until then, that instant included, each thing at its own."""
        while (at_ms := self.next_time_ms(programme)) is not None and at_ms <= until_ms:
            self._tick(at_ms, programme)

    def _tick(self, at_ms: int, programme: Programme) -> None:
        version = programme.at(at_ms)
        moved = self._move_window(local_day(at_ms, programme.zone), programme)
        told = len(self.spans)
        self._rise(at_ms, version, programme)
        if self.risk_until_ms == at_ms:
            self._lapse(at_ms, version, programme)
        by_periods = programme.window.kind is not WindowKind.ROLLING
        if self._carrying(programme) < version.tiers[self.tier].threshold:
            if not by_periods or moved or programme.next_tiers_ms(at_ms - 1) == at_ms:
                self._risk(at_ms, programme)
        elif by_periods and moved and self.tier and told == len(self.spans):
            until_ms = day_starts_ms(
                period_ends(self.period, self.joined_on, programme.window), programme.zone
            )
            self._tell(at_ms, TierChange.PROLONGED, self.tier, programme, until_ms)
        self.frontier = (at_ms, "", -1)

    def _move_window(self, today: int, programme: Programme) -> bool:
        """Let what is out of the window go; whether a day has left it, or a period ended."""
        window = programme.window
        if window.kind is WindowKind.ROLLING:
            gone = [day for day in self.buckets if months_later(day, window.months) <= today]
            moved = bool(gone)
        else:
            moved = (begins := self._period_of(today, programme)) != self.period
            gone = [old for old in self.buckets if period_ends(old, self.joined_on, window) < begins]
            self.period = begins
        for bucket in gone:
            del self.buckets[bucket]
        return moved

    def _rise(self, at_ms: int, version: ProgrammeVersion, programme: Programme) -> None:
        """Up to the highest tier that the points reach; or out of risk."""
        carrying = self._carrying(programme)
        risen = self.tier
        while risen + 1 < len(version.tiers) and carrying >= version.tiers[risen + 1].threshold:
            risen += 1
        if risen != self.tier:
            self.risk_until_ms = self.grace_until_ms = None
            self._tell(at_ms, TierChange.UPGRADED, risen, programme)
        elif self.risk_until_ms is not None and carrying >= version.tiers[self.tier].threshold:
            self.risk_until_ms = None
            self._tell(at_ms, TierChange.RISK_CLEARED, self.tier, programme)

    def _fall(self, at_ms: int, before: int, version: ProgrammeVersion, programme: Programme) -> None:
        """What was returned carries no tier, and has no grace; but a grace that it had ended goes on."""
        carrying = self._carrying(programme)
        if not carrying < version.tiers[self.tier].threshold <= before:
            return
        if self.grace_until_ms is not None and at_ms < self.grace_until_ms:
            self.risk_until_ms = self.grace_until_ms
            self._tell(at_ms, TierChange.AT_RISK, self.tier, programme, self.risk_until_ms)
            return
        fallen = self.tier
        while carrying < version.tiers[fallen].threshold:
            fallen -= 1
        self._tell(at_ms, TierChange.DOWNGRADED, fallen, programme)

    def _risk(self, at_ms: int, programme: Programme) -> None:
        if programme.downgrade is None or self.risk_until_ms is not None:
            return
        ends_on = local_day(at_ms, programme.zone) + programme.downgrade.grace_days
        self.risk_until_ms = self.grace_until_ms = max(at_ms, day_starts_ms(ends_on, programme.zone))
        self._tell(at_ms, TierChange.AT_RISK, self.tier, programme, self.risk_until_ms)

    def _lapse(self, at_ms: int, version: ProgrammeVersion, programme: Programme) -> None:
        """Grace is over: down to where the points carry, but no more levels at once than the programme says."""
        self.risk_until_ms = self.grace_until_ms = None
        carrying = self._carrying(programme)
        levels = programme.downgrade.levels if programme.downgrade else 0
        fallen = self.tier
        while carrying < version.tiers[fallen].threshold and self.tier - fallen < levels:
            fallen -= 1
        self._tell(at_ms, TierChange.DOWNGRADED, fallen, programme)

    def _tell(
        self, at_ms: int, kind: TierChange, tier: int, programme: Programme, until_ms: int | None = None
    ) -> None:
        self.tier = tier
        self.spans.append(TierSpan(at_ms, kind, tier, self.qualifying(programme), until_ms))

    def outlook(self, at_ms: int, programme: Programme) -> Outlook:
        """What becomes of the tier if nothing more is earned, by what is known now."""
        downgrade, threshold = programme.downgrade, programme.at(at_ms).tiers[self.tier].threshold
        if not self.tier or downgrade is None:
            return Outlook()
        if self.risk_until_ms is not None:
            return Outlook(self.risk_until_ms, threshold - self.qualifying(programme), self.risk_until_ms)
        falls_on, missing = self._falls(threshold, programme)
        keep_by = falls_on
        if programme.window.kind is not WindowKind.ROLLING:
            keep_by = period_ends(self.period, self.joined_on, programme.window)
        return Outlook(
            day_starts_ms(falls_on + downgrade.grace_days, programme.zone),
            missing,
            day_starts_ms(keep_by, programme.zone),
        )

    def _falls(self, threshold: int, programme: Programme) -> tuple[int, int]:
        """The day on which points no longer carry the tier, and how many are missing when it is next looked at."""
        window = programme.window
        if window.kind is not WindowKind.ROLLING:
            missing = max(0, threshold - self.buckets.get(self.period, 0))
            ends = period_ends(self.period, self.joined_on, window)
            return ends if missing else period_ends(ends, self.joined_on, window), missing
        left, leaves_on = self._carrying(programme), 0
        for day, points in self.buckets.items():
            next_on = months_later(day, window.months)
            if next_on != leaves_on and left < threshold:
                break
            left, leaves_on = left - points, next_on
        return leaves_on, threshold - left
