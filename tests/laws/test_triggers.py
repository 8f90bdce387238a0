"""What is told of simulated lives: the same however often the clock ticks, and each thing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.domain.facts import Member, Tick
from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger
from pipelines.domain.triggers.rules import TriggerKind
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares
from pipelines.processors.triggers import Triggers
from pipelines.programme_file import load_programme
from state import layout
from state.memory import MemoryStore
from tests.support.facts import DAY_MS, HOUR_MS, ms
from tests.support.history import play
from tests.support.told import at_ms, watched

START = ms("2025-01-01T00:00:00Z")
DAYS = 500
END = Tick(START + (DAYS + 100) * DAY_MS)
PROGRAMME = load_programme(Path("reference"))
SPOILT = Shares(late=0.05, too_late=0.01, duplicate=0.02, stale=0.02, out_of_order=0.01)


@cache
def seen() -> list[Any]:
    """All that is read of sixteen lives: facts and what the accounts said of them, by recorded time."""
    facts = [arrival.fact for arrival in simulate.facts(11, 16, DAYS, START, SPOILT)]
    return watched(facts, play([*facts, END], PROGRAMME))


def told(read: Iterable[Any], store: MemoryStore | None = None) -> list[Told]:
    triggers, memory = Triggers(PROGRAMME), store or MemoryStore()
    return sorted(
        (one for each in read for one in triggers.process(each, memory)),
        key=lambda one: (one.recorded_at_ms, one.trigger_id, isinstance(one, Trigger)),
    )


@cache
def straight() -> list[Told]:
    return told([*seen(), END])


@given(st.lists(st.integers(0, (DAYS + 100) * 24), max_size=60))
@hypothesis_settings(max_examples=15)
def test_how_often_the_clock_ticks_changes_nothing_that_is_told(hours: list[int]) -> None:
    ticks = [Tick(START + hour * HOUR_MS) for hour in hours]

    assert told(sorted((*seen(), *ticks, END), key=at_ms)) == straight()


def test_what_comes_twice_is_told_once() -> None:
    twice = [each for one in seen() for each in ((one, one) if not isinstance(one, LedgerEntry) else (one,))]

    assert told([*twice, END]) == straight()


def test_a_trigger_is_sent_once_and_nearly_every_kind_occurs() -> None:
    sent = [one for one in straight() if isinstance(one, Trigger)]

    assert max(Counter(one.trigger_id for one in sent).values()) == 1
    rare = {TriggerKind.SHOE_WORN, TriggerKind.STREAK_REACHED}
    assert {one.kind for one in straight()} >= set(TriggerKind) - rare
    reasons = {one.reason.value for one in straight() if isinstance(one, SuppressedTrigger)}
    assert reasons >= {"NO_CONSENT", "FREQUENCY_CAP", "WITHDRAWN"}


def test_every_trigger_is_told_before_it_expires_and_not_before_it_was_true() -> None:
    for one in straight():
        if isinstance(one, Trigger):
            assert one.crossed_at_ms <= one.recorded_at_ms < one.expires_at_ms


def test_nothing_that_ended_is_kept_of_a_member() -> None:
    store = MemoryStore()
    told([*seen(), END, Tick(END.at_ms + 4_000 * DAY_MS)], store)

    for (kind, _, _), value in store.records.items():
        if kind == layout.WATCH:
            watch = layout.watch_of(value)
            assert not watch.activated
            assert not any(crossing.held_until_ms for crossing in watch.crossings.values())


def test_a_member_that_nothing_is_known_of_is_told_nothing() -> None:
    assert told([one for one in seen() if not isinstance(one, Member)]) == []


def test_a_late_fact_is_not_looked_at() -> None:
    late = next(f for f in seen() if isinstance(f, Member))._replace(version=9, merged_into="m-x")
    late = late._replace(recorded_at_ms=late.occurred_at_ms + 46 * DAY_MS)
    store = MemoryStore()

    assert told([late], store) == []
    assert store.records == {}


def test_a_programme_without_triggers_has_nothing_to_tell() -> None:
    with pytest.raises(AssertionError, match="nothing to tell"):
        Triggers(load_programme(Path("demo")))
