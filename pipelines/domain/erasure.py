"""What a member had when they were erased: it is nobody's from then on, and the ledger says so.

Theory of operation. An erasure ends an account, whatever version of the member tells it and whatever comes after it.
What is in the balance moves to ERASED, what is owed is owed no more; then everything that was kept of the member is
forgotten but that there is nothing to keep, and from where to count should a ledger entry ever be written again.
"""

from __future__ import annotations

from pipelines.domain.account import Account, Cause, Journal, Membership
from pipelines.domain.ledger import Derivation, LedgerAccount, Reason
from pipelines.domain.lots import Lot

_MOVED = (LedgerAccount.DEBT, LedgerAccount.PENDING, LedgerAccount.ACTIVE, LedgerAccount.RESERVED)


def erase_points(journal: Journal, cause: Cause) -> None:
    """Move all that is pending, active and reserved to ERASED, lot by lot; and all that is owed, from there.

    What repaid a debt goes before the debt.
    """
    for lot in sorted(journal.book.all(), key=lambda lot: (-lot.debt, lot.lot_id)):
        for side in _MOVED:
            _move(lot, side, journal, cause)


def _move(lot: Lot, side: LedgerAccount, journal: Journal, cause: Cause) -> None:
    points: int = getattr(lot, side.value.lower())
    if not points:
        return
    ways = (side, LedgerAccount.ERASED) if points > 0 else (LedgerAccount.ERASED, side)
    derivation = Derivation("erasure", ((side.value.lower(), points),), (), (), lot.granted, lot.granted, ())
    at_ms = cause.recorded_at_ms
    journal.move(
        cause, lot.lot_id, abs(points), *ways, Reason.ERASURE, at_ms, "erasure", derivation, side.value
    )


def nobody(erased_at_ms: int) -> Membership:
    """What stays of a membership: that there was one, and is none any more."""
    return Membership(0, 0, "", "UTC", None, None, (), erased_at_ms, None)


def emptied(account: Account, erased_at_ms: int) -> Account:
    """What stays of an account: its id, its time, the number of its last entry, and that it is erased."""
    return Account(account.member_id, account.now_ms, account.sequence, membership=nobody(erased_at_ms))
