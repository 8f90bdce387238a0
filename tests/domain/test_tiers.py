"""When a tier begins, is at risk and ends: at the very instant, and at the very point."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.domain.ledger import TierChange
from pipelines.domain.programme import Downgrade, TierLevel, Window, WindowKind
from tests.support.facts import line, member, ms, order, refund, run, tick
from tests.support.history import History, play
from tests.support.programmes import GRACE, REFERENCE_VERSION, programme_of, reference

JOINED = member("2024-01-01T00:00:00Z")
STARTER = reference(welcome_points=0)
BY_YEARS = Window(WindowKind.CALENDAR_YEAR)


def bought(order_id: str, at: str, points: int) -> Any:
    return order(order_id, at, line("A", points * 100))


def told(history: History) -> list[tuple[TierChange, str, int]]:
    return [(change.kind, change.tier, change.effective_at_ms) for change in history.tiers[1:]]


def test_two_levels_at_once_end_where_the_points_carry_to_the_point() -> None:
    facts = [
        JOINED,
        bought("O1", "2025-03-10T10:00:00Z", 1_000),
        bought("O2", "2025-05-10T10:00:00Z", 500),
        tick("2026-05-09T00:00:00Z"),
    ]

    history = play(facts, reference(downgrade=Downgrade(60, 2), welcome_points=0))

    assert told(history)[-1] == (TierChange.DOWNGRADED, "Pacer", ms("2026-05-09T00:00:00+02:00"))


def test_a_tier_holds_while_what_stays_is_just_enough() -> None:
    facts = [JOINED, bought("O1", "2025-03-10T10:00:00Z", 100), bought("O2", "2025-05-10T10:00:00Z", 500)]

    progress = play(facts, STARTER).progress[-1]

    assert (progress.to_keep_points, progress.keep_by_ms) == (500, ms("2026-05-10T00:00:00+02:00"))
    assert progress.valid_until_ms == ms("2026-07-09T00:00:00+02:00")


def test_who_has_reached_the_tier_again_this_year_needs_nothing_more() -> None:
    facts = [JOINED, bought("O1", "2026-03-10T10:00:00Z", 600)]

    progress = play(facts, reference(BY_YEARS, GRACE, welcome_points=0)).progress[-1]

    assert (progress.to_keep_points, progress.keep_by_ms) == (0, ms("2027-01-01T00:00:00+01:00"))
    assert progress.valid_until_ms == ms("2028-03-01T00:00:00+01:00")


def test_by_years_too_higher_thresholds_put_at_risk_in_the_instant_in_which_they_begin() -> None:
    begins = ms("2026-06-01T00:00:00Z")
    higher = (REFERENCE_VERSION.tiers[0], TierLevel("Pacer", 700, REFERENCE_VERSION.tiers[1].bonus))
    programme = programme_of(
        replace(REFERENCE_VERSION, tiers=REFERENCE_VERSION.tiers[:2]),
        replace(REFERENCE_VERSION, version="2", effective_from_ms=begins, tiers=higher),
        window=BY_YEARS,
    )

    history = play(
        [JOINED, bought("O1", "2026-03-10T10:00:00Z", 600), tick("2026-06-02T00:00:00Z")], programme
    )

    assert told(history)[-1] == (TierChange.AT_RISK, "Pacer", begins)


def test_the_same_thresholds_in_another_version_tell_nothing() -> None:
    begins = ms("2026-06-01T00:00:00Z")
    programme = programme_of(
        REFERENCE_VERSION, replace(REFERENCE_VERSION, version="2", effective_from_ms=begins, welcome_points=0)
    )

    assert (programme.tiers_ms, programme.next_tiers_ms(0)) == ((), None)


def test_the_next_thresholds_are_those_that_begin_after_an_instant() -> None:
    higher = tuple(replace(level, threshold=level.threshold * 2) for level in REFERENCE_VERSION.tiers)
    programme = programme_of(
        replace(REFERENCE_VERSION, effective_from_ms=10),
        replace(REFERENCE_VERSION, version="2", effective_from_ms=20, tiers=higher),
        replace(REFERENCE_VERSION, version="3", effective_from_ms=30, tiers=higher),
        replace(REFERENCE_VERSION, version="4", effective_from_ms=40),
    )

    assert programme.tiers_ms == (20, 40)
    assert [programme.next_tiers_ms(at) for at in (19, 20, 39, 40)] == [20, 40, 40, None]
    assert [programme.at(at).version for at in (9, 10, 19, 20)] == ["2026-1", "2026-1", "2026-1", "2"]


def test_what_a_return_leaves_is_enough_to_the_point() -> None:
    back = refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 200_00))

    history = play(
        [JOINED, order("O1", "2026-03-10T10:00:00Z", line("A", 700_00, quantity=2)), back], STARTER
    )

    assert [kind for kind, _, _ in told(history)] == [TierChange.UPGRADED]


def test_a_tier_reached_to_the_point_is_lost_with_the_first_return() -> None:
    back = refund("R1", "O1", "2026-03-20T10:00:00Z", ("A", 1, 1_00))

    history = play(
        [JOINED, order("O1", "2026-03-10T10:00:00Z", line("A", 500_00, quantity=2)), back], STARTER
    )

    assert told(history)[-1] == (TierChange.DOWNGRADED, "Starter", back.occurred_at_ms)


def test_a_return_at_the_instant_at_which_grace_had_ended_has_none() -> None:
    ended = ms("2026-05-09T00:00:00+02:00")
    facts = [
        JOINED,
        bought("O1", "2025-03-10T10:00:00Z", 600),
        bought("O2", "2026-04-10T10:00:00Z", 600),
        refund("R1", "O2", ended, ("A", 1, 600_00)),
    ]

    history = play(facts, STARTER)

    assert [kind for kind, _, _ in told(history)[1:]] == [
        TierChange.AT_RISK,
        TierChange.RISK_CLEARED,
        TierChange.DOWNGRADED,
    ]
    assert told(history)[-1] == (TierChange.DOWNGRADED, "Starter", ended)


def test_a_run_at_the_instant_of_an_upgrade_is_one_of_the_new_tier() -> None:
    upgrade = bought("O1", "2026-03-10T10:00:00Z", 600)

    history = play([JOINED, upgrade, run("E1", "2026-03-10T10:00:00Z", 1_000)], STARTER)

    assert history.ledger[-1].tier_at_event == "Pacer"


def test_a_run_from_before_the_enrolment_was_one_of_the_lowest_tier() -> None:
    later = member("2026-03-11T00:00:00Z", version=2, recorded="2026-03-12T10:00:00Z")

    history = play([JOINED, run("E1", "2026-03-10T10:00:00Z", 1_000), later], STARTER)

    assert (history.moved()[-1], history.ledger[-1].tier_at_event) == (("EDIT", 2), "Starter")


def test_what_comes_back_on_the_day_on_which_it_leaves_the_window_takes_nothing_from_it() -> None:
    facts = [
        JOINED,
        bought("O1", "2025-03-10T10:00:00Z", 100),
        bought("O2", "2025-11-10T10:00:00Z", 200),
        refund("R1", "O1", "2026-03-10T10:00:00Z", ("A", 1, 100_00)),
    ]

    assert play(facts, STARTER).progress[-1].qualifying_points == 200


def test_by_years_who_has_bought_nothing_has_not_even_a_point() -> None:
    levels = (REFERENCE_VERSION.tiers[0], TierLevel("Walker", 1, REFERENCE_VERSION.tiers[1].bonus))

    history = play([JOINED, bought("O1", "2026-03-10T10:00:00Z", 0)], reference(BY_YEARS, tiers=levels))

    assert told(history) == []


def test_where_nothing_is_next_or_nothing_leaves_no_day_is_told_by_which() -> None:
    top = play([JOINED, bought("O1", "2026-03-10T10:00:00Z", 1_500)], STARTER).progress[-1]
    nothing = play([JOINED], reference(BY_YEARS)).progress[-1]

    assert (top.next_tier, top.next_by_ms) == (None, None)
    assert (nothing.next_tier, nothing.next_by_ms) == ("Pacer", None)


def test_at_risk_the_tier_is_what_it_was_since_it_was_reached() -> None:
    facts = [JOINED, bought("O1", "2025-03-10T10:00:00Z", 600), tick("2026-03-11T10:00:00Z")]

    history = play(facts, STARTER)

    assert told(history)[-1][0] is TierChange.AT_RISK
    assert history.progress[-1].tier_since_ms == ms("2025-03-10T10:00:00Z")


def test_with_a_single_tier_a_late_order_counts_as_any_other() -> None:
    late = order("O1", "2026-03-01T10:00:00Z", recorded="2026-03-12T10:00:00Z")
    programme = reference(welcome_points=0, tiers=REFERENCE_VERSION.tiers[:1])

    history = play([JOINED, bought("O2", "2026-03-10T10:00:00Z", 100), late], programme)

    assert history.progress[-1].qualifying_points == 200
