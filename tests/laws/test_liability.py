"""What is owed is a function of the ledger: in whatever order entries and parts come, split into whatever commits, it
ends the same; and whenever it is told, each day opens with what the day before closed with."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.domain.facts import Tick
from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.liability import LiabilityDay
from pipelines.feeds import simulate
from pipelines.processors import liability
from pipelines.programme_file import load_programme
from state import layout
from tests.support.facts import DAY_MS, ms
from tests.support.history import play
from tests.support.owed import FEBRUARY, Owed, entry

START = ms("2025-01-01T00:00:00Z")
END = Tick(START + 700 * DAY_MS)


RARE = [
    entry("2025-06-01T10:00:00Z", 30, "debt clawed_back"),
    entry("2025-07-01T10:00:00Z", 20, "active debt"),
    entry("2025-08-01T10:00:00Z", 9, "active erased", "DE", "m-9"),
    entry("2025-08-01T10:00:00Z", 8, "active written_off", "DE", "m-9"),
    entry("2025-08-02T10:00:00Z", 7, "active transferred", "JP", "m-9"),
]


@cache
def ledger() -> tuple[LedgerEntry, ...]:
    """Of twelve simulated lives in five markets, 500 days, and what expires behind them; and what those lack."""
    facts = [arrival.fact for arrival in simulate.facts(7, 12, 500, START)]
    return (*play([*facts, END], load_programme(Path("reference"))).ledger, *RARE)


@cache
def straight() -> Owed:
    return Owed(3).play(ledger())


def days_kept(owed: Owed) -> dict[object, object]:
    """The state but how far each partition is counted, for the order decides over offsets."""
    every = [(n, key, value) for n, store in enumerate(owed.stores) for key, value in store.records.items()]
    return {
        (n, *key): layout.day_of(value) if key[0] == layout.DAY else value
        for n, key, value in every
        if key[0] != layout.COUNTED
    }


def closes(days: dict[tuple[str, str], LiabilityDay]) -> bool:
    """Whether opening + movements = closing, and each opening is the closing before, as the days stand."""
    by_market: dict[str, list[LiabilityDay]] = defaultdict(list)
    for _, day in sorted(days.items()):
        assert day.opening + sum(day[5:13]) == day.closing, day
        by_market[day.market].append(day)
    return all(a.closing == b.opening for found in by_market.values() for a, b in pairwise(found)) and all(
        found[0].opening == 0 for found in by_market.values()
    )


@given(st.integers(0, 1 << 32), st.integers(5, 400))
@hypothesis_settings(max_examples=8)
def test_any_order_of_entries_and_parts_in_any_commits_ends_the_same(seed: int, most: int) -> None:
    rnd, owed = random.Random(seed), Owed(3)
    entries = rnd.sample(ledger(), len(ledger()))
    while entries or owed.parts:
        for _ in range(min(len(entries), rnd.randint(1, most))):
            owed.count(entries.pop())
        owed.commit()
        rnd.shuffle(owed.parts)
        some = rnd.randint(0, len(owed.parts)) if entries else len(owed.parts)
        owed.arrive(owed.parts[:some] + owed.parts[: some // 3])
        del owed.parts[:some]
        assert closes(owed.days())

    assert owed.days() == straight().days()
    assert days_kept(owed) == days_kept(straight())


def test_the_ledger_of_these_laws_moves_points_in_every_way() -> None:
    days = straight().days().values()

    moved = {name for day in days for name, points in day._asdict().items() if points}
    assert moved == set(LiabilityDay._fields)
    assert len({day.market for day in days}) == 5


def test_an_entry_that_is_read_again_is_counted_once() -> None:
    owed = Owed(1).play(FEBRUARY)
    before = dict(owed.stores[0].records)

    for offset, told in enumerate(FEBRUARY):
        assert liability.count(told, offset, owed.stores[0]) is None

    assert owed.stores[0].records == before


def test_a_part_that_comes_again_or_late_behind_a_newer_one_changes_nothing() -> None:
    owed = Owed(1)
    for told in FEBRUARY:
        owed.count(told)
        owed.commit()
    parts = list(owed.parts)
    owed.arrive(parts)
    told, kept = list(owed.told), dict(owed.stores[0].records)

    owed.arrive(parts)

    assert owed.told == told
    assert owed.stores[0].records == kept


def test_a_pipeline_begun_anew_over_old_parts_ends_as_before() -> None:
    """State, changelog and offsets are reset together; the parts of before still stand on their topic."""
    owed = Owed(2)
    for told in FEBRUARY:
        owed.count(told)
        owed.commit()
    old = list(owed.parts)

    anew = Owed(2)
    anew.arrive(old)
    anew.play(FEBRUARY)

    assert anew.days() == Owed(2).play(FEBRUARY).days()
