"""Two members who are one person are that person, as if it had always been; and when they are not, they never were.

What one account sends another comes when it comes: random histories, in any order, with handovers held back.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.facts import Fact, Member, Order, PointsCommand, Return
from pipelines.domain.ledger import Balance, LedgerAccount, LedgerEntry, TierProgress
from pipelines.domain.merging import Handover
from pipelines.domain.programme import Programme
from pipelines.processors.accounts import Accounts
from state.memory import MemoryStore
from tests.laws.strategies import START_MS, histories, spending_histories
from tests.laws.test_laws import PROGRAMMES, THE_END
from tests.support.facts import DAY_MS, HOUR_MS, member

IDS = ("m-1", "m-2", "m-3")


class Run:
    """What came of facts processed in this order; with a `rnd`, handovers wait a while, each queue in order."""

    def __init__(self, facts: list[Any], programme: Programme, rnd: random.Random | None = None) -> None:
        self.accounts, self.store = Accounts(programme), MemoryStore()
        self.balances: dict[str, Balance] = {}
        self.progress: dict[str, TierProgress] = {}
        self.ledger: list[LedgerEntry] = []
        self._waiting: dict[str, deque[Handover]] = defaultdict(deque)
        for fact in facts:
            self._process(fact)
            while (due := self._due()) and (rnd is None or rnd.random() < 0.3):
                self._process(self._waiting[due[0] if rnd is None else rnd.choice(due)].popleft())
        while due := self._due():
            self._process(self._waiting[due[0]].popleft())
        self._process(THE_END)

    def _due(self) -> list[str]:
        return sorted(member_id for member_id, queue in self._waiting.items() if queue)

    def _process(self, fact: Any) -> None:
        for result in self.accounts.process(fact, self.store, b"source").results:
            match result:
                case Handover():
                    self._waiting[result.member_id].append(result)
                case Balance():
                    self.balances[result.member_id] = result._replace(sequence=0, recorded_at_ms=0)
                case TierProgress():
                    self.progress[result.member_id] = result._replace(recorded_at_ms=0)
                case LedgerEntry():
                    self.ledger.append(result)

    def end(self, member_id: str) -> tuple[object, ...]:
        return self.balances.get(member_id), self.progress.get(member_id)


def of_several(facts: list[Fact], ids: tuple[str, ...], rnd: random.Random) -> list[Fact]:
    """The facts of one member, each order with its returns, each engagement and command told of any of these."""
    of: dict[str, str] = defaultdict(lambda: rnd.choice(ids))

    def entity(fact: Any) -> str:
        return fact.order_id if isinstance(fact, Order | Return) else fact.engagement_id

    return [
        fact
        if isinstance(fact, Member)
        else fact._replace(member_id=rnd.choice(ids) if isinstance(fact, PointsCommand) else of[entity(fact)])
        for fact in facts
    ]


def told(member_id: str, version: int, into: str | None, at_ms: int) -> Member:
    """A member that is enrolled with the first facts, and merged into another from `at_ms` on."""
    return member(START_MS + 7 * DAY_MS, version=version, recorded=at_ms)._replace(
        event_id=f"{member_id}@{version}", member_id=member_id, merged_into=into, occurred_at_ms=at_ms
    )


merged_at = st.integers(0, 40 * 24).map(lambda hours: START_MS + 8 * DAY_MS + hours * HOUR_MS)


@given(histories(), PROGRAMMES, merged_at, merged_at, st.randoms(use_true_random=False))
def test_merged_members_end_as_one_member_that_had_everything(
    facts: list[Fact], programme: Programme, second_ms: int, third_ms: int, rnd: random.Random
) -> None:
    merges = [told("m-2", 2, "m-1", second_ms), told("m-3", 2, rnd.choice(("m-1", "m-2")), third_ms)]
    several = [*of_several(facts, IDS, rnd), told("m-2", 1, None, START_MS + 7 * DAY_MS), *merges]
    rnd.shuffle(several)

    one, together = Run(facts, programme), Run(several, programme, rnd)

    assert together.end("m-1") == one.end("m-1")
    closes(together)
    for gone in ("m-2", "m-3"):
        balance = together.balances.get(gone)
        assert balance is None or not any((balance.active, balance.pending, balance.debt, balance.lifetime))


@given(histories(), PROGRAMMES, merged_at, st.randoms(use_true_random=False))
def test_members_that_are_unmerged_end_as_if_they_had_never_been_merged(
    facts: list[Fact], programme: Programme, at_ms: int, rnd: random.Random
) -> None:
    apart = [*of_several(facts, IDS[:2], rnd), told("m-2", 1, None, START_MS + 7 * DAY_MS)]
    merged = [*apart, told("m-2", 2, "m-1", at_ms), told("m-2", 3, None, at_ms + DAY_MS)]
    rnd.shuffle(merged)

    never, once = Run([*apart, told("m-2", 3, None, at_ms + DAY_MS)], programme), Run(merged, programme, rnd)

    assert once.end("m-1") == never.end("m-1")
    assert once.end("m-2") == never.end("m-2")
    closes(once)


@given(
    histories(),
    PROGRAMMES,
    st.lists(st.tuples(merged_at, st.sampled_from([None, "m-1"])), max_size=3),
    st.lists(st.tuples(merged_at, st.sampled_from([None, "m-1", "m-2"])), max_size=3),
    st.randoms(use_true_random=False),
)
def test_whatever_was_merged_into_whom_before_what_was_told_last_holds(
    facts: list[Fact], programme: Programme, second: list[Any], third: list[Any], rnd: random.Random
) -> None:
    parted = of_several(facts, IDS, rnd)
    begun = START_MS + 7 * DAY_MS
    news = {"m-2": [(begun, None), *sorted(second, key=str)], "m-3": [(begun, None), *sorted(third, key=str)]}
    several = parted + [
        told(name, version, into, at_ms)
        for name, told_of in news.items()
        for version, (at_ms, into) in enumerate(told_of, 1)
    ]
    rnd.shuffle(several)
    if rnd.random() < 0.5:
        several.sort(key=lambda fact: fact.recorded_at_ms + rnd.randrange(HOUR_MS))
    last = {name: told_of[-1][1] or name for name, told_of in news.items()}
    person = {name: last.get(last.get(name, name), "m-1") for name in IDS}
    apart = [fact._replace(member_id=person[fact.member_id]) for fact in parted]

    expected = Run(apart + [told(name, 1, None, begun) for name in IDS[1:]], programme)
    run = Run(several, programme, rnd)

    closes(run)
    for name in IDS:
        if person[name] == name:
            assert run.end(name) == expected.end(name)


@given(spending_histories(), PROGRAMMES, st.lists(merged_at, max_size=5), st.randoms(use_true_random=False))
def test_with_commands_in_between_every_ledger_closes(
    facts: list[Fact], programme: Programme, instants: list[int], rnd: random.Random
) -> None:
    several = [*of_several(facts, IDS[:2], rnd), told("m-2", 1, None, START_MS + 7 * DAY_MS)]
    for version, at_ms in enumerate(sorted(instants), 2):
        several.append(told("m-2", version, None if version % 2 else "m-1", at_ms))
    several.sort(key=lambda fact: fact.recorded_at_ms + rnd.randrange(DAY_MS))

    closes(Run(several, programme, rnd))


def closes(run: Run) -> None:
    """Every member's entries make their balance, and what was transferred has come."""
    totals: dict[tuple[str, LedgerAccount], int] = defaultdict(int)
    for entry in run.ledger:
        totals[entry.member_id, entry.from_account] -= entry.points
        totals[entry.member_id, entry.to_account] += entry.points
    for member_id, balance in run.balances.items():
        assert balance.active == totals[member_id, LedgerAccount.ACTIVE]
        assert balance.pending == totals[member_id, LedgerAccount.PENDING]
        assert balance.reserved == totals[member_id, LedgerAccount.RESERVED]
        assert balance.debt == -totals[member_id, LedgerAccount.DEBT]
        assert not (balance.active and balance.debt)
        own = [entry for entry in run.ledger if entry.member_id == member_id]
        assert [entry.sequence for entry in own] == list(range(1, len(own) + 1))
        for before, after in pairwise(own):
            moved = (after.to_account is LedgerAccount.ACTIVE) - (after.from_account is LedgerAccount.ACTIVE)
            assert after.active_after == before.active_after + moved * after.points
    assert sum(totals[member_id, LedgerAccount.TRANSFERRED] for member_id in run.balances) == 0
    assert len({entry.entry_id for entry in run.ledger}) == len(run.ledger)
    granted = -sum(
        totals[m, a] for m in run.balances for a in (LedgerAccount.ISSUED, LedgerAccount.CLAWED_BACK)
    )
    assert sum(balance.lifetime for balance in run.balances.values()) == granted
