"""Lots: where the points of one order, engagement or welcome are, and when they begin and cease to count.

Theory of operation. What a lot is worth follows from the facts; where its unspent points are from the clock alone:
pending before `active_from_ms`, active from then on, expired from `expires_at_ms` on. A return that was requested
before the points became active holds back what it would take, until it is settled. So points never need to be
remembered as "already expired": when the worth or an instant of a lot changes, its points go where they belong,
and the ledger says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipelines.domain.ledger import LedgerAccount


class Lot(NamedTuple):
    """The points of one source. `held` of the pending ones wait for a return; `expires_at_ms` None is never.

    `earned_at_ms` and `tier` say by which rules they were earned: an order's is the one just before it, None means the
    one in force then, whatever comes to be known of it. `sequence` is that of the lot's first entry. `debt`,
    `written_off` and `adjusted` are what moved between the lot and these ledger accounts, on balance.
    """

    lot_id: str
    earned_at_ms: int = 0
    tier: int | None = None
    active_from_ms: int = 0
    expires_at_ms: int | None = None
    sequence: int = 0
    held: int = 0
    pending: int = 0
    active: int = 0
    reserved: int = 0
    redeemed: int = 0
    expired: int = 0
    debt: int = 0
    written_off: int = 0
    adjusted: int = 0

    @property
    def granted(self) -> int:
        """What the source has been given, on balance, wherever it is now."""
        return self.free + self.reserved + self.redeemed + self.debt + self.written_off + self.adjusted

    @property
    def free(self) -> int:
        """The points that nobody has spent: where they are, the clock says."""
        return self.pending + self.active + self.expired

    @property
    def empty(self) -> bool:
        """Whether nothing of it is anywhere."""
        return not any(self[_FIRST_ACCOUNT:])

    def joined(self, other: Lot) -> Lot:
        """This lot with the points of another of the same name, which may be none."""
        return self._replace(**{name: getattr(self, name) + getattr(other, name) for name in _ACCOUNTS})

    def moved(self, points: int, source: LedgerAccount, target: LedgerAccount, sequence: int) -> Lot:
        """The lot with points moved by the entry after `sequence`; what is in no account of a lot is elsewhere."""
        fields: list[Any] = list(self)
        if (place := _PLACES.get(source)) is not None:
            fields[place] -= points
        if (place := _PLACES.get(target)) is not None:
            fields[place] += points
        fields[_SEQUENCE] = self.sequence or sequence
        return Lot._make(fields)


_SEQUENCE: Final = Lot._fields.index("sequence")
_FIRST_ACCOUNT: Final = Lot._fields.index("pending")
_ACCOUNTS: Final = frozenset(Lot._fields[_FIRST_ACCOUNT:])
_PLACES: Final = {
    account: Lot._fields.index(account.lower()) for account in LedgerAccount if account.lower() in _ACCOUNTS
}


class Activation(NamedTuple):
    """`points` of a lot that become active at `at_ms`."""

    at_ms: int
    points: int


@dataclass(slots=True)
class Calendar:
    """What will happen to lots by itself: activations by lot, and how many active points cease at which instant.

    Expiry is by instant, not by lot: rounded to the end of a month, a year of lots has no more than fourteen.
    """

    activations: dict[str, Activation] = field(default_factory=dict)
    expiries: dict[int, int] = field(default_factory=dict)

    @property
    def next_activation(self) -> tuple[int | None, int]:
        """When points next become active, and how many do then."""
        if not self.activations:
            return None, 0
        waiting = list(self.activations.values())
        at_ms = min(waiting)[0]
        return at_ms, sum([points for then_ms, points in waiting if then_ms == at_ms])

    def replace(self, before: Lot, after: Lot, now_ms: int) -> None:
        """Follow a lot's change."""
        self.activations.pop(after.lot_id, None)
        due = after.pending - after.held
        if due > 0 and after.active_from_ms > now_ms:
            self.activations[after.lot_id] = Activation(after.active_from_ms, due)
        if before.active:
            self._count(before, -before.active)
        if after.active:
            self._count(after, after.active)

    def _count(self, lot: Lot, points: int) -> None:
        if lot.expires_at_ms is None:
            return
        left = self.expiries.pop(lot.expires_at_ms, 0) + points
        if left:
            self.expiries[lot.expires_at_ms] = left


@dataclass(slots=True)
class Book:
    """A member's lots: read when asked for, and those that have changed."""

    read: Callable[[str], Lot | None]
    read_all: Callable[[], Iterable[Lot]]
    calendar: Calendar
    lots: dict[str, Lot] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def all(self) -> list[Lot]:
        """Every lot, as it is by now."""
        return list(({lot.lot_id: lot for lot in self.read_all()} | self.lots).values())

    def lot(self, lot_id: str) -> Lot:
        """The lot; an empty one when there is none yet."""
        lot = self.lots.get(lot_id)
        if lot is None:
            lot = self.lots[lot_id] = self.read(lot_id) or Lot(lot_id)
        return lot

    def put(self, lot: Lot, now_ms: int) -> None:
        """Keep the lot as it is now."""
        before = self.lot(lot.lot_id)
        if lot != before:
            self.calendar.replace(before, lot, now_ms)
            self.lots[lot.lot_id] = lot
            self.changed.add(lot.lot_id)
