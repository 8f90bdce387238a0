"""`loyalty acls`: who may do what, as the topic catalogue says."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import AsJson, TopicPrefix
from pipelines.failure import Failure
from pipelines.grants import ROLES
from pipelines.local.endpoints import endpoints
from pipelines.runtime import acl_admin
from pipelines.runtime.topic_admin import connect

acls = typer.Typer(help="Who may do what, as the topic catalogue says.", no_args_is_help=True)
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role", metavar="ROLE", help=f"Only of this role; several times. One of: {', '.join(ROLES)}."
    ),
]


def register(app: typer.Typer) -> None:
    app.add_typer(acls, name="acls")


def _chosen(roles: list[str] | None) -> tuple[str, ...]:
    for role in roles or ():
        if role not in ROLES:
            raise Failure(f"there is no role {role!r}", f"choose one of: {', '.join(ROLES)}")
    return tuple(roles or ROLES)


@acls.command()
def plan(roles: Roles = None, topic_prefix: TopicPrefix = None, as_json: AsJson = False) -> None:
    """Show what `apply` would add, and what is too much; exits 1 when something is not as it should be."""
    admin = connect(endpoints().bootstrap_servers)
    found = acl_admin.make_plan(admin, topic_prefix or "", _chosen(roles))
    _show(found, removed=None, as_json=as_json)
    raise typer.Exit(0 if found.empty else 1)


@acls.command()
def apply(
    roles: Roles = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Also remove what these users may do beyond it.")
    ] = False,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Add what is missing. What is too much is told, and stays unless --remove. No harm when done before."""
    admin = connect(endpoints().bootstrap_servers)
    found = acl_admin.make_plan(admin, topic_prefix or "", _chosen(roles))
    acl_admin.apply(admin, found, remove=remove)
    _show(found, removed=remove, as_json=as_json)


def _show(found: acl_admin.AclPlan, *, removed: bool | None, as_json: bool) -> None:
    """A plan, or (when it is said whether what was too much has gone) what was done of it."""
    too_much = [acl_admin.told(acl) for acl in found.too_much]
    if as_json:
        add = [grant._asdict() for grant in found.add]
        print(json.dumps({"add": add, "too_much": too_much, "removed": bool(removed), "empty": found.empty}))
        return
    if found.empty:
        Console().print("all ACLs are as the catalogue says")
        return
    table = Table("user", "what", "grant")
    table.columns[2].overflow = "fold"
    for grant in found.add:
        verb = "to add" if removed is None else "added"
        table.add_row(grant.principal.removeprefix("User:"), verb, str(grant))
    for acl in found.too_much:
        verb = "[red]removed[/]" if removed else "[red]too much[/]"
        table.add_row(acl.principal.removeprefix("User:"), verb, acl_admin.told(acl))
    Console().print(table)
