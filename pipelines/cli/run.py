"""`loyalty run accounts` and `loyalty clock`: the pipeline's processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.options import ProgrammeFile, TopicPrefix
from pipelines.failure import Failure
from pipelines.local.endpoints import endpoints, home_dir
from pipelines.programme_file import load_programme
from pipelines.runtime.settings import Settings, settings
from pipelines.runtime.ticks import run_clock
from pipelines.runtime.topic_admin import connect
from pipelines.topics import ACCOUNTS, PIPELINES, prefixed
from pipelines.worker import backlog, run_many, run_worker
from schemas import catalogue
from schemas.registry import connect as connect_registry

SINKS = ("warehouse", "postgres")
PROCESSORS = (*PIPELINES, *SINKS)


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(clock)


def worker_settings(
    replica: str,
    state_dir: Path | None,
    prefix: str | None,
    metrics_port: int | None = None,
    processor: str = ACCOUNTS.name,
) -> Settings:
    """A worker's settings: addresses of the stack, state beside its data unless told otherwise."""
    found = endpoints()
    return settings(
        bootstrap_servers=found.bootstrap_servers,
        schema_registry_url=found.schema_registry_url,
        state_dir=(state_dir or home_dir() / "state") / processor / replica,
        processor=processor,
        replica=replica,
        topic_prefix=prefix,
        metrics_port=metrics_port,
    )


def run(
    processor: Annotated[
        str,
        typer.Argument(
            help="What to run: accounts (facts into points), triggers (what members are told), liability (what is "
            "owed by market and day), warehouse (all of it into Iceberg tables), postgres (the same for services, a "
            "row a member)."
        ),
    ],
    programme: ProgrammeFile = Path("reference"),
    workers: Annotated[
        int, typer.Option(help="Worker processes; at most one a partition is busy.", min=1, max=64)
    ] = 1,
    replica: Annotated[
        str, typer.Option(help="The worker's stable name, unique among live workers.")
    ] = "worker-0",
    state_dir: Annotated[
        Path | None, typer.Option(help="Where state lives; by default under LOYALTY_HOME.")
    ] = None,
    topic_prefix: TopicPrefix = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Serve /metrics, /live and /ready on this local port; of several workers, from it on."
        ),
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when all input there is has been committed.")
    ] = False,
) -> None:
    """Run a processor: exactly once, until SIGTERM or Ctrl-C, which commit and leave cleanly.

    Exit code 75 means that the worker was fenced or lost its broker: start it again.
    """
    if processor not in PROCESSORS:
        raise Failure(f"there is no processor {processor!r}", f"choose one of: {', '.join(PROCESSORS)}")
    if processor in SINKS:
        run_a_sink(processor, topic_prefix or "", metrics_port, until_caught_up, workers)
        return
    load_programme(programme)
    chosen = worker_settings(replica, state_dir, topic_prefix, metrics_port, processor)
    if workers == 1:
        summary = run_worker(chosen, load_programme(programme), until_caught_up=until_caught_up)
        rate = summary.facts / summary.seconds if summary.seconds else 0
        Console(stderr=True).print(f"{summary.facts:,} facts in {summary.seconds:.1f} s ({rate:,.0f}/s)")
        return
    command = ["run", processor, "--programme", str(programme)]
    command += ["--state-dir", str(state_dir)] if state_dir else []
    command += ["--topic-prefix", topic_prefix] if topic_prefix else []
    left = backlog(chosen).total if until_caught_up else None
    run_many(command, [f"worker-{n}" for n in range(workers)], left, metrics_port)


def run_a_sink(
    processor: str, prefix: str, metrics_port: int | None, until_caught_up: bool, workers: int = 1
) -> None:
    """Run one of the warehouse's sinks here: one a warehouse, for a second one would be refused."""
    from pipelines.warehouse.running import run_named  # Iceberg takes a second to load

    if workers != 1:
        raise Failure(f"{workers} sinks cannot write one warehouse", "run it without --workers")
    found = endpoints()
    summary = run_named(
        processor,
        home_dir(),
        found.bootstrap_servers,
        found.schema_registry_url,
        prefix,
        until_caught_up,
        metrics_port,
    )
    rate = summary.rows / summary.seconds if summary.seconds else 0
    told = f"{summary.rows:,} rows in {summary.commits:,} commits, {summary.seconds:.1f} s ({rate:,.0f}/s)"
    Console(stderr=True).print(told + (f"; {summary.unreadable:,} unreadable" if summary.unreadable else ""))


def clock(
    every: Annotated[float, typer.Option(help="Seconds between ticks.", min=0.01)] = 1.0,
    topic_prefix: TopicPrefix = None,
) -> None:
    """Tick: tell every partition what time it is, so that what is due happens without a fact."""
    found = endpoints()
    prefix = topic_prefix or ""
    topic = (
        connect(found.bootstrap_servers).list_topics(timeout=15).topics.get(prefixed(prefix, catalogue.CLOCK))
    )
    if topic is None:
        raise Failure("the clock's topic is missing", "run `loyalty topics apply`")
    codec = connect_registry(found.schema_registry_url)
    run_clock(found.bootstrap_servers, codec, len(topic.partitions), every, prefix)
