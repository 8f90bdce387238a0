"""An entry's derivation is recomputed on its own, and a number changed anywhere in it is found."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings

from pipelines.audit.derivation import problem_of
from pipelines.domain.facts import Fact, Tick
from tests.audit.test_explanation import written
from tests.audit.test_recomputation import PACER, RETURN_A, reference_order
from tests.laws.strategies import LAST_MS, histories
from tests.support.facts import member, run
from tests.support.history import play
from tests.support.programmes import reference

FACTS: list[Fact] = [
    member("2025-06-01T00:00:00Z"),
    PACER,
    reference_order(),
    RETURN_A,
    run("r1", "2026-03-01T07:00:00Z", 6_000),
]


@pytest.fixture
def entries() -> dict[str, dict[str, Any]]:
    return {f"{e['lot_id']} {e['reason']}": e for e in written(play(FACTS, reference()).ledger)}


def test_every_entry_of_a_sound_ledger_adds_up(entries: dict[str, dict[str, Any]]) -> None:
    assert [problem_of(entry) for entry in entries.values()] == [None] * len(entries)


@pytest.mark.parametrize(
    ("lot_and_reason", "path", "value"),
    [
        ("order:O1 CAMPAIGN", ("derivation", "terms", 2, "numerator"), "1"),
        ("order:O1 CAMPAIGN", ("derivation", "terms", 2, "denominator"), "7"),
        ("order:O1 CAMPAIGN", ("derivation", "terms", 1, "points"), 68),
        ("order:O1 CAMPAIGN", ("derivation", "lines", 0, "points"), 143),
        ("order:O1 BASE", ("derivation", "lines", 0, "kept_minor"), 144_01),
        ("order:O1 BASE", ("derivation", "target"), 482),
        ("order:O1 BASE", ("points",), 271),
        ("order:O1 RETURN", ("points",), 325),
        ("order:O1 RETURN", ("derivation", "terms"), []),
        ("engagement:r1 ACTIVITY", ("points",), 13),
    ],
)
def test_a_changed_number_is_found(
    entries: dict[str, dict[str, Any]], lot_and_reason: str, path: tuple[Any, ...], value: object
) -> None:
    entry = deepcopy(entries[lot_and_reason])
    place: Any = entry
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert problem_of(entry) is not None


@settings(max_examples=60, deadline=None)
@given(histories())
def test_every_derivation_of_any_history_adds_up(facts: list[Fact]) -> None:
    history = play([*facts, Tick(LAST_MS + 70 * 86_400_000)], reference())

    assert [problem_of(entry) for entry in written(history.ledger)] == [None] * len(history.ledger)
