"""The `loyalty` command: one module a group of commands, each of which registers itself, loaded when it is wanted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.failure import Failure
from pipelines.runtime import logs

MODULES: Final = {
    "stack": ("up", "down", "status"),
    "demo": ("demo",),
    "feed": ("feed",),
    "run": ("run", "clock"),
    "verify": ("verify",),
    "member": ("member", "explain"),
    "erase": ("erase",),
    "top": ("top",),
    "experiments": ("experiments",),
    "dead_letters": ("dead-letters",),
    "conformance": ("conformance",),
    "warehouse": ("warehouse",),
    "topics": ("topics",),
    "acls": ("acls",),
    "schemas": ("schemas",),
    "bench": ("bench",),
    "capacity": ("capacity",),
    "torture": ("torture",),
}
"""The commands of each module of this package, in the order of `--help`."""

INTERRUPTED: Final = 130


def build(wanted: str | None = None) -> typer.Typer:
    """The application: with the module of the wanted command alone, or, when it is not known, with all."""
    app = typer.Typer(
        name="loyalty",
        help="Points, tiers and triggers of a loyalty programme, as a stream.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(lambda: None)
    modules = [name for name, commands in MODULES.items() if wanted in commands] or list(MODULES)
    for name in modules:
        import_module(f"pipelines.cli.{name}").register(app)
    return app


def main() -> None:
    """Run a command; a `Failure` becomes two lines on standard error and its exit code."""
    with failures_told():
        logs.configure(sys.stderr)
        build(sys.argv[1] if len(sys.argv) > 1 else None)()


@contextmanager
def failures_told() -> Iterator[None]:
    """Have a `Failure`, what Kafka refused, or Ctrl-C end the process as it ends each command."""
    try:
        yield
    except Failure as failure:
        _give_up(failure)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        from pipelines.connection import refused

        if (failure_of_kafka := refused(error)) is None:
            raise
        _give_up(failure_of_kafka)


def _give_up(failure: Failure) -> NoReturn:
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(failure.what)}", soft_wrap=True)
    console.print(f"   [bold]do:[/] {escape(failure.do)}", soft_wrap=True)
    sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
