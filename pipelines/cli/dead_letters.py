"""`loyalty dead-letters`: what was set aside, why, and once more to where it came from."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.audit.words import instant
from pipelines.cli.options import AsJson, ProgrammeFile, TopicPrefix, instant_ms
from pipelines.dead_letters import redrive as redriving
from pipelines.dead_letters.letters import ALL, DeadLetters, Forecast, Wanted, counted
from pipelines.local.endpoints import endpoints
from pipelines.privacy.person import told
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import Codec, DeadLetter, Redrive
from schemas.registry import connect

dead_letters = typer.Typer(help="What was set aside, why, and once more.", no_args_is_help=True)

Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="CLASS", help="Only of this error class; several times."),
]
FromTopics = Annotated[
    list[str] | None, typer.Option("--topic", metavar="TOPIC", help="Only from this topic; several times.")
]
Since = Annotated[
    str | None, typer.Option(metavar="INSTANT", help="Only recorded from then on: 2026-03-01T00:00:00Z.")
]
Until = Annotated[str | None, typer.Option(metavar="INSTANT", help="Only recorded before then.")]
BYTES_SHOWN = 512


class Desk(NamedTuple):
    """What the commands work with."""

    bootstrap: str
    codec: Codec
    prefix: str
    letters: DeadLetters
    topics: Topics
    schemas: RegistrySchemas

    def erased(self) -> set[bytes]:
        """The keys of members who were erased: nothing of theirs is sent again."""
        members = told(self.topics, self.schemas, prefixed(self.prefix, catalogue.MEMBERS))
        return {one.member_id.encode() for one in members.values() if one.erased_at_ms is not None}


def register(app: typer.Typer) -> None:
    app.add_typer(dead_letters, name="dead-letters")


def _desk(topic_prefix: str | None) -> Desk:
    found, prefix = endpoints(), topic_prefix or ""
    codec, topics = connect(found.schema_registry_url), Topics(found.bootstrap_servers)
    letters, schemas = DeadLetters(topics, codec, prefix), RegistrySchemas(found.schema_registry_url)
    return Desk(found.bootstrap_servers, codec, prefix, letters, topics, schemas)


def _wanted(
    classes: list[str] | None, topics: list[str] | None, since: str | None, until: str | None
) -> Wanted:
    return Wanted(
        frozenset(classes or ()),
        frozenset(topics or ()),
        instant_ms("--since", since),
        instant_ms("--until", until),
    )


@dead_letters.command(name="list")
def list_letters(
    classes: Classes = None,
    topics: FromTopics = None,
    since: Since = None,
    until: Until = None,
    last: Annotated[int, typer.Option(help="How many to show one by one; --json has all.", min=0)] = 20,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters: how many of each class, and the latest of them."""
    wanted = _wanted(classes, topics, since, until)
    desk = _desk(topic_prefix)
    letters, redrives = desk.letters.read(wanted), desk.letters.redrives()
    if as_json:
        print(json.dumps({"dead_letters": [_told(letter, redrives) for letter in letters]}))
        return
    console = Console(highlight=False)
    if not letters:
        console.print("There are no such dead letters." if wanted != ALL else "There are no dead letters.")
        return
    console.print(_counts(letters, redrives, desk.prefix))
    if last:
        console.print(_table(letters[-last:], len(letters), redrives))


def _counts(letters: Sequence[DeadLetter], redrives: Mapping[str, Redrive], prefix: str) -> Table:
    table = Table("topic", "class", title=f"{len(letters):,} dead letters")
    table.add_column("all", justify="right")
    table.add_column("redriven", justify="right")
    again = counted((letter for letter in letters if letter.place in redrives), prefix)
    for kind, count in counted(letters, prefix).items():
        table.add_row(*kind, f"{count:,}", f"{again.get(kind, 0):,}")
    return table


def _table(shown: Sequence[DeadLetter], of: int, redrives: Mapping[str, Redrive]) -> Table:
    table = Table(
        "place",
        "recorded",
        "class",
        "why",
        "redriven",
        title=f"Last {len(shown):,} of {of:,} by recorded time",
    )
    table.columns[0].overflow = "fold"
    for letter in shown:
        redrive = redrives.get(letter.place)
        table.add_row(
            letter.place,
            instant(letter.recorded_at_ms),
            letter.error_class,
            escape(letter.message),
            "" if redrive is None else instant(redrive.redriven_at_ms),
        )
    return table


def _told(letter: DeadLetter, redrives: Mapping[str, Redrive]) -> dict[str, Any]:
    """For scripts: bytes are base64."""
    redrive = redrives.get(letter.place)
    return letter._asdict() | {
        "place": letter.place,
        "key": _base64(letter.key),
        "value": _base64(letter.value),
        "headers": [{"name": name, "value": _base64(value)} for name, value in letter.headers],
        "redriven_at_ms": None if redrive is None else redrive.redriven_at_ms,
    }


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


@dead_letters.command()
def show(
    place: Annotated[
        str, typer.Argument(metavar="PLACE", help="Where the record stood: commerce.orders.v1/3/91.")
    ],
    programme: ProgrammeFile = Path("reference"),
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole, and what would become of it now."""
    accounts = Accounts(load_programme(programme))
    desk = _desk(topic_prefix)
    letter, redrives = desk.letters.one(place), desk.letters.redrives()
    now = Forecast(desk.codec, accounts, desk.prefix).refusal(letter)
    if as_json:
        print(json.dumps(_told(letter, redrives) | {"refused_now": now}))
        return
    redrive = redrives.get(letter.place)
    console = Console(highlight=False)
    console.print(f"[bold]{letter.place}[/], recorded {instant(letter.recorded_at_ms)}")
    console.print(f"{letter.error_class}: {escape(letter.message)}")
    console.print(f"key {escape(repr(letter.key))}")
    for name, value in letter.headers:
        console.print(f"header {escape(name)} {escape(repr(value))}")
    console.print(_hexadecimal(letter.value))
    console.print("Now: " + ("it can be applied." if now is None else f"it would be refused again, {now}."))
    if redrive is not None:
        console.print(f"Redriven {instant(redrive.redriven_at_ms)}.")


def _hexadecimal(value: bytes | None) -> str:
    """The value, sixteen bytes a line with their characters; only its beginning when it is long."""
    if value is None:
        return "no value"
    lines = [
        f"value, {len(value):,} bytes" + (f", the first {BYTES_SHOWN}:" * (len(value) > BYTES_SHOWN) or ":")
    ]
    for at in range(0, min(len(value), BYTES_SHOWN), 16):
        row = value[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:06x}  {row.hex(' '):<47}  {escape(text)}")
    return "\n".join(lines)


@dead_letters.command()
def redrive(
    classes: Classes = None,
    topics: FromTopics = None,
    since: Since = None,
    until: Until = None,
    places: Annotated[
        list[str] | None, typer.Option("--place", metavar="PLACE", help="Only this one; several times.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only tell what would be done.")] = False,
    programme: ProgrammeFile = Path("reference"),
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters' records once more to where they stood, with their own key, value, headers and time.

    Only what can be applied now: after a schema was registered, a currency added, a build corrected, an order come.
    What is of a member who was erased stays, and so does what would be refused again for certain (a LATE fact is late
    for ever, unless the programme's horizon grows; give the programme that the workers run). Each is redriven once,
    however often this runs and wherever it is killed.
    A command is decided when it is redriven, on what is active then.
    """
    accounts = Accounts(load_programme(programme))
    wanted = _wanted(classes, topics, since, until)
    desk = _desk(topic_prefix)
    chosen = [desk.letters.one(place) for place in places] if places else desk.letters.read()
    chosen = [letter for letter in chosen if wanted.means(letter, desk.prefix)]
    sorted_out = _sort(chosen, desk, Forecast(desk.codec, accounts, desk.prefix))
    done = 0
    if yes:
        now_ms = time.time_ns() // 1_000_000
        done = redriving.redrive(desk.bootstrap, desk.codec, desk.prefix, sorted_out.now, now_ms)
    _report(sorted_out, done, yes, desk.prefix, as_json=as_json)


class Sorted(NamedTuple):
    """What a redrive does with the dead letters chosen."""

    now: list[DeadLetter]
    before: list[DeadLetter]
    never: list[tuple[DeadLetter, str]]


def _sort(letters: Sequence[DeadLetter], desk: Desk, forecast: Forecast) -> Sorted:
    redrives, erased = desk.letters.redrives(), desk.erased()
    found = Sorted([], [], [])
    for letter in letters:
        if letter.place in redrives:
            found.before.append(letter)
        elif letter.key in erased:
            found.never.append((letter, "MEMBER_ERASED"))
        elif (again := forecast.refusal(letter)) is not None:
            found.never.append((letter, again))
        else:
            found.now.append(letter)
    return found


def _report(found: Sorted, done: int, yes: bool, prefix: str, *, as_json: bool) -> None:
    if as_json:
        told = {
            "dry_run": not yes,
            "redriven": done,
            "to_redrive": [letter.place for letter in found.now],
            "redriven_before": [letter.place for letter in found.before],
            "refused_again": [{"place": letter.place, "class": again} for letter, again in found.never],
        }
        print(json.dumps(told))
        return
    rows: Counter[tuple[str, str, str]] = Counter()
    verdict = "redriven" if yes else "would be redriven"
    rows.update((*_kind(letter, prefix), verdict) for letter in found.now)
    rows.update((*_kind(letter, prefix), "was redriven before") for letter in found.before)
    rows.update((*_kind(letter, prefix), f"stays: {again} again") for letter, again in found.never)
    table = Table("topic", "class", "what")
    table.add_column("dead letters", justify="right")
    for row, count in sorted(rows.items()):
        table.add_row(*row, f"{count:,}")
    console = Console(highlight=False)
    if rows:
        console.print(table)
    if yes:
        console.print(f"{done:,} redriven.")
    else:
        console.print(f"Nothing was sent. {len(found.now):,} would be redriven: add --yes.")


def _kind(letter: DeadLetter, prefix: str) -> tuple[str, str]:
    return letter.topic.removeprefix(prefix), letter.error_class
