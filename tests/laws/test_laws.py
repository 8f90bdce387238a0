"""The two laws of the specification, over random histories. A failing case becomes a vector before its fix."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.facts import Fact, PointsCommand, Tick
from pipelines.domain.ledger import LedgerAccount
from pipelines.domain.programme import Clawback, Downgrade, Expiry, Programme, Rounding, Window, WindowKind
from state import layout
from tests.laws.strategies import LAST_MS, START_MS, histories, spending_histories
from tests.support.facts import DAY_MS, HOUR_MS
from tests.support.history import History, play
from tests.support.programmes import REFERENCE_VERSION, programme_of, reference

QUICK: dict[str, Any] = {"pending_days": 2, "pending_latest_days": 9, "expiry": Expiry(1, Rounding.DAY)}
MILESTONES = tuple(
    replace(level, threshold=threshold)
    for level, threshold in zip(REFERENCE_VERSION.tiers, (0, 150, 400), strict=True)
)
PROGRAMMES = st.sampled_from(
    [
        reference(),
        reference(**QUICK),
        reference(Window(WindowKind.ROLLING, 1), Downgrade(3, 1), tiers=MILESTONES, **QUICK),
        reference(Window(WindowKind.ANNIVERSARY), Downgrade(5, 1), tiers=MILESTONES),
        programme_of(
            REFERENCE_VERSION,
            replace(
                REFERENCE_VERSION, version="2", effective_from_ms=START_MS + 15 * DAY_MS, tiers=MILESTONES
            ),
            replace(REFERENCE_VERSION, version="3", effective_from_ms=START_MS + 21 * DAY_MS, **QUICK),
            window=Window(WindowKind.ROLLING, 1),
            downgrade=Downgrade(0, 2),
        ),
    ]
)
"""The reference, under which nothing lapses before the end; and some where points, tiers and rules come and go."""
ANY = st.one_of(histories(), spending_histories())
THE_END = Tick(LAST_MS + 120 * DAY_MS)
LONG_AFTER = Tick(LAST_MS + 2_000 * DAY_MS)


def state_of(history: History) -> dict[object, object]:
    """What is remembered, less the counts of entries that it took."""
    seen: dict[object, object] = {}
    for key, value in history.store.records.items():
        if key[0] == layout.ACCOUNT:
            account = layout.account_of(value)
            account.sequence = 0
            seen[key] = account
        elif key[0] == layout.LOT:
            seen[key] = layout.lot_of(value)._replace(sequence=0)
        elif key[0] == layout.GROUP:
            seen[key] = sorted(layout.group_of_bytes(value))
        else:
            seen[key] = value
    return seen


@given(histories(), PROGRAMMES, st.randoms(use_true_random=False))
def test_any_order_of_arrival_and_any_duplication_end_the_same(
    facts: list[Fact], programme: Programme, rnd: random.Random
) -> None:
    doubled = facts + [f for f in facts if rnd.random() < 0.3]
    rnd.shuffle(doubled)

    straight = play([*facts, THE_END], programme)
    shuffled = play([*doubled, THE_END], programme)

    assert shuffled.end() == straight.end()
    assert state_of(shuffled) == state_of(straight)


@given(ANY, PROGRAMMES, st.lists(st.integers(0, 200 * 24), max_size=30))
def test_how_often_the_clock_ticks_changes_no_entry(
    facts: list[Fact], programme: Programme, hours: list[int]
) -> None:
    ticks = [Tick(START_MS + hour * HOUR_MS) for hour in hours if START_MS + hour * HOUR_MS < THE_END.at_ms]
    between = sorted([*facts, *ticks], key=lambda x: x.at_ms if isinstance(x, Tick) else x.recorded_at_ms)

    once = play([*facts, THE_END], programme)
    often = play([*between, THE_END], programme)

    assert often.ledger == once.ledger
    assert often.tiers == once.tiers
    assert often.end() == once.end()


def _closes(history: History) -> None:
    """The ledger, the lots and the balance say the same, and nothing that cannot be below zero is."""
    if not history.balances:
        return
    balance, total = history.balances[-1], history.total
    lots = [layout.lot_of(value) for key, value in history.store.records.items() if key[0] == layout.LOT]
    for account, told in (
        (LedgerAccount.ACTIVE, balance.active),
        (LedgerAccount.PENDING, balance.pending),
        (LedgerAccount.RESERVED, balance.reserved),
        (LedgerAccount.DEBT, -balance.debt),
    ):
        assert total(account) == told == sum(getattr(lot, account.value.lower()) for lot in lots)
    assert min(balance.active, balance.pending, balance.reserved, balance.debt) >= 0
    assert not (balance.active and balance.debt)
    assert balance.lifetime == -total(LedgerAccount.ISSUED) - total(LedgerAccount.CLAWED_BACK)
    assert sum(total(account) for account in LedgerAccount) == 0
    for lot in lots:
        assert min(lot.pending, lot.active, lot.reserved, lot.redeemed, lot.expired) >= 0, lot
        assert lot.pending >= lot.held or not lot.pending, lot


@given(ANY, PROGRAMMES)
def test_the_ledger_closes_after_every_fact_and_agrees_with_the_balance(
    facts: list[Fact], programme: Programme
) -> None:
    history = History()
    for fact in [*facts, THE_END, LONG_AFTER]:
        play([fact], programme, into=history)
        _closes(history)

    assert [e.sequence for e in history.ledger] == list(range(1, len(history.ledger) + 1))
    assert len({e.entry_id for e in history.ledger}) == len(history.ledger)
    assert len({c.change_id for c in history.tiers}) == len(history.tiers)
    for before, after in pairwise(history.ledger):
        moved = (after.points if after.to_account is LedgerAccount.ACTIVE else 0) - (
            after.points if after.from_account is LedgerAccount.ACTIVE else 0
        )
        assert after.active_after == before.active_after + moved


@given(ANY, PROGRAMMES)
def test_when_all_has_happened_nothing_is_left_waiting(facts: list[Fact], programme: Programme) -> None:
    history = play([*facts, THE_END, LONG_AFTER], programme)

    assert not history.store.due(1 << 60, 1)
    stored = [layout.lot_of(value) for key, value in history.store.records.items() if key[0] == layout.LOT]
    assert history.total(LedgerAccount.PENDING) == sum(lot.held for lot in stored)
    assert all(lot.active == 0 and lot.pending == lot.held for lot in stored)
    assert not [key for key in history.store.records if key[0] == layout.PARKED]


@given(spending_histories(), st.sampled_from(list(Clawback)), st.randoms(use_true_random=False))
def test_between_two_commands_the_order_of_arrival_changes_no_answer(
    facts: list[Fact], clawback: Clawback, rnd: random.Random
) -> None:
    programme = reference(clawback=clawback)
    shuffled: list[Fact] = []
    between: list[Fact] = []
    for fact in facts:
        between.append(fact)
        if isinstance(fact, PointsCommand):
            shuffled += [*rnd.sample(between[:-1], len(between) - 1), fact]
            between = []
    shuffled += rnd.sample(between, len(between))

    straight, other = play([*facts, THE_END], programme), play([*shuffled, THE_END], programme)

    assert other.answers == straight.answers
    assert net(other) == net(straight)


def net(history: History) -> tuple[object, ...]:
    """What a member has, less what they owe."""
    if not history.balances:
        return ()
    last = history.balances[-1]
    return last.active - last.debt, last.pending, last.reserved, last.lifetime
