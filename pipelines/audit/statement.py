"""One member's records, read from the one partition that they are on, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.audit.gathering import TopicNames
from pipelines.audit.reading import Decoder, Record, Schemas, Topics
from pipelines.failure import Failure
from pipelines.runtime.partition import partition_of

Entry = Mapping[str, Any]


class Lot(NamedTuple):
    """What became of the points of one order, engagement or welcome, by the ledger."""

    lot_id: str
    issued: int
    taken_back: int
    pending: int
    active: int
    expired: int
    spent: int


class Statement(NamedTuple):
    """A member's last balance and progress, their lots, ledger and tier changes, oldest first."""

    member_id: str
    balance: Entry | None
    progress: Entry | None
    lots: tuple[Lot, ...]
    entries: tuple[Entry, ...]
    changes: tuple[Entry, ...]


def statement(topics: Topics, schemas: Schemas, names: TopicNames, member_id: str) -> Statement:
    """Everything about a member; a Failure when no topic knows them."""
    entries = entries_of(topics, schemas, names, member_id)
    balance = _last(_decoded(schemas, _records(topics, names.balances, member_id)))
    progress = _last(_decoded(schemas, _records(topics, names.tier_progress, member_id)))
    if balance is None and progress is None and not entries:
        raise Failure(
            f"there is no member {member_id} on {names.ledger}, {names.balances} or {names.tier_progress}",
            "check the id, and whether the worker has caught up",
        )
    changes = _decoded(schemas, _records(topics, names.tiers, member_id))
    return Statement(member_id, balance, progress, lots(entries), tuple(entries), tuple(changes))


def entry(topics: Topics, schemas: Schemas, names: TopicNames, entry_id: str) -> Entry:
    """The ledger entry with that id; its first part is the member, which says where to look."""
    member_id = entry_id.split("/", 1)[0]
    found = next(
        (e for e in entries_of(topics, schemas, names, member_id) if e["entry_id"] == entry_id), None
    )
    if found is None:
        raise Failure(
            f"there is no entry {entry_id} on {names.ledger}",
            f"list the member's entries: `loyalty member {member_id}`",
        )
    return found


def entries_of(topics: Topics, schemas: Schemas, names: TopicNames, member_id: str) -> list[Entry]:
    """A member's ledger entries, in order."""
    return _decoded(schemas, _records(topics, names.ledger, member_id))


def lots(entries: Iterable[Entry]) -> tuple[Lot, ...]:
    """The ledger by lot, in the order in which the lots began."""
    sums: dict[str, dict[str, int]] = {}
    for one in entries:
        accounts = sums.setdefault(one["lot_id"], {})
        accounts[one["from_account"]] = accounts.get(one["from_account"], 0) - one["points"]
        accounts[one["to_account"]] = accounts.get(one["to_account"], 0) + one["points"]
    return tuple(
        Lot(
            lot_id,
            -accounts.get("ISSUED", 0),
            accounts.get("CLAWED_BACK", 0),
            accounts.get("PENDING", 0),
            accounts.get("ACTIVE", 0),
            accounts.get("EXPIRED", 0),
            accounts.get("REDEEMED", 0) + accounts.get("RESERVED", 0),
        )
        for lot_id, accounts in sums.items()
    )


def _records(topics: Topics, topic: str, member_id: str) -> list[Record]:
    key = member_id.encode()
    count = topics.partitions(topic)
    if not count:
        raise Failure(f"there is no topic {topic}", "run `loyalty topics apply`")
    found: list[Record] = []

    def take(records: Sequence[Record]) -> None:
        found.extend(record for record in records if record.key == key)

    topics.read(topic, take, [partition_of(key, count)])
    return found


def _decoded(schemas: Schemas, records: Iterable[Record]) -> list[Entry]:
    decoder = Decoder(schemas)
    return [decoder.decode(record.value) if record.value is not None else {} for record in records]


def _last(records: Sequence[Entry]) -> Entry | None:
    """The last record of a compacted topic; an empty one is a removal."""
    return (records[-1] or None) if records else None
