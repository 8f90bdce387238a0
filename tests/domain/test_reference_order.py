"""The worked examples of one order: 481, 337, 517, and what returns take back."""

from fractions import Fraction

from pipelines.domain.facts import EngagementKind, EngagementStatus, OrderStatus, Verification
from pipelines.domain.ledger import Outcome, Refused
from pipelines.domain.programme import Stacking, TierLevel
from pipelines.domain.rating import share
from tests.support.facts import engagement, line, member, order, refund, run, tick
from tests.support.history import play
from tests.support.programmes import reference

ALWAYS_PACER = (TierLevel("Pacer", 0, Fraction(1, 4)), TierLevel("Elite", 15_000, Fraction(1, 2)))
PACER = reference(tiers=ALWAYS_PACER, welcome_points=0)
STARTER = reference(welcome_points=0)
JOINED = member("2024-01-01T00:00:00Z")
LINES = (
    line("A", 160_00, "trail"),
    line("B", 120_00),
    line("S", 20_00, "socks"),
    line("G", 50_00, "gift", eligible=False),
)
EXTRAS = {"order_discount_minor": 30_00, "shipping_minor": 9_95, "tax_minor": 18_90}


def the_order(placed: str = "2026-03-02T10:00:00Z", **given: object) -> object:
    return order("O1", placed, *LINES, **(EXTRAS | given))  # type: ignore[arg-type]


def test_the_order_discount_is_shared_by_largest_remainder() -> None:
    assert share(30_00, [160_00, 120_00, 20_00]) == [16_00, 12_00, 2_00]
    assert share(10_00, [33_33, 33_33, 33_34]) == [3_33, 3_33, 3_34]
    assert share(20_00, [144_00, 108_00, 18_00]) == [10_67, 8_00, 1_33]


def test_in_the_campaign_a_pacer_gets_481_booked_270_67_144() -> None:
    history = play([JOINED, the_order()], PACER)

    assert history.moved() == [("BASE", 270), ("TIER_BONUS", 67), ("CAMPAIGN", 144)]


def test_multiplicative_stacking_gives_517() -> None:
    programme = reference(tiers=ALWAYS_PACER, welcome_points=0, stacking=Stacking.MULTIPLICATIVE)

    history = play([JOINED, the_order()], programme)

    assert sum(points for _, points in history.moved()) == 517


def test_the_campaign_ends_at_its_end() -> None:
    just_before = play([JOINED, the_order("2026-03-07T23:59:30Z", recorded="2026-03-08T00:04:00Z")], PACER)
    at_the_end = play([JOINED, the_order("2026-03-08T00:00:00Z")], PACER)

    assert just_before.balances[-1].pending == 481
    assert at_the_end.balances[-1].pending == 337


def test_returns_take_324_22_and_135() -> None:
    history = play(
        [
            JOINED,
            the_order(),
            refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 144_00)),
            refund("R2", "O1", "2026-03-21T10:00:00Z", ("S", 1, 18_00)),
            refund("R3", "O1", "2026-03-22T10:00:00Z", ("B", 1, 108_00)),
        ],
        PACER,
    )

    assert [b.pending for b in history.balances if b.sequence] == [481, 157, 135, 0]
    assert history.moved()[3:] == [("RETURN", 324), ("RETURN", 22), ("RETURN", 135)]


def test_a_return_that_comes_before_its_order_waits_for_it() -> None:
    early = refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 144_00), recorded="2026-03-20T10:00:00Z")
    history = play([JOINED, early, the_order(recorded="2026-03-20T11:00:00Z")], PACER)

    assert history.balances[-1].pending == 157
    assert history.outcomes[Outcome.PARKED] == 1
    assert sum(points for _, points in history.moved()) == 157


def test_a_return_whose_order_never_comes_is_given_up_after_the_horizon() -> None:
    early = refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 144_00))

    history = play([JOINED, early, tick("2026-05-04T09:59:59Z"), tick("2026-05-04T10:00:00Z")], PACER)

    assert [(r.refused, r.source) for r in history.refusals] == [
        (Refused.ORDER_UNKNOWN, repr(early).encode())
    ]
    assert not history.store.due(1 << 60, 1)


def test_ten_lines_of_9_95_lose_no_point_to_rounding() -> None:
    ten = [line(f"L{n}", 9_95) for n in range(10)]
    returns = [refund(f"R{n}", "O1", f"2026-03-{10 + n}T10:00:00Z", (f"L{n}", 1, 9_95)) for n in range(10)]

    history = play([JOINED, order("O1", "2026-03-02T10:00:00Z", *ten), *returns], STARTER)

    assert history.moved() == [("BASE", 99)] + [("RETURN", 10)] * 9 + [("RETURN", 9)]


def test_89_90_with_the_tier_and_25_on_top_is_137() -> None:
    programme = reference(tiers=ALWAYS_PACER, welcome_points=0, thresholds=())
    bonus = reference().versions[0].thresholds[0]
    programme = reference(
        tiers=ALWAYS_PACER,
        welcome_points=0,
        thresholds=(type(bonus)("plus-25", 25, "EUR", 1, bonus.starts_at_ms, bonus.ends_at_ms),),
    )

    history = play([JOINED, order("O1", "2026-04-02T10:00:00Z", line("A", 89_90))], programme)

    assert history.moved() == [("BASE", 90), ("TIER_BONUS", 22), ("THRESHOLD", 25)]


def test_the_threshold_bonus_is_lost_with_the_amount() -> None:
    history = play(
        [
            JOINED,
            the_order("2026-04-02T10:00:00Z"),
            refund("R1", "O1", "2026-04-20T10:00:00Z", ("A", 1, 144_00)),
        ],
        STARTER,
    )

    assert [b.pending for b in history.balances if b.sequence] == [370, 126]


def test_points_become_active_at_their_instant() -> None:
    delivered = the_order(
        status=OrderStatus.DELIVERED, delivered_at_ms=1_772_359_200_000, version=2
    )  # 1 March 2026 10:00Z
    history = play(
        [JOINED, delivered, tick("2026-03-31T09:59:59Z"), tick("2026-04-15T00:00:00Z")],
        PACER,
    )

    activation = history.ledger[-1]
    assert (activation.reason, activation.points) == ("ACTIVATION", 481)
    assert activation.effective_at_ms == 1_772_359_200_000 + 30 * 86_400_000
    assert history.balances[-1].active == 481


def test_the_multiplier_is_the_tier_just_before_the_order() -> None:
    facts = [
        JOINED,
        order("O1", "2026-05-01T10:00:00Z", line("A", 1450_00)),
        order("O2", "2026-05-02T10:00:00Z", line("A", 100_00)),
        order("O3", "2026-05-03T10:00:00Z", line("A", 100_00)),
    ]

    history = play(facts, STARTER)

    assert [e.points for e in history.ledger] == [1450, 100, 25, 100, 50]
    assert [(c.kind.value, c.tier) for c in history.tiers] == [
        ("JOINED", "Starter"),
        ("UPGRADED", "Pacer"),
        ("UPGRADED", "Elite"),
    ]


def test_a_late_order_corrects_the_tier_of_what_came_after_it() -> None:
    first = order("O1", "2026-05-01T10:00:00Z", line("A", 500_00), recorded="2026-05-10T10:00:00Z")
    second = order("O2", "2026-05-02T10:00:00Z", line("A", 80_00))

    history = play([JOINED, second, first], STARTER)

    assert history.moved() == [("BASE", 80), ("BASE", 500), ("TIER_CORRECTION", 20)]


def test_runs_of_a_day_share_its_cap_in_either_order() -> None:
    morning = run("E1", "2026-03-28T08:00:00Z", 6_400)
    evening = run("E2", "2026-03-28T18:00:00Z", 6_400)
    deleted = run("E1", "2026-03-28T08:00:00Z", 6_400, version=2, status=EngagementStatus.DELETED)

    forward = play([JOINED, morning, evening], STARTER)
    backward = play([JOINED, evening, morning], STARTER)
    less = play([deleted], STARTER, into=backward)

    assert forward.balances[-1].active == 20
    assert less.balances[-1].active == 12


def test_a_manual_run_earns_nothing_and_an_edit_to_manual_takes_back() -> None:
    by_hand = run("E1", "2026-03-28T08:00:00Z", 6_000, verification=Verification.MANUAL)
    trusted = run("E2", "2026-03-29T08:00:00Z", 6_000)
    edited = trusted._replace(version=2, verification=Verification.MANUAL, event_id="e-E2@2")

    history = play([JOINED, by_hand, trusted, edited], STARTER)

    assert history.moved() == [("ACTIVITY", 12), ("NOT_VERIFIED", 12)]


def test_an_activity_edited_into_another_kind_gives_its_points_back() -> None:
    trusted = run("E2", "2026-03-29T08:00:00Z", 6_000)
    edited = trusted._replace(version=2, kind=EngagementKind.APP_OPENED, event_id="e-E2@2")

    history = play([JOINED, trusted, edited], STARTER)

    assert history.moved() == [("ACTIVITY", 12), ("EDIT", 12)]


def test_a_review_earns_once_a_product_and_a_profile_once() -> None:
    review = EngagementKind.REVIEW
    history = play(
        [
            JOINED,
            engagement("E1", review, "2026-03-01T08:00:00Z", subject="shoe"),
            engagement("E2", review, "2026-03-02T08:00:00Z", subject="shoe"),
            engagement("E3", review, "2026-03-02T08:00:00Z", subject="socks"),
            engagement("E4", EngagementKind.PROFILE_COMPLETED, "2026-03-03T08:00:00Z"),
            engagement("E5", EngagementKind.PROFILE_COMPLETED, "2026-03-04T08:00:00Z"),
        ],
        STARTER,
    )

    assert history.moved() == [("REVIEW", 50), ("REVIEW", 50), ("ACTIVITY", 100)]


def test_yen_have_their_own_rate() -> None:
    history = play([JOINED, order("O1", "2026-03-02T10:00:00Z", line("A", 15_000), currency="JPY")], STARTER)

    assert history.moved() == [("BASE", 100)]


def test_paid_delivered_and_paid_again_is_one_grant() -> None:
    paid = order("O1", "2026-03-02T10:00:00Z")
    delivered = order(
        "O1",
        "2026-03-02T10:00:00Z",
        version=2,
        status=OrderStatus.DELIVERED,
        delivered_at_ms=paid.placed_at_ms,
    )
    again = order("O1", "2026-03-02T10:00:00Z", version=3)

    history = play([JOINED, paid, delivered, again, again, paid], STARTER)

    assert history.moved() == [("BASE", 100)]
    assert history.outcomes == {Outcome.APPLIED: 4, Outcome.DUPLICATE: 1, Outcome.STALE: 1}


def test_a_cancelled_order_gives_all_back_and_a_reinstated_one_gets_it_again() -> None:
    paid = order("O1", "2026-03-02T10:00:00Z")
    cancelled = order(
        "O1",
        "2026-03-02T10:00:00Z",
        version=2,
        status=OrderStatus.CANCELLED,
        cancelled_at_ms=paid.placed_at_ms + 1,
    )
    again = order("O1", "2026-03-02T10:00:00Z", version=3, recorded="2026-03-03T10:00:00Z")

    history = play([JOINED, paid, cancelled, again], STARTER)

    assert history.moved() == [("BASE", 100), ("CANCEL", 100), ("BASE", 100)]
    assert history.progress[-1].qualifying_points == 100


def test_what_happened_before_enrolment_earns_nothing_and_is_rated_when_the_member_comes() -> None:
    before = order("O1", "2026-01-02T10:00:00Z")
    after = order("O2", "2026-02-02T10:00:00Z")
    enrolled = member("2026-02-01T00:00:00Z", recorded="2026-02-03T00:00:00Z")

    history = play([before, after, run("E1", "2026-02-02T08:00:00Z", 5_000), enrolled], reference())

    assert sorted(history.moved()) == [("ACTIVITY", 10), ("BASE", 100), ("WELCOME", 50)]


def test_a_fact_beyond_the_horizon_is_late() -> None:
    late = order("O1", "2026-01-02T10:00:00Z", recorded="2026-02-16T10:00:01Z")

    history = play([JOINED, late], STARTER)

    assert [r.refused for r in history.refusals] == [Refused.LATE]
