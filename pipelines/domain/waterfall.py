"""What is taken back of points that were spent, and what is taken first when points are spent."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.account import Cause, Journal
from pipelines.domain.ledger import Derivation, LedgerAccount, Reason
from pipelines.domain.lots import Lot
from pipelines.domain.programme import Clawback

_NEVER_MS = 1 << 62


def burn(journal: Journal, points: int) -> Iterator[tuple[Lot, int]]:
    """The active lots that give `points`, and how many each: soonest expiry, earliest earned, first booked first."""
    for lot in sorted((lot for lot in journal.book.all() if lot.active), key=_soonest):
        if part := min(points, lot.active):
            yield lot, part
            points -= part


def _soonest(lot: Lot) -> tuple[int, int, int]:
    ends = _NEVER_MS if lot.expires_at_ms is None else lot.expires_at_ms
    return ends, lot.earned_at_ms, lot.sequence


def take_back(
    lot_id: str,
    owed: int,
    journal: Journal,
    cause: Cause,
    reason: Reason,
    effective_at_ms: int,
    rule_id: str,
    derivation: Derivation,
) -> None:
    """Take `owed` points back: pending ones of the lot, then active ones; of expired ones only the name changes.

    What is owed beyond those was spent. The programme's policy says who bears it: it becomes a debt that what is
    active repays at once, and the next points to become active; or it is written off.
    """
    lot = journal.book.lot(lot_id)
    version = journal.programme.at(lot.earned_at_ms)
    spent = owed - lot.free
    beyond = LedgerAccount.WRITTEN_OFF if version.clawback is Clawback.OWN_ONLY else LedgerAccount.DEBT
    before = journal.account.debt
    for source, there in (
        (LedgerAccount.PENDING, lot.pending),
        (LedgerAccount.ACTIVE, lot.active),
        (LedgerAccount.EXPIRED, lot.expired),
        (beyond, max(0, spent)),
    ):
        if points := min(owed, there):
            target = LedgerAccount.CLAWED_BACK
            journal.move(cause, lot_id, points, source, target, reason, effective_at_ms, rule_id, derivation)
            owed -= points
    if spent > 0 and version.clawback is Clawback.WITHIN_BALANCE:
        repay(journal, cause, lot_id)
        if left := max(0, journal.account.debt - before):
            ways = LedgerAccount.WRITTEN_OFF, LedgerAccount.DEBT
            journal.move(cause, lot_id, left, *ways, reason, effective_at_ms, rule_id, derivation)


def repay(journal: Journal, cause: Cause, part: str = "") -> None:
    """Active points repay a debt as soon as there are both; the soonest to expire go first."""
    account = journal.account
    if not (account.debt and account.active):
        return
    inputs = (("debt", account.debt), ("active", account.active))
    derivation = Derivation("debt", inputs, (), (), 0, 0, ())
    ways = LedgerAccount.ACTIVE, LedgerAccount.DEBT, Reason.DEBT_REPAID
    for lot, points in list(burn(journal, account.debt)):
        journal.move(cause, lot.lot_id, points, *ways, cause.recorded_at_ms, "debt", derivation, part)
