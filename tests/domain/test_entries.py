"""What a member is told, word for word: entries with their derivations, answers, tier changes and progress."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.domain.facts import CommandKind, Member, OrderStatus
from pipelines.domain.ledger import (
    Balance,
    CommandRefusal,
    CommandResult,
    CommandStatus,
    Derivation,
    DerivedLine,
    LedgerAccount,
    LedgerEntry,
    Reason,
    Term,
    TierChange,
    TierChanged,
    TierProgress,
    WhyNot,
)
from pipelines.domain.programme import Clawback, Expiry, Rounding
from tests.support.facts import command, line, member, ms, order, refund, run, tick
from tests.support.history import play
from tests.support.programmes import REFERENCE_VERSION, reference

JOINED = member("2024-01-01T00:00:00Z")
PLACED = ms("2026-03-02T10:00:00Z")
STARTER = reference(welcome_points=0)
PACER = reference(welcome_points=0, tiers=(replace(REFERENCE_VERSION.tiers[1], threshold=0),))
A_MONTH = reference(welcome_points=0, expiry=Expiry(1, Rounding.DAY))
ORDER = order(
    "O1",
    PLACED,
    line("A", 160_00, "trail"),
    line("B", 120_00),
    line("S", 20_00),
    order_discount_minor=30_00,
    recorded="2026-03-02T11:00:00Z",
)
RATE = (("rate_points", 1), ("rate_per_minor", 100), ("placed_at_ms", PLACED))


def delivered(at: str, version: int = 1, recorded: str | None = None) -> Any:
    return order(
        "O1",
        "2026-05-01T10:00:00Z",
        version=version,
        status=OrderStatus.DELIVERED,
        delivered_at_ms=ms(at),
        recorded=recorded,
    )


def card(version: int, at: str, into: str | None = None) -> Member:
    """The second card's fact of that instant."""
    fact = member("2024-01-01T00:00:00Z", version=version, recorded=at)
    return fact._replace(event_id=f"m-2@{version}", member_id="m-2", merged_into=into)


def told(entry: LedgerEntry) -> tuple[Any, ...]:
    """Which rule moved how much, from when on, and the derivation's figures."""
    said = entry.derivation
    return (
        entry.rule_id,
        entry.points,
        entry.effective_at_ms,
        said.formula,
        said.inputs,
        (said.granted_before, said.target),
    )


def test_a_grant_says_by_which_steps_it_follows() -> None:
    history = play([JOINED, ORDER], PACER)

    assert history.ledger[1] == LedgerEntry(
        "m-1/order:O1@1/TIER_BONUS/order:O1/ISSUED",
        "m-1/order:O1@1",
        "m-1",
        2,
        "order:O1",
        67,
        LedgerAccount.ISSUED,
        LedgerAccount.PENDING,
        Reason.TIER_BONUS,
        PLACED,
        ms("2026-03-02T11:00:00Z"),
        ("e-O1@1",),
        "tier:Pacer",
        "2026-1",
        "Pacer",
        "CH",
        0,
        337,
        Derivation(
            "order:additive:EUR",
            RATE,
            (
                DerivedLine("A", 144_00, 144_00, 36),
                DerivedLine("B", 108_00, 108_00, 27),
                DerivedLine("S", 18_00, 18_00, 4),
            ),
            (
                Term(Reason.BASE, "base", 1_080_00, 400, 270),
                Term(Reason.TIER_BONUS, "tier:Pacer", 270_00, 400, 67),
                Term(Reason.CAMPAIGN, "trail-week", 576_00, 400, 144),
            ),
            0,
            481,
            (WhyNot("april-150", "OUTSIDE_ITS_TIME"),),
        ),
    )
    assert [e.entry_id for e in history.ledger] == [
        "m-1/order:O1@1/BASE/order:O1/ISSUED",
        "m-1/order:O1@1/TIER_BONUS/order:O1/ISSUED",
        "m-1/order:O1@1/CAMPAIGN:trail-week/order:O1/ISSUED",
    ]


def test_a_bonus_from_an_amount_on_has_its_name_in_its_entry() -> None:
    history = play([JOINED, order("O1", "2026-04-02T10:00:00Z", line("A", 150_00))], STARTER)

    assert history.ledger[-1].entry_id == "m-1/order:O1@1/THRESHOLD:april-150/order:O1/ISSUED"


def test_a_return_says_what_was_granted_and_what_is_kept() -> None:
    back = refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 144_00), recorded="2026-03-20T10:30:00Z")

    taken = play([JOINED, ORDER, back], PACER).ledger[-1]

    assert told(taken) == ("order", 324, back.occurred_at_ms, "order:additive:EUR", RATE, (481, 157))
    assert taken.derivation.lines == (
        DerivedLine("A", 144_00, 0, 0),
        DerivedLine("B", 108_00, 108_00, 108),
        DerivedLine("S", 18_00, 18_00, 18),
    )
    assert (taken.recorded_at_ms, taken.caused_by) == (back.recorded_at_ms, ("e-R1@1",))


def test_an_edit_that_adds_says_what_was_granted_and_what_it_is_worth_now() -> None:
    more = order("O1", PLACED, line("A", 120_00), version=2, recorded="2026-03-04T10:00:00Z")

    added = play([JOINED, order("O1", PLACED), more], STARTER).ledger[-1]

    assert (added.reason, added.from_account) == (Reason.EDIT, LedgerAccount.ISSUED)
    assert told(added) == ("order", 20, PLACED, "order:additive:EUR", RATE, (100, 120))


def test_points_that_become_active_and_cease_say_at_which_instants() -> None:
    history = play([JOINED, delivered("2026-05-02T10:00:00Z"), tick("2026-08-01T00:00:00Z")], A_MONTH)

    begins, ends = ms("2026-06-01T10:00:00Z"), ms("2026-07-02T00:00:00+02:00")
    inputs = (("active_from_ms", begins), ("held", 0), ("expires_at_ms", ends), ("expiry_months", 1))
    active, expired = history.ledger[-2:]
    assert told(active) == ("pending", 100, begins, "timing:day:Europe/Zurich", inputs, (100, 100))
    assert told(expired) == ("expiry", 100, ends, "timing:day:Europe/Zurich", inputs, (100, 100))
    assert (active.entry_id, active.caused_by) == (
        f"m-1/activation:order:O1@{begins}/ACTIVATION/order:O1/PENDING",
        ("order:O1",),
    )
    assert (expired.entry_id, expired.caused_by) == (
        f"m-1/expiry:order:O1@{ends}/EXPIRY/order:O1/ACTIVE",
        ("order:O1",),
    )


def test_points_that_never_cease_say_so() -> None:
    facts = [JOINED, delivered("2026-05-02T10:00:00Z"), tick("2026-08-01T00:00:00Z")]

    active = play(facts, reference(welcome_points=0, expiry=None)).ledger[-1]

    inputs = (("active_from_ms", ms("2026-06-01T10:00:00Z")), ("held", 0))
    assert told(active) == ("pending", 100, ms("2026-06-01T10:00:00Z"), "timing:never", inputs, (100, 100))


def test_a_later_delivery_is_an_edit_of_the_waiting_time() -> None:
    later = delivered("2026-05-20T10:00:00Z", 2, "2026-06-02T00:00:00Z")

    history = play([JOINED, delivered("2026-05-02T10:00:00Z"), tick("2026-06-01T10:00:00Z"), later], STARTER)

    waits = history.ledger[-1]
    assert (waits.reason, waits.rule_id, waits.points) == (Reason.EDIT, "pending", 100)
    assert (waits.effective_at_ms, waits.derivation.inputs[0]) == (
        later.recorded_at_ms,
        ("active_from_ms", ms("2026-06-19T10:00:00Z")),
    )


def test_a_welcome_says_how_much_it_is() -> None:
    (welcome,) = play([member("2026-01-01T00:00:00Z")], reference()).ledger

    assert told(welcome) == (
        "welcome",
        50,
        ms("2026-01-01T00:00:00Z"),
        "welcome",
        (("welcome_points", 50),),
        (0, 50),
    )
    assert (welcome.lot_id, welcome.derivation.why_not) == ("welcome:m-1", ())


def test_a_redemption_says_what_was_asked_for_and_what_there_was() -> None:
    wish = command("C1", CommandKind.REDEEM, "2026-02-11T10:00:00Z", 60)

    history = play(
        [member("2026-01-01T00:00:00Z"), run("E1", "2026-02-10T10:00:00Z", 10_000), wish], reference()
    )

    first, second = history.ledger[-2:]
    at_ms = wish.recorded_at_ms
    assert told(first) == ("spending", 50, at_ms, "spending", (("points_asked", 60), ("active", 70)), (0, 0))
    assert told(second) == ("spending", 10, at_ms, "spending", (("points_asked", 60), ("active", 20)), (0, 0))
    assert history.answers == [
        CommandResult(
            "C1",
            "m-1",
            CommandKind.REDEEM,
            CommandStatus.ACCEPTED,
            None,
            "C1",
            60,
            70,
            60,
            10,
            0,
            0,
            "m-1/command:C1",
            at_ms,
        )
    ]


def test_a_refusal_says_what_there_is_and_moves_nothing() -> None:
    wish = command("C1", CommandKind.RESERVE, "2026-02-11T10:00:00Z", 60, subject_id="S1")

    history = play([member("2026-01-01T00:00:00Z"), wish], reference())

    assert history.answers == [
        CommandResult(
            "C1",
            "m-1",
            CommandKind.RESERVE,
            CommandStatus.REFUSED,
            CommandRefusal.INSUFFICIENT_POINTS,
            "S1",
            60,
            50,
            0,
            50,
            0,
            0,
            None,
            wish.recorded_at_ms,
        )
    ]


def test_a_run_edited_away_after_it_was_spent_says_who_owes_what() -> None:
    edited = run("E1", "2026-02-10T10:00:00Z", 0, version=2, recorded="2026-02-13T10:00:00Z")
    facts = [
        JOINED,
        run("E1", "2026-02-10T10:00:00Z", 10_000),
        command("C1", CommandKind.REDEEM, "2026-02-11T10:00:00Z", 15),
        run("E2", "2026-02-12T10:00:00Z", 5_000),
        edited,
    ]

    taken, owed, repaid = play(facts, STARTER).ledger[-3:]

    ran = ms("2026-02-10T10:00:00Z")
    nothing = (("distance_m", 0), ("wanted", 0), ("used_before", 0))
    assert told(taken) == ("run", 5, ran, "engagement", nothing, (20, 0))
    assert told(owed) == ("run", 15, ran, "engagement", nothing, (20, 0))
    assert told(repaid) == (
        "debt",
        10,
        edited.recorded_at_ms,
        "debt",
        (("debt", 15), ("active", 10)),
        (0, 0),
    )
    assert repaid.entry_id == "m-1/engagement:E1@2/DEBT_REPAID/engagement:E2/ACTIVE"
    assert [(e.from_account, e.to_account) for e in (taken, owed, repaid)] == [
        (LedgerAccount.ACTIVE, LedgerAccount.CLAWED_BACK),
        (LedgerAccount.DEBT, LedgerAccount.CLAWED_BACK),
        (LedgerAccount.ACTIVE, LedgerAccount.DEBT),
    ]


def test_what_the_balance_does_not_carry_is_written_off_at_the_same_instant_and_by_the_same_rule() -> None:
    facts = [
        JOINED,
        run("E1", "2026-02-10T10:00:00Z", 10_000),
        command("C1", CommandKind.REDEEM, "2026-02-11T10:00:00Z", 15),
        run("E1", "2026-02-10T10:00:00Z", 0, version=2, recorded="2026-02-13T10:00:00Z"),
    ]

    taken, owed, written_off = play(
        facts, reference(welcome_points=0, clawback=Clawback.WITHIN_BALANCE)
    ).ledger[-3:]

    assert (taken.points, told(written_off)) == (5, told(owed))
    assert (written_off.from_account, written_off.to_account) == (
        LedgerAccount.WRITTEN_OFF,
        LedgerAccount.DEBT,
    )


def test_a_balance_says_what_happens_next() -> None:
    history = play([JOINED, run("E1", "2026-03-01T10:00:00Z", 1_000), ORDER], STARTER)

    assert history.balances[-1] == Balance(
        "m-1",
        "CH",
        3,
        ORDER.recorded_at_ms,
        2,
        414,
        0,
        0,
        416,
        ms("2026-05-01T10:00:00Z"),
        414,
        ms("2027-04-01T00:00:00+02:00"),
        2,
    )


def test_a_tier_change_says_from_where_by_how_much_and_since_when() -> None:
    big = order("O1", PLACED, line("A", 600_00), recorded="2026-03-02T12:00:00Z")

    history = play([JOINED, big], STARTER)

    assert history.tiers == [
        TierChanged(
            f"m-1/member:m-1@1/JOINED:Starter@{JOINED.enrolled_at_ms}",
            "m-1",
            "CH",
            TierChange.JOINED,
            None,
            "Starter",
            0,
            None,
            JOINED.enrolled_at_ms,
            JOINED.recorded_at_ms,
            ("e-m@1",),
            "2026-1",
        ),
        TierChanged(
            f"m-1/order:O1@1/UPGRADED:Pacer@{PLACED}",
            "m-1",
            "CH",
            TierChange.UPGRADED,
            "Starter",
            "Pacer",
            600,
            None,
            PLACED,
            big.recorded_at_ms,
            ("e-O1@1",),
            "2026-1",
        ),
    ]


def test_progress_says_what_keeps_the_tier_and_what_lifts_it_and_by_when() -> None:
    facts = [JOINED, order("O1", PLACED, line("A", 600_00), recorded="2026-03-02T12:00:00Z")]

    assert play(facts, STARTER).progress[-1] == TierProgress(
        "m-1",
        "CH",
        facts[-1].recorded_at_ms,
        "Pacer",
        PLACED,
        ms("2027-05-01T00:00:00+02:00"),
        600,
        500,
        500_00,
        ms("2027-03-02T00:00:00+01:00"),
        "Elite",
        900,
        900_00,
        ms("2027-03-02T00:00:00+01:00"),
        "CHF",
    )


def test_a_second_card_gives_its_welcome_back_and_brings_the_rest_along() -> None:
    second = JOINED._replace(event_id="m-2@1", member_id="m-2")
    merged = card(2, "2026-03-03T10:00:00Z", "m-1")
    bought = order("O2", PLACED)._replace(member_id="m-2")

    history = play([JOINED, second, bought, merged], reference(expiry=None))

    moved = [e for e in history.ledger if e.reason is Reason.MERGE]
    came = [e for e in moved if e.lot_id == "order:O2" and e.from_account is LedgerAccount.TRANSFERRED]
    (returned,) = [e for e in moved if e.to_account is LedgerAccount.CLAWED_BACK]
    assert (returned.rule_id, returned.points, returned.derivation) == (
        "welcome",
        50,
        Derivation(
            "welcome",
            (("welcome_points", 50),),
            (),
            (),
            50,
            0,
            (WhyNot("welcome", "GRANTED_ONCE_ALREADY"),),
        ),
    )
    assert [told(e) for e in came] == [("merge", 100, merged.recorded_at_ms, "merge", (), (100, 100))]
    assert came[0].entry_id.endswith("/MERGE:PENDING/order:O2/TRANSFERRED")


def test_of_two_lots_that_repaid_anothers_debt_only_the_surplus_is_owed_again() -> None:
    """The second card's O2 and O3 repaid 80 of the first's debt; 79 of its own became owed while they were one."""

    def given(order_id: str, points: int, whose: str) -> Any:
        at = "2026-01-10T10:00:00Z"
        made = order(
            order_id, at, line("A", points * 100), status=OrderStatus.DELIVERED, delivered_at_ms=ms(at)
        )
        return made._replace(member_id=whose)

    def of_second(fact: Any) -> Any:
        return fact._replace(member_id="m-2")

    second = JOINED._replace(event_id="m-2@1", member_id="m-2")
    merged, parted = card(2, "2026-04-01T10:00:00Z", "m-1"), card(3, "2026-04-03T10:00:00Z")
    facts = [
        JOINED,
        second,
        given("O1", 100, "m-1"),
        given("O4", 79, "m-2"),
        command("C1", CommandKind.REDEEM, "2026-03-01T10:00:00Z", 100),
        of_second(command("C2", CommandKind.REDEEM, "2026-03-01T10:00:00Z", 79)),
        refund("R1", "O1", "2026-03-02T10:00:00Z", ("A", 1, 100_00)),
        given("O2", 50, "m-2")._replace(recorded_at_ms=ms("2026-02-15T10:00:00Z")),
        given("O3", 30, "m-2")._replace(recorded_at_ms=ms("2026-02-15T10:00:00Z")),
        merged,
        of_second(refund("R4", "O4", "2026-04-02T10:00:00Z", ("A", 1, 79_00))),
        parted,
    ]

    history = play(facts, STARTER)

    last = {balance.member_id: balance for balance in history.balances}
    assert [(last[m].active, last[m].debt) for m in ("m-1", "m-2")] == [(0, 100), (1, 0)]
    (apart,) = [e for e in history.ledger if e.entry_id.split("/")[2] == "MERGE:apart"]
    assert (apart.points, apart.rule_id, apart.derivation.formula) == (1, "merge", "merge")


def test_a_debt_that_own_points_repaid_in_part_goes_along_as_what_is_left_of_it() -> None:
    def bought(order_id: str, points: int, at: str) -> Any:
        placed = "2026-01-10T10:00:00Z"
        made = order(
            order_id,
            placed,
            line("A", points * 100),
            status=OrderStatus.DELIVERED,
            delivered_at_ms=ms(placed),
            recorded=at,
        )
        return made._replace(member_id="m-2")

    spent = command("C1", CommandKind.REDEEM, "2026-02-10T10:00:00Z", 100)
    back = refund("R1", "O1", "2026-02-11T10:00:00Z", ("A", 1, 100_00))
    facts = [
        JOINED,
        JOINED._replace(event_id="m-2@1", member_id="m-2"),
        bought("O1", 100, "2026-01-10T10:00:00Z"),
        spent._replace(member_id="m-2"),
        back._replace(member_id="m-2"),
        bought("O2", 80, "2026-02-12T10:00:00Z"),
        card(2, "2026-03-01T10:00:00Z", "m-1"),
    ]

    history = play(facts, STARTER)

    last = {balance.member_id: balance for balance in history.balances}
    assert [(last[m].active, last[m].debt) for m in ("m-1", "m-2")] == [(0, 20), (0, 0)]
