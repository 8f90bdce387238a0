"""From ledger entries to what each market owes, in two steps, for a market's members are on many partitions.

Where the entries are, they are summed up by market and day: a *part*. Where the market is at home, the parts of all
partitions make its days, and each day that one of them changes is told anew with all days after it. A part says all
that its partition knows of a day, so a part that comes twice, or late behind a newer one, changes nothing; and an entry
that is read again is known by its offset.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Final

from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.liability import (
    BREAKAGE_DAYS,
    LiabilityDay,
    LiabilityPart,
    MarketDay,
    Movements,
    Through,
    day_of,
    moved,
    rolled,
    together,
)
from state import layout
from state.store import Store

EPOCH: Final = date(1970, 1, 1)


def written(day: int) -> str:
    """A day as state and keys have it; in the order of the calendar."""
    return (EPOCH + timedelta(day)).isoformat()


def read(name: str) -> int:
    """The day that is written so."""
    return (date.fromisoformat(name) - EPOCH).days


def count(entry: LedgerEntry, offset: int, store: Store) -> MarketDay | None:
    """Add the entry at this offset of the partition to its day, which is returned; None when it was counted before."""
    value = store.get(layout.COUNTED, "")
    if value is not None and offset < layout.counted_of(value):
        return None
    store.put(layout.COUNTED, "", "", layout.counted_bytes(offset + 1))
    at = day_of(entry)
    moves = together((_moves(at, store), moved(entry)))
    store.put(layout.MOVED, at.market, written(at.day), layout.moved_bytes(moves))
    return at


def _moves(at: MarketDay, store: Store) -> Movements:
    value = store.get(layout.MOVED, at.market, written(at.day))
    return Movements() if value is None else layout.moved_of(value)


def parts(days: Iterable[MarketDay], partition: int, store: Store) -> Iterator[LiabilityPart]:
    """What this partition of the ledger says of these days."""
    for at in sorted(days):
        yield LiabilityPart(*at, partition, _moves(at, store))


def take(part: LiabilityPart, store: Store) -> MarketDay | None:
    """Keep a part of one of the markets at home here; its day, or None when nothing is new in it."""
    value = store.get(layout.DAY, part.market, written(part.day))
    by_partition, through = ({}, Through()) if value is None else layout.day_of(value)
    known = by_partition.get(part.partition)
    if known is not None and known.entries >= part.moves.entries:
        return None
    by_partition[part.partition] = part.moves
    store.put(layout.DAY, part.market, written(part.day), layout.day_bytes((by_partition, through)))
    return part.at


def tell(days: Iterable[MarketDay], store: Store) -> Iterator[LiabilityDay]:
    """These days and all after them, market by market, as they are now."""
    first: dict[str, int] = {}
    for market, day in days:
        first[market] = min(day, first.get(market, day))
    for market, day in sorted(first.items()):
        yield from _Book(market, store).told_from(day)


class _Book:
    """A market's days in their order. Only what is asked for is decoded: a market has thousands of days."""

    def __init__(self, market: str, store: Store) -> None:
        self._market, self._store = market, store
        days = list(store.of_member(layout.DAY, market))
        self._names = [name for name, _ in days]
        self._values = [value for _, value in days]

    def told_from(self, day: int) -> Iterator[LiabilityDay]:
        for place in range(bisect_left(self._names, written(day)), len(self._names)):
            name = self._names[place]
            by_partition, _ = layout.day_of(self._values[place])
            moves, before = together(by_partition.values()), self._through(place - 1)
            self._values[place] = layout.day_bytes((by_partition, before.plus(moves)))
            self._store.put(layout.DAY, self._market, name, self._values[place])
            behind = bisect_left(self._names, written(read(name) - BREAKAGE_DAYS + 1)) - 1
            yield rolled(MarketDay(self._market, read(name)), moves, before, self._through(behind))

    def _through(self, place: int) -> Through:
        """Up to the end of the day at this place; nothing before the first."""
        return layout.day_of(self._values[place])[1] if place >= 0 else Through()
