"""The clock's part: a lot's unspent points are pending, active or expired as the time it is says, and nothing else."""

from __future__ import annotations

from pipelines.domain.account import Cause, Journal
from pipelines.domain.calendar import expires_ms
from pipelines.domain.ledger import Derivation, LedgerAccount, Reason
from pipelines.domain.lots import Lot
from pipelines.domain.waterfall import repay


def settle_time(
    lot: Lot, active_from: int, held: int, released_ms: int, journal: Journal, cause: Cause
) -> None:
    """Move a lot's points to where they belong now: what was held until `released_ms` is active from then on."""
    version = journal.programme.at(lot.earned_at_ms)
    expires = None if version.expiry is None else expires_ms(active_from, version.expiry, version.zone)
    now_ms = journal.account.now_ms
    lot = lot._replace(active_from_ms=active_from, expires_at_ms=expires, held=held)
    journal.book.put(lot, now_ms)
    waits = lot.free if now_ms < active_from else min(held, lot.free)
    gone = 0 if expires is None or now_ms < expires else lot.free - waits
    if waits == lot.pending and gone == lot.expired:
        return
    told_ms = cause.recorded_at_ms
    _shift(lot, LedgerAccount.EXPIRED, LedgerAccount.ACTIVE, lot.expired - gone, told_ms, journal, cause)
    _shift(lot, LedgerAccount.ACTIVE, LedgerAccount.PENDING, waits - lot.pending, told_ms, journal, cause)
    begins_ms = max(active_from, released_ms)
    _shift(lot, LedgerAccount.PENDING, LedgerAccount.ACTIVE, lot.pending - waits, begins_ms, journal, cause)
    ends_ms = max(expires or 0, begins_ms)
    _shift(lot, LedgerAccount.ACTIVE, LedgerAccount.EXPIRED, gone - lot.expired, ends_ms, journal, cause)


_TIMED = {
    (LedgerAccount.PENDING, LedgerAccount.ACTIVE): (Reason.ACTIVATION, "pending"),
    (LedgerAccount.ACTIVE, LedgerAccount.EXPIRED): (Reason.EXPIRY, "expiry"),
    (LedgerAccount.ACTIVE, LedgerAccount.PENDING): (Reason.EDIT, "pending"),
    (LedgerAccount.EXPIRED, LedgerAccount.ACTIVE): (Reason.EDIT, "expiry"),
}


def _shift(
    lot: Lot,
    source: LedgerAccount,
    target: LedgerAccount,
    points: int,
    effective_at_ms: int,
    journal: Journal,
    cause: Cause,
) -> None:
    """Move points of a lot for no other reason than the time it is; nothing when there are none to move."""
    if points <= 0:
        return
    reason, rule_id = _TIMED[source, target]
    version = journal.programme.at(lot.earned_at_ms)
    inputs = [("active_from_ms", lot.active_from_ms), ("held", lot.held)]
    if lot.expires_at_ms is not None and version.expiry is not None:
        inputs += [("expires_at_ms", lot.expires_at_ms), ("expiry_months", version.expiry.months)]
    ends = "never" if version.expiry is None else f"{version.expiry.end_of.value}:{version.zone}"
    derivation = Derivation(f"timing:{ends}", tuple(inputs), (), (), lot.granted, lot.granted, ())
    journal.move(cause, lot.lot_id, points, source, target, reason, effective_at_ms, rule_id, derivation)


def activate(lot_id: str, journal: Journal) -> None:
    """The lot's points become active, at the instant that its timer says.

    A timer fires once an instant, for now only grows: hence the cause's name is unique.
    """
    lot = journal.book.lot(lot_id)
    due = journal.account.calendar.activations[lot_id]
    assert due == (lot.active_from_ms, lot.pending - lot.held), (due, lot)
    cause = Cause(f"activation:{lot_id}@{due.at_ms}", due.at_ms, (lot_id,))
    _shift(lot, LedgerAccount.PENDING, LedgerAccount.ACTIVE, due.points, due.at_ms, journal, cause)
    repay(journal, cause)


def expire(lot_id: str, at_ms: int, journal: Journal) -> None:
    """The lot's active points cease, at that instant."""
    lot = journal.book.lot(lot_id)
    cause = Cause(f"expiry:{lot_id}@{at_ms}", at_ms, (lot_id,))
    _shift(lot, LedgerAccount.ACTIVE, LedgerAccount.EXPIRED, lot.active, at_ms, journal, cause)
