"""What runs, reviews and profiles earn beside each other, and why some earn nothing."""

from __future__ import annotations

from dataclasses import replace

from pipelines.domain.engagements import earned_in_group, engagement_record, group_of
from pipelines.domain.facts import Engagement, EngagementKind, EngagementStatus, Verification
from tests.support.facts import engagement, member, ms, run
from tests.support.history import play
from tests.support.programmes import REFERENCE_VERSION, programme_of, reference

STARTER = reference(welcome_points=0)
JOINED = member("2024-01-01T00:00:00Z")
DAY = "2026-03-28"
JANUARY, MARCH = ms("2026-01-01T00:00:00Z"), ms("2026-03-01T00:00:00Z")


def why(*engagements: Engagement) -> list[tuple[str, str]]:
    """Rule and reason of each engagement of a group that earned less than it might have."""
    programme = programme_of(
        replace(REFERENCE_VERSION, version="without", effective_from_ms=JANUARY, activities=(), once=()),
        replace(REFERENCE_VERSION, version="with", effective_from_ms=MARCH),
    )
    group = [engagement_record(one) for one in engagements]
    return [
        reason
        for earned in earned_in_group(group, ms("2026-02-01T00:00:00Z"), programme)
        for reason in earned.why_not
    ]


def test_three_runs_of_a_day_share_its_cap() -> None:
    runs = [
        run(f"E{hour}", f"{DAY}T{hour}:00:00Z", metres)
        for hour, metres in ((10, 6_000), (11, 3_000), (12, 3_000))
    ]

    history = play([JOINED, *runs], STARTER)

    assert history.moved() == [("ACTIVITY", 12), ("ACTIVITY", 6), ("ACTIVITY", 2)]


def test_a_run_at_the_instant_of_enrolment_earns() -> None:
    history = play([JOINED, run("E1", "2024-01-01T00:00:00Z", 1_000)], STARTER)

    assert history.moved() == [("ACTIVITY", 2)]


def test_a_single_point_is_given_for_the_run_itself() -> None:
    slow = replace(REFERENCE_VERSION.activities[0], points=1)

    history = play(
        [JOINED, run("E1", f"{DAY}T10:00:00Z", 1_999)], reference(welcome_points=0, activities=(slow,))
    )

    assert history.moved() == [("ACTIVITY", 1)]


def test_a_longer_first_run_takes_from_the_second_before_it_is_given() -> None:
    longer = run("E1", f"{DAY}T10:00:00Z", 10_000, version=2, recorded=f"{DAY}T20:00:00Z")
    facts = [JOINED, run("E1", f"{DAY}T10:00:00Z", 1_000), run("E2", f"{DAY}T11:00:00Z", 9_000), longer]

    history = play(facts, STARTER)

    assert history.moved()[2:] == [("CAP", 18), ("ACTIVITY", 18)]
    assert max(entry.active_after for entry in history.ledger) == 20


def test_a_profile_counts_once_whatever_it_is_about() -> None:
    kind = EngagementKind.PROFILE_COMPLETED
    facts = [
        JOINED,
        engagement("E1", kind, f"{DAY}T10:00:00Z", subject="shoes"),
        engagement("E2", kind, f"{DAY}T11:00:00Z", subject="races"),
    ]

    assert play(facts, STARTER).moved() == [("ACTIVITY", 100)]


def test_what_no_rule_looks_at_is_in_no_group() -> None:
    opened = engagement("E1", EngagementKind.APP_OPENED, f"{DAY}T10:00:00Z")

    assert group_of(opened, STARTER) == ""


def test_runs_that_earn_nothing_say_why() -> None:
    said = why(
        run("E1", "2026-01-31T10:00:00Z", 1_000),
        run("E2", "2026-02-02T10:00:00Z", 1_000),
        run("E3", "2026-03-03T10:00:00Z", 1_000),
        run("E4", "2026-03-03T11:00:00Z", 1_000, status=EngagementStatus.DELETED),
        run("E5", "2026-03-03T12:00:00Z", 1_000, verification=Verification.NONE),
        run("E6", "2026-03-03T13:00:00Z", 9_000),
        run("E7", "2026-03-03T14:00:00Z", 1_000),
    )

    assert said == [
        ("enrolment", "NOT_ENROLLED_THEN"),
        ("none", "NO_RULE_THEN"),
        ("run", "DELETED"),
        ("run", "NOT_VERIFIED"),
        ("run", "CAP_REACHED"),
    ]


def test_reviews_that_earn_nothing_say_why() -> None:
    said = why(
        engagement("E1", EngagementKind.REVIEW, "2026-03-03T10:00:00Z", status=EngagementStatus.DELETED),
        engagement("E2", EngagementKind.REVIEW, "2026-03-03T11:00:00Z"),
        engagement("E3", EngagementKind.REVIEW, "2026-03-03T12:00:00Z"),
    )

    assert said == [("review", "DELETED"), ("review", "GRANTED_ONCE_ALREADY")]


def test_a_review_has_no_distance_and_a_deleted_run_wants_nothing() -> None:
    deleted = run("E1", f"{DAY}T10:00:00Z", 1_000, version=2, status=EngagementStatus.DELETED)
    facts = [
        JOINED,
        engagement("E2", EngagementKind.REVIEW, f"{DAY}T09:00:00Z"),
        run("E1", f"{DAY}T10:00:00Z", 1_000),
        deleted,
    ]

    review, _, taken = (dict(entry.derivation.inputs) for entry in play(facts, STARTER).ledger)

    assert review == {"distance_m": 0, "wanted": 50, "used_before": 0}
    assert taken == {"distance_m": 1_000, "wanted": 0, "used_before": 0}
