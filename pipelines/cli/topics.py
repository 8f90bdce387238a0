"""`loyalty topics`: the topics, as the catalogue says."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import AsJson, TopicPrefix
from pipelines.local.endpoints import endpoints
from pipelines.runtime import topic_admin
from pipelines.topics import PARTITIONS

topics = typer.Typer(help="The topics, as the catalogue says.", no_args_is_help=True)
Partitions = Annotated[int, typer.Option(help="Partitions of every topic.", min=1)]
Replication = Annotated[int | None, typer.Option(help="Copies; as many as brokers, at most three.", min=1)]


def register(app: typer.Typer) -> None:
    app.add_typer(topics, name="topics")


@topics.command()
def plan(
    partitions: Partitions = PARTITIONS,
    replication: Replication = None,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Show what `apply` would do; exits 1 when something is not as it should be."""
    admin = topic_admin.connect(endpoints().bootstrap_servers)
    found = topic_admin.make_plan(admin, partitions, replication, topic_prefix or "")
    _show(found, as_json=as_json)
    raise typer.Exit(0 if found.empty else 1)


@topics.command()
def apply(
    partitions: Partitions = PARTITIONS,
    replication: Replication = None,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Create what is missing and alter what differs. A partition count is never changed."""
    admin = topic_admin.connect(endpoints().bootstrap_servers)
    found = topic_admin.make_plan(admin, partitions, replication, topic_prefix or "")
    topic_admin.apply(admin, found)
    _show(found, as_json=as_json)


def _show(found: topic_admin.Plan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(found) | {"empty": found.empty}))
        return
    if found.empty:
        Console().print("all topics are as the catalogue says")
        return
    table = Table("topic", "what", title=f"{found.partitions} partitions, {found.replication} copies")
    for topic in found.create:
        settings = ", ".join(f"{name}={value}" for name, value in sorted(topic.config.items()))
        table.add_row(topic.name, f"create: {settings}")
    for setting in found.alter:
        table.add_row(setting.topic, f"alter: {setting.name} from {setting.found} to {setting.wanted}")
    for name, count in found.wrong_partitions:
        table.add_row(name, f"[red]refused: it has {count} partitions[/]")
    Console().print(table)
