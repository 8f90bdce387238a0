"""Redemptions, reservations and agents' adjustments: decided once, on what is active at that instant, never again.

A command's decision, and which lots it took from, are facts from then on: what comes to be known later is settled
around them, by debt where it must be.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from pipelines.domain.account import Cause, Journal
from pipelines.domain.facts import CommandKind, PointsCommand
from pipelines.domain.ledger import (
    CommandRefusal,
    CommandResult,
    CommandStatus,
    Derivation,
    LedgerAccount,
    Reason,
)
from pipelines.domain.timing import settle_time
from pipelines.domain.waterfall import burn, repay

MINUTE_MS: Final = 60_000


class SpendingState(StrEnum):
    """Where a redemption or reservation stands; the last three are ends."""

    RESERVED = "RESERVED"
    REDEEMED = "REDEEMED"
    CANCELLED = "CANCELLED"
    RELEASED = "RELEASED"
    TIMED_OUT = "TIMED_OUT"


class Spending(NamedTuple):
    """Points taken out of lots, by a redemption or for a reservation; `parts` are (lot, points).

    `elsewhere` are (member, points) of lots that have become another member's since.
    """

    subject_id: str
    state: SpendingState
    parts: tuple[tuple[str, int], ...]
    elsewhere: tuple[tuple[str, int], ...] = ()

    @property
    def points(self) -> int:
        return sum(points for _, points in self.parts)


class Answered(NamedTuple):
    """A command's answer, and the messages that have been given it."""

    event_ids: tuple[str, ...]
    result: CommandResult


class Decision(NamedTuple):
    """What a command came to: why it was refused, or what it moved, and the spending as it stands then."""

    refusal: CommandRefusal | None
    points: int = 0
    spending: Spending | None = None


def decide(
    command: PointsCommand, known: Spending | None, lateness_ms: int, journal: Journal, cause: Cause
) -> tuple[CommandResult, Spending | None]:
    """Carry the command out, or refuse it; its answer, and its spending when that has changed."""
    account = journal.account
    before = account.active
    if account.enrolled_at_ms is None:
        decision = Decision(CommandRefusal.NOT_A_MEMBER)
    elif command.recorded_at_ms - command.occurred_at_ms > lateness_ms:
        decision = Decision(CommandRefusal.LATE)
    else:
        decision = carry_out(command, known, journal, cause)
    accepted = decision.refusal is None
    elsewhere = 0 if known is None or not accepted else sum(points for _, points in known.elsewhere)
    result = CommandResult(
        command.command_id,
        command.member_id,
        command.kind,
        CommandStatus.ACCEPTED if accepted else CommandStatus.REFUSED,
        decision.refusal,
        _subject(command),
        command.points,
        before,
        decision.points + elsewhere,
        account.active,
        account.reserved,
        account.debt,
        f"{account.member_id}/{cause.name}" if accepted else None,
        command.recorded_at_ms,
    )
    return result, decision.spending


def carry_out(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    """Do what the command asks for, or say why not; nothing is done in part."""
    return _CARRY_OUT[command.kind](command, known, journal, cause)


def _subject(command: PointsCommand) -> str | None:
    """What the command makes or is about: a redemption or reservation without a name of its own has the command's."""
    if command.kind in (CommandKind.REDEEM, CommandKind.RESERVE):
        return command.subject_id or command.command_id
    return command.subject_id


def _redeem(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    return _take(
        command, known, journal, cause, LedgerAccount.REDEEMED, Reason.REDEMPTION, SpendingState.REDEEMED
    )


def _reserve(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    decision = _take(
        command, known, journal, cause, LedgerAccount.RESERVED, Reason.RESERVATION, SpendingState.RESERVED
    )
    if decision.spending is not None:
        minutes = journal.programme.at(command.recorded_at_ms).reservation_minutes
        until_ms = cause.recorded_at_ms + minutes * MINUTE_MS
        journal.account.reservations[decision.spending.subject_id] = until_ms
    return decision


def _take(
    command: PointsCommand,
    known: Spending | None,
    journal: Journal,
    cause: Cause,
    target: LedgerAccount,
    reason: Reason,
    state: SpendingState,
) -> Decision:
    if known is not None:
        return Decision(CommandRefusal.SUBJECT_EXISTS)
    if command.points > journal.account.active:
        return Decision(CommandRefusal.INSUFFICIENT_POINTS)
    parts = _burn(command, journal, cause, target, reason)
    return Decision(None, command.points, Spending(_subject(command) or "", state, parts))


def _burn(
    command: PointsCommand, journal: Journal, cause: Cause, target: LedgerAccount, reason: Reason
) -> tuple[tuple[str, int], ...]:
    asked = abs(command.points)
    parts = tuple((lot.lot_id, points) for lot, points in burn(journal, asked))
    _move_parts(parts, (LedgerAccount.ACTIVE, target, reason), journal, cause, asked)
    return parts


def _move_parts(
    parts: tuple[tuple[str, int], ...],
    ways: tuple[LedgerAccount, LedgerAccount, Reason],
    journal: Journal,
    cause: Cause,
    asked: int,
) -> None:
    for lot_id, points in parts:
        inputs = (("points_asked", asked), ("active", journal.account.active))
        derivation = Derivation("spending", inputs, (), (), 0, 0, ())
        journal.move(cause, lot_id, points, *ways, cause.recorded_at_ms, "spending", derivation)


def _give_back(
    known: Spending, source: LedgerAccount, reason: Reason, journal: Journal, cause: Cause
) -> None:
    """The points return to the lots that they came from, and what has ended meanwhile expires at once."""
    _move_parts(known.parts, (source, LedgerAccount.ACTIVE, reason), journal, cause, known.points)
    for lot_id, _ in known.parts:
        lot = journal.book.lot(lot_id)
        settle_time(lot, lot.active_from_ms, lot.held, cause.recorded_at_ms, journal, cause)
    repay(journal, cause)


def _cancel(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    if known is None:
        return Decision(CommandRefusal.SUBJECT_UNKNOWN)
    if known.state is not SpendingState.REDEEMED:
        return Decision(CommandRefusal.SUBJECT_CLOSED)
    _give_back(known, LedgerAccount.REDEEMED, Reason.REVERSAL, journal, cause)
    return Decision(None, known.points, known._replace(state=SpendingState.CANCELLED))


def _commit(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    if (refusal := _not_open(known)) is not None or known is None:
        return Decision(refusal)
    del journal.account.reservations[known.subject_id]
    ways = LedgerAccount.RESERVED, LedgerAccount.REDEEMED, Reason.REDEMPTION
    _move_parts(known.parts, ways, journal, cause, known.points)
    return Decision(None, known.points, known._replace(state=SpendingState.REDEEMED))


def _release(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    if (refusal := _not_open(known)) is not None or known is None:
        return Decision(refusal)
    return Decision(None, known.points, _let_go(known, SpendingState.RELEASED, journal, cause))


def _not_open(known: Spending | None) -> CommandRefusal | None:
    if known is None:
        return CommandRefusal.SUBJECT_UNKNOWN
    return None if known.state is SpendingState.RESERVED else CommandRefusal.SUBJECT_CLOSED


def _let_go(known: Spending, state: SpendingState, journal: Journal, cause: Cause) -> Spending:
    del journal.account.reservations[known.subject_id]
    _give_back(known, LedgerAccount.RESERVED, Reason.RESERVATION, journal, cause)
    return known._replace(state=state)


def time_out(known: Spending, journal: Journal) -> Spending:
    """The reservation lets go, at the instant that was set when it was made."""
    until_ms = journal.account.reservations[known.subject_id]
    cause = Cause(f"timeout:{known.subject_id}@{until_ms}", until_ms, (known.subject_id,))
    return _let_go(known, SpendingState.TIMED_OUT, journal, cause)


def _adjust(command: PointsCommand, known: Spending | None, journal: Journal, cause: Cause) -> Decision:
    """An agent gives points, as a lot of their own that lives as any other, or takes active ones away."""
    if command.points < 0:
        if -command.points > journal.account.active:
            return Decision(CommandRefusal.INSUFFICIENT_POINTS)
        _burn(command, journal, cause, LedgerAccount.ADJUSTED, Reason.AGENT)
        return Decision(None, -command.points)
    lot_id = f"adjust:{command.command_id}"
    at_ms = cause.recorded_at_ms
    lot = journal.book.lot(lot_id)._replace(earned_at_ms=at_ms)
    journal.book.put(lot, journal.account.now_ms)
    ways = LedgerAccount.ADJUSTED, LedgerAccount.ACTIVE, Reason.AGENT
    _move_parts(((lot_id, command.points),), ways, journal, cause, command.points)
    settle_time(journal.book.lot(lot_id), at_ms, 0, at_ms, journal, cause)
    repay(journal, cause)
    return Decision(None, command.points)


_CARRY_OUT: Final[dict[CommandKind, Callable[[PointsCommand, Spending | None, Journal, Cause], Decision]]] = {
    CommandKind.REDEEM: _redeem,
    CommandKind.CANCEL_REDEMPTION: _cancel,
    CommandKind.RESERVE: _reserve,
    CommandKind.COMMIT: _commit,
    CommandKind.RELEASE: _release,
    CommandKind.ADJUST: _adjust,
}
