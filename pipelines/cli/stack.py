"""`loyalty up`, `down` and `status`: Kafka and the schema registry on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.failure import Failure
from pipelines.local import stack
from pipelines.local.endpoints import home_dir

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    brokers: Annotated[int, typer.Option(help="Embedded brokers: 1, or 3 for a replicated cluster.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Start Kafka and the schema registry, unless they run.

    Uses KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL when set, else a Docker engine when one answers, else
    embedded processes with their data in LOYALTY_HOME (by default `.loyalty`).
    """
    if brokers not in (1, 3):
        raise Failure(f"a cluster of {brokers} brokers is not offered", "give --brokers 1 or --brokers 3")
    with Console(stderr=True).status("starting Kafka and the schema registry"):
        found = stack.up(home_dir(), brokers)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        Console().print(
            f"up ({found.way}): Kafka {found.bootstrap_servers}, registry {found.schema_registry_url}",
            soft_wrap=True,
        )


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete topics, schemas and state as well.")] = False,
) -> None:
    """Stop what `up` started, and nothing else. Data stays, unless wiped."""
    stopped = stack.down(home_dir(), wipe=wipe)
    Console().print(f"stopped: {', '.join(stopped) or 'nothing was running'}{'; data wiped' if wipe else ''}")


def status(as_json: AsJson = False) -> None:
    """Show what runs; exits 1 when Kafka or the registry does not answer."""
    found = stack.status(home_dir())
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        table = Table("part", "port", "running")
        for part in found.parts:
            table.add_row(part.name, str(part.port), "yes" if part.running else "no")
        Console().print(f"way: {found.way}; answers: {'yes' if found.answers else 'no'}")
        Console().print(
            f"Kafka {found.bootstrap_servers or '-'}, registry {found.schema_registry_url or '-'}",
            soft_wrap=True,
        )
        if found.parts:
            Console().print(table)
    raise typer.Exit(0 if found.answers else 1)
