"""A comparison in sentences, for those who write the messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pipelines.experiments.comparison import ALPHA, POWER, Comparison, Uplift, Verdict
from pipelines.experiments.outcomes import Experiment

ENOUGH: Final = 10
"""With fewer members in an arm nothing can be said."""


class Metric(NamedTuple):
    """How a figure is called, and how a difference of it is written."""

    name: str
    show: Callable[[float | None], str]


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f} points"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


METRICS: Final = {
    "ordered": Metric("members who ordered", _points),
    "orders": Metric("orders a member", _number),
    "net_spend": Metric("net spend a member", _number),
}


def sentences(experiment: Experiment, comparison: Comparison, wanted_uplift: float) -> Iterator[str]:
    """What can be said of the experiment, what cannot, and what it would take."""
    yield from _caveats(experiment, comparison)
    if min(arm.members for arm in comparison.arms) < ENOUGH:
        yield "Too few members have crossed to say anything yet."
    else:
        for one in comparison.uplifts:
            yield _said(one)
    yield from _outlook(comparison, wanted_uplift)
    yield (
        "Net spend is after discounts, points paid with and refunds, in what earns one base point. "
        "Everybody counts under the arm of their hash, sent or not."
    )


def _caveats(experiment: Experiment, comparison: Comparison) -> Iterator[str]:
    if not experiment.holdout.weight:
        yield "Nobody is held out, so there is nothing to compare with: give the experiment a `holdout_bp`."
    if comparison.mismatched:
        yield (
            "Do not trust these figures: the hash alone hardly fills arms of these sizes "
            f"(p = {comparison.sizes_p:.2g}). Something keeps members of one arm away, or the holdout was changed."
        )
    if experiment.too_new:
        yield f"{experiment.too_new:,} members crossed less than {experiment.days} days ago and do not count yet."


def _said(one: Uplift) -> str:
    metric = METRICS[one.metric]
    if one.low is None or one.high is None:
        return f"{one.variant}, {metric.name}: there is nothing to compare."
    span = f"between {metric.show(one.low)} and {metric.show(one.high)}, with {100 * (1 - ALPHA):.0f} % certainty"
    match one.verdict:
        case Verdict.MORE:
            return (
                f"{one.variant}, {metric.name}: telling brought more, {metric.show(one.difference)}; {span}."
            )
        case Verdict.LESS:
            return (
                f"{one.variant}, {metric.name}: telling brought less, {metric.show(one.difference)}; {span}."
            )
        case _:
            return f"{one.variant}, {metric.name}: no difference is seen; it may be anything {span}."


def _outlook(comparison: Comparison, wanted_uplift: float) -> Iterator[str]:
    often = f"{100 * POWER:.0f} of 100 such experiments"
    if comparison.seen_from is not None:
        least = _points(comparison.seen_from)
        yield f"With so many members {often} would show an uplift of {least} or more in who orders."
    if comparison.needed is not None:
        yield f"For {often} to show {_points(wanted_uplift)}, {comparison.needed:,} members would have to cross."
