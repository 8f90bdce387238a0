"""What is owed, by market and day: opening + movements = closing, by hand."""

from __future__ import annotations

import pytest

from pipelines.domain.ledger import LedgerAccount
from pipelines.domain.liability import LiabilityDay
from tests.support.facts import ms
from tests.support.owed import FEBRUARY, Owed, entry


def figures(day: LiabilityDay) -> tuple[int, ...]:
    """Opening, what is not nothing of the movements, closing."""
    return (day.opening, *(moved for moved in day[5:13] if moved), day.closing)


def test_two_markets_and_their_days_each_open_with_what_the_day_before_closed_with() -> None:
    days = Owed().play(FEBRUARY).days()

    assert {at: figures(day) for at, day in days.items()} == {
        ("CH", "2026-02-01"): (0, 681, 681),
        ("CH", "2026-02-28"): (681, 681),
        ("CH", "2026-03-01"): (681, -150, -30, -324, 177),
        ("DE", "2026-02-01"): (0, 100, 100),
        ("DE", "2026-03-01"): (100, -10, 90),
    }
    march = days["CH", "2026-03-01"]
    assert (march.redeemed, march.expired, march.clawed_back, march.entries) == (-150, -30, -324, 3)


def test_a_late_entry_corrects_its_day_and_those_after_it_and_no_other_market() -> None:
    owed = Owed().play(FEBRUARY)
    owed.told.clear()

    owed.play([entry("2026-02-28T10:00:00Z", 20, "issued active", recorded="2026-03-05T10:00:00Z")])

    assert {at: figures(day) for at, day in owed.days().items()} == {
        ("CH", "2026-02-28"): (681, 20, 701),
        ("CH", "2026-03-01"): (701, -150, -30, -324, 197),
    }
    assert {day.recorded_at_ms for day in owed.told} == {ms("2026-03-05T10:00:00Z")}
    assert owed.days()["CH", "2026-02-28"].entries == 2


def test_a_late_entry_before_all_others_opens_a_day_of_its_own() -> None:
    owed = Owed().play(FEBRUARY)

    owed.play([entry("2026-01-31T10:00:00Z", 5, "issued active", recorded="2026-03-05T10:00:00Z")])

    assert figures(owed.days()["CH", "2026-01-31"]) == (0, 5, 5)
    assert figures(owed.days()["CH", "2026-02-01"]) == (5, 681, 686)


@pytest.mark.parametrize(
    "account", [a for a in LedgerAccount if a.name not in ("ACTIVE", "PENDING", "RESERVED")]
)
def test_whatever_leaves_what_is_owed_is_a_movement(account: LedgerAccount) -> None:
    day = "2026-03-02T10:00:00Z"
    owed = Owed().play([entry(day, 100, "issued active"), entry(day, 40, f"active {account}")])

    (told,) = owed.days().values()
    assert told.opening + sum(told[5:13]) == told.closing == 60


@pytest.mark.parametrize(
    ("move", "owed", "debt"),
    [
        ("debt clawed_back", 100, 30),
        ("active debt", 70, -30),
        ("active reserved", 100, 0),
        ("expired clawed_back", 100, 0),
        ("expired active", 130, 0),
    ],
)
def test_debt_stands_beside_and_what_moves_inside_or_outside_changes_nothing(
    move: str, owed: int, debt: int
) -> None:
    day = "2026-03-02T10:00:00Z"
    (told,) = Owed().play([entry(day, 100, "issued active"), entry(day, 30, move)]).days().values()

    assert (told.closing, told.debt_closing) == (owed, debt)


def test_breakage_is_the_share_that_expired_of_what_was_redeemed_or_expired_in_365_days() -> None:
    moves = [
        entry("2025-03-01T10:00:00Z", 1_000, "issued active"),
        entry("2025-03-02T10:00:00Z", 50, "active expired"),
        entry("2025-03-03T10:00:00Z", 100, "active expired"),
        entry("2026-03-01T10:00:00Z", 200, "active redeemed"),
        entry("2026-03-02T10:00:00Z", 1, "active clawed_back"),
        entry("2027-03-02T10:00:00Z", 1, "active clawed_back"),
    ]

    days = Owed().play(moves).days()

    told = {at: (day.breakage_bp, day.breakage_points) for (_, at), day in days.items()}
    assert told == {
        "2025-03-01": (None, None),
        "2025-03-02": (10_000, 950),
        "2025-03-03": (10_000, 850),
        "2026-03-01": (4_285, 278),  # 150 of 350; of 650 owed
        "2026-03-02": (3_333, 216),  # 100 of 300, for 2 March of last year is 365 days ago; of 649
        "2027-03-02": (None, None),
    }


def test_redemptions_given_back_leave_no_share_below_nothing() -> None:
    moves = [
        entry("2026-03-01T10:00:00Z", 100, "issued active"),
        entry("2026-03-02T10:00:00Z", 40, "redeemed active"),
        entry("2026-03-03T10:00:00Z", 10, "active expired"),
    ]

    days = Owed().play(moves).days()

    assert days["CH", "2026-03-02"].breakage_bp is None
    assert days["CH", "2026-03-03"].breakage_bp == 10_000


def test_members_who_are_not_known_owe_under_a_market_without_a_name() -> None:
    owed = Owed().play([*FEBRUARY, entry("2026-02-01T10:00:00Z", 7, "adjusted active", "")])

    assert figures(owed.days()["", "2026-02-01"]) == (0, 7, 7)
