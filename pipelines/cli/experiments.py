"""`loyalty experiments report`: what telling members did, against those who were held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.audit.books import Books
from pipelines.audit.gathering import gather
from pipelines.audit.rules import enter_rules
from pipelines.cli.options import AsJson, ProgrammeFile, TopicPrefix
from pipelines.cli.verify import cluster, reading
from pipelines.experiments.comparison import ALPHA, Comparison, Uplift, compare
from pipelines.experiments.outcomes import TOPICS, Experiment, experiments
from pipelines.experiments.words import METRICS, sentences
from pipelines.failure import Failure
from pipelines.topics import TRIGGERS, prefixed


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="What telling members did, against those who were held out.", no_args_is_help=True
    )
    group.callback()(lambda: None)
    group.command()(report)
    app.add_typer(group, name="experiments")


def report(
    programme: ProgrammeFile = Path("reference"),
    days: Annotated[int, typer.Option(help="Days from the crossing in which orders count.", min=1)] = 30,
    uplift: Annotated[
        float, typer.Option(help="Points of per cent: how many members would show so much?", min=0.01, max=99)
    ] = 2.0,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Compare each variant with the holdout: members who ordered, orders, and net spend, within so many days.

    Everybody counts under the arm that their hash assigns, from the instant of their first crossing, whether or not a
    cap or quiet hours then kept the message from them. The table says how sure each difference is.
    """
    found = _read(programme, days, topic_prefix)
    compared = [(one, compare(one.holdout, one.variants, uplift / 100)) for one in found]
    if as_json:
        typer.echo(json.dumps([_json(*each) for each in compared], indent=2))
        return
    console = Console(highlight=False)
    for experiment, comparison in compared:
        console.print(arms_table(experiment), uplifts_table(comparison))
        for sentence in sentences(experiment, comparison, uplift / 100):
            console.print(sentence)


def _read(programme: Path, days: int, topic_prefix: str | None) -> list[Experiment]:
    with Books() as books, reading(Console(stderr=True)) as advance:
        enter_rules(books, programme)
        if not books.count("SELECT count(*) FROM trigger_kind WHERE experiment IS NOT NULL"):
            what = f"the programme {programme} tries nothing: no kind of trigger has an `experiment`"
            raise Failure(what, "give the file that the triggers run with: --programme FILE")
        place = cluster(topic_prefix)
        group = prefixed(topic_prefix or "", TRIGGERS.group)
        gather(books, place.topics, place.schemas, place.names, group, advance, wanted=TOPICS)
        return experiments(books, days)


def arms_table(experiment: Experiment) -> Table:
    """Who is in each arm, and what they did."""
    table = Table(
        "arm",
        title=f"{experiment.name}: {', '.join(experiment.kinds)}, {experiment.days} days from the crossing",
    )
    for name in ("members", "sent", "ordered", "share", "orders a member", "net spend a member"):
        table.add_column(name, justify="right")
    for arm in (experiment.holdout, *experiment.variants):
        means = [f"{values.mean():.2f}" if arm.members else "–" for values in (arm.orders, arm.net)]
        share = f"{100 * arm.share:.1f} %" if arm.members else "–"
        table.add_row(arm.name, f"{arm.members:,}", f"{arm.sent:,}", f"{arm.ordered:,}", share, *means)
    return table


def uplifts_table(comparison: Comparison) -> Table:
    """Each variant's difference from the holdout, from and to, and how likely it is by luck."""
    table = Table("variant", "figure", title="More than those who were told nothing")
    for name in ("uplift", "from", "to", "p"):
        table.add_column(name, justify="right")
    for one in comparison.uplifts:
        shown = [METRICS[one.metric].show(value) for value in (one.difference, one.low, one.high)]
        table.add_row(one.variant, METRICS[one.metric].name, *shown, "–" if one.p is None else f"{one.p:.4f}")
    return table


def _json(experiment: Experiment, comparison: Comparison) -> dict[str, Any]:
    return {
        "experiment": experiment.name,
        "kinds": experiment.kinds,
        "days": experiment.days,
        "too_new": experiment.too_new,
        "certainty": 1 - ALPHA,
        "arms": [
            {
                "arm": arm.name,
                "weight": arm.weight,
                "members": arm.members,
                "sent": arm.sent,
                "ordered": arm.ordered,
                "orders": float(arm.orders.sum()),
                "net_spend": float(arm.net.sum()),
            }
            for arm in comparison.arms
        ],
        "uplifts": [_uplift(one) for one in comparison.uplifts],
        "sizes_p": comparison.sizes_p,
        "sizes_mismatched": comparison.mismatched,
        "uplift_seen_from": comparison.seen_from,
        "members_needed": comparison.needed,
    }


def _uplift(one: Uplift) -> dict[str, Any]:
    return {
        "variant": one.variant,
        "metric": one.metric,
        "holdout": one.holdout,
        "told": one.told,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "p": one.p,
        "verdict": one.verdict.value,
    }
