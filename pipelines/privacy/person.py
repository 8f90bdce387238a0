"""Which member ids are one person, by what the members' topic says now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipelines.audit.reading import Decoder, Record, Schemas, Topics, Unreadable
from pipelines.failure import Failure


class Known(NamedTuple):
    """A member as last told; `erased_at_ms` stands whatever version told it."""

    member_id: str
    version: int
    enrolled_at_ms: int
    market: str
    merged_into: str | None
    erased_at_ms: int | None


def told(topics: Topics, schemas: Schemas, members: str) -> dict[str, Known]:
    """Every member on the topic, by id."""
    known: dict[str, Known] = {}
    decoder = Decoder(schemas)

    def take(records: Sequence[Record]) -> None:
        for record in records:
            try:
                _learn(known, decoder.decode(record.value))
            except Unreadable:
                continue  # a dead letter, of nobody

    topics.read(members, take)
    return known


def person(topics: Topics, schemas: Schemas, members: str, member_id: str) -> list[Known]:
    """All ids that are, or were merged into, the same person as this one, by id; a Failure when nobody knows it."""
    known = told(topics, schemas, members)
    if member_id not in known:
        raise Failure(f"there is no member {member_id} on {members}", "check the id; nothing was erased")
    return [known[one] for one in sorted(_linked(known, member_id))]


def _learn(known: dict[str, Known], fact: dict[str, Any]) -> None:
    member_id, version = fact["member_id"], fact["version"]
    before = known.get(member_id)
    erased = fact["erased_at"] if before is None else before.erased_at_ms or fact["erased_at"]
    if before is None or version > before.version:
        known[member_id] = Known(
            member_id, version, fact["enrolled_at"], fact["market"], fact["merged_into"], erased
        )
    else:
        known[member_id] = before._replace(erased_at_ms=erased)


def _linked(known: dict[str, Known], member_id: str) -> set[str]:
    """Whoever a merge leads to from here, and from there back."""
    found = {member_id}
    while True:
        more = {m.member_id for m in known.values() if m.merged_into in found}
        more |= {m.merged_into for m in known.values() if m.member_id in found and m.merged_into in known}
        if more <= found:
            return found
        found |= more
