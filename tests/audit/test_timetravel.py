"""Looking back: what was told at any instant is found again, and what came to be known later only when asked for."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from pipelines.audit.books import as_row
from pipelines.audit.timetravel import as_of
from pipelines.domain.facts import Fact, Tick
from tests.laws.strategies import LAST_MS, spending_histories
from tests.support.facts import DAY_MS, line, member, ms, order
from tests.support.history import History, play
from tests.support.programmes import reference

LATE = [
    member("2026-01-01T00:00:00Z"),
    order("O2", "2026-05-02T10:00:00Z", line("A", 80_00)),
    order("O1", "2026-05-01T10:00:00Z", line("A", 500_00), recorded="2026-05-10T10:00:00Z"),
]


def told(history: History) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return (
        [as_row(entry, "ledger", n) for n, entry in enumerate(history.ledger)],
        [as_row(change, "tiers", n) for n, change in enumerate(history.tiers)],
    )


def test_what_came_late_counts_then_only_for_those_who_know_it() -> None:
    history = told(play(LATE, reference(welcome_points=0)))
    at = ms("2026-05-03T00:00:00Z")

    unknowing = as_of(*history, at, at)
    knowing = as_of(*history, at, ms("2026-05-11T00:00:00Z"))

    assert (unknowing.pending, unknowing.tier) == (80, "Starter")
    assert (knowing.pending, knowing.tier) == (600, "Pacer")
    assert as_of(*history, ms("2025-12-01T00:00:00Z"), at).tier is None


def test_what_was_corrected_is_unsaid_from_its_instant_on() -> None:
    lapsed = [
        member("2024-01-01T00:00:00Z"),
        order("O1", "2025-03-10T10:00:00Z", line("A", 600_00)),
        Tick(ms("2026-05-20T00:00:00Z")),
        order("O2", "2026-05-01T10:00:00Z", line("A", 600_00), recorded="2026-05-21T10:00:00Z"),
    ]
    history = told(play(lapsed, reference()))

    before, after = ms("2026-05-20T12:00:00Z"), ms("2026-05-22T00:00:00Z")
    assert as_of(*history, before, before).tier == "Starter"
    assert as_of(*history, before, after).tier == "Pacer"
    assert as_of(*history, ms("2026-04-01T00:00:00Z"), after).tier_kind == "AT_RISK"


@given(spending_histories())
def test_what_was_told_at_any_instant_is_found_again(facts: list[Fact]) -> None:
    history = play([*facts, Tick(LAST_MS + 120 * DAY_MS)], reference())
    entries, changes = told(history)

    last = {balance.recorded_at_ms: balance for balance in history.balances}
    for at_ms, balance in last.items():
        past = as_of(entries, changes, at_ms, at_ms)
        assert past[2:7] == (
            balance.active,
            balance.pending,
            balance.reserved,
            balance.debt,
            balance.lifetime,
        )
