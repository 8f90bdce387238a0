"""The recomputation in SQL, on the specification's own numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.audit.books import Books
from pipelines.audit.verification import recompute
from pipelines.domain.facts import (
    EngagementKind,
    EngagementStatus,
    Fact,
    OrderStatus,
    ReturnStatus,
    Tick,
    Verification,
)
from tests.audit.entries import enter_facts, enter_programme
from tests.support.facts import engagement, line, member, order, refund, run, tick

ENROLLED = "2025-06-01T00:00:00Z"
SHOE_A, SHOE_B = line("A", 160_00, "trail"), line("B", 120_00)
SOCKS, GIFT_CARD = line("S", 20_00, "socks"), line("G", 50_00, "gift", eligible=False)
REFERENCE_LINES = (SHOE_A, SHOE_B, SOCKS, GIFT_CARD)
PACER = order("O0", "2025-12-01T10:00:00Z", line("A", 500_00))
RETURN_A = refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 144_00))
RETURN_S = refund("R2", "O1", "2026-03-21T10:00:00Z", ("S", 1, 18_00))
RETURN_B = refund("R3", "O1", "2026-03-22T10:00:00Z", ("B", 1, 108_00))


def reference_order(placed: str = "2026-03-07T23:59:30Z", **given: Any) -> Fact:
    return order("O1", placed, *REFERENCE_LINES, **({"order_discount_minor": 30_00} | given))


@pytest.fixture
def books() -> Iterator[Books]:
    with Books() as opened:
        yield opened


def recomputed(books: Books, *facts: Fact | Tick, **programme: Any) -> dict[str, int]:
    """What every lot should hold, without the welcome points."""
    enter_programme(books, **programme)
    enter_facts(books, [member(ENROLLED), *facts])
    recompute(books)
    query = "SELECT lot_id, held FROM expected_lot WHERE NOT starts_with(lot_id, 'welcome:')"
    rows = books.database.execute(query).fetchall()
    return {lot.split(":")[1]: held for lot, held in rows}


def components(books: Books, order_id: str) -> dict[str, int]:
    query = "SELECT reason, points FROM expected_component WHERE lot_id = 'order:' || ?"
    return dict(books.database.execute(query, [order_id]).fetchall())


def test_the_reference_order_of_a_pacer_in_the_campaign_is_481(books: Books) -> None:
    held = recomputed(books, PACER, reference_order())

    assert held["O1"] == 481
    assert components(books, "O1") == {"BASE": 270, "TIER_BONUS": 67, "CAMPAIGN": 144}


def test_multiplied_bonuses_make_517_of_it(books: Books) -> None:
    assert recomputed(books, PACER, reference_order(), multiplicative=True)["O1"] == 517


def test_half_a_minute_later_the_campaign_is_over(books: Books) -> None:
    assert recomputed(books, PACER, reference_order("2026-03-08T00:00:00Z"))["O1"] == 337


@pytest.mark.parametrize(
    ("returns", "held"),
    [((RETURN_A,), 157), ((RETURN_A, RETURN_S), 135), ((RETURN_A, RETURN_S, RETURN_B), 0)],
)
def test_returning_a_s_b_leaves_157_135_0(books: Books, returns: tuple[Fact, ...], held: int) -> None:
    assert recomputed(books, PACER, reference_order(), *returns).get("O1", 0) == held


def test_a_return_before_its_order_counts_the_same(books: Books) -> None:
    assert recomputed(books, RETURN_A, PACER, reference_order())["O1"] == 157


def test_ten_lines_of_9_95_are_99(books: Books) -> None:
    lines = [line(f"L{n}", 9_95) for n in range(10)]

    assert recomputed(books, order("O1", "2026-02-01T10:00:00Z", *lines))["O1"] == 99


def test_ten_lines_of_9_95_go_back_as_nine_times_10_then_9(books: Books) -> None:
    lines = [line(f"L{n}", 9_95) for n in range(10)]
    returns = [refund(f"R{n}", "O1", f"2026-02-1{n}T10:00:00Z", (f"L{n}", 1, 9_95)) for n in range(10)]

    recomputed(books, order("O1", "2026-02-01T10:00:00Z", *lines), *returns)

    left = books.database.execute("SELECT points FROM worth WHERE level = 0 ORDER BY stage").fetchall()
    assert [points for (points,) in left] == [99, 89, 79, 69, 59, 49, 39, 29, 19, 9, 0]


def test_89_90_at_a_quarter_more_plus_25_is_137(books: Books) -> None:
    books.add(
        "threshold_bonus",
        [
            {"v": 0, "rank": 1, "id": "x", "points": 25, "currency": "EUR", "from_minor": 1}
            | {"from_ms": 1_769_900_000_000, "to_ms": 1_770_000_000_000}
        ],
    )
    recomputed(books, PACER, order("O1", 1_769_950_000_000, line("A", 89_90)))

    assert components(books, "O1") == {"BASE": 90, "TIER_BONUS": 22, "THRESHOLD": 25}


def test_the_threshold_bonus_is_lost_with_the_amount(books: Books) -> None:
    placed = reference_order("2026-04-02T10:00:00Z")
    held = recomputed(books, placed, refund("R1", "O1", "2026-04-20T10:00:00Z", ("A", 1, 144_00)))

    assert held["O1"] == 126


def test_the_threshold_bonus_makes_370(books: Books) -> None:
    assert recomputed(books, reference_order("2026-04-02T10:00:00Z"))["O1"] == 370


def test_15000_yen_are_100(books: Books) -> None:
    placed = order("O1", "2026-02-01T10:00:00Z", line("A", 15_000), currency="JPY")

    assert recomputed(books, placed)["O1"] == 100


def net(books: Books) -> list[int]:
    rows = books.database.execute("SELECT net FROM line_net ORDER BY order_no, line_no").fetchall()
    return [amount for (amount,) in rows]


def test_a_discount_of_30_00_falls_on_eligible_lines_as_16_12_2(books: Books) -> None:
    recomputed(books, reference_order())

    assert net(books) == [144_00, 108_00, 18_00, 0]


def test_20_00_paid_with_points_come_off_as_10_67_8_00_1_33(books: Books) -> None:
    recomputed(books, reference_order(paid_with_points_minor=20_00))

    assert net(books) == [144_00 - 10_67, 108_00 - 8_00, 18_00 - 1_33, 0]


def test_10_00_over_three_thirds_is_3_33_3_33_3_34(books: Books) -> None:
    lines = (line("A", 33_33), line("B", 33_33), line("C", 33_34))
    recomputed(books, order("O1", "2026-02-01T10:00:00Z", *lines, order_discount_minor=10_00))

    assert net(books) == [30_00, 30_00, 30_00]


def test_the_order_that_makes_elite_is_still_rated_at_pacer(books: Books) -> None:
    before = order("O0", "2026-02-01T10:00:00Z", line("A", 1_450_00))
    first = order("O1", "2026-02-02T10:00:00Z", line("A", 100_00))
    second = order("O2", "2026-02-03T10:00:00Z", line("A", 100_00))

    held = recomputed(books, second, first, before)

    assert (held["O1"], held["O2"]) == (125, 150)


def test_points_leave_the_window_at_the_local_beginning_of_their_day(books: Books) -> None:
    old = order("O1", "2025-03-10T10:00:00Z", line("A", 400_00))
    in_time = order("O2", "2026-03-09T22:59:59Z", line("A", 100_00))
    facts: list[Fact] = [member("2025-01-01T00:00:00Z", version=2), old, in_time]

    recomputed(books, *facts)

    assert standing(books) == ("Pacer", 500)


def test_a_second_later_they_are_gone(books: Books) -> None:
    old = order("O1", "2025-03-10T10:00:00Z", line("A", 400_00))
    too_late = order("O2", "2026-03-09T23:00:00Z", line("A", 100_00))
    facts: list[Fact] = [member("2025-01-01T00:00:00Z", version=2), old, too_late]

    recomputed(books, *facts)

    assert standing(books) == ("Starter", 100)


def standing(books: Books) -> tuple[str, int]:
    found = books.database.execute("SELECT tier, qualifying FROM expected_standing").fetchone()
    assert found is not None
    return found[0], found[1]


def test_a_cancelled_order_is_worth_nothing_and_counts_no_more(books: Books) -> None:
    cancelled = order(
        "O1",
        "2026-02-01T10:00:00Z",
        line("A", 400_00),
        status=OrderStatus.CANCELLED,
        cancelled_at_ms=1_770_100_000_000,
    )

    assert recomputed(books, cancelled) == {}
    assert standing(books) == ("Starter", 0)


def test_what_was_placed_before_enrolment_is_worth_nothing(books: Books) -> None:
    assert recomputed(books, order("O1", "2025-05-31T23:59:59Z", line("A", 400_00))) == {}


def test_two_runs_of_6_km_are_20_together(books: Books) -> None:
    runs = [run("r2", "2026-03-01T18:00:00Z", 6_000), run("r1", "2026-03-01T07:00:00Z", 6_999)]

    held = recomputed(books, *runs)

    assert held == {"r1": 12, "r2": 8}


def test_a_deleted_run_gives_its_room_back(books: Books) -> None:
    deleted = run("r1", "2026-03-01T07:00:00Z", 6_000, version=2, status=EngagementStatus.DELETED)
    runs = [run("r1", "2026-03-01T07:00:00Z", 6_000), run("r2", "2026-03-01T18:00:00Z", 6_000)]

    assert recomputed(books, *runs, deleted) == {"r2": 12}


def test_23_30_in_london_is_the_next_day_in_berlin(books: Books) -> None:
    runs = [
        run("r1", "2026-03-28T23:30:00Z", 10_000, zone="Europe/Berlin"),
        run("r2", "2026-03-29T10:00:00Z", 10_000, zone="Europe/Berlin"),
    ]

    assert recomputed(books, *runs) == {"r1": 20}


def test_a_run_that_nothing_measured_earns_nothing(books: Books) -> None:
    manual = run("r1", "2026-03-01T07:00:00Z", 9_000, verification=Verification.MANUAL)

    assert recomputed(books, manual) == {}


def test_a_product_is_reviewed_once_and_a_profile_completed_once(books: Books) -> None:
    review, profile = EngagementKind.REVIEW, EngagementKind.PROFILE_COMPLETED
    held = recomputed(
        books,
        engagement("e2", review, "2026-03-02T10:00:00Z", subject="shoe"),
        engagement("e1", review, "2026-03-01T10:00:00Z", subject="shoe"),
        engagement("e3", review, "2026-03-03T10:00:00Z", subject="sock"),
        engagement("e4", profile, "2026-03-04T10:00:00Z"),
        engagement("e5", profile, "2026-03-05T10:00:00Z"),
    )

    assert held == {"e1": 50, "e3": 50, "e4": 100}


@pytest.mark.parametrize(
    ("now", "pending", "active"),
    [("2026-03-31T09:59:59.999Z", 100, 0), ("2026-03-31T10:00:00Z", 0, 100)],
)
def test_points_are_active_thirty_days_after_delivery_to_the_millisecond(
    books: Books, now: str, pending: int, active: int
) -> None:
    delivered = order(
        "O1",
        "2026-02-20T10:00:00Z",
        line("A", 100_00),
        status=OrderStatus.DELIVERED,
        delivered_at_ms=1_772_359_200_000,
    )
    recomputed(books, delivered, tick(now))

    query = "SELECT pending, active FROM expected_lot WHERE lot_id = 'order:O1'"
    assert books.database.execute(query).fetchone() == (pending, active)


def test_the_highest_version_counts_whenever_it_came(books: Books) -> None:
    newer = order("O1", "2026-02-01T10:00:00Z", line("A", 200_00), version=2)
    older = order("O1", "2026-02-01T10:00:00Z", line("A", 100_00), version=1)

    assert recomputed(books, newer, older) == {"O1": 200}


def test_a_late_fact_does_not_count(books: Books) -> None:
    late = order("O1", "2026-02-01T10:00:00Z", line("A", 200_00), recorded="2026-03-18T10:00:00.001Z")

    assert recomputed(books, late) == {}


def places(books: Books, order_id: str) -> tuple[int, int, int]:
    query = "SELECT pending, active, expired FROM expected_lot WHERE lot_id = 'order:' || ?"
    found = books.database.execute(query, [order_id]).fetchone()
    assert found is not None
    return found[0], found[1], found[2]


@pytest.mark.parametrize(
    ("asked", "until", "expected"),
    [
        ("2026-05-05T12:00:00Z", "2026-05-06T23:59:29.999Z", (481, 0, 0)),
        ("2026-05-05T12:00:00Z", "2026-05-06T23:59:30Z", (324, 157, 0)),
        ("2026-05-05T12:00:00Z", "2027-05-31T21:59:59.999Z", (324, 157, 0)),
        ("2026-05-05T12:00:00Z", "2027-05-31T22:00:00Z", (324, 0, 157)),
        ("2026-05-07T12:00:00Z", "2026-05-08T00:00:00Z", (0, 481, 0)),
    ],
)
def test_an_open_return_holds_what_it_would_take(
    books: Books, asked: str, until: str, expected: tuple[int, int, int]
) -> None:
    open_return = refund("R1", "O1", asked, ("A", 1, 144_00))._replace(
        status=ReturnStatus.REQUESTED, settled_at_ms=None
    )

    recomputed(books, PACER, reference_order(), open_return, tick(until))

    assert places(books, "O1") == expected
