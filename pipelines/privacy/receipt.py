"""What is left of a member, and where what was there has been removed: read from the topics, record by record.

A compacted topic forgets a key some time after a record without a value has followed under it. So a member is erased
when, of each key that is theirs, the last record on every compacted topic has no value; but one a changelog, which
says that the member is erased, so that nothing is taken in again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pipelines.audit.reading import Record, Topics
from pipelines.runtime.partition import partition_of
from pipelines.topics import OF_MEMBERS, prefixed
from schemas import catalogue
from state import layout

IsTheirs = Callable[[bytes], bool]
COMPACTED = (catalogue.BALANCES, catalogue.TIER_PROGRESS)


class Place(NamedTuple):
    """A record: where it is, and what it is of, in words."""

    topic: str
    partition: int
    offset: int
    what: str


class Receipt(NamedTuple):
    """Of one member: the removals, what stands still, the ends of their states, and how much history is kept.

    `history` counts records under the member's pseudonym on topics that forget nothing; none of them can be linked to
    a person once the identity vault has dropped the link.
    """

    member_id: str
    removed: tuple[Place, ...]
    standing: tuple[Place, ...]
    ended: tuple[Place, ...]
    history: tuple[tuple[str, int], ...]

    @property
    def complete(self) -> bool:
        """Whether nothing stands, and the accounts know that nothing ever will."""
        return not self.standing and any(place.what == _KINDS[layout.ACCOUNT] for place in self.ended)


_KINDS = {
    layout.ACCOUNT: "account",
    layout.ORDER: "order",
    layout.ENGAGEMENT: "engagement",
    layout.GROUP: "engagements that share an allowance",
    layout.LOT: "lot",
    layout.SPENDING: "spending",
    layout.COMMAND: "command",
    layout.PARKED: "waiting return",
    layout.OWNER: "whose it is",
    layout.WATCH: "watch, or timer",
    layout.WATCHED: "watched engagement",
}


def receipt(topics: Topics, prefix: str, member_id: str, with_history: bool = True) -> Receipt:
    """Look at every topic that may hold something of the member."""
    key = member_id.encode()
    removed: list[Place] = []
    standing: list[Place] = []
    ended: list[Place] = []
    for name in COMPACTED:
        last = _last(topics, prefixed(prefix, name), member_id, lambda found: found == key)
        for record in last.values():
            place = Place(prefixed(prefix, name), record.partition, record.offset, name.split(".")[1])
            (removed if record.value is None else standing).append(place)
    for pipeline in OF_MEMBERS:
        topic = pipeline.changelog(prefix)
        for found, record in _last(topics, topic, member_id, _state_of(member_id)).items():
            place = Place(topic, record.partition, record.offset, _KINDS[found[:1]])
            if record.value is None:
                removed.append(place)
            else:
                (ended if _says_erased(found, record.value) else standing).append(place)
    history = tuple(_history(topics, prefix, member_id)) if with_history else ()
    return Receipt(member_id, tuple(sorted(removed)), tuple(sorted(standing)), tuple(sorted(ended)), history)


def _state_of(member_id: str) -> IsTheirs:
    """Keys of state are `<kind>|<member>|<name>`, and `t|<instant, 8 bytes><member>` for timers."""
    own, timer = f"|{member_id}|".encode(), member_id.encode()

    def is_theirs(key: bytes) -> bool:
        return key[1:].startswith(own) or (key[:2] == b"t|" and key[10:] == timer)

    return is_theirs


def _says_erased(key: bytes, value: bytes) -> bool:
    """Whether a record of state is the end of an account or of a watch."""
    if key[:1] == layout.ACCOUNT:
        return layout.account_of(value).erased
    return key[:1] == layout.WATCH and value != b"\x01" and layout.watch_of(value).erased


def _records(topics: Topics, topic: str, member_id: str, is_theirs: IsTheirs) -> list[Record]:
    """All records under the member's keys; none when there is no such topic."""
    found: list[Record] = []

    def take(records: Sequence[Record]) -> None:
        found.extend(record for record in records if record.key is not None and is_theirs(record.key))

    if count := topics.partitions(topic):
        topics.read(topic, take, [partition_of(member_id.encode(), count)])
    return found


def _last(topics: Topics, topic: str, member_id: str, is_theirs: IsTheirs) -> dict[bytes, Record]:
    """The last record of each of the member's keys."""
    found = _records(topics, topic, member_id, is_theirs)
    return {record.key: record for record in found if record.key is not None}


def _history(topics: Topics, prefix: str, member_id: str) -> Iterable[tuple[str, int]]:
    key = member_id.encode()
    for name in catalogue.TOPICS:
        topic = prefixed(prefix, name)
        if name not in (*COMPACTED, catalogue.CLOCK) and topics.partitions(topic):
            yield topic, len(_records(topics, topic, member_id, lambda found: found == key))
