"""`loyalty erase MEMBER`: a person is forgotten, and a receipt says what was removed and where."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import AsJson, TopicPrefix
from pipelines.cli.verify import Cluster, cluster
from pipelines.domain.facts import Member
from pipelines.failure import Failure
from pipelines.local.endpoints import endpoints
from pipelines.privacy.person import Known, person
from pipelines.privacy.receipt import Place, Receipt, receipt
from pipelines.runtime.producers import Sender
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import Codec
from schemas.registry import connect

LOOK_AGAIN_S = 0.5


def register(app: typer.Typer) -> None:
    app.command()(erase)


def erase(
    member_id: Annotated[str, typer.Argument(metavar="MEMBER")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    within: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long to wait for the workers.", min=1)
    ] = 60,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person, under every id that was merged, and print the receipt.

    Writes the erasure of each id that is not erased yet, waits until the workers have removed all that compacted
    topics and state hold, and lists the removals by topic, partition and offset. Again on the same member: the receipt
    again, nothing is written. It cannot be undone.
    """
    place, prefix = cluster(topic_prefix), topic_prefix or ""
    ids = person(place.topics, place.schemas, place.names.members, member_id)
    left = [one for one in ids if one.erased_at_ms is None]
    if left:
        _ask(ids, yes)
        _write(left, prefix)
    receipts = _wait(place, prefix, ids, within)
    if as_json:
        typer.echo(json.dumps([_document(one) for one in receipts], indent=2))
    else:
        _print(receipts, bool(left), Console(highlight=False))


def _ask(ids: Sequence[Known], yes: bool) -> None:
    if yes:
        return
    who = ", ".join(one.member_id for one in ids)
    if not sys.stdin.isatty():
        raise Failure(f"whether to erase {who} was not confirmed", "say --yes; it cannot be undone")
    one_person = " (one person)" if len(ids) > 1 else ""
    typer.confirm(f"Erase {who}{one_person}, points included? It cannot be undone.", abort=True, err=True)


def _write(ids: Sequence[Known], prefix: str) -> None:
    found, now_ms = endpoints(), time.time_ns() // 1_000_000
    codec: Codec = connect(found.schema_registry_url, register=False)
    sender = Sender(found.bootstrap_servers, "the erasure")
    for one in ids:
        value = codec.encode(_erasure(one, now_ms))
        topic = prefixed(prefix, catalogue.MEMBERS)
        sender.send(topic, value, key=one.member_id.encode(), timestamp=now_ms)
    sender.flush()


def _erasure(known: Known, now_ms: int) -> Member:
    """The member's next version: where they are merged to stays, what else was personal goes."""
    version = known.version + 1
    return Member(
        f"erasure-{known.version}-{now_ms}",
        known.member_id,
        now_ms,
        now_ms,
        version,
        known.enrolled_at_ms,
        known.market,
        "UTC",
        None,
        None,
        (),
        now_ms,
        known.merged_into,
    )


def _wait(place: Cluster, prefix: str, ids: Sequence[Known], within_s: int) -> list[Receipt]:
    """The receipts, once each is complete."""
    deadline = time.monotonic() + within_s
    for one in ids:
        while not (now := receipt(place.topics, prefix, one.member_id, with_history=False)).complete:
            if time.monotonic() > deadline:
                raise _unfinished(now, within_s)
            time.sleep(LOOK_AGAIN_S)
    return [receipt(place.topics, prefix, one.member_id) for one in ids]


def _unfinished(now: Receipt, within_s: int) -> Failure:
    at = [f"{p.topic} {p.partition}/{p.offset}" for p in now.standing[:5]]
    stands = f"{len(now.standing)} records stand, such as {', '.join(at)}" if at else "the accounts wait"
    return Failure(
        f"{now.member_id} is told to be erased, and is not within {within_s} s: {stands}",
        "see whether `loyalty run accounts` and `loyalty run triggers` run; then the same command again",
    )


def _document(one: Receipt) -> dict[str, object]:
    places = {
        name: [place._asdict() for place in getattr(one, name)] for name in ("removed", "standing", "ended")
    }
    return {"member_id": one.member_id, "complete": one.complete, **places, "history": dict(one.history)}


def _print(receipts: Sequence[Receipt], fresh: bool, console: Console) -> None:
    for one in receipts:
        said = "is erased" if fresh else "had been erased before"
        console.print(f"[bold]Member {one.member_id}[/] {said}: {len(one.removed)} records removed.")
        table = Table("removed", "topic", "partition", "offset")
        for place in one.removed:
            table.add_row(place.what, place.topic, str(place.partition), str(place.offset))
        console.print(table)
        for place in one.ended:
            console.print(
                f"That this {_of(place)} is erased stays at {place.topic} {place.partition}/{place.offset}."
            )
        kept = ", ".join(f"{topic} {count:,}" for topic, count in one.history if count)
        console.print(
            f"History under the pseudonym: {kept or 'none'}. Have the identity vault drop the link now."
        )
    console.print(
        "The brokers drop the bytes when they compact; docs/PERSONAL-DATA.md says by when at the latest."
    )


def _of(place: Place) -> str:
    return "member's watch" if place.what.startswith("watch") else f"member's {place.what}"
