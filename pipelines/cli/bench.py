"""`loyalty bench`: how many facts a second one worker does, exactly once, and where its time goes."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.feed import progress
from pipelines.cli.options import AsJson
from pipelines.cli.run import worker_settings
from pipelines.domain.programme import DAY_MS
from pipelines.failure import Failure
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.feeds.producer import feed
from pipelines.local.endpoints import Endpoints, endpoints, home_dir
from pipelines.programme_file import load_programme
from pipelines.runtime.topic_admin import connect as connect_admin
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import PARTITIONS, topics
from pipelines.worker import run_worker
from schemas.registry import connect

START_MS = 1_704_067_200_000
"""1 January 2024: a benchmark's facts are the same on any day."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured; shares are of the worker's time, start-up and restore included in `seconds`."""

    facts: int
    members: int
    seconds: float
    facts_per_second: float
    cpu_seconds_per_million: float
    rss_mb: float
    shares: dict[str, float]


def register(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    facts: Annotated[int, typer.Option(help="How many facts.", min=1_000)] = 1_000_000,
    members: Annotated[int, typer.Option(help="How many members.", min=10)] = 50_000,
    seed: Annotated[int, typer.Option(help="Decides every fact.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure one worker, exactly once, on prefilled topics of the running stack.

    The share of time is by poll (waiting included), decode, rules, state, encode, produce and commit.
    """
    found = endpoints()
    prefix = f"bench-{token_hex(3)}-"
    partitions = ensure_topics(found.bootstrap_servers, PARTITIONS, prefix)
    state_dir = home_dir() / "bench"
    try:
        _in_a_process_of_its_own(_send, found, facts, members, seed, partitions, prefix)
        measured = _measure(prefix, state_dir, members)
    finally:
        forget(found.bootstrap_servers, prefix, state_dir)
    if as_json:
        print(json.dumps(asdict(measured)))
    else:
        _show(measured)


def _in_a_process_of_its_own(work: Callable[..., None], *arguments: object) -> None:
    """So that the memory measured afterwards is the worker's alone."""
    child = get_context("spawn").Process(target=work, args=arguments)
    child.start()
    child.join()
    if child.exitcode:
        raise Failure(f"the facts could not be sent (exit code {child.exitcode})", "see what it said above")


def _send(found: Endpoints, facts: int, members: int, seed: int, partitions: int, prefix: str) -> None:
    codec = connect(found.schema_registry_url, register=True)
    history = with_ticks(simulate.exactly(seed, members, facts, START_MS), DAY_MS, 70 * DAY_MS)
    with progress("sending facts") as bar:
        task = bar.add_task("sending facts", total=facts)
        feed(history, found.bootstrap_servers, codec, partitions, prefix, lambda n: bar.advance(task, n))


def _measure(prefix: str, state_dir: Path, members: int) -> Bench:
    before = resource.getrusage(resource.RUSAGE_SELF)
    programme = load_programme(Path("reference"))
    summary = run_worker(
        worker_settings("bench", state_dir, prefix), programme, until_caught_up=True, profiled=True
    )
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    parts = summary.profile.parts()
    total = summary.seconds * 1e9
    shares = {name: round(value / total, 3) for name, value in parts.items()}
    return Bench(
        summary.facts,
        members,
        round(summary.seconds, 1),
        round(summary.facts / summary.seconds, 1),
        round(cpu / summary.facts * 1e6, 1),
        round(after.ru_maxrss / 1024, 1),
        shares | {"engine": round(1 - sum(shares.values()), 3)},
    )


def forget(bootstrap: str, prefix: str, state_dir: Path) -> None:
    """Delete a measurement's topics and state."""
    admin = connect_admin(bootstrap)
    for future in admin.delete_topics([t.name for t in topics(prefix)], operation_timeout=30).values():
        future.result()
    shutil.rmtree(state_dir, ignore_errors=True)


def _show(measured: Bench) -> None:
    table = Table("one worker, exactly once", "")
    table.add_row("facts (ticks included)", f"{measured.facts:,}")
    table.add_row("seconds", f"{measured.seconds:,.1f}")
    table.add_row("facts/s", f"{measured.facts_per_second:,.0f}")
    table.add_row("CPU seconds per million facts", f"{measured.cpu_seconds_per_million:,.0f}")
    table.add_row("resident memory at most", f"{measured.rss_mb:,.0f} MB")
    for name, share in measured.shares.items():
        table.add_row(f"share of time: {name}", f"{share:.1%}")
    Console().print(table)
