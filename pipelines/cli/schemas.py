"""`loyalty schemas`: the contracts, checked and registered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import AsJson
from pipelines.local.endpoints import endpoints
from pipelines.operations.site.pages import write_site
from schemas import catalogue, compatibility, personal, registry

schemas = typer.Typer(help="The contracts of the topics.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(schemas, name="schemas")


InRegistry = Annotated[bool, typer.Option("--registry", help="Also what stands in the registry.")]


@schemas.command()
def check(in_registry: InRegistry = False, as_json: AsJson = False) -> None:
    """Fail on a change that breaks FULL_TRANSITIVE, or that edits a released schema.

    With --registry also when somebody registered what does not go with this build's schemas.
    """
    found = compatibility.problems()
    if in_registry:
        found += registry.strangers(endpoints().schema_registry_url)
    if as_json:
        print(json.dumps({"problems": found}))
    else:
        for problem in found:
            Console(stderr=True, highlight=False).print(f"[red]{problem}[/]", soft_wrap=True)
        Console().print(f"{len(catalogue.TOPICS)} topics, {len(found)} problems")
    raise typer.Exit(1 if found else 0)


@schemas.command()
def release() -> None:
    """Note the sums of new versions: from now on they must not change."""
    fresh = compatibility.release()
    Console().print(f"released: {', '.join(fresh) or 'nothing new'}")


@schemas.command(name="personal")
def personal_data() -> None:
    """Print the data map: which fields of which topic are personal, and how (for docs/PERSONAL-DATA.md)."""
    typer.echo(personal.table(), nl=False)


@schemas.command(name="catalogue")
def event_catalogue(
    out: Annotated[Path, typer.Option(help="The folder to write to; made when it is not there.")],
) -> None:
    """Write the topics as a static site: contract, example, lineage and changes of each, for any browser."""
    files = write_site(out)
    Console(highlight=False).print(f"{files} files in {out}; open {out / 'index.html'}", soft_wrap=True)


@schemas.command(name="register")
def register_schemas(as_json: AsJson = False) -> None:
    """Register this build's schemas, each subject FULL_TRANSITIVE; no harm when done before."""
    ids = registry.register_all(endpoints().schema_registry_url)
    if as_json:
        print(json.dumps(ids))
        return
    table = Table("topic", "schema id")
    for topic, schema_id in ids.items():
        table.add_row(topic, str(schema_id))
    Console().print(table)
