"""What is corrected when something comes late, changes, or should never have come."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from pipelines.domain.facts import Engagement, EngagementKind, EngagementStatus, OrderStatus, ReturnStatus
from pipelines.domain.ledger import LedgerAccount, Outcome, Refused, TierChange
from pipelines.domain.programme import Campaign, ThresholdBonus, TierLevel
from pipelines.domain.rating import share
from tests.support.facts import DAY_MS, engagement, line, member, ms, order, refund, run, tick
from tests.support.history import play
from tests.support.programmes import REFERENCE_VERSION, programme_of, reference

STARTER = reference(welcome_points=0)
JOINED = member("2024-01-01T00:00:00Z")
PLACED = "2026-05-01T10:00:00Z"


PAIR = line("A", 100_00, quantity=2)


def delivered(at: str, version: int) -> object:
    return order("O1", PLACED, PAIR, version=version, status=OrderStatus.DELIVERED, delivered_at_ms=ms(at))


def test_nothing_is_shared_where_nothing_weighs() -> None:
    assert share(10, [0, 0]) == [0, 0]


def test_a_delivery_that_proves_later_makes_active_points_wait_again() -> None:
    early = delivered("2026-05-02T10:00:00Z", 2)
    late = order(
        "O1",
        PLACED,
        version=3,
        status=OrderStatus.DELIVERED,
        delivered_at_ms=ms("2026-05-20T10:00:00Z"),
        recorded="2026-06-02T00:00:00Z",
    )

    history = play([JOINED, early, tick("2026-06-01T10:00:00Z"), late], STARTER)
    assert (history.balances[-1].active, history.balances[-1].pending) == (0, 100)

    play([tick("2026-06-19T10:00:00Z")], STARTER, into=history)
    assert history.balances[-1].active == 100
    assert len({e.entry_id for e in history.ledger}) == len(history.ledger)


def test_points_are_taken_from_pending_first_and_then_from_active() -> None:
    returned = refund("R1", "O1", "2026-06-10T10:00:00Z", ("A", 1, 30_00))

    history = play([JOINED, delivered("2026-05-02T10:00:00Z", 1), returned], STARTER)

    taken = history.ledger[-1]
    assert (taken.from_account, taken.points) == (LedgerAccount.ACTIVE, 30)


def test_a_refund_that_is_rejected_after_all_gives_the_points_back() -> None:
    returned = refund("R1", "O1", "2026-05-10T10:00:00Z", ("A", 1, 30_00))
    rejected = refund(
        "R1", "O1", "2026-05-11T10:00:00Z", ("A", 1, 30_00), version=2, status=ReturnStatus.REJECTED
    )

    history = play([JOINED, order("O1", PLACED), returned, rejected], STARTER)

    assert [b.pending for b in history.balances[1:]] == [100, 0, 100]


def test_a_refund_of_part_of_a_line_takes_its_money_and_all_of_it_takes_the_line() -> None:
    pair = order("O1", PLACED, line("A", 100_00, quantity=2))
    one = refund("R1", "O1", "2026-05-10T10:00:00Z", ("A", 1, 40_00))
    other = refund("R2", "O1", "2026-05-11T10:00:00Z", ("A", 1, 0))

    history = play([JOINED, pair, one, other], STARTER)

    assert [b.pending for b in history.balances[1:]] == [100, 60, 0]


def test_more_than_was_bought_and_what_was_never_bought_cannot_come_back() -> None:
    facts = [
        refund("R0", "O1", "2026-05-01T09:00:00Z", ("A", 2, 1_00)),
        order("O1", PLACED),
        refund("R1", "O1", "2026-05-10T10:00:00Z", ("A", 2, 1_00)),
        refund("R2", "O1", "2026-05-10T10:00:00Z", ("Z", 1, 1_00)),
    ]

    history = play([JOINED, *facts], STARTER)

    assert [(r.refused, r.source is None) for r in history.refusals] == [
        (Refused.RETURN_EXCEEDS_ORDER, False),
        (Refused.RETURN_EXCEEDS_ORDER, True),
        (Refused.RETURN_OF_UNKNOWN_LINE, True),
    ]
    assert history.balances[-1].pending == 100


def test_an_order_is_forgotten_after_400_days_whatever_comes_first() -> None:
    placed = ms(PLACED)
    known = order("O1", PLACED)
    in_time = refund("R1", "O1", placed + 400 * DAY_MS, ("A", 1, 10_00))
    too_late = refund("R2", "O1", placed + 400 * DAY_MS + 1, ("A", 1, 10_00))
    old = order("O2", PLACED, occurred_at_ms=placed + 390 * DAY_MS, recorded=placed + 401 * DAY_MS)
    parked = refund("R3", "O3", placed + 395 * DAY_MS, ("A", 1, 10_00), recorded=placed + 401 * DAY_MS)
    its_order = order("O3", PLACED, occurred_at_ms=placed + 395 * DAY_MS, recorded=placed + 399 * DAY_MS)

    history = play([JOINED, known, in_time, too_late, old, parked, its_order], STARTER)

    assert [r.refused for r in history.refusals] == [Refused.ORDER_FORGOTTEN] * 3


def test_money_that_the_programme_does_not_know_is_refused() -> None:
    history = play([JOINED, order("O1", PLACED, currency="XAU")], STARTER)

    assert history.refusals[0].refused is Refused.UNKNOWN_CURRENCY
    assert "EUR" in history.refusals[0].message


def test_a_newer_version_of_a_parked_return_takes_its_place() -> None:
    asked = refund("R1", "O1", "2026-05-02T10:00:00Z", ("A", 1, 30_00), status=ReturnStatus.REQUESTED)
    given = refund("R1", "O1", "2026-05-03T10:00:00Z", ("A", 1, 30_00), version=2)

    history = play(
        [JOINED, asked, given, asked, order("O1", PLACED, PAIR, recorded="2026-05-04T00:00:00Z")], STARTER
    )

    assert history.balances[-1].pending == 70
    assert history.outcomes[Outcome.STALE] == 1


def test_a_late_order_that_moves_an_upgrade_forward_says_corrected() -> None:
    first = order("O1", "2026-05-01T10:00:00Z", line("A", 500_00), recorded="2026-05-10T10:00:00Z")
    second = order("O2", "2026-05-02T10:00:00Z", line("A", 600_00))

    history = play([JOINED, second, first], STARTER)

    assert [(c.kind, c.tier, c.effective_at_ms) for c in history.tiers[1:]] == [
        (TierChange.UPGRADED, "Pacer", ms("2026-05-02T10:00:00Z")),
        (TierChange.CORRECTED, "Pacer", ms("2026-05-01T10:00:00Z")),
    ]


def test_an_upgrade_that_should_not_have_been_is_corrected() -> None:
    big = order("O1", PLACED, line("A", 600_00))
    smaller = order("O1", PLACED, line("A", 400_00), version=2, recorded="2026-05-03T00:00:00Z")

    history = play([JOINED, big, smaller], STARTER)

    assert [(c.kind, c.from_tier, c.tier) for c in history.tiers[1:]] == [
        (TierChange.UPGRADED, "Starter", "Pacer"),
        (TierChange.CORRECTED, "Pacer", "Starter"),
    ]
    assert history.moved() == [("BASE", 600), ("EDIT", 200)]


def test_a_member_fact_that_corrects_the_enrolment_rates_all_again() -> None:
    facts = [
        member("2026-04-01T00:00:00Z"),
        order("O1", PLACED),
        member("2026-05-02T00:00:00Z", version=2, recorded="2026-05-05T00:00:00Z"),
        member("2026-05-02T00:00:00Z", version=3, recorded="2026-05-06T00:00:00Z", market="DE"),
        member("2026-04-01T00:00:00Z", version=2, recorded="2026-05-07T00:00:00Z"),
    ]

    history = play(facts, reference())

    assert history.moved() == [("WELCOME", 50), ("BASE", 100), ("EDIT", 100)]
    assert history.balances[-1].market == "DE"
    assert history.outcomes == {Outcome.APPLIED: 4, Outcome.STALE: 1}


def test_the_welcome_follows_the_version_in_force_at_enrolment() -> None:
    generous = replace(
        REFERENCE_VERSION, version="2026-2", effective_from_ms=ms("2026-05-01T00:00:00Z"), welcome_points=80
    )
    programme = programme_of(REFERENCE_VERSION, generous)
    before = member("2026-04-30T23:59:59Z")
    after = member("2026-05-01T00:00:00Z", version=2)
    back = member("2026-04-30T23:59:59Z", version=3)

    history = play([before, after, back], programme)

    assert history.moved() == [("WELCOME", 50), ("WELCOME", 30), ("EDIT", 30)]


def test_an_order_and_its_return_follow_the_version_of_its_day() -> None:
    dear = replace(
        REFERENCE_VERSION,
        version="2026-2",
        effective_from_ms=ms("2026-05-02T00:00:00Z"),
        tiers=(TierLevel("Starter", 0, Fraction(1)), *REFERENCE_VERSION.tiers[1:]),
        welcome_points=0,
    )
    programme = programme_of(replace(REFERENCE_VERSION, welcome_points=0), dear)
    back = refund("R1", "O1", "2026-05-10T10:00:00Z", ("A", 1, 50_00))

    history = play([JOINED, order("O1", PLACED, PAIR), order("O2", "2026-05-02T00:00:00Z"), back], programme)

    assert history.moved() == [("BASE", 100), ("BASE", 100), ("TIER_BONUS", 100), ("RETURN", 50)]
    assert history.ledger[-1].programme_version == "2026-1"


def test_why_not_names_each_rule_that_did_not_apply() -> None:
    everything = Campaign("all", Fraction(1, 3), None, ms(PLACED), ms(PLACED) + 1)
    trail = Campaign("trail", Fraction(1), "trail", ms(PLACED), ms(PLACED) + 1)
    past = Campaign("past", Fraction(1), None, 0, 1)
    yen = ThresholdBonus("yen", 5, "JPY", 1, ms(PLACED), ms(PLACED) + 1)
    much = ThresholdBonus("much", 5, "EUR", 100_01, ms(PLACED), ms(PLACED) + 1)
    over = ThresholdBonus("over", 5, "EUR", 1, 0, 1)
    programme = reference(welcome_points=0, campaigns=(everything, trail, past), thresholds=(yen, much, over))

    history = play([JOINED, order("O1", PLACED)], programme)

    assert history.moved() == [("BASE", 100), ("CAMPAIGN", 33)]
    assert {(w.rule_id, w.reason) for w in history.ledger[0].derivation.why_not} == {
        ("trail", "NO_LINE_OF_ITS_CATEGORY"),
        ("past", "OUTSIDE_ITS_TIME"),
        ("tier:Starter", "NO_BONUS_AT_THIS_TIER"),
        ("yen", "OTHER_CURRENCY"),
        ("much", "BELOW_ITS_AMOUNT"),
        ("over", "OUTSIDE_ITS_TIME"),
    }


def test_a_capped_run_says_what_the_cap_cut() -> None:
    history = play([JOINED, run("E1", "2026-05-01T08:00:00Z", 15_000)], STARTER)

    derivation = history.ledger[0].derivation
    assert dict(derivation.inputs) == {"distance_m": 15_000, "wanted": 30, "used_before": 0}
    assert [w.reason for w in derivation.why_not] == ["CAP_REACHED"]


def test_a_refund_after_the_cancellation_changes_no_qualifying_points() -> None:
    cancelled = order(
        "O1", PLACED, version=2, status=OrderStatus.CANCELLED, cancelled_at_ms=ms("2026-05-03T00:00:00Z")
    )
    back = refund("R1", "O1", "2026-05-10T10:00:00Z", ("A", 1, 50_00))

    history = play([JOINED, order("O1", PLACED), cancelled, back], STARTER)

    assert history.progress[-1].qualifying_points == 0
    assert history.moved() == [("BASE", 100), ("CANCEL", 100)]


def test_qualifying_points_leave_the_window_after_twelve_months_to_the_day() -> None:
    facts = [
        JOINED,
        order("O1", "2025-03-10T10:00:00Z", line("A", 900_00)),
        order("O2", "2025-11-20T10:00:00Z", line("A", 700_00)),
        order("O3", "2026-02-01T10:00:00Z", line("A", 200_00)),
    ]
    eve = order("O4", "2026-03-09T10:00:00Z", line("A", 0))
    day = order("O5", "2026-03-10T10:00:00Z", line("A", 0))

    assert play([*facts, eve], STARTER).progress[-1].qualifying_points == 1_800
    assert play([*facts, eve, day], STARTER).progress[-1].qualifying_points == 900


def test_progress_names_the_next_tier_in_points_and_in_the_members_money() -> None:
    history = play([member("2026-01-01T00:00:00Z", market="JP"), order("O1", PLACED)], STARTER)

    progress = history.progress[-1]
    assert (progress.next_tier, progress.to_next_points) == ("Pacer", 400)
    assert (progress.to_next_minor, progress.currency) == (60_000, "JPY")


def test_in_the_top_tier_there_is_nothing_next_and_in_a_strange_market_no_money() -> None:
    top = play([JOINED, order("O1", PLACED, line("A", 2_000_00))], STARTER).progress[-1]
    strange = play([member("2026-01-01T00:00:00Z", market="XX")], STARTER).progress[-1]

    assert (top.tier, top.next_tier, top.to_next_points, top.to_next_minor) == ("Elite", None, None, None)
    assert (strange.to_next_points, strange.to_next_minor) == (500, None)


def test_a_return_outlives_the_line_that_an_edit_took_away() -> None:
    both = order("O1", PLACED, line("A", 100_00), line("B", 50_00))
    back = refund("R1", "O1", "2026-05-03T10:00:00Z", ("A", 1, 100_00))
    only_b = order("O1", PLACED, line("B", 50_00), version=2, recorded="2026-05-04T00:00:00Z")

    history = play([JOINED, both, back, only_b], STARTER)

    assert history.balances[-1].pending == 50


def test_an_order_that_comes_at_the_instant_its_return_is_given_up_comes_too_late_for_it() -> None:
    early = refund("R1", "O1", "2026-02-02T10:00:00Z", ("A", 1, 100_00))
    late_order = order(
        "O1",
        "2026-02-01T10:00:00Z",
        status=OrderStatus.DELIVERED,
        delivered_at_ms=ms("2026-02-10T10:00:00Z"),
        recorded=early.recorded_at_ms + 45 * DAY_MS,
    )

    history = play([JOINED, early, late_order], reference(welcome_points=0))

    assert [r.refused for r in history.refusals] == [Refused.ORDER_UNKNOWN]
    assert history.balances[-1].active == 100


def test_a_deleted_review_is_taken_back_and_leaves_room_for_another_of_the_product() -> None:
    def review(review_id: str, at: str, **given: Any) -> Engagement:
        return engagement(review_id, EngagementKind.REVIEW, at, subject="shoe-1", **given)

    facts = [
        JOINED,
        review("V1", "2026-05-02T10:00:00Z"),
        review("V2", "2026-05-03T10:00:00Z"),
        review("V1", "2026-05-02T10:00:00Z", version=2, status=EngagementStatus.DELETED),
    ]

    history = play(facts, STARTER)

    assert [(e.lot_id, e.reason, e.points) for e in history.ledger] == [
        ("engagement:V1", "REVIEW", 50),
        ("engagement:V1", "ACTIVITY_DELETED", 50),
        ("engagement:V2", "REVIEW", 50),
    ]


def test_an_order_that_nobody_has_paid_is_worth_nothing_yet() -> None:
    history = play([JOINED, order("O1", PLACED, status=OrderStatus.PLACED)], STARTER)

    assert history.ledger == []
    assert history.progress[-1].qualifying_points == 0
