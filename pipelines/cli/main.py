"""The `loyalty` command: one module a group of commands, each of which registers itself here."""

from __future__ import annotations

import sys
import warnings

import structlog
import typer
from rich.console import Console
from rich.markup import escape

with warnings.catch_warnings(record=True):  # the registry client's OAuth library warns of its own future
    import confluent_kafka.schema_registry  # noqa: F401

from pipelines.cli import (
    bench,
    conformance,
    demo,
    feed,
    member,
    run,
    schemas,
    stack,
    topics,
    verify,
)
from pipelines.failure import Failure

app = typer.Typer(
    name="loyalty",
    help="Points, tiers and triggers of a loyalty programme, as a stream.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for commands in (stack, demo, feed, run, verify, member, conformance, topics, schemas, bench):
    commands.register(app)


def main() -> None:
    """Run a command; a `Failure` becomes two lines on standard error and its exit code."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except Failure as failure:
        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]error:[/] {escape(failure.what)}", soft_wrap=True)
        console.print(f"   [bold]do:[/] {escape(failure.do)}", soft_wrap=True)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
