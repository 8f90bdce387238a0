"""What an order is worth: exact fractions, floored once an order, then shared out in whole points.

Everything here is a function of an order's lines, what of them is kept, the member's tier just before the order
and the programme version of its `placed_at`. Nothing remembers anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from pipelines.domain.facts import Order
from pipelines.domain.ledger import DerivedLine, Reason, Term, WhyNot
from pipelines.domain.programme import ProgrammeVersion, Stacking


class NetLine(NamedTuple):
    """An order line after every discount; `net_minor` is 0 when the line earns nothing."""

    line_id: str
    category: str
    quantity: int
    net_minor: int


class Rated(NamedTuple):
    """An order's whole points by component. `terms` are those with a chance to earn, BASE first."""

    total: int
    terms: tuple[Term, ...]
    why_not: tuple[WhyNot, ...]

    @property
    def base(self) -> int:
        return self.terms[0].points


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder, ties to the earlier; the parts sum to it.

    All zero when nothing weighs anything.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    return _give_out(parts, total - sum(parts), [total * weight % whole for weight in weights])


def _give_out(parts: list[int], left: int, remainders: Sequence[int]) -> list[int]:
    if left:
        for index in sorted(range(len(parts)), key=lambda i: -remainders[i])[:left]:
            parts[index] += 1
    return parts


def net_lines(order: Order) -> tuple[NetLine, ...]:
    """Each line's eligible amount: gross less its own discount, its share of the order's, and of paid points.

    The order discount is split over eligible lines only; it never makes a line negative.
    """
    after_own = [line.gross_minor - line.discount_minor if line.eligible else 0 for line in order.lines]
    net = _less(after_own, order.order_discount_minor)
    net = _less(net, order.paid_with_points_minor)
    return tuple(
        [
            NetLine(line.line_id, line.category, line.quantity, amount)
            for line, amount in zip(order.lines, net, strict=True)
        ]
    )


def _less(amounts: list[int], taken_minor: int) -> list[int]:
    if not taken_minor:
        return amounts
    parts = share(min(taken_minor, sum(amounts)), amounts)
    return [amount - part for amount, part in zip(amounts, parts, strict=True)]


_Weight = tuple[Reason, str, int]


@lru_cache(maxsize=16)
def rate(
    lines: tuple[NetLine, ...],
    kept: tuple[int, ...],
    currency: str,
    placed_at_ms: int,
    tier: int,
    version: ProgrammeVersion,
) -> Rated:
    """The points of an order of which `kept[i]` minor units of line i are kept, at the tier just before it.

    All components are whole numerators over one denominator; they are floored together, once. Remembered for as long
    as the order is at hand: its steps, its target and what is held of it ask for the same.
    """
    rate_ = version.rates[currency]
    scale = version.bonus_scale
    unit = scale if version.stacking is Stacking.ADDITIVE else scale * scale
    denominator = rate_.per_minor * unit
    spent = sum(kept) * rate_.points
    why_not: list[WhyNot] = []
    base: _Weight = (Reason.BASE, "base", spent * unit)
    campaigns = [
        (Reason.CAMPAIGN, campaign_id, minor * rate_.points * bonus * (unit // scale))
        for campaign_id, minor, bonus in _campaigns(lines, kept, placed_at_ms, version, why_not)
    ]
    raised = base[2] + (0 if unit == scale else sum(numerator for _, _, numerator in campaigns))
    weights = [
        base,
        *_tier_bonus(raised // scale, tier, version, why_not),
        *campaigns,
        *_thresholds(sum(kept), currency, placed_at_ms, denominator, version, why_not),
    ]
    return _floor_once(weights, denominator, tuple(why_not))


def _tier_bonus(raised: int, tier: int, version: ProgrammeVersion, why_not: list[WhyNot]) -> list[_Weight]:
    level = version.tiers[tier]
    if level.bonus:
        return [(Reason.TIER_BONUS, f"tier:{level.name}", raised * version.scaled(level.bonus))]
    why_not.append(WhyNot(f"tier:{level.name}", "NO_BONUS_AT_THIS_TIER"))
    return []


def _campaigns(
    lines: Sequence[NetLine],
    kept: Sequence[int],
    placed_at_ms: int,
    version: ProgrammeVersion,
    why_not: list[WhyNot],
) -> Iterator[tuple[str, int, int]]:
    """Each campaign that applies: its id, the minor units that it covers, its bonus in `bonus_scale`-ths."""
    for campaign in version.campaigns:
        if not campaign.covers(placed_at_ms):
            why_not.append(WhyNot(campaign.campaign_id, "OUTSIDE_ITS_TIME"))
        elif not (covered := sum(_covered(lines, kept, campaign.category))):
            why_not.append(WhyNot(campaign.campaign_id, "NO_LINE_OF_ITS_CATEGORY"))
        else:
            yield campaign.campaign_id, covered, version.scaled(campaign.bonus)


def _covered(lines: Sequence[NetLine], kept: Sequence[int], category: str | None) -> list[int]:
    return [k if category in (None, line.category) else 0 for k, line in zip(kept, lines, strict=True)]


def _thresholds(
    eligible_minor: int,
    currency: str,
    placed_at_ms: int,
    denominator: int,
    version: ProgrammeVersion,
    why_not: list[WhyNot],
) -> Iterator[_Weight]:
    for rule in version.thresholds:
        if not rule.covers(placed_at_ms):
            why_not.append(WhyNot(rule.bonus_id, "OUTSIDE_ITS_TIME"))
        elif rule.currency != currency:
            why_not.append(WhyNot(rule.bonus_id, "OTHER_CURRENCY"))
        elif eligible_minor < rule.from_minor:
            why_not.append(WhyNot(rule.bonus_id, "BELOW_ITS_AMOUNT"))
        else:
            yield Reason.THRESHOLD, rule.bonus_id, rule.points * denominator


def _floor_once(terms: list[tuple[Reason, str, int]], denominator: int, why_not: tuple[WhyNot, ...]) -> Rated:
    numerators = [numerator for _, _, numerator in terms]
    total = sum(numerators) // denominator
    points = [numerator // denominator for numerator in numerators]
    _give_out(points, total - sum(points), [numerator % denominator for numerator in numerators])
    return Rated(
        total,
        tuple([Term(r, rule, n, denominator, p) for (r, rule, n), p in zip(terms, points, strict=True)]),
        why_not,
    )


def derived_lines(
    lines: Sequence[NetLine], kept: Sequence[int], term: Term, version: ProgrammeVersion
) -> tuple[DerivedLine, ...]:
    """The lines' shares of one component's whole points, by what of each is kept and the component covers."""
    category = None
    if term.reason is Reason.CAMPAIGN:
        category = next(c.category for c in version.campaigns if c.campaign_id == term.rule_id)
    points = share(term.points, _covered(lines, kept, category))
    return tuple(
        [
            DerivedLine(line.line_id, line.net_minor, k, part)
            for line, k, part in zip(lines, kept, points, strict=True)
        ]
    )
