"""What the programme owes its members: active, pending and reserved points, rolled forward by market and day.

Every ledger entry that changes what is owed has one foot outside of it, and that account names the movement. So
opening + movements = closing follows from addition alone, whichever entries are there and in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from pipelines.domain.ledger import LedgerAccount, LedgerEntry
from pipelines.domain.programme import DAY_MS

OWED: Final = frozenset({LedgerAccount.ACTIVE, LedgerAccount.PENDING, LedgerAccount.RESERVED})
BREAKAGE_DAYS: Final = 365


class MarketDay(NamedTuple):
    """A market (empty where the member was not known) and a day, counted from 1 January 1970, UTC."""

    market: str
    day: int


class Movements(NamedTuple):
    """What ledger entries add to what is owed, by the account at the other end; `debt` is what members owe.

    `recorded_at_ms` is the greatest of the entries'.
    """

    entries: int = 0
    recorded_at_ms: int = 0
    issued: int = 0
    redeemed: int = 0
    expired: int = 0
    clawed_back: int = 0
    adjusted: int = 0
    erased: int = 0
    repaid: int = 0
    other: int = 0
    debt: int = 0

    @property
    def net(self) -> int:
        """What they add to what is owed."""
        return sum(self[2:10])


_MOVEMENT: Final = {
    LedgerAccount.ISSUED: "issued",
    LedgerAccount.REDEEMED: "redeemed",
    LedgerAccount.EXPIRED: "expired",
    LedgerAccount.CLAWED_BACK: "clawed_back",
    LedgerAccount.ADJUSTED: "adjusted",
    LedgerAccount.ERASED: "erased",
    LedgerAccount.DEBT: "repaid",
    LedgerAccount.WRITTEN_OFF: "other",
    LedgerAccount.TRANSFERRED: "other",
}


class LiabilityPart(NamedTuple):
    """What one partition of the ledger says of a market's day, in full: of two, the one with more entries is newer."""

    market: str
    day: int
    partition: int
    moves: Movements

    @property
    def at(self) -> MarketDay:
        return MarketDay(self.market, self.day)

    @property
    def recorded_at_ms(self) -> int:
        return self.moves.recorded_at_ms


class Through(NamedTuple):
    """What all movements of a market up to the end of a day come to."""

    recorded_at_ms: int = 0
    owed: int = 0
    debt: int = 0
    redeemed: int = 0
    expired: int = 0

    def plus(self, moves: Movements) -> Through:
        """The same with another day's movements."""
        return Through(
            max(self.recorded_at_ms, moves.recorded_at_ms),
            self.owed + moves.net,
            self.debt + moves.debt,
            self.redeemed + moves.redeemed,
            self.expired + moves.expired,
        )


class LiabilityDay(NamedTuple):
    """A market's day: opening + issued + … + other = closing, in points; what lowers what is owed is below 0.

    `breakage_bp`: of the points that were redeemed or expired in the 365 days up to this one, how many basis points
    expired; None while there were none. `breakage_points`: that share of the closing, floored: what will probably never
    be redeemed, if members do as they did.
    """

    market: str
    day: int
    recorded_at_ms: int
    entries: int
    opening: int
    issued: int
    redeemed: int
    expired: int
    clawed_back: int
    adjusted: int
    erased: int
    repaid: int
    other: int
    closing: int
    debt_closing: int
    breakage_bp: int | None
    breakage_points: int | None


def day_of(entry: LedgerEntry) -> MarketDay:
    """Whose day an entry moves: the market's that it names, the day from which it counts."""
    return MarketDay(entry.market, entry.effective_at_ms // DAY_MS)


def moved(entry: LedgerEntry) -> Movements:
    """What one entry does."""
    source, target, points = entry.from_account, entry.to_account, entry.points
    owed = ((target in OWED) - (source in OWED)) * points
    debt = ((source is LedgerAccount.DEBT) - (target is LedgerAccount.DEBT)) * points
    moves = Movements(1, entry.recorded_at_ms, debt=debt)
    return moves._replace(**{_MOVEMENT[source if owed > 0 else target]: owed}) if owed else moves


def together(parts: Iterable[Movements]) -> Movements:
    """The movements of all."""
    columns = list(zip(*parts, strict=True)) or [(0,)] * len(Movements._fields)
    return Movements(sum(columns[0]), max(columns[1]), *(sum(column) for column in columns[2:]))


def rolled(at: MarketDay, moves: Movements, before: Through, window_before: Through) -> LiabilityDay:
    """The day as it is told: on top of all days `before`, and with what went in the days behind `window_before`."""
    now = before.plus(moves)
    redeemed = max(0, window_before.redeemed - now.redeemed)
    expired = max(0, window_before.expired - now.expired)
    gone = redeemed + expired
    return LiabilityDay(
        *at,
        now.recorded_at_ms,
        moves.entries,
        before.owed,
        *moves[2:10],
        now.owed,
        now.debt,
        expired * 10_000 // gone if gone else None,
        max(0, now.owed) * expired // gone if gone else None,
    )
