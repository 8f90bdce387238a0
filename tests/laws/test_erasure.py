"""The law of erasure: whatever was known, and whatever comes after, nothing is left and nothing comes back."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.facts import Fact
from pipelines.domain.ledger import LedgerAccount, LedgerEntry, Outcome
from state import layout
from tests.laws.strategies import commands, histories
from tests.support.facts import member, tick
from tests.support.history import play
from tests.support.programmes import reference

IN_BALANCE = (LedgerAccount.PENDING, LedgerAccount.ACTIVE, LedgerAccount.RESERVED, LedgerAccount.DEBT)


def left(entries: list[LedgerEntry]) -> Counter[tuple[str, LedgerAccount]]:
    """Points of each lot in each account of a balance, those that are none left out."""
    found: Counter[tuple[str, LedgerAccount]] = Counter()
    for entry in entries:
        found[entry.lot_id, entry.to_account] += entry.points
        found[entry.lot_id, entry.from_account] -= entry.points
    return Counter({at: points for at, points in found.items() if at[1] in IN_BALANCE and points})


@given(histories(), commands(), st.data())
def test_nothing_is_left_of_an_erased_member_and_nothing_brings_them_back(
    history: list[Fact], asked: list[Fact], data: st.DataObject
) -> None:
    facts = sorted([*history, *asked], key=lambda fact: fact.recorded_at_ms)
    place = data.draw(st.integers(0, len(facts)))
    at_ms = facts[min(place, len(facts) - 1)].recorded_at_ms
    erasure = member(at_ms, version=data.draw(st.integers(1, 3)))._replace(
        event_id="erasure", recorded_at_ms=at_ms, erased_at_ms=at_ms
    )
    clock = [tick(at_ms + 1_000 * 86_400_000)]
    told = play([*facts[:place], erasure, *facts[place:], *clock], reference())
    assert left(told.ledger) == Counter()
    assert [entry.sequence for entry in told.ledger] == list(range(1, len(told.ledger) + 1))
    assert list(told.store.records) == [(layout.ACCOUNT, erasure.member_id, "")]
    assert not told.store.timers
    assert told.outcomes[Outcome.ERASED] == len(facts) - place
