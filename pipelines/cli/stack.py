"""`loyalty up`, `down` and `status`: Kafka and the schema registry on this machine."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import AsJson
from pipelines.failure import Failure
from pipelines.local import stack
from pipelines.local.endpoints import home_dir

EXIT_TERMINATED = 143


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    brokers: Annotated[int, typer.Option(help="Embedded brokers: 1, or 3 for a replicated cluster.")] = 1,
    secure: Annotated[
        bool,
        typer.Option(
            "--secure", help="Embedded, with TLS, users and ACLs; their settings in LOYALTY_HOME/security."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start Kafka and the schema registry, unless they run.

    Uses KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL when set, else a Docker engine when one answers, else
    embedded processes with their data in LOYALTY_HOME (by default `.loyalty`).
    """
    if brokers not in (1, 3):
        raise Failure(f"a cluster of {brokers} brokers is not offered", "give --brokers 1 or --brokers 3")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    with Console(stderr=True).status("starting Kafka and the schema registry"):
        found = stack.up(home_dir(), brokers, secure=secure)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(f"up ({found.way}): Kafka {found.bootstrap_servers}, registry {found.schema_registry_url}")
        if secure and found.way == "embedded":
            typer.echo(f"be somebody: set -a; . {home_dir() / 'security' / 'admin.env'}; set +a")


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete topics, schemas and state as well.")] = False,
) -> None:
    """Stop what `up` started, and nothing else. Data stays, unless wiped."""
    stopped = stack.down(home_dir(), wipe=wipe)
    typer.echo(f"stopped: {', '.join(stopped) or 'nothing was running'}{'; data wiped' if wipe else ''}")


def status(as_json: AsJson = False) -> None:
    """Show what runs; exits 1 when Kafka or the registry does not answer."""
    found = stack.status(home_dir())
    typer.echo(json.dumps(asdict(found))) if as_json else print_status(found)
    raise typer.Exit(0 if found.answers else 1)


def print_status(found: stack.Status) -> None:
    """The status for people."""
    typer.echo(f"way: {found.way}; answers: {'yes' if found.answers else 'no'}")
    typer.echo(f"Kafka {found.bootstrap_servers or '-'}, registry {found.schema_registry_url or '-'}")
    if found.parts:
        table = Table("part", "port", "running")
        for part in found.parts:
            table.add_row(part.name, str(part.port), "yes" if part.running else "no")
        Console().print(table)
