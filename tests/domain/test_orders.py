"""What is kept of an order's lines, and what two accounts know of an order together."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from pipelines.domain.facts import Return, ReturnStatus
from pipelines.domain.orders import (
    OrderRecord,
    holds,
    joined,
    kept_minor,
    refunds,
    return_refusal,
    with_order,
    with_return,
)
from tests.support.facts import line, member, order, refund
from tests.support.history import play
from tests.support.programmes import REFERENCE_VERSION, reference

JOINED = member("2024-01-01T00:00:00Z")
STARTER = reference(welcome_points=0)
PLACED = "2026-03-02T10:00:00Z"
SHOES = with_order(OrderRecord("O1"), order("O1", PLACED, line("A", 30_00, quantity=2), line("B", 20_00)))


def returned(return_id: str, refund_minor: int, version: int = 1, quantity: int = 1) -> Return:
    return refund(return_id, "O1", PLACED, ("A", quantity, refund_minor), version=version)


def test_a_refund_of_more_than_a_line_leaves_nothing_of_it() -> None:
    record = with_return(SHOES, returned("R1", 40_00))

    assert kept_minor(record.lines, record.returns) == (0, 20_00)


def test_a_line_of_no_pieces_keeps_what_was_not_refunded() -> None:
    record = with_order(OrderRecord("O1"), order("O1", PLACED, line("A", 30_00, quantity=0)))

    back = with_return(record, returned("R1", 10_00, quantity=0))

    assert kept_minor(back.lines, back.returns) == (20_00,)


def test_of_each_return_the_highest_version_is_known_together_whoever_had_it() -> None:
    one = with_return(with_return(SHOES, returned("R1", 1_00, version=3)), returned("R2", 2_00, version=1))
    other = with_return(with_return(SHOES, returned("R1", 3_00, version=2)), returned("R2", 4_00, version=2))

    for both in (joined(one, other), joined(other, one)):
        assert [(ret.return_id, ret.version, ret.lines[0][2]) for ret in both.returns] == [
            ("R1", 3, 1_00),
            ("R2", 2, 4_00),
        ]


def test_of_the_order_itself_the_higher_version_is_known_together() -> None:
    newer = with_order(OrderRecord("O1"), order("O1", PLACED, version=2))

    assert joined(SHOES, newer) == joined(newer, SHOES) == newer


def test_a_return_of_a_line_that_was_not_bought_is_told_which_lines_were() -> None:
    strange = refund("R1", "O1", PLACED, ("Z", 1, 1_00))

    refusal = return_refusal(SHOES, with_return(SHOES, strange).returns[0])

    assert refusal is not None
    assert refusal[1] == "order O1 has no line Z; its lines are A, B"


def test_a_bonus_ends_at_its_end() -> None:
    placed = order("O1", "2026-04-08T00:00:00Z", line("A", 200_00))

    assert play([JOINED, placed], STARTER).moved() == [("BASE", 200)]


def test_where_every_bonus_is_whole_nothing_is_added_to_a_fraction() -> None:
    tripled = (replace(REFERENCE_VERSION.tiers[0], bonus=Fraction(2)),)
    programme = reference(welcome_points=0, tiers=tripled, campaigns=())

    history = play(
        [JOINED, order("O1", PLACED, line("A", 33)), order("O2", PLACED, line("A", 34))], programme
    )

    assert history.moved() == [("TIER_BONUS", 1)]


def test_two_refunds_of_a_line_are_taken_off_together() -> None:
    record = with_return(with_return(SHOES, returned("R1", 4_00)), returned("R2", 5_00, quantity=0))

    assert kept_minor(record.lines, record.returns) == (21_00, 20_00)


def test_refunds_count_in_the_order_in_which_they_were_settled() -> None:
    first = refund("R2", "O1", "2026-03-10T10:00:00Z", ("A", 1, 1_00))
    second = refund("R1", "O1", "2026-03-11T10:00:00Z", ("A", 1, 1_00))
    asked = refund("R0", "O1", "2026-03-09T10:00:00Z", ("A", 1, 1_00), status=ReturnStatus.REQUESTED)

    record = with_return(with_return(with_return(SHOES, second), first), asked)

    assert [ret.return_id for ret in refunds(record)] == ["R2", "R1"]


def test_a_return_asked_for_at_the_instant_at_which_points_become_active_holds_nothing() -> None:
    asked = refund("R1", "O1", "2026-03-09T10:00:00Z", ("A", 1, 1_00), status=ReturnStatus.REQUESTED)

    record = with_return(SHOES, asked)

    assert holds(record, asked.requested_at_ms) == []
    assert [ret.return_id for ret in holds(record, asked.requested_at_ms + 1)] == ["R1"]
