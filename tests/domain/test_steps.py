"""The delta law step by step: what an order does to the standing, and what is told when that had been wrong."""

from __future__ import annotations

from pipelines.domain.account import Account, Cause, Membership, membership
from pipelines.domain.accrual import follow, refold, tier_changes
from pipelines.domain.facts import OrderStatus
from pipelines.domain.ledger import TierChange
from pipelines.domain.merging import spent_apart, spent_together
from pipelines.domain.orders import OrderRecord, Step, qualifying_steps, with_order, with_return
from pipelines.domain.spending import Spending, SpendingState
from pipelines.domain.standing import TierSpan
from tests.support.facts import line, member, ms, order, refund
from tests.support.programmes import reference

STARTER = reference(welcome_points=0)
JOINED = member("2024-01-01T00:00:00Z")
PLACED = ms("2026-03-02T10:00:00Z")
SPENT = Spending("S1", SpendingState.RESERVED, (("a", 10), ("b", 20)))


def joined() -> Account:
    account = Account("m-1", membership=membership(JOINED))
    account.standing.join(JOINED.enrolled_at_ms, STARTER)
    return account


def test_a_membership_keeps_all_that_was_told() -> None:
    told = JOINED._replace(birthday_month=2, birthday_day=29, erased_at_ms=7, merged_into="m-2")

    assert membership(told) == Membership(
        1, JOINED.enrolled_at_ms, "CH", "Europe/Zurich", 2, 29, JOINED.consents, 7, "m-2"
    )


def test_an_order_and_then_its_return_follow_one_after_the_other() -> None:
    account = joined()
    big = with_order(OrderRecord("O1"), order("O1", PLACED, line("A", 600_00)))

    bought = follow(account, big, STARTER)
    assert bought is not None
    assert (bought.tier, bought.steps) == (0, (Step(PLACED, 600),))

    back = with_return(bought, refund("R1", "O1", PLACED + 1, ("A", 1, 600_00)))
    returned = follow(account, back, STARTER)
    assert returned is not None
    assert returned.steps == (Step(PLACED, 600), Step(PLACED + 1, -600))


def test_an_unpaid_order_has_no_tier_and_no_steps() -> None:
    account = joined()
    follow(account, with_order(OrderRecord("O1"), order("O1", PLACED, line("A", 600_00))), STARTER)
    unpaid = with_order(OrderRecord("O2"), order("O2", PLACED + 1, status=OrderStatus.PLACED))

    followed = follow(account, unpaid, STARTER)

    assert followed is not None
    assert (account.standing.tier, followed.tier, followed.steps) == (1, 0, ())
    (folded,) = refold(account, [unpaid._replace(tier=1, steps=(Step(PLACED, 1),))], STARTER)
    assert (folded.tier, folded.steps) == (0, ())


def test_a_refund_at_the_instant_of_the_cancellation_is_part_of_it() -> None:
    cancelled = order(
        "O1",
        PLACED,
        line("A", 100_00, quantity=2),
        version=2,
        status=OrderStatus.CANCELLED,
        cancelled_at_ms=PLACED + 5,
        paid_at_ms=PLACED,
    )
    record = with_return(
        with_order(OrderRecord("O1"), cancelled), refund("R1", "O1", PLACED + 5, ("A", 1, 30_00))
    )

    assert qualifying_steps(record, 0, STARTER) == (Step(PLACED, 100), Step(PLACED + 5, -100))


def test_an_upgrade_that_came_later_than_told_is_corrected_and_told_again() -> None:
    account = joined()
    prolonged = TierSpan(10, TierChange.PROLONGED, 0, 0, 99)
    account.standing.spans = [prolonged, TierSpan(30, TierChange.UPGRADED, 1, 600, None)]
    before = [prolonged, TierSpan(20, TierChange.UPGRADED, 1, 600, None)]

    changes = tier_changes(account, before, Cause("c", 40, ()), STARTER)

    assert [(c.kind, c.from_tier, c.tier, c.effective_at_ms, c.valid_until_ms) for c in changes] == [
        (TierChange.CORRECTED, "Pacer", "Starter", 20, None),
        (TierChange.UPGRADED, "Starter", "Pacer", 30, None),
    ]


def test_a_spending_of_the_owner_alone_is_nowhere_else() -> None:
    own, rest = spent_apart(SPENT, {"c"}, "m-2")

    assert (own, rest.parts) == (SPENT, ())


def test_a_spending_parted_and_joined_is_what_it_was() -> None:
    before = SPENT._replace(elsewhere=(("m-3", 5),))

    own, rest = spent_apart(before, {"b"}, "m-2")

    assert (own.parts, own.elsewhere) == ((("a", 10),), (("m-3", 5), ("m-2", 20)))
    assert (rest.parts, rest.elsewhere) == ((("b", 20),), ())
    assert spent_together(own, rest, {"m-2"}) == before
