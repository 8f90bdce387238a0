"""The `loyalty` command: one module a group of commands, each of which registers itself here."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from pipelines.cli import conformance, demo, feed, member, run, stack, verify
from pipelines.failure import Failure

app = typer.Typer(
    name="loyalty",
    help="Points, tiers and triggers of a loyalty programme, as a stream.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for commands in (stack, demo, feed, run, verify, member, conformance):
    commands.register(app)


def main() -> None:
    """Run a command; a `Failure` becomes two lines on standard error and its exit code."""
    try:
        app()
    except Failure as failure:
        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]error:[/] {failure.what}", markup=True)
        console.print(f"   [bold]do:[/] {failure.do}", markup=True)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
