"""Every vector holds on the pure rules; the complete shuffles run with `loyalty conformance`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.conformance import pure
from pipelines.conformance.vectors import Vector, load_vectors
from pipelines.failure import Failure

VECTORS = load_vectors(Path(__file__).parent.parent / "vectors")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_the_vector_holds(vector: Vector, pytestconfig: pytest.Config) -> None:
    assert pure.check(vector, orders_max=pytestconfig.getoption("orders_max")) == []


GOOD = """
- id: a
  rule: 4.x
  given: [{at: 2026-05-01T10:00:00Z, order: {order_id: O1}}]
  expect: {balance: {pending: 100}}
"""


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("rule: 4.x", "rul: 4.x", "'rul' is not known"),
        ("rule: 4.x", "rule: 4.x\n  programme: none", "there is no programme 'none'"),
        ("pending: 100}}", "pending: 100}, more: 1}", "'more' is not known"),
        ("order_id: O1", "order: O1", "'order' is not known"),
        ("order_id: O1", "order_id: O1, placed_at: soon", "not an instant"),
        ("order_id: O1", "order_id: O1, placed_at: 2026-05-01T10:00:00", "no offset"),
        ("order_id: O1", "order_id: O1, lines: [{gross: x}]", "not an amount"),
        ("order_id: O1", "order_id: O1, lines: [{gross: 1.005}]", "more digits"),
        ("order: {order_id: O1}", "thing: 3", "'thing' is not known"),
        (", order: {order_id: O1}", "", "one of order"),
        ("- id: a", "id: a", "cannot be read as YAML|a list of vectors"),
        ("[{at", "[{at: [", "cannot be read"),
    ],
)
def test_a_vector_that_is_no_vector_is_refused(tmp_path: Path, before: str, after: str, told: str) -> None:
    file = tmp_path / "v.yaml"
    file.write_text(GOOD.replace(before, after, 1))

    with pytest.raises(Failure, match=told):
        load_vectors(file)


def test_an_id_stands_once(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text(GOOD + GOOD)

    with pytest.raises(Failure, match="already"):
        load_vectors(tmp_path)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ("{balance: {pending: 99}}", "balance.pending is 100, not 99"),
        ("{tier: Elite}", "tier is Starter, not Elite"),
        ("{tiers: []}", "tier changes are"),
        ("{ledger: [{reason: RETURN}]}", "no entry 1"),
        ("{ledger: [], ledger_exact: true}", "1 entries, not 0"),
        ("{ledger: [{points: 99}], ledger_exact: true}", "entry 1 is BASE 100"),
        ("{ledger: [{lines: {L1: {points: 99}}}]}", "no entry 1"),
        ("{refused: [LATE]}", "refused are []"),
        ("{outcomes: {APPLIED: 2}}", "outcomes are"),
        ("{progress: {to_next_points: 1}}", "progress.to_next_points is 400"),
    ],
)
def test_a_vector_that_does_not_hold_says_what_it_found(tmp_path: Path, expect: str, told: str) -> None:
    file = tmp_path / "v.yaml"
    file.write_text(GOOD.replace("{balance: {pending: 100}}", expect))

    (wrong,) = pure.check(load_vectors(file)[0])

    assert told in wrong
