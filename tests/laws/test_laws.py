"""The two laws of the specification, over random histories. A failing case becomes a vector before its fix."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.facts import Fact, Tick
from pipelines.domain.ledger import LedgerAccount
from pipelines.domain.programme import Expiry, Programme, Rounding
from state import layout
from tests.laws.strategies import LAST_MS, START_MS, histories
from tests.support.facts import DAY_MS, HOUR_MS
from tests.support.history import History, play
from tests.support.programmes import reference

PROGRAMMES = st.sampled_from(
    [reference(), reference(pending_days=2, pending_latest_days=9, expiry=Expiry(1, Rounding.DAY))]
)
"""The reference, under which nothing lapses before the end; and one under which points come and go on the way."""
THE_END = Tick(LAST_MS + 120 * DAY_MS)
LONG_AFTER = Tick(LAST_MS + 900 * DAY_MS)


def state_of(history: History) -> dict[object, object]:
    """What is remembered, less the count of entries that it took."""
    seen: dict[object, object] = {}
    for key, value in history.store.records.items():
        if key[0] == layout.ACCOUNT:
            account = layout.account_of(value)
            account.sequence = 0
            seen[key] = account
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


@given(histories(), PROGRAMMES, st.lists(st.integers(0, 200 * 24), max_size=30))
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


@given(histories(), PROGRAMMES)
def test_the_ledger_closes_after_every_fact_and_agrees_with_the_balance(
    facts: list[Fact], programme: Programme
) -> None:
    history = History()
    for fact in [*facts, THE_END, LONG_AFTER]:
        play([fact], programme, into=history)
        if history.balances:
            balance = history.balances[-1]
            assert history.total(LedgerAccount.ACTIVE) == balance.active >= 0
            assert history.total(LedgerAccount.PENDING) == balance.pending >= 0
            granted = -history.total(LedgerAccount.ISSUED) - history.total(LedgerAccount.CLAWED_BACK)
            expired = history.total(LedgerAccount.EXPIRED)
            assert granted == balance.lifetime == balance.active + balance.pending + expired
            assert expired >= 0

    assert [e.sequence for e in history.ledger] == list(range(1, len(history.ledger) + 1))
    assert len({e.entry_id for e in history.ledger}) == len(history.ledger)
    assert len({c.change_id for c in history.tiers}) == len(history.tiers)
    for before, after in pairwise(history.ledger):
        moved = (after.points if after.to_account is LedgerAccount.ACTIVE else 0) - (
            after.points if after.from_account is LedgerAccount.ACTIVE else 0
        )
        assert after.active_after == before.active_after + moved


@given(histories(), PROGRAMMES)
def test_when_all_has_happened_nothing_is_left_waiting(facts: list[Fact], programme: Programme) -> None:
    history = play([*facts, THE_END, LONG_AFTER], programme)

    assert not history.store.due(1 << 60, 1)
    stored = [layout.lot_of(value) for key, value in history.store.records.items() if key[0] == layout.LOT]
    assert history.total(LedgerAccount.PENDING) == sum(lot.held for lot in stored)
    assert all(lot.active == 0 and lot.pending == lot.held for lot in stored)
    assert not [key for key in history.store.records if key[0] == layout.PARKED]
