"""The promise in numbers: effective-dated versions of the programme's rules.

The version that counts is the one in force when a fact happened (an order's `placed_at`), never the newest.
Intervals are half open. Fractions are exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from math import lcm

from pipelines.domain.facts import EngagementKind, Verification
from pipelines.domain.triggers.rules import TriggerRules

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Stacking(StrEnum):
    """How bonuses combine: `base x (1 + tier + campaign)`, or `base x (1 + tier) x (1 + campaign)`."""

    ADDITIVE = "additive"
    MULTIPLICATIVE = "multiplicative"


class Clawback(StrEnum):
    """Who bears what is to be taken back of a lot that was spent: the programme; the member as far as the balance goes;
    or the member, whose debt the next points repay."""

    OWN_ONLY = "own_only"
    WITHIN_BALANCE = "within_balance"
    ALLOW_NEGATIVE = "allow_negative"


class WindowKind(StrEnum):
    """Which qualifying points count together: the last months', a calendar year's, or a membership year's."""

    ROLLING = "rolling"
    CALENDAR_YEAR = "calendar_year"
    ANNIVERSARY = "anniversary"


class Rounding(StrEnum):
    """To the end of what a lot lives, once its months are over."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Expiry:
    """Points live for `months` after they became active, and on to the end of that day or month."""

    months: int
    end_of: Rounding


@dataclass(frozen=True, slots=True)
class Window:
    """Qualifying points count by days of the programme's zone; `months` is the length of a rolling window."""

    kind: WindowKind
    months: int = 12


@dataclass(frozen=True, slots=True)
class Downgrade:
    """A tier that the points no longer carry is lost after `grace_days`, at most so many `levels` at once."""

    grace_days: int
    levels: int


@dataclass(frozen=True, slots=True)
class Rate:
    """`points` for every `per_minor` minor units spent in `currency`."""

    currency: str
    points: int
    per_minor: int


@dataclass(frozen=True, slots=True)
class TierLevel:
    """A tier, reached with `threshold` qualifying points, that adds `bonus` of the base points."""

    name: str
    threshold: int
    bonus: Fraction


@dataclass(frozen=True, slots=True)
class Campaign:
    """Adds `bonus` of the base points on lines of `category` (any, when None) in [starts_at, ends_at)."""

    campaign_id: str
    bonus: Fraction
    category: str | None
    starts_at_ms: int
    ends_at_ms: int

    def covers(self, at_ms: int) -> bool:
        return self.starts_at_ms <= at_ms < self.ends_at_ms


@dataclass(frozen=True, slots=True)
class ThresholdBonus:
    """Adds `points` to an order that keeps at least `from_minor` of `currency` eligible, in [starts_at, ends_at)."""

    bonus_id: str
    points: int
    currency: str
    from_minor: int
    starts_at_ms: int
    ends_at_ms: int

    def covers(self, at_ms: int) -> bool:
        return self.starts_at_ms <= at_ms < self.ends_at_ms


@dataclass(frozen=True, slots=True)
class ActivityRule:
    """`points` for each whole `per_m` metres of a trusted activity, at most `cap_per_day` on its own local day."""

    rule_id: str
    kind: EngagementKind
    points: int
    per_m: int
    cap_per_day: int
    verifications: frozenset[Verification]


@dataclass(frozen=True, slots=True)
class OnceRule:
    """`points` once a subject (a review, once a product) or once a member (a completed profile)."""

    rule_id: str
    kind: EngagementKind
    points: int
    per_subject: bool


@dataclass(frozen=True, slots=True, eq=False)
class ProgrammeVersion:
    """The rules in force from `effective_from_ms` until the next version's.

    `pending_days` runs from delivery, `pending_latest_days` from the order; the earlier counts.
    Without `expiry` points never cease.
    """

    version: str
    effective_from_ms: int
    zone: str
    rates: Mapping[str, Rate]
    market_currency: Mapping[str, str]
    tiers: tuple[TierLevel, ...]
    stacking: Stacking
    campaigns: tuple[Campaign, ...]
    thresholds: tuple[ThresholdBonus, ...]
    activities: tuple[ActivityRule, ...]
    once: tuple[OnceRule, ...]
    welcome_points: int
    pending_days: int
    pending_latest_days: int
    expiry: Expiry | None
    clawback: Clawback
    reservation_minutes: int
    bonus_scale: int = field(init=False)

    def __post_init__(self) -> None:
        """Fix the smallest number that turns every bonus into a whole one, so that rating needs no fractions."""
        denominators = [t.bonus.denominator for t in self.tiers] + [
            c.bonus.denominator for c in self.campaigns
        ]
        object.__setattr__(self, "bonus_scale", lcm(*denominators))

    def scaled(self, bonus: Fraction) -> int:
        """`bonus` in `bonus_scale`-ths, exactly."""
        return bonus.numerator * (self.bonus_scale // bonus.denominator)


@dataclass(frozen=True, slots=True)
class Programme:
    """All versions, oldest first, and what must not change from one to the next.

    `lateness_days` bounds `recorded_at - occurred_at` of every fact; `return_days` is how long after `placed_at`
    an order can be returned. Without `downgrade` a tier is lost by returns only, never by time. `rewarded` has, of each
    kind of engagement that a version rewards, the first rule.
    """

    name: str
    lateness_days: int
    return_days: int
    window: Window
    downgrade: Downgrade | None
    versions: tuple[ProgrammeVersion, ...]
    triggers: TriggerRules | None = None
    successions_ms: tuple[int, ...] = field(init=False)
    tiers_ms: tuple[int, ...] = field(init=False)
    rewarded: Mapping[EngagementKind, ActivityRule | OnceRule] = field(init=False)

    def __post_init__(self) -> None:
        starts = [v.effective_from_ms for v in self.versions]
        assert starts, "a programme has a version"
        assert starts == sorted(set(starts)), starts
        assert len({v.zone for v in self.versions}) == 1, "days are days of one zone"
        changes = []
        for before, after in pairwise(self.versions):
            names = [tier.name for tier in after.tiers]
            assert names[: len(before.tiers)] == [tier.name for tier in before.tiers], names
            if [t.threshold for t in after.tiers] != [t.threshold for t in before.tiers]:
                changes.append(after.effective_from_ms)
        object.__setattr__(self, "successions_ms", tuple(starts[1:]))
        object.__setattr__(self, "tiers_ms", tuple(changes))
        rewarded: dict[EngagementKind, ActivityRule | OnceRule] = {}
        for version in self.versions:
            rules: list[ActivityRule | OnceRule] = [*version.activities, *version.once]
            for rule in rules:
                rewarded.setdefault(rule.kind, rule)
        object.__setattr__(self, "rewarded", rewarded)

    @property
    def zone(self) -> str:
        """The zone of the programme's days, the same in every version."""
        return self.versions[0].zone

    def next_tiers_ms(self, after_ms: int) -> int | None:
        """The next instant from which the tiers' thresholds are others, if it is known."""
        if not self.tiers_ms:
            return None
        place = bisect_right(self.tiers_ms, after_ms)
        return self.tiers_ms[place] if place < len(self.tiers_ms) else None

    def at(self, at_ms: int) -> ProgrammeVersion:
        """The version in force at `at_ms`; before the first version, the first."""
        return self.versions[bisect_right(self.successions_ms, at_ms)]
