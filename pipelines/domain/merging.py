"""Two member ids, one person: what goes from one account to the other, and how the ledger says so.

Theory of operation. While a member's own fact names another that it is merged into, all that is known of both is one
person's, as if it had never been otherwise: the delta law does the rest, and undoes it. Lots keep their names, ends
and pasts; only what is in the balance moves, from the one member's ledger into the other's.

The two accounts may be on different partitions, hence *handovers*: messages from one account to another, in the
order in which they were sent. A merged member's account stays behind as an address, which passes on what comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import StrEnum
from typing import NamedTuple

from pipelines.domain.account import Cause, Journal
from pipelines.domain.facts import Fact
from pipelines.domain.ledger import Derivation, LedgerAccount, Reason
from pipelines.domain.lots import Lot
from pipelines.domain.spending import Spending


class HandoverKind(StrEnum):
    """RECORDS are all that was known; a FACT came to the old address; RELEASE asks for the records back; FOLLOW
    carries out a command on those parts of its redemption or reservation that are the receiver's; UNDELIVERED are
    the records again, for whom they were meant was erased."""

    RECORDS = "RECORDS"
    FACT = "FACT"
    RELEASE = "RELEASE"
    FOLLOW = "FOLLOW"
    UNDELIVERED = "UNDELIVERED"


class Handover(NamedTuple):
    """From one account to another. `from_member_id` is whose records, or whose fact, it is about.

    `path` are the members that it came through; `records` are (kind, key, bytes of state); `source` is the record
    that a refusal must be able to show.
    """

    member_id: str
    from_member_id: str
    kind: HandoverKind
    recorded_at_ms: int
    event_id: str
    cause: str
    path: tuple[str, ...]
    records: tuple[tuple[bytes, str, bytes], ...] = ()
    fact: Fact | None = None
    source: bytes = b""


_IN_BALANCE = (LedgerAccount.DEBT, LedgerAccount.PENDING, LedgerAccount.ACTIVE, LedgerAccount.RESERVED)


def hand_out(lots: Iterable[Lot], journal: Journal, cause: Cause) -> None:
    """Let lots go: what of them is in the balance is transferred. What repaid a debt goes before the debt."""
    for lot in sorted(lots, key=lambda lot: -lot.debt):
        for side in _IN_BALANCE:
            _transfer(lot, side, -_held(lot, side), journal, cause)
        journal.account.lifetime -= lot.granted
        journal.book.put(Lot(lot.lot_id), journal.account.now_ms)


def hand_in(lots: Iterable[Lot], journal: Journal, cause: Cause) -> None:
    """Take lots in as they were let go; a debt comes before what repaid it."""
    for lot in sorted(lots, key=lambda lot: lot.debt):
        past = lot._replace(pending=0, active=0, reserved=0, debt=0)
        journal.book.put(past.joined(journal.book.lot(lot.lot_id)), journal.account.now_ms)
        for side in _IN_BALANCE:
            _transfer(lot, side, _held(lot, side), journal, cause)
        journal.account.lifetime += lot.granted


def _held(lot: Lot, side: LedgerAccount) -> int:
    points: int = getattr(lot, side.value.lower())
    return points


def _transfer(lot: Lot, side: LedgerAccount, points: int, journal: Journal, cause: Cause) -> None:
    ways = (LedgerAccount.TRANSFERRED, side) if points > 0 else (side, LedgerAccount.TRANSFERRED)
    if points:
        derivation = _derived(lot)
        at_ms = cause.recorded_at_ms
        journal.move(
            cause, lot.lot_id, abs(points), *ways, Reason.MERGE, at_ms, "merge", derivation, side.value
        )


def _derived(lot: Lot) -> Derivation:
    """The lot is as it was: when it ends goes with it."""
    ends = () if lot.expires_at_ms is None else (("expires_at_ms", lot.expires_at_ms),)
    return Derivation("merge", ends, (), (), lot.granted, lot.granted, ())


def owe_apart(lots: Iterable[Lot], journal: Journal, cause: Cause) -> None:
    """Undo what these lots, about to be on their own, repaid of a debt that is not theirs."""
    ours = sorted(lots)
    surplus = sum(lot.debt for lot in ours)
    for lot in ours:
        if (points := min(surplus, lot.debt)) > 0:
            surplus -= points
            derivation = _derived(lot)
            ways = LedgerAccount.DEBT, LedgerAccount.ACTIVE, Reason.MERGE
            journal.move(cause, lot.lot_id, points, *ways, cause.recorded_at_ms, "merge", derivation, "apart")


def spent_apart(spending: Spending, theirs: Set[str], other: str) -> tuple[Spending, Spending]:
    """A spending in two: what it has of the owner's side, which remembers the rest, and that rest.

    `theirs` are the lots of the side that is not the owner's, `other` the member who has them.
    """
    own = tuple(part for part in spending.parts if part[0] not in theirs)
    rest = spending._replace(parts=tuple(part for part in spending.parts if part[0] in theirs), elsewhere=())
    elsewhere = (*spending.elsewhere, (other, rest.points)) if rest.parts else spending.elsewhere
    return spending._replace(parts=own, elsewhere=elsewhere), rest


def spent_together(one: Spending, other: Spending, here: Set[str]) -> Spending:
    """What had been one spending is one again; what is elsewhere still, is not with a member that is `here`."""
    elsewhere = tuple(part for part in (*one.elsewhere, *other.elsewhere) if part[0] not in here)
    return one._replace(parts=tuple(sorted((*one.parts, *other.parts))), elsewhere=elsewhere)
