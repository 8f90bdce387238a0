"""`loyalty demo`: a year of real baskets through real Kafka, into points, and the proof that they are right."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.audit.digest import ledger_digest
from pipelines.cli.feed import SETTLE_DAYS, progress
from pipelines.cli.options import AsJson, TopicPrefix
from pipelines.cli.run import worker_settings
from pipelines.cli.verify import audit, cluster, print_tables
from pipelines.domain.programme import DAY_MS
from pipelines.failure import Failure
from pipelines.feeds import completejourney
from pipelines.feeds.arrivals import with_ticks
from pipelines.feeds.producer import feed
from pipelines.local import stack
from pipelines.local.endpoints import Endpoints, home_dir
from pipelines.report.report import write_report
from pipelines.report.summary import Source, print_summary, summary
from pipelines.report.tables import books_of
from pipelines.runtime.settings import Settings
from pipelines.runtime.signals import told_by_signals
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import ACCOUNTS, PARTITIONS, prefixed
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.running import settings_of
from pipelines.warehouse.sink import SinkSummary, write_topics
from pipelines.worker import Fleet, backlog
from schemas import catalogue
from schemas.registry import connect

PROGRAMME = Path("demo")
SUITS_A_YEAR = {"partition_by": "month", "commit_interval_ms": 60_000}
"""Of the warehouse, unless set otherwise: of a year read at once, a commit by days makes 365 files, by months 12."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo did, for a script."""

    facts: int
    feed_seconds: float
    run_seconds: float
    facts_per_second: float
    kills: int
    clean: bool
    warehouse_rows: int
    warehouse_seconds: float
    entries: int
    ledger_digest: str
    figures: dict[str, int]
    report: str


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    households: Annotated[
        int | None, typer.Option(help="Only so many households; all 2,469 by default.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=PARTITIONS)] = 2,
    kills: Annotated[
        int, typer.Option(help="Kill -9 a worker so often on the way, and start it again.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Decides all that is simulated.")] = 1,
    topic_prefix: TopicPrefix = None,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("report/loyalty.html"),
    as_json: AsJson = False,
) -> None:
    """Replay a year of a grocer's real baskets, print what happened, and verify it.

    Starts the stack, feeds all facts (2017, with returns, runs and enrolments simulated from the seed), runs the
    workers until they have caught up, writes everything into the warehouse, audits the ledger, and draws a report from
    the warehouse's tables, which `loyalty warehouse query` then answers from. Again on the same data: everything is a
    duplicate, and nothing changes.
    """
    console = Console(stderr=True, highlight=False)
    with console.status("starting Kafka and the schema registry"):
        found = stack.up(home_dir())
    prefix = topic_prefix or ""
    partitions = ensure_topics(found.bootstrap_servers, PARTITIONS, prefix)
    codec = connect(found.schema_registry_url, register=True)
    with console.status("reading a year of baskets"):
        arrivals = list(completejourney.facts(seed, households))
    with progress("sending facts") as bar:
        task = bar.add_task("sending facts", total=len(arrivals))
        history = with_ticks(arrivals, DAY_MS, SETTLE_DAYS * DAY_MS)
        fed = feed(
            history, found.bootstrap_servers, codec, partitions, prefix, lambda n: bar.advance(task, n)
        )
    console.print(f"fed {fed.facts:,} facts in {fed.seconds:.0f} s")
    chosen = worker_settings("worker-0", None, topic_prefix)
    seconds = _run_workers(chosen, topic_prefix, workers, kills, console)
    lake, written = _fill_warehouse(found, prefix)
    console.print(f"{written.rows:,} rows into the warehouse in {written.seconds:.0f} s")
    place = cluster(topic_prefix)
    entries, digest = ledger_digest(place.topics, prefixed(prefix, catalogue.LEDGER))
    head = {
        "facts": f"{fed.facts:,}",
        "facts/s, exactly once": f"{fed.facts / seconds:,.0f}" if seconds else "-",
        "ledger entries": f"{entries:,}",
        "workers killed": str(kills),
    }
    found_out = audit(place, prefixed(prefix, ACCOUNTS.group), PROGRAMME, False, console)
    with console.status("drawing the report"), books_of(lake, PROGRAMME, prefix) as books:
        told = summary(books, facts_per_second=fed.facts / seconds if seconds else None, seconds=seconds)
        write_report(books, head, report, told, found_out.findings, Source.WAREHOUSE)
    if told.ledger_entries != entries:
        what = f"the warehouse has {told.ledger_entries:,} ledger entries, the topic {entries:,}"
        raise Failure(what, "run `loyalty warehouse verify`: it names the partitions and offsets")
    if not as_json:
        print_summary(told, Console(highlight=False))
    done = Demo(
        fed.facts,
        round(fed.seconds, 1),
        round(seconds, 1),
        round(fed.facts / seconds, 1) if seconds else 0.0,
        kills,
        found_out.clean,
        written.rows,
        round(written.seconds, 1),
        entries,
        digest,
        found_out.figures,
        str(report),
    )
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        print_tables(found_out, Console(highlight=False))
        _print(done, Console(highlight=False))
    if not found_out.clean:
        raise typer.Exit(1)


def _run_workers(
    chosen: Settings, topic_prefix: str | None, workers: int, kills: int, console: Console
) -> float:
    """Run until all is committed; kill a worker at equal parts of the way. Seconds from start to the end."""
    command = ["run", "accounts", "--programme", str(PROGRAMME)]
    command += ["--topic-prefix", topic_prefix] if topic_prefix else []
    behind = backlog(chosen)
    total = behind.total()
    marks = [total * (kills - n) // (kills + 1) for n in range(kills)]
    started = time.monotonic()
    with (
        told_by_signals() as told,
        Fleet(command, [f"worker-{n}" for n in range(workers)]) as fleet,
        progress("processing") as bar,
    ):
        task = bar.add_task("processing", total=total)
        while (left := behind.total()) > 0:
            bar.update(task, completed=total - left)
            if told.is_set():
                raise Failure("interrupted", "run the demo again: it goes on where it stopped")
            if marks and left <= marks[0]:
                victim = fleet.kill(len(marks) % workers)
                console.print(f"killed {victim} with {left:,} records to go; starting it again")
                marks.pop(0)
            fleet.check()
            time.sleep(0.5)
    return time.monotonic() - started


def _fill_warehouse(found: Endpoints, prefix: str) -> tuple[Lake, SinkSummary]:
    """All that is on the topics, as tables beside the stack's data."""
    given = settings_of(home_dir(), prefix)
    chosen = given.model_copy(
        update={n: v for n, v in SUITS_A_YEAR.items() if n not in given.model_fields_set}
    )
    lake = Lake(chosen)
    with told_by_signals() as told, progress("into the warehouse") as bar:
        task = bar.add_task("into the warehouse", total=None)
        written = write_topics(
            chosen,
            lake,
            found.bootstrap_servers,
            found.schema_registry_url,
            prefix,
            told,
            until_caught_up=True,
            tell=lambda rows: bar.advance(task, rows),
        )
        if told.is_set():
            raise Failure("interrupted", "run the demo again: it goes on where it stopped")
    return lake, written


def _print(done: Demo, console: Console) -> None:
    table = Table("the demo", "")
    for name, value in (
        ("facts processed", f"{done.facts:,}"),
        ("facts/s, exactly once", f"{done.facts_per_second:,.0f}"),
        ("seconds", f"{done.run_seconds:.0f} (feeding {done.feed_seconds:.0f})"),
        ("rows in the warehouse", f"{done.warehouse_rows:,} in {done.warehouse_seconds:.0f} s"),
        ("workers killed on the way", str(done.kills)),
        ("ledger entries", f"{done.entries:,}"),
        ("digest of the ledger", done.ledger_digest[:16]),
        ("report", done.report),
    ):
        table.add_row(name, value)
    console.print(table)
    console.print(
        "Baskets and redemptions are real; returns, runs, reviews, profiles, enrolments, deliveries simulated."
    )
