"""When a member is told something: the programme's numbers for every kind of trigger and for the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class TriggerKind(StrEnum):
    """What a trigger is about."""

    TIER_REACHED = "TIER_REACHED"
    NEXT_TIER_NEAR = "NEXT_TIER_NEAR"
    TIER_LAPSING = "TIER_LAPSING"
    POINTS_ACTIVATED = "POINTS_ACTIVATED"
    POINTS_EXPIRING = "POINTS_EXPIRING"
    WIN_BACK_DUE = "WIN_BACK_DUE"
    REVIEW_DUE = "REVIEW_DUE"
    BIRTHDAY = "BIRTHDAY"
    STREAK_REACHED = "STREAK_REACHED"
    SHOE_WORN = "SHOE_WORN"


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording of an experiment; `weight` is its share among those who are not held out."""

    name: str
    weight: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """Who is held out: `holdout_bp` of ten thousand members, by a hash of the experiment and the member."""

    name: str
    holdout_bp: int
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, slots=True)
class KindRules:
    """How one kind is sent: for which purpose, on which channel, and for how long it may be."""

    purpose: str
    channel: str
    lives_hours: int
    experiment: Experiment | None = None


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` triggers within `days` calendar days of the member; of one kind, of one channel, or of all."""

    most: int
    days: int
    kind: TriggerKind | None = None
    channel: str | None = None

    def covers(self, kind: TriggerKind, channel: str) -> bool:
        """Whether such a trigger counts against it."""
        return self.kind in (None, kind) and self.channel in (None, channel)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the member's day in which nothing is sent; minutes since midnight, and it may span midnight."""

    from_minute: int
    to_minute: int


@dataclass(frozen=True, slots=True)
class TriggerRules:
    """A kind that is not in `kinds` is off; the order of kinds is that in which they pass a cap."""

    kinds: Mapping[TriggerKind, KindRules]
    caps: tuple[Cap, ...]
    quiet: Quiet | None
    near_points: int
    """NEXT_TIER_NEAR: so many points, or fewer, are missing."""
    lapsing_days: int
    """TIER_LAPSING: so long before the points that keep the tier are gone."""
    expiring_days: int
    expiring_points_min: int
    win_back_days: int
    review_days: int
    """REVIEW_DUE: so long after the delivery."""
    streak_weeks: tuple[int, ...]
    """STREAK_REACHED: so many weeks in a row with a run, ascending."""
    shoe_m: Mapping[str, int]
    """SHOE_WORN: the distance that a pair of each category lasts, in metres; other categories are no shoes."""
