"""What topics say beyond where their records stand: the figures that checks hold the tables and models against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipelines.audit.reading import Record
from pipelines.warehouse.tables import OFFSET, PARTITION
from schemas import catalogue

Said = Sequence[tuple[Record, dict[str, Any] | None]]
"""Records with what they say; None takes back what stood under the key."""
Columns = dict[str, list[Any]]
PLACE: Final = f"{PARTITION} INTEGER, {OFFSET} BIGINT"
MOVES: Final = (
    "issued",
    "redeemed",
    "expired",
    "clawed_back",
    "adjusted",
    "erased",
    "repaid",
    "other",
)
DAY: Final = ("market", "day", "entries", "opening", *MOVES, "closing", "debt_closing")
BREAKAGE: Final = ("breakage_bp", "breakage_points")


class Told(NamedTuple):
    """What is kept of a topic: in which table, with which columns, and how records become rows."""

    table: str
    columns: str
    rows: Callable[[Said], Columns]


def _entries(said: Said) -> Columns:
    return _named(said, ("from_account", "to_account", "points", "effective_at")) | _place(said)


def _current(said: Said) -> Columns:
    """Under which member something stands, or no longer does."""
    members = [(record.key or b"").decode() for record, _ in said]
    removed = [value is None for _, value in said]
    return {"member_id": members, "removed": removed, **_place(said)}


def _days(said: Said) -> Columns:
    return _named(said, (*DAY, *BREAKAGE)) | _place(said)


def _parts(said: Said) -> Columns:
    return _named(said, ("market", "day", "partition", "entries")) | _place(said)


def _named(said: Said, names: Sequence[str]) -> Columns:
    """Of records of which none takes anything back."""
    return {name: [value and value[name] for _, value in said] for name in names}


def _place(said: Said) -> Columns:
    return {PARTITION: [r.partition for r, _ in said], OFFSET: [r.offset for r, _ in said]}


_CURRENT: Final = f"member_id VARCHAR, removed BOOLEAN, {PLACE}"
_FIGURES: Final = ", ".join(f"{name} BIGINT" for name in (*DAY[2:], *BREAKAGE))
OF_TABLES: Final[Mapping[str, Told]] = {
    catalogue.LEDGER: Told(
        "told_ledger",
        f"from_account VARCHAR, to_account VARCHAR, points BIGINT, effective_at BIGINT, {PLACE}",
        _entries,
    ),
    catalogue.BALANCES: Told("told_balances", _CURRENT, _current),
    catalogue.TIER_PROGRESS: Told("told_tier_progress", _CURRENT, _current),
}
"""Topics that are tables."""
OF_MODELS: Final[Mapping[str, Told]] = {
    catalogue.LIABILITY_PARTS: Told(
        "told_parts", f"market VARCHAR, day BIGINT, partition BIGINT, entries BIGINT, {PLACE}", _parts
    ),
    catalogue.LIABILITY: Told("told_days", f"market VARCHAR, day BIGINT, {_FIGURES}, {PLACE}", _days),
}
"""Topics that a pipeline makes of what a model is made of, too. Parts come first: a day is then not older than its."""
