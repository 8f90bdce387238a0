"""`loyalty member M` and `loyalty explain ENTRY`: one member's points, and why they are what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.audit.explanation import explained
from pipelines.audit.statement import Entry, Statement, entry, statement
from pipelines.audit.timetravel import AsOf, as_of
from pipelines.audit.words import instant, money
from pipelines.cli.options import AsJson, TopicPrefix, instant_ms
from pipelines.cli.verify import cluster


def register(app: typer.Typer) -> None:
    app.command()(member)
    app.command()(explain)


def member(
    member_id: Annotated[str, typer.Argument(metavar="MEMBER")],
    last: Annotated[int, typer.Option(help="How many lots and ledger entries to show.", min=1)] = 20,
    at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="Show what the member had then: 2026-03-01T00:00:00Z."),
    ] = None,
    known_at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", help="By what was known then; without it, by all that is known now."),
    ] = None,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Show a member's balance, tier and progress, lots and last ledger entries; or those of another time."""
    then = instant_ms("--at", at)
    known = instant_ms("--known-at", known_at)
    place = cluster(topic_prefix)
    told = statement(place.topics, place.schemas, place.names, member_id)
    if then is not None or known is not None:
        past = as_of(told.entries, told.changes, *_moment(then, known))
        if as_json:
            typer.echo(json.dumps({"member_id": member_id} | past._asdict(), indent=2))
        else:
            print_past(member_id, past, last, Console(highlight=False))
    elif as_json:
        typer.echo(json.dumps(document(told), indent=2))
    else:
        print_statement(told, last, Console(highlight=False))


def _moment(at_ms: int | None, known_at_ms: int | None) -> tuple[int, int]:
    """Without --at it is what was had when it was known; without --known-at, by all that is known."""
    for_ever = (1 << 63) - 1
    known = for_ever if known_at_ms is None else known_at_ms
    return (known if at_ms is None else at_ms), known


def print_past(member_id: str, past: AsOf, last: int, console: Console) -> None:
    """What was had then, for people."""
    known = "now" if past.known_at_ms == (1 << 63) - 1 else instant(past.known_at_ms)
    console.print(f"[bold]Member {member_id}[/] as of {instant(past.at_ms)}, as known {known}")
    console.print(_balance(past._asdict() | {"next_activation_at": None}))
    console.print("Not a member then." if past.tier is None else f"Tier {past.tier} ({past.tier_kind}).")
    console.print(_entries(past.entries, last))


def explain(
    entry_id: Annotated[
        str, typer.Argument(metavar="ENTRY", help="An entry id; `loyalty member` lists them.")
    ],
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Tell from which numbers, by which rules, a ledger entry follows."""
    place = cluster(topic_prefix)
    found = entry(place.topics, place.schemas, place.names, entry_id)
    sentences = explained(found)
    if as_json:
        typer.echo(json.dumps({"entry": found, "sentences": sentences}, indent=2))
    else:
        typer.echo("\n".join(sentences))


def document(told: Statement) -> dict[str, object]:
    """The statement for scripts."""
    return told._asdict() | {"lots": [lot._asdict() for lot in told.lots]}


def print_statement(told: Statement, last: int, console: Console) -> None:
    """The statement for people; `last` entries, the latest at the bottom."""
    console.print(f"[bold]Member {told.member_id}[/]")
    if told.balance is not None:
        console.print(_balance(told.balance))
    console.print(_standing(told))
    console.print(_lots(told, last), _entries(told.entries, last))


def _balance(balance: Entry) -> Table:
    table = Table(title="Balance")
    names = ("active", "pending", "reserved", "debt", "lifetime")
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(*(f"{balance[name]:,}" for name in names))
    if balance["next_activation_at"] is not None:
        due = instant(balance["next_activation_at"])
        table.caption = f"{balance['next_activation_points']:,} become active {due}"
    return table


def _standing(told: Statement) -> str:
    progress = told.progress
    if told.balance is None and told.entries:
        return "Erased: nothing is kept but this history, under the pseudonym."
    if progress is None:
        return "Not enrolled yet, as far as the topics say."
    since, qualifying = instant(progress["tier_since"]), progress["qualifying_points"]
    sentence = f"Tier {progress['tier']} since {since}, {qualifying:,} qualifying points."
    return " ".join((sentence, *_kept(progress), _next(progress)))


def _kept(progress: Entry) -> Iterator[str]:
    if progress["valid_until"] is not None:
        yield f"It holds until {instant(progress['valid_until'])}."
        if progress["to_keep_points"]:
            yield f"{_more(progress, 'to_keep')} by {instant(progress['keep_by'])} keep it."


def _next(progress: Entry) -> str:
    if progress["next_tier"] is None:
        return "There is no higher tier."
    return f"{_more(progress, 'to_next')} make {progress['next_tier']}."


def _more(progress: Entry, what: str) -> str:
    """So many points more, and the money that earns them where the market's is known."""
    points, minor = progress[f"{what}_points"], progress[f"{what}_minor"]
    return f"{points:,} more" + ("" if minor is None else f", that is {money(minor, progress['currency'])},")


def _lots(told: Statement, last: int) -> Table:
    shown = told.lots[-last:]
    table = Table("lot", title=f"Last {len(shown)} of {len(told.lots)} lots")
    for name in ("issued", "taken back", "pending", "active", "expired", "spent"):
        table.add_column(name, justify="right")
    for lot in shown:
        table.add_row(lot.lot_id, *(f"{number:,}" for number in lot[1:]))
    return table


def _entries(entries: Sequence[Entry], last: int) -> Table:
    shown = entries[-last:]
    table = Table(
        "entry", "effective", "reason", "move", title=f"Last {len(shown)} of {len(entries)} entries"
    )
    for name in ("points", "active", "pending"):
        table.add_column(name, justify="right")
    table.columns[0].overflow = "fold"
    for one in shown:
        table.add_row(
            one["entry_id"],
            instant(one["effective_at"]),
            one["reason"],
            f"{one['from_account']} → {one['to_account']}",
            *(f"{one[name]:,}" for name in ("points", "active_after", "pending_after")),
        )
    return table
