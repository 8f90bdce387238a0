"""`loyalty feed`: facts in, from real baskets, from a seed, or from a file."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.cli.options import AsJson, TopicPrefix
from pipelines.domain.programme import DAY_MS
from pipelines.feeds import completejourney, jsonl, simulate
from pipelines.feeds.arrivals import Arrival, Shares, with_ticks
from pipelines.feeds.producer import Fed, checked, feed
from pipelines.local.endpoints import endpoints
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import PARTITIONS
from schemas.codec import topic_of
from schemas.registry import connect

SETTLE_DAYS = 70
"""Ticks go on for so long behind the last fact, so that everything pending becomes active."""

USUAL = Shares()


def register(app: typer.Typer) -> None:
    app.command(name="feed")(feed_command)


def feed_command(
    source: Annotated[str, typer.Argument(help="completejourney, simulate, or a file of JSON lines.")],
    seed: Annotated[int, typer.Option(help="Decides all that is simulated.")] = 1,
    members: Annotated[int, typer.Option(help="simulate: how many members.", min=1)] = 1_000,
    days: Annotated[int, typer.Option(help="simulate: how many days.", min=1)] = 365,
    start: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="simulate: the first day, in UTC.")
    ] = datetime(2025, 1, 1),  # noqa: DTZ001
    late: Annotated[
        float,
        typer.Option(help="Share of facts (completejourney: of baskets) that come days late.", min=0, max=1),
    ] = USUAL.late,
    duplicate: Annotated[
        float, typer.Option(help="Share of facts that come twice.", min=0, max=1)
    ] = USUAL.duplicate,
    out_of_order: Annotated[
        float, typer.Option(help="Share of facts that come up to two hours before or behind.", min=0, max=1)
    ] = USUAL.out_of_order,
    households: Annotated[
        int | None, typer.Option(help="completejourney: only so many households.", min=1)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many facts.", min=1)] = None,
    ticks: Annotated[bool, typer.Option(help="Send the history's own clock, a tick a day.")] = True,
    partitions: Annotated[int, typer.Option(help="Of topics that do not exist yet.", min=1)] = PARTITIONS,
    topic_prefix: TopicPrefix = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count; send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send facts. The same seed gives the same facts: feeding twice is harmless, they are duplicates.

    completejourney is a year of real baskets; its returns, runs, reviews, enrolments and deliveries are simulated.
    """
    shares = Shares(late=late, duplicate=duplicate, out_of_order=out_of_order)
    arrivals = list(islice(choose(source, seed, members, days, start, households, shares), limit))
    history: Iterable[Arrival] = with_ticks(arrivals, DAY_MS, SETTLE_DAYS * DAY_MS) if ticks else arrivals
    if dry_run:
        fed = Fed(Counter(topic_of(arrival.fact) for arrival in checked(history)))
    else:
        found = endpoints()
        count = ensure_topics(found.bootstrap_servers, partitions, topic_prefix or "")
        codec = connect(found.schema_registry_url, register=True)
        with progress("sending facts") as bar:
            task = bar.add_task("sending facts", total=len(arrivals))
            fed = feed(
                history,
                found.bootstrap_servers,
                codec,
                count,
                topic_prefix or "",
                lambda sent: bar.advance(task, sent),
            )
    show(fed, source, as_json=as_json)


def choose(
    source: str, seed: int, members: int, days: int, start: datetime, households: int | None, shares: Shares
) -> Iterable[Arrival]:
    """The arrivals of a source."""
    if source == "completejourney":
        return completejourney.facts(seed, households, shares)
    if source == "simulate":
        start_ms = round(start.replace(tzinfo=UTC).timestamp() * 1000)
        return simulate.facts(seed, members, days, start_ms, shares)
    return jsonl.read(Path(source))


def progress(what: str) -> Progress:
    """A progress bar on standard error, when that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal or bool(os.environ.get("CI")))


def show(fed: Fed, source: str, *, as_json: bool) -> None:
    rate = fed.facts / fed.seconds if fed.seconds else 0.0
    if as_json:
        print(
            json.dumps({"source": source, "topics": fed.topics, "facts": fed.facts, "seconds": fed.seconds})
        )
        return
    table = Table("topic", "records", title=f"fed from {source}")
    for topic, count in sorted(fed.topics.items()):
        table.add_row(topic, f"{count:,}")
    Console().print(table)
    sent = (
        f"{fed.facts:,} facts sent in {fed.seconds:.1f} s ({rate:,.0f}/s)"
        if fed.seconds
        else "nothing was sent"
    )
    note = (
        " Returns, runs, reviews, profiles, enrolments and deliveries are simulated."
        if source == "completejourney"
        else ""
    )
    Console().print(sent + note)
