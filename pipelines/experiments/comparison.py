"""Uplift of each variant over the holdout, with its uncertainty. Numbers in, numbers out; no topic, no clock.

A share is compared by the chi-square test (Fisher's exact one where few are expected), its interval is Newcombe's from
two of Wilson's; means by Welch's. Several variants share the error: each is held to `ALPHA` over their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, hypot, isnan, sqrt
from typing import Final, NamedTuple

import numpy as np
import scipy  # loads a part of it where it is first named: `loyalty --help` waits for none
from numpy.typing import NDArray

ALPHA: Final = 0.05
POWER: Final = 0.8
MISMATCH: Final = 0.001
"""Arms whose sizes are less likely than this were not filled by the hash alone."""
FEW: Final = 5
Numbers = NDArray[np.float64]


class Arm(NamedTuple):
    """Members of one arm: how often each ordered, what they spent net of returns, and to how many it was sent."""

    name: str
    weight: float
    """The share of members that the hash assigns to it."""
    orders: Numbers
    net: Numbers
    sent: int = 0

    @property
    def members(self) -> int:
        return len(self.orders)

    @property
    def ordered(self) -> int:
        return int(np.count_nonzero(self.orders))

    @property
    def share(self) -> float:
        return self.ordered / self.members if self.members else 0.0


class Verdict(StrEnum):
    """What can be said of a difference."""

    MORE = "MORE"
    LESS = "LESS"
    NOT_SEEN = "NOT_SEEN"


@dataclass(frozen=True, slots=True)
class Uplift:
    """A variant's figure less the holdout's, from `low` to `high` with all variants' certainty together.

    `low`, `high` and `p` are None where there are too few members to say anything.
    """

    variant: str
    metric: str
    holdout: float
    told: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def difference(self) -> float:
        return self.told - self.holdout

    @property
    def verdict(self) -> Verdict:
        if self.low is not None and self.low > 0:
            return Verdict.MORE
        if self.high is not None and self.high < 0:
            return Verdict.LESS
        return Verdict.NOT_SEEN


@dataclass(frozen=True, slots=True)
class Comparison:
    """An experiment's arms, the holdout first, and every variant's uplift in every metric.

    `sizes_p` is the chance of arms as unequal as these if the hash alone fills them. `seen_from` is the least uplift of
    the share that so many members would show in `POWER` of all experiments, `needed` how many would have to cross, in
    all arms together, to show the uplift that was asked for; both None where they cannot be known.
    """

    arms: tuple[Arm, ...]
    uplifts: tuple[Uplift, ...]
    sizes_p: float | None
    seen_from: float | None
    needed: int | None

    @property
    def mismatched(self) -> bool:
        return self.sizes_p is not None and self.sizes_p < MISMATCH


def compare(holdout: Arm, variants: Sequence[Arm], wanted_uplift: float) -> Comparison:
    """Hold every variant against the holdout. `wanted_uplift` is a difference of shares: 0.02 is two points."""
    assert variants and wanted_uplift > 0
    arms = (holdout, *variants)
    certainty = 1 - ALPHA / len(variants)
    uplifts = tuple(
        measure(holdout, variant, certainty, len(variants))
        for variant in variants
        for measure in (_share, _orders, _net)
    )
    least = min(variants, key=lambda arm: arm.weight)
    return Comparison(
        arms,
        uplifts,
        sizes_p({arm.name: (arm.members, arm.weight) for arm in arms}),
        seen_from(holdout.share, holdout.members, min(arm.members for arm in variants), len(variants)),
        members_needed(holdout.share, wanted_uplift, holdout.weight, least.weight, len(variants)),
    )


def _share(holdout: Arm, variant: Arm, certainty: float, variants: int) -> Uplift:
    counts = (variant.ordered, variant.members), (holdout.ordered, holdout.members)
    low, high = (
        share_interval(*counts[0], *counts[1], certainty) if all(n for _, n in counts) else (None,) * 2
    )
    p = share_p(*counts[0], *counts[1])
    return Uplift(variant.name, "ordered", holdout.share, variant.share, low, high, _together(p, variants))


def _orders(holdout: Arm, variant: Arm, certainty: float, variants: int) -> Uplift:
    return _means(variant.name, "orders", holdout.orders, variant.orders, certainty, variants)


def _net(holdout: Arm, variant: Arm, certainty: float, variants: int) -> Uplift:
    return _means(variant.name, "net_spend", holdout.net, variant.net, certainty, variants)


def _means(
    name: str, metric: str, holdout: Numbers, told: Numbers, certainty: float, variants: int
) -> Uplift:
    held_mean, told_mean = (float(each.mean()) if len(each) else 0.0 for each in (holdout, told))
    if min(len(holdout), len(told)) < 2:
        return Uplift(name, metric, held_mean, told_mean, None, None, None)
    if not (np.ptp(holdout) or np.ptp(told)):
        return Uplift(name, metric, held_mean, told_mean, None, None, None)
    test = scipy.stats.ttest_ind(told, holdout, equal_var=False)
    interval = test.confidence_interval(certainty)
    p = _together(float(test.pvalue), variants)
    return Uplift(name, metric, held_mean, told_mean, float(interval.low), float(interval.high), p)


def _together(p: float | None, variants: int) -> float | None:
    """Bonferroni: the chance that any of so many variants shows so much by luck."""
    return None if p is None or isnan(p) else min(1.0, p * variants)


def share_p(told: int, of_told: int, held: int, of_held: int) -> float | None:
    """The chance of shares so different if there is no difference."""
    if not (of_told and of_held):
        return None
    table = np.array([[told, of_told - told], [held, of_held - held]])
    if not table.sum(axis=0).all():
        return 1.0
    expected = scipy.stats.contingency.expected_freq(table)
    if expected.min() < FEW:
        return float(scipy.stats.fisher_exact(table).pvalue)
    return float(scipy.stats.chi2_contingency(table, correction=False).pvalue)


def share_interval(told: int, of_told: int, held: int, of_held: int, certainty: float) -> tuple[float, float]:
    """Newcombe's interval of a difference of two shares: square and add the distances to Wilson's limits."""
    a, b = told / of_told, held / of_held
    ours = scipy.stats.binomtest(told, of_told).proportion_ci(certainty, method="wilson")
    theirs = scipy.stats.binomtest(held, of_held).proportion_ci(certainty, method="wilson")
    low = a - b - hypot(a - ours.low, theirs.high - b)
    high = a - b + hypot(ours.high - a, b - theirs.low)
    return float(low), float(high)


def sizes_p(arms: Mapping[str, tuple[int, float]]) -> float | None:
    """The chance of arms so unequal in size if each member falls into one by its weight (chi-square)."""
    members = sum(count for count, _ in arms.values())
    if not members or any(not weight for _, weight in arms.values()):
        return None
    found, expected = zip(*((count, weight * members) for count, weight in arms.values()), strict=True)
    return float(scipy.stats.chisquare(found, expected).pvalue)


def _reach(share: float, uplift: float, held: float, told: float, variants: int) -> float:
    """How large a difference must be to be seen in `POWER` of all experiments, when it is `uplift` (Fleiss).

    `held` and `told` are numbers of members; or their shares, for a reach times the root of all members.
    """
    then = share + uplift
    mean = (held * share + told * then) / (held + told)
    by_luck = sqrt(mean * (1 - mean) * (1 / held + 1 / told))
    indeed = sqrt(share * (1 - share) / held + then * (1 - then) / told)
    return float(
        scipy.stats.norm.ppf(1 - ALPHA / variants / 2) * by_luck + scipy.stats.norm.ppf(POWER) * indeed
    )


def seen_from(share: float, held: int, told: int, variants: int) -> float | None:
    """The least uplift of the share that so many members would usually show."""
    if not (held and told and 0 < share < 1) or _reach(share, 1 - share, held, told, variants) > 1 - share:
        return None
    return float(scipy.optimize.brentq(lambda u: u - _reach(share, u, held, told, variants), 0, 1 - share))


def members_needed(
    share: float, uplift: float, held_weight: float, told_weight: float, variants: int
) -> int | None:
    """How many members must cross, in all arms together, for an uplift of the share to be seen usually."""
    if not (held_weight and told_weight and share > 0 and share + uplift < 1):
        return None
    return ceil((_reach(share, uplift, held_weight, told_weight, variants) / uplift) ** 2)
