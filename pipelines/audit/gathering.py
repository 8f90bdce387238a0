"""Enters everything that is on the topics into the auditor's books."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pipelines.audit.books import TABLES, Books
from pipelines.audit.derivation import problem_of
from pipelines.audit.reading import Decoder, Extent, Record, Schemas, Take, Unreadable
from pipelines.topics import prefixed
from schemas import catalogue

_OWN_ID = {
    "fact_order": "order_id",
    "fact_return": "return_id",
    "fact_engagement": "engagement_id",
    "fact_member": "enrolled_at",
    "fact_command": "command_id",
}
Progress = Callable[[str, int], None]


class Reader(Protocol):
    """What is needed of a cluster's topics."""

    def read(self, topic: str, take: Take) -> Extent: ...

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[tuple[str, int], int]: ...


class TopicNames(NamedTuple):
    """The topics to audit, as they are called in this cluster."""

    orders: str
    returns: str
    engagements: str
    members: str
    commands: str
    clock: str
    ledger: str
    balances: str
    tiers: str
    tier_progress: str
    command_results: str
    dead_letters: str
    handovers: str
    triggers: str
    suppressed_triggers: str


def topic_names(prefix: str) -> TopicNames:
    """All of them, of the pipeline with this prefix."""
    names = (
        catalogue.ORDERS,
        catalogue.RETURNS,
        catalogue.ENGAGEMENTS,
        catalogue.MEMBERS,
        catalogue.COMMANDS,
        catalogue.CLOCK,
        catalogue.LEDGER,
        catalogue.BALANCES,
        catalogue.TIERS,
        catalogue.TIER_PROGRESS,
        catalogue.COMMAND_RESULTS,
        catalogue.DEAD_LETTERS,
        catalogue.HANDOVERS,
        catalogue.TRIGGERS,
        catalogue.SUPPRESSED_TRIGGERS,
    )
    return TopicNames(*(prefixed(prefix, name) for name in names))


def gather(
    books: Books,
    topics: Reader,
    schemas: Schemas,
    names: TopicNames,
    group: str,
    progress: Progress,
    derivations: bool = False,
    wanted: Collection[str] | None = None,
) -> list[Extent]:
    """Read every topic, or those of the `wanted` tables, to its end, and how far `group`, the worker's, has come.

    Dead letters come first, to know of which facts the bytes must be kept.
    """
    done = topics.committed(group, (*names[:5], names.handovers))
    rows = [{"topic": t, "partition": p, "next_offset": offset} for (t, p), offset in done.items()]
    books.add("committed", rows)
    desk = Desk(books, schemas, progress)
    tables = {
        "dead_letter": (names.dead_letters, desk.dead_letters),
        "fact_order": (names.orders, desk.facts("fact_order")),
        "fact_return": (names.returns, desk.facts("fact_return")),
        "fact_engagement": (names.engagements, desk.facts("fact_engagement")),
        "fact_member": (names.members, desk.facts("fact_member")),
        "fact_command": (names.commands, desk.facts("fact_command")),
        "tick": (names.clock, desk.results("tick")),
        "handover": (names.handovers, desk.results("handover")),
        "ledger": (names.ledger, desk.ledger if derivations else desk.results("ledger")),
        "balance": (names.balances, desk.results("balance", "balance")),
        "tier_progress": (names.tier_progress, desk.results("tier_progress", "progress")),
        "tier_changed": (names.tiers, desk.results("tier_changed")),
        "command_result": (names.command_results, desk.results("command_result")),
        "sent_trigger": (names.triggers, desk.results("sent_trigger")),
        "suppressed_trigger": (names.suppressed_triggers, desk.results("suppressed_trigger")),
    }
    chosen = [place for table, place in tables.items() if wanted is None or table in wanted]
    return [topics.read(topic, _named(take, topic)) for topic, take in chosen]


def _named(take: Callable[[str, Sequence[Record]], None], topic: str) -> Callable[[Sequence[Record]], None]:
    return lambda records: take(topic, records)


class Desk:
    """Where batches of records become rows."""

    def __init__(self, books: Books, schemas: Schemas, progress: Progress) -> None:
        self._books = books
        self._schemas = schemas
        self._progress = progress
        self._whole = Decoder(schemas)
        self._letters: set[tuple[str, int, int]] = set()

    def dead_letters(self, topic: str, records: Sequence[Record]) -> None:
        """Dead letters name the record that was refused; where they themselves stand does not matter."""
        rows = [self._whole.decode(record.value) for record in records]
        self._letters.update((row["topic"], row["partition"], row["offset"]) for row in rows)
        self._enter("dead_letter", topic, rows)

    def results(self, table: str, kept: str = "") -> Callable[[str, Sequence[Record]], None]:
        """What the worker wrote: it has no right to be unreadable. An empty value removes what is `kept`."""
        decoder = Decoder(self._schemas, TABLES[table].names)

        def take(topic: str, records: Sequence[Record]) -> None:
            rows = [
                decoder.decode(record.value) | _place(topic, record)
                for record in records
                if record.value is not None
            ]
            gone = [
                {"member_id": (record.key or b"").decode(), "what": kept} | _place(topic, record)
                for record in records
                if record.value is None
            ]
            self._books.add("removed", gone)
            self._enter(table, topic, rows)

        return take

    def ledger(self, topic: str, records: Sequence[Record]) -> None:
        """The ledger with every entry's derivation checked, which takes four times as long to read."""
        entries = [(self._whole.decode(record.value), _place(topic, record)) for record in records]
        self._books.add("derived", [_derived(entry) | place for entry, place in entries])
        self._enter("ledger", topic, [entry | place for entry, place in entries])

    def facts(self, table: str) -> Callable[[str, Sequence[Record]], None]:
        """What the sources wrote: a record that is no fact is noted, with what is wrong with it."""
        decoder = Decoder(self._schemas)

        def take(topic: str, records: Sequence[Record]) -> None:
            rows: list[dict[str, Any]] = []
            problems: list[dict[str, Any]] = []
            for record in records:
                try:
                    rows.append(_fact(decoder, record, _OWN_ID[table]) | _place(topic, record))
                except Unreadable as problem:
                    problems.append({"problem": str(problem)} | _place(topic, record))
            self._books.add("unreadable", problems)
            self._keep_bytes(topic, records)
            self._enter(table, topic, rows)

        return take

    def _keep_bytes(self, topic: str, records: Sequence[Record]) -> None:
        kept = [
            {"key": record.key, "value": record.value} | _place(topic, record)
            for record in records
            if (topic, record.partition, record.offset) in self._letters
        ]
        self._books.add("dead_bytes", kept)

    def _enter(self, table: str, topic: str, rows: Sequence[dict[str, Any]]) -> None:
        self._books.add(table, rows)
        self._progress(topic, len(rows))


def _derived(entry: dict[str, Any]) -> dict[str, Any]:
    derivation = entry["derivation"]
    return {
        "granted_before": derivation["granted_before"],
        "target": derivation["target"],
        "problem": problem_of(entry),
    }


def _place(topic: str, record: Record) -> dict[str, Any]:
    return {"topic": topic, "partition": record.partition, "offset": record.offset}


def _fact(decoder: Decoder, record: Record, own_id: str) -> dict[str, Any]:
    """The fact's fields; its key must be its member and its record's time its `recorded_at`."""
    fact = decoder.decode(record.value)
    if any(name not in fact for name in (own_id, "event_id", "member_id", "occurred_at", "recorded_at")):
        raise Unreadable("a record of another topic")
    if record.key is None or record.key.decode("utf-8", "replace") != fact["member_id"]:
        raise Unreadable(f"the key is {record.key!r}, the member {fact['member_id']}")
    if record.timestamp_ms != fact["recorded_at"]:
        raise Unreadable(f"the record's time is {record.timestamp_ms}, recorded_at is {fact['recorded_at']}")
    return fact
