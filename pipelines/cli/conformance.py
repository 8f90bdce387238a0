"""`loyalty conformance`: the rules' worked examples, on the pure rules or through Kafka."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.cli.options import AsJson
from pipelines.conformance import pure, through_kafka
from pipelines.conformance.vectors import load_vectors
from pipelines.local.endpoints import endpoints, home_dir


def register(app: typer.Typer) -> None:
    app.command()(conformance)


def conformance(
    path: Annotated[Path, typer.Argument(help="A file of vectors, or a directory of them.")],
    kafka: Annotated[
        bool, typer.Option("--through-kafka", help="Run them end to end on the real broker.")
    ] = False,
    orders: Annotated[
        int, typer.Option(help="Orders of arrival tried of a shuffled vector.", min=1)
    ] = pure.ORDERS_MAX,
    as_json: AsJson = False,
) -> None:
    """Run conformance vectors; exits 1 when one fails."""
    vectors = load_vectors(path)
    if kafka:
        found = endpoints()
        wrong = through_kafka.check_all(
            vectors, found.bootstrap_servers, found.schema_registry_url, home_dir() / "state"
        )
    else:
        wrong = {vector.name: pure.check(vector, orders) for vector in vectors}
    failed = {name: told for name, told in wrong.items() if told}
    if as_json:
        print(json.dumps({"vectors": len(vectors), "passed": len(vectors) - len(failed), "failed": failed}))
    else:
        console = Console(highlight=False)
        for vector in vectors:
            mark = "[red]failed[/]" if vector.name in failed else "[green]passed[/]"
            console.print(f"{mark} {vector.rule:24} {escape(vector.name)}")
            for told in failed.get(vector.name, []):
                console.print(f"       {escape(vector.where)}: {escape(told)}", soft_wrap=True)
        console.print(f"{len(vectors) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)
