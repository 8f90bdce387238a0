"""When points wait, are active and cease: to the millisecond, and to the last point."""

from __future__ import annotations

from pipelines.domain.facts import CommandKind, Order, OrderStatus, ReturnStatus
from pipelines.domain.ledger import LedgerAccount
from pipelines.domain.programme import Expiry, Rounding
from tests.support.facts import command, line, member, ms, order, refund, run, tick
from tests.support.history import play
from tests.support.programmes import reference

JOINED = member("2024-01-01T00:00:00Z")
STARTER = reference(welcome_points=0)
A_MONTH = reference(welcome_points=0, expiry=Expiry(1, Rounding.DAY))


def delivered(version: int = 1, recorded: str | None = None, gross_minor: int = 100_00) -> Order:
    return order(
        "O1",
        "2026-03-01T10:00:00Z",
        line("A", gross_minor, quantity=2),
        version=version,
        status=OrderStatus.DELIVERED,
        delivered_at_ms=ms("2026-03-01T10:00:00Z"),
        recorded=recorded,
    )


def test_a_single_point_becomes_active_too() -> None:
    history = play([JOINED, delivered(gross_minor=1_00), tick("2026-04-01T00:00:00Z")], STARTER)

    assert (history.balances[-1].active, history.balances[-1].pending) == (1, 0)


def test_a_delivery_told_late_makes_points_active_from_their_own_instant_on() -> None:
    told = delivered(2, "2026-04-05T10:00:00Z")._replace(occurred_at_ms=ms("2026-04-05T10:00:00Z"))

    history = play(
        [JOINED, order("O1", "2026-03-01T10:00:00Z", line("A", 100_00, quantity=2)), told], STARTER
    )

    assert (history.moved()[-1], history.ledger[-1].effective_at_ms) == (
        ("ACTIVATION", 100),
        ms("2026-03-31T10:00:00Z"),
    )


def test_a_run_told_at_the_instant_at_which_its_points_cease_has_none() -> None:
    ended = "2026-05-02T00:00:00+02:00"

    history = play([JOINED, run("E1", "2026-04-01T10:00:00Z", 1_000, recorded=ended)], A_MONTH)

    assert history.moved() == [("ACTIVITY", 2), ("EXPIRY", 2)]
    assert (history.ledger[-1].effective_at_ms, history.ledger[-1].caused_by) == (ms(ended), ("e-E1@1",))


def test_what_a_return_holds_does_not_cease_while_it_is_held() -> None:
    asked = refund("R1", "O1", "2026-03-29T10:00:00Z", ("A", 1, 30_00), status=ReturnStatus.REQUESTED)

    again = delivered(2, "2026-05-10T10:00:00Z")._replace(occurred_at_ms=ms("2026-05-10T10:00:00Z"))

    history = play([JOINED, delivered(), asked, again], A_MONTH)

    assert (history.balances[-1].pending, history.balances[-1].active) == (30, 0)
    assert history.total(LedgerAccount.EXPIRED) == 70


def test_of_points_earned_and_ending_together_those_booked_first_are_spent_first() -> None:
    at = "2026-03-28T10:00:00Z"
    facts = [
        JOINED,
        run("E2", at, 1_000, recorded="2026-03-28T11:00:00Z"),
        run("E1", at, 1_000, recorded="2026-03-28T12:00:00Z"),
        command("C1", CommandKind.REDEEM, "2026-03-28T13:00:00Z", 2),
    ]

    assert play(facts, STARTER).ledger[-1].lot_id == "engagement:E2"


def test_an_order_told_to_have_been_placed_after_the_campaign_loses_its_bonus() -> None:
    inside = order("O1", "2026-03-07T10:00:00Z", line("A", 100_00, "trail"))
    outside = order("O1", "2026-03-08T10:00:00Z", line("A", 100_00, "trail"), version=2)

    assert play([JOINED, inside, outside], STARTER).balances[-1].pending == 100


def test_an_order_told_to_have_been_in_yen_is_worth_what_yen_are() -> None:
    yen = order("O1", "2026-03-02T10:00:00Z", version=2, currency="JPY")

    assert play([JOINED, order("O1", "2026-03-02T10:00:00Z"), yen], STARTER).balances[-1].pending == 66
