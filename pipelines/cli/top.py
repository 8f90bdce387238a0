"""`loyalty top`: what the workers do, on one screen."""

from __future__ import annotations

import sys
from time import sleep, time
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.measure import Measurement

from pipelines.failure import Failure
from pipelines.operations.picture import picture
from pipelines.operations.thresholds import NOT_SEEN
from pipelines.operations.watching import Workers

WIDTH_MAX = 400
BETWEEN_LOOKS_S = 1.0
SPANS = f"facts/s over {BETWEEN_LOOKS_S:g} s, latencies since the worker began"


def register(app: typer.Typer) -> None:
    app.command(epilog=f"Not held against a look, for they need history: {', '.join(NOT_SEEN)}.")(top)


def top(
    metrics: Annotated[
        list[str],
        typer.Option(help="A worker's address, http://127.0.0.1:9100/metrics; once a worker."),
    ],
    once: Annotated[bool, typer.Option("--once", help="Print one picture, of two looks, and end.")] = False,
) -> None:
    """Watch workers: partitions, facts/s, lag, latency, dead letters, and what is past an alert's threshold.

    Looks each second until q or Ctrl-C. With --once latencies are since the worker's start.
    """
    addresses = [_address(url) for url in dict.fromkeys(metrics)]
    with httpx.Client() as client:
        workers = Workers(client, addresses)
        if once:
            _once(workers)
            return
        if not sys.stdout.isatty():
            raise Failure("a live view needs a terminal", "add --once for a picture that can be kept")
        from pipelines.operations.screen import Top  # textual takes a quarter of a second to load

        Top(lambda: workers.look(time())).run()


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise typer.BadParameter(
            f"{url!r} is no address; http://127.0.0.1:9100/metrics is one", param_hint="--metrics"
        )
    return url


def _once(workers: Workers) -> None:
    workers.look(time())
    sleep(BETWEEN_LOOKS_S)
    figures, past = workers.look(time(), latency_since_start=True)
    drawn = picture(figures, past, SPANS)
    console = Console()
    needed = Measurement.get(console, console.options.update(width=WIDTH_MAX), drawn).maximum
    Console(width=max(console.width, needed)).print(drawn)
    if workers.unanswered:
        told = "; ".join(f"{gone.url} {gone.why}" for gone in workers.unanswered)
        raise Failure(
            told, "start the worker with --metrics-port, or correct --metrics: /metrics of that port"
        )
