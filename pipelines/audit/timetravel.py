"""A member's points and tier as of an instant T, as they were known at an instant K.

The ledger is never edited: what came to be known later stands in later entries, effective from when it counts. So
what was known at K are the entries recorded until K, and what then counted at T are those of them effective until T.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Entry = Mapping[str, Any]


class AsOf(NamedTuple):
    """What a member had at `at_ms`, by all that was recorded until `known_at_ms`; `tier` is None before joining."""

    at_ms: int
    known_at_ms: int
    active: int
    pending: int
    reserved: int
    debt: int
    lifetime: int
    tier: str | None
    tier_kind: str | None
    entries: tuple[Entry, ...]


def as_of(entries: Iterable[Entry], changes: Iterable[Entry], at_ms: int, known_at_ms: int) -> AsOf:
    """Look back; `entries` and `changes` (of the tier) are the member's, in the order of their topics."""
    counted = [e for e in entries if e["recorded_at"] <= known_at_ms and e["effective_at"] <= at_ms]
    change = _tier(changes, at_ms, known_at_ms)
    return AsOf(
        at_ms,
        known_at_ms,
        _in(counted, "ACTIVE"),
        _in(counted, "PENDING"),
        _in(counted, "RESERVED"),
        -_in(counted, "DEBT"),
        -_in(counted, "ISSUED") - _in(counted, "CLAWED_BACK"),
        None if change is None else change["tier"],
        None if change is None else change["kind"],
        tuple(counted),
    )


def _in(entries: Sequence[Entry], account: str) -> int:
    came = sum(int(e["points"]) for e in entries if e["to_account"] == account)
    return came - sum(int(e["points"]) for e in entries if e["from_account"] == account)


def _tier(changes: Iterable[Entry], at_ms: int, known_at_ms: int) -> Entry | None:
    """The last change in force; CORRECTED unsays what was told of the time from its instant on."""
    told: list[Entry] = []
    for change in changes:
        if change["recorded_at"] > known_at_ms:
            continue
        if change["kind"] == "CORRECTED":
            told = [earlier for earlier in told if earlier["effective_at"] < change["effective_at"]]
        told.append(change)
    in_force = [change for change in told if change["effective_at"] <= at_ms]
    return max(in_force, key=lambda change: change["effective_at"], default=None)
