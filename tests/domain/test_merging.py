"""What two accounts send each other may be under way: who is where in between, and that all ends well."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from pipelines.domain.facts import CommandKind, EngagementKind, Fact, Member, Tick
from pipelines.domain.ledger import Balance, CommandResult, LedgerEntry, Outcome, Refused
from pipelines.domain.merging import Handover, HandoverKind
from pipelines.processors.accounts import Accounts, Refusal
from state import layout
from state.memory import MemoryStore
from tests.support.facts import command, engagement, member, order, refund, run, tick
from tests.support.programmes import reference

PROGRAMME = reference(welcome_points=0, expiry=None)
ENROLLED = "2024-01-01T00:00:00Z"


class Accounted:
    """Accounts that send each other what they have to say when `deliver` lets them, and not before."""

    def __init__(self) -> None:
        self.accounts, self.store = Accounts(PROGRAMME), MemoryStore()
        self.post: deque[Handover] = deque()
        self.balances: dict[str, Balance] = {}
        self.answers: list[CommandResult] = []
        self.ledger: list[LedgerEntry] = []
        self.refusals: list[Refusal] = []
        self.outcomes: list[Outcome] = []

    def take(self, *facts: Fact | Tick) -> None:
        for fact in facts:
            self._process(fact)

    def deliver(self, at_most: int = 1_000) -> None:
        while self.post and at_most:
            self._process(self.post.popleft())
            at_most -= 1

    def _process(self, fact: Any) -> None:
        answer = self.accounts.process(fact, self.store, b"where it stood")
        self.outcomes.append(answer.outcome)
        self.refusals += answer.refusals
        for result in answer.results:
            if isinstance(result, Handover):
                self.post.append(result)
            elif isinstance(result, Balance):
                self.balances[result.member_id] = result
            elif isinstance(result, CommandResult):
                self.answers.append(result)
            elif isinstance(result, LedgerEntry):
                self.ledger.append(result)

    def has(self, member_id: str) -> tuple[int, int]:
        """Active and pending points."""
        balance = self.balances.get(member_id)
        return (0, 0) if balance is None else (balance.active, balance.pending)


def told(member_id: str, at: str = ENROLLED, version: int = 1, into: str | None = None) -> Member:
    return member(ENROLLED, version=version, recorded=at)._replace(
        event_id=f"{member_id}@{version}", member_id=member_id, merged_into=into
    )


def of(member_id: str, fact: Any) -> Any:
    return fact._replace(member_id=member_id)


O1 = order("O1", "2026-02-01T10:00:00Z")
O2 = of("m-2", order("O2", "2026-02-02T10:00:00Z"))
BOTH = (told("m-1"), told("m-2"), O1, O2)
MERGED = told("m-2", "2026-03-01T10:00:00Z", 2, "m-1")
UNMERGED = told("m-2", "2026-03-02T10:00:00Z", 3)


@pytest.fixture
def two() -> Accounted:
    made = Accounted()
    made.take(*BOTH)
    return made


def test_while_the_records_are_under_way_neither_has_the_points(two: Accounted) -> None:
    two.take(MERGED)
    assert (two.has("m-1"), two.has("m-2")) == ((0, 100), (0, 0))

    two.deliver()
    assert (two.has("m-1"), two.has("m-2")) == ((0, 200), (0, 0))


def test_a_fact_that_arrives_when_its_member_has_gone_home_follows_it(two: Accounted) -> None:
    two.take(MERGED)
    two.deliver()
    two.take(UNMERGED, of("m-2", order("O3", "2026-03-02T11:00:00Z")))
    assert [handover.kind for handover in two.post] == [HandoverKind.RELEASE, HandoverKind.FACT]

    two.deliver()

    assert (two.has("m-1"), two.has("m-2")) == ((0, 100), (0, 200))
    assert two.outcomes.count(Outcome.FORWARDED) == 3


def test_a_member_merged_into_another_instead_goes_there_by_way_of_home(two: Accounted) -> None:
    two.take(told("m-3"), MERGED)
    two.deliver()
    two.take(told("m-2", "2026-03-02T10:00:00Z", 3, "m-3"))
    two.deliver()

    assert [two.has(name) for name in ("m-1", "m-2", "m-3")] == [(0, 100), (0, 0), (0, 100)]


def test_news_of_a_merged_member_reach_the_one_who_has_its_things(two: Accounted) -> None:
    two.take(MERGED)
    two.deliver()
    later = told("m-2", "2026-03-03T10:00:00Z", 3, "m-1")._replace(enrolled_at_ms=O1.recorded_at_ms)
    two.take(later, of("m-1", later)._replace(event_id="own", version=2, merged_into=None), later)
    two.deliver()

    assert two.has("m-1") == (0, 200)
    assert two.outcomes[-1] is Outcome.DUPLICATE


def test_two_merges_into_each_other_at_once_are_both_refused(two: Accounted) -> None:
    two.take(MERGED, told("m-1", "2026-03-01T10:00:00Z", 2, "m-2"))
    two.deliver()

    assert {two.has("m-1"), two.has("m-2")} <= {(0, 100), (0, 200), (0, 0)}
    assert sum(pending for _, pending in (two.has("m-1"), two.has("m-2"))) == 200
    assert two.refusals[0] == Refusal(
        Refused.MERGE_CYCLE, "m-2 is merged into itself, by m-1", b"where it stood"
    )


def test_a_merge_into_a_member_who_is_merged_into_this_one_is_refused(two: Accounted) -> None:
    two.take(MERGED)
    two.deliver()
    two.take(told("m-1", "2026-03-02T10:00:00Z", 2, "m-2"))

    assert [refusal.refused for refusal in two.refusals] == [Refused.MERGE_CYCLE]
    assert two.has("m-1") == (0, 200)


O3_OF_M3 = of("m-3", order("O3", "2026-02-03T10:00:00Z"))
INTO_M2 = told("m-3", "2026-03-01T11:00:00Z", 2, "m-2")


def test_records_that_come_by_way_of_a_member_who_has_gone_home_follow_it(two: Accounted) -> None:
    two.take(told("m-3"), O3_OF_M3, MERGED)
    two.deliver()
    two.take(UNMERGED, INTO_M2)
    assert [(sent.kind, sent.member_id) for sent in two.post] == [
        (HandoverKind.RELEASE, "m-1"),
        (HandoverKind.RECORDS, "m-2"),
    ]
    two._process(two.post.pop())
    two.deliver()

    assert [two.has(name) for name in ("m-1", "m-2", "m-3")] == [(0, 100), (0, 200), (0, 0)]


def test_a_wish_to_go_home_finds_who_has_the_records(two: Accounted) -> None:
    two.take(told("m-3"), O3_OF_M3, MERGED)
    two.deliver()
    two.take(UNMERGED, INTO_M2, told("m-3", "2026-03-02T11:00:00Z", 3))
    release_of_m2 = two.post.popleft()
    two.deliver(2)
    two.post.appendleft(release_of_m2)
    two.deliver()

    assert [two.has(name) for name in ("m-1", "m-2", "m-3")] == [(0, 100), (0, 100), (0, 100)]


def test_a_wish_to_go_home_that_comes_before_the_records_is_told_again(two: Accounted) -> None:
    two.take(told("m-3"), O3_OF_M3, INTO_M2)
    records = two.post.popleft()
    two.take(told("m-3", "2026-03-02T11:00:00Z", 3))
    two.deliver(1)
    assert [(sent.kind, sent.member_id) for sent in two.post] == [(HandoverKind.RELEASE, "m-3")]

    two.post.append(records)
    two.deliver()

    assert [two.has(name) for name in ("m-2", "m-3")] == [(0, 100), (0, 100)]


def test_the_others_now_comes_with_the_records(two: Accounted) -> None:
    last = of("m-2", order("O4", "2026-04-03T10:00:00Z"))
    two.take(last, MERGED)
    two.deliver()

    assert two.balances["m-1"].recorded_at_ms == last.recorded_at_ms
    assert two.has("m-1") == (200, 100)


def test_a_fact_that_was_on_its_way_while_its_member_left_and_came_again_arrives(two: Accounted) -> None:
    two.take(MERGED)
    two.deliver()
    two.take(of("m-2", order("O3", "2026-03-01T11:00:00Z")), UNMERGED)
    fact, release = two.post.popleft(), two.post.popleft()
    two.post.append(release)
    two.deliver()
    two.take(told("m-2", "2026-03-03T10:00:00Z", 4, "m-1"))
    two.post.appendleft(fact)
    two.deliver()

    assert (two.has("m-1"), two.has("m-2")) == ((0, 300), (0, 0))


def test_a_wish_to_go_home_that_another_had_fulfilled_is_void(two: Accounted) -> None:
    two.take(told("m-3"), MERGED)
    two.deliver()
    two.take(UNMERGED, told("m-2", "2026-03-03T10:00:00Z", 4, "m-3"))
    assert [sent.kind for sent in two.post] == [HandoverKind.RELEASE, HandoverKind.RELEASE]
    two.deliver()

    assert two.outcomes.count(Outcome.STALE) == 1
    assert [two.has(name) for name in ("m-1", "m-2", "m-3")] == [(0, 100), (0, 0), (0, 100)]


def test_a_wish_to_go_home_ends_no_later_stay(two: Accounted) -> None:
    two.take(told("m-3"), MERGED, told("m-3", "2026-03-01T11:00:00Z", 2, "m-2"))
    two.deliver()
    two.take(told("m-3", "2026-03-02T10:00:00Z", 3), told("m-3", "2026-03-03T10:00:00Z", 4, "m-1"))
    second = two.post.pop()
    two.deliver()
    two.post.append(second)
    two.deliver()

    assert two.outcomes.count(Outcome.STALE) == 1
    assert len({entry.entry_id for entry in two.ledger}) == len(two.ledger)


def test_a_release_of_what_is_not_here_changes_nothing(two: Accounted) -> None:
    two.take(Handover("m-1", "m-9", HandoverKind.RELEASE, O2.recorded_at_ms, "e", "unmerge:m-9@2", ("m-9",)))
    two.deliver()

    assert two.outcomes[-2:] == [Outcome.FORWARDED, Outcome.STALE]
    assert two.has("m-1") == (0, 100)


def test_each_takes_its_own_engagements_home(two: Accounted) -> None:
    two.take(
        run("E1", "2026-02-10T06:00:00Z", 6_000),
        of("m-2", run("E2", "2026-02-10T07:00:00Z", 6_000)),
        of("m-2", run("E3", "2026-02-11T07:00:00Z", 3_000)),
        of("m-1", run("E4", "2026-02-12T07:00:00Z", 1_000)),
        of("m-2", engagement("E5", EngagementKind.APP_OPENED, "2026-02-12T07:00:00Z")),
        MERGED,
    )
    two.deliver()
    assert two.has("m-1") == (12 + 8 + 6 + 2, 200)

    two.take(UNMERGED)
    two.deliver()
    assert (two.has("m-1"), two.has("m-2")) == ((14, 100), (18, 100))


def test_the_same_engagement_of_both_counts_once_while_they_are_one(two: Accounted) -> None:
    first = run("E1", "2026-02-10T06:00:00Z", 6_000)
    two.take(first, of("m-2", first), MERGED)
    two.deliver()

    assert two.has("m-1") == (12, 200)


def test_a_return_that_waits_goes_with_its_order(two: Accounted) -> None:
    two.take(of("m-2", refund("R1", "O3", "2026-02-20T10:00:00Z", ("A", 0, 40_00))), MERGED)
    two.deliver()
    two.take(of("m-2", order("O3", "2026-02-19T10:00:00Z", recorded="2026-03-01T11:00:00Z")))
    two.deliver()

    assert two.has("m-1") == (0, 260)


def test_a_return_under_the_one_id_finds_the_order_of_the_other(two: Accounted) -> None:
    two.take(refund("R1", "O2", "2026-02-20T10:00:00Z", ("A", 0, 40_00)), MERGED)
    two.deliver()

    assert two.has("m-1") == (0, 160)
    assert not [key for key in two.store.records if key[0] == layout.PARKED]


GIVEN = of("m-2", command("A2", CommandKind.ADJUST, "2026-02-20T10:00:00Z", 80))
OWN = command("A1", CommandKind.ADJUST, "2026-02-19T10:00:00Z", 100)
RESERVED = of("m-2", command("V1", CommandKind.RESERVE, "2026-03-01T12:00:00Z", 150))


@pytest.fixture
def reserving() -> Accounted:
    """m-2, merged into m-1, has reserved 150: the 100 of m-1's lot and 50 of its own."""
    made = Accounted()
    made.take(told("m-1"), told("m-2"), OWN, GIVEN, MERGED)
    made.deliver()
    made.take(RESERVED)
    made.deliver()
    assert made.has("m-1") == (30, 0)
    assert made.answers[-1].member_id == "m-2"
    return made


def test_a_reservation_that_runs_out_lets_go_on_both_sides(reserving: Accounted) -> None:
    reserving.take(told("m-2", "2026-03-01T12:10:00Z", 3))
    reserving.deliver()
    assert (reserving.has("m-1"), reserving.has("m-2")) == ((0, 0), (30, 0))

    reserving.take(tick("2026-03-01T12:30:00Z"))
    assert (reserving.has("m-1"), reserving.has("m-2")) == ((100, 0), (80, 0))


def test_a_reservation_parted_and_joined_again_is_whole(reserving: Accounted) -> None:
    reserving.take(told("m-2", "2026-03-01T12:10:00Z", 3))
    reserving.deliver()
    reserving.take(told("m-2", "2026-03-01T12:12:00Z", 4, "m-1"))
    reserving.deliver()
    reserving.take(
        of("m-2", command("V2", CommandKind.RELEASE, "2026-03-01T12:15:00Z", subject_id="V1")),
    )
    reserving.deliver()

    assert reserving.has("m-1") == (180, 0)
    assert reserving.answers[-1].points_moved == 150


def test_what_was_committed_apart_stays_spent(reserving: Accounted) -> None:
    reserving.take(told("m-2", "2026-03-01T12:10:00Z", 3))
    reserving.deliver()
    reserving.take(of("m-2", command("V2", CommandKind.COMMIT, "2026-03-01T12:15:00Z", subject_id="V1")))
    reserving.deliver()
    reserving.take(tick("2026-03-01T12:30:00Z"))

    assert (reserving.has("m-1"), reserving.has("m-2")) == ((0, 0), (30, 0))
    assert reserving.answers[-1].points_moved == 150


def test_a_command_for_the_others_part_that_comes_too_late_moves_nothing(reserving: Accounted) -> None:
    reserving.take(told("m-2", "2026-03-01T12:10:00Z", 3))
    reserving.deliver()
    reserving.take(of("m-2", command("V2", CommandKind.COMMIT, "2026-03-01T12:15:00Z", subject_id="V1")))
    reserving.take(tick("2026-03-01T12:30:00Z"))
    reserving.deliver()

    assert reserving.has("m-1") == (100, 0)


def test_a_reservation_that_was_over_goes_home_whole(reserving: Accounted) -> None:
    reserving.take(of("m-2", command("V2", CommandKind.RELEASE, "2026-03-01T12:15:00Z", subject_id="V1")))
    reserving.deliver()
    reserving.take(command("V3", CommandKind.REDEEM, "2026-03-01T12:16:00Z", 120))
    reserving.take(told("m-2", "2026-03-01T12:20:00Z", 3))
    reserving.deliver()

    assert (reserving.has("m-1"), reserving.has("m-2")) == ((0, 0), (60, 0))


def test_the_same_command_of_both_keeps_the_answer_of_the_one_who_stays(two: Accounted) -> None:
    two.take(command("A1", CommandKind.ADJUST, "2026-02-20T10:00:00Z", 5))
    two.take(of("m-2", command("A1", CommandKind.ADJUST, "2026-02-20T10:00:00Z", 7)), MERGED)
    two.deliver()

    assert two.has("m-1") == (12, 200)


def test_who_was_never_told_of_earns_with_the_other_and_no_longer_without() -> None:
    made = Accounted()
    made.take(told("m-2"), O1, O2, run("E1", "2026-02-10T06:00:00Z", 6_000), MERGED)
    made.deliver()
    assert made.has("m-1") == (12, 200)

    made.take(UNMERGED)
    made.deliver()
    assert (made.has("m-1"), made.has("m-2")) == ((0, 0), (0, 100))


def test_points_that_never_end_become_active_where_their_order_has_gone(two: Accounted) -> None:
    returned = of("m-2", refund("R1", "O2", "2026-02-20T10:00:00Z", ("A", 0, 40_00)))
    two.take(returned, MERGED)
    two.deliver()
    two.take(tick("2026-05-01T00:00:00Z"))

    assert two.has("m-1") == (160, 0)
    assert two.balances["m-1"].next_expiry_at_ms is None
