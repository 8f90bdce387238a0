"""Which lots are spent first, and what a command meets that comes at an odd moment."""

from __future__ import annotations

from dataclasses import replace

from pipelines.domain.facts import CommandKind, OrderStatus
from pipelines.domain.ledger import CommandRefusal, LedgerAccount, Outcome
from pipelines.domain.programme import Clawback, Expiry, Rounding
from tests.support.facts import DAY_MS, command, line, member, ms, order, refund, run, tick
from tests.support.history import play
from tests.support.programmes import REFERENCE_VERSION, programme_of, reference

JOINED = member("2026-01-01T00:00:00Z")
FOR_EVER_UNTIL_APRIL = programme_of(
    replace(REFERENCE_VERSION, version="never", expiry=None, welcome_points=0),
    replace(
        REFERENCE_VERSION,
        version="month",
        effective_from_ms=ms("2026-04-01T00:00:00Z"),
        expiry=Expiry(1, Rounding.DAY),
        welcome_points=0,
    ),
)


def test_what_ends_soonest_is_spent_first_and_what_never_ends_last() -> None:
    facts = [
        JOINED,
        run("forever", "2026-03-20T10:00:00Z", 5_000),
        run("first", "2026-04-02T10:00:00Z", 4_000),
        run("second", "2026-04-03T10:00:00Z", 3_000),
        command("C1", CommandKind.REDEEM, "2026-04-10T10:00:00Z", 16),
    ]

    history = play(facts, FOR_EVER_UNTIL_APRIL)

    spent = [(e.lot_id, e.points) for e in history.ledger if e.reason == "REDEMPTION"]
    assert spent == [("engagement:first", 8), ("engagement:second", 6), ("engagement:forever", 2)]


def test_of_lots_that_end_together_the_earlier_earned_is_spent_first() -> None:
    facts = [
        JOINED,
        run("later", "2026-02-20T10:00:00Z", 5_000),
        run("sooner", "2026-02-10T10:00:00Z", 5_000, recorded="2026-02-21T10:00:00Z"),
        command("C1", CommandKind.REDEEM, "2026-02-22T10:00:00Z", 12),
    ]

    history = play(facts, reference(welcome_points=0))

    spent = [(e.lot_id, e.points) for e in history.ledger if e.reason == "REDEMPTION"]
    assert spent == [("engagement:sooner", 10), ("engagement:later", 2)]


def test_an_agent_takes_no_more_than_there_is() -> None:
    facts = [
        JOINED,
        command("C1", CommandKind.ADJUST, "2026-02-22T10:00:00Z", -51),
        command("C2", CommandKind.ADJUST, "2026-02-22T10:01:00Z", -50),
    ]

    history = play(facts, reference())

    assert [(a.refusal, a.points_moved, a.active_after) for a in history.answers] == [
        (CommandRefusal.INSUFFICIENT_POINTS, 0, 50),
        (None, 50, 0),
    ]


def test_a_stranger_and_a_late_command_are_answered() -> None:
    late = command("C2", CommandKind.REDEEM, "2026-01-02T10:00:00Z", 10)
    late = late._replace(recorded_at_ms=ms("2026-02-20T10:00:00Z"))

    history = play([command("C1", CommandKind.REDEEM, "2025-12-31T10:00:00Z", 10), JOINED, late], reference())

    assert [a.refusal for a in history.answers] == [CommandRefusal.NOT_A_MEMBER, CommandRefusal.LATE]
    assert history.refusals == []


def test_nothing_can_be_done_twice_to_one_reservation() -> None:
    at = "2026-02-22T10:00:00Z"
    facts = [
        JOINED,
        command("R1", CommandKind.RESERVE, at, 30),
        command("C1", CommandKind.RESERVE, at, 5, subject_id="R1"),
        command("C2", CommandKind.RELEASE, at, subject_id="R1"),
        command("C3", CommandKind.RELEASE, at, subject_id="R1"),
        command("C4", CommandKind.COMMIT, at, subject_id="R1"),
        command("C5", CommandKind.COMMIT, at, subject_id="R9"),
        command("C6", CommandKind.RELEASE, at, subject_id="R9"),
        command("C7", CommandKind.CANCEL_REDEMPTION, at, subject_id="R9"),
        command("C8", CommandKind.CANCEL_REDEMPTION, at, subject_id="R1"),
    ]

    history = play([*facts, tick("2026-02-23T10:00:00Z")], reference())

    assert [a.refusal for a in history.answers] == [
        None,
        CommandRefusal.SUBJECT_EXISTS,
        None,
        CommandRefusal.SUBJECT_CLOSED,
        CommandRefusal.SUBJECT_CLOSED,
        CommandRefusal.SUBJECT_UNKNOWN,
        CommandRefusal.SUBJECT_UNKNOWN,
        CommandRefusal.SUBJECT_UNKNOWN,
        CommandRefusal.SUBJECT_CLOSED,
    ]
    assert (history.balances[-1].active, history.balances[-1].reserved) == (50, 0)


def test_one_message_is_answered_once_and_one_command_the_same_again() -> None:
    first = command("C1", CommandKind.REDEEM, "2026-02-22T10:00:00Z", 30)
    again = first._replace(event_id="e-other", recorded_at_ms=ms("2026-02-23T10:00:00Z"))

    history = play([JOINED, first, first, again, again], reference())

    assert history.outcomes == {Outcome.APPLIED: 2, Outcome.DUPLICATE: 3}
    assert len(history.answers) == 2 == len(history.answers) * len(set(history.answers))
    assert history.balances[-1].active == 20


def test_a_return_that_changes_nothing_but_a_hold_repays_nothing_it_should_not() -> None:
    """An order twice returned in parts, half of it spent: each part is owed once, the debt is the sum."""
    delivered = order(
        "O1",
        "2026-02-01T10:00:00Z",
        line("A", 100_00, quantity=2),
        status=OrderStatus.DELIVERED,
        delivered_at_ms=ms("2026-02-01T10:00:00Z"),
    )
    facts = [
        JOINED,
        delivered,
        command("C1", CommandKind.REDEEM, "2026-03-10T10:00:00Z", 80),
        refund("R1", "O1", "2026-03-11T10:00:00Z", ("A", 1, 50_00)),
        refund("R2", "O1", "2026-03-12T10:00:00Z", ("A", 1, 50_00)),
    ]

    history = play(facts, reference(welcome_points=0))

    assert [b.debt for b in history.balances][-2:] == [30, 80]
    assert history.balances[-1].lifetime == 0


A_RUN_SPENT_AND_UNDONE = [
    JOINED,
    run("E1", "2026-02-10T10:00:00Z", 10_000),
    command("C1", CommandKind.REDEEM, "2026-02-11T10:00:00Z", 20),
    run("E2", "2026-02-12T10:00:00Z", 10_000),
    run("E1", "2026-02-10T10:00:00Z", 0, version=2, recorded="2026-02-13T10:00:00Z"),
]


def test_within_the_balance_nothing_is_written_off_while_there_is_enough() -> None:
    history = play(A_RUN_SPENT_AND_UNDONE, reference(welcome_points=0, clawback=Clawback.WITHIN_BALANCE))

    assert history.total(LedgerAccount.WRITTEN_OFF) == 0
    assert (history.balances[-1].active, history.balances[-1].debt) == (0, 0)


def test_a_redemption_has_its_name_to_itself() -> None:
    facts = [
        JOINED,
        command("C1", CommandKind.REDEEM, "2026-02-22T10:00:00Z", 10, subject_id="S1"),
        command("C2", CommandKind.REDEEM, "2026-02-22T10:01:00Z", 10, subject_id="S1"),
    ]

    history = play(facts, reference())

    assert [a.refusal for a in history.answers] == [None, CommandRefusal.SUBJECT_EXISTS]
    assert history.balances[-1].active == 40


def test_a_command_is_in_time_to_the_last_millisecond_of_the_horizon() -> None:
    wish = command("C1", CommandKind.REDEEM, "2026-01-02T10:00:00Z", 10)

    history = play([JOINED, wish._replace(recorded_at_ms=wish.occurred_at_ms + 45 * DAY_MS)], reference())

    assert [a.refusal for a in history.answers] == [None]


def test_what_an_agent_gives_is_told_as_moved() -> None:
    history = play([JOINED, command("C1", CommandKind.ADJUST, "2026-02-22T10:00:00Z", 25)], reference())

    (answer,) = history.answers
    assert (answer.points_asked, answer.points_moved, answer.active_after) == (25, 25, 75)


def test_within_the_balance_a_single_point_too_much_is_written_off() -> None:
    facts = [
        JOINED,
        run("E1", "2026-02-10T10:00:00Z", 10_000),
        command("C1", CommandKind.REDEEM, "2026-02-11T10:00:00Z", 19),
        run("E1", "2026-02-10T10:00:00Z", 9_000, version=2, recorded="2026-02-13T10:00:00Z"),
    ]

    history = play(facts, reference(welcome_points=0, clawback=Clawback.WITHIN_BALANCE))

    assert history.total(LedgerAccount.WRITTEN_OFF) == -1
    assert (history.balances[-1].active, history.balances[-1].debt) == (0, 0)


def test_within_the_balance_the_entry_that_repays_names_the_lot_that_owes() -> None:
    history = play(A_RUN_SPENT_AND_UNDONE, reference(welcome_points=0, clawback=Clawback.WITHIN_BALANCE))

    assert history.ledger[-1].entry_id == "m-1/engagement:E1@2/DEBT_REPAID:engagement:E1/engagement:E2/ACTIVE"


def test_within_the_balance_an_older_debt_stays_a_debt() -> None:
    programme = programme_of(
        replace(REFERENCE_VERSION, version="owing", welcome_points=0),
        replace(
            REFERENCE_VERSION,
            version="within",
            effective_from_ms=ms("2026-03-01T00:00:00Z"),
            clawback=Clawback.WITHIN_BALANCE,
        ),
    )
    facts = [
        JOINED,
        run("E1", "2026-02-28T10:00:00Z", 10_000),
        run("E2", "2026-03-02T10:00:00Z", 10_000),
        command("C1", CommandKind.REDEEM, "2026-03-03T10:00:00Z", 40),
        run("E1", "2026-02-28T10:00:00Z", 0, version=2, recorded="2026-03-04T10:00:00Z"),
        run("E2", "2026-03-02T10:00:00Z", 0, version=2, recorded="2026-03-05T10:00:00Z"),
    ]

    history = play(facts, programme)

    assert history.total(LedgerAccount.WRITTEN_OFF) == -20
    assert (history.balances[-1].active, history.balances[-1].debt) == (0, 20)
