"""What the liability pipeline tells is what the warehouse's own model says of the same ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from pipelines.domain.facts import Fact
from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.liability import LiabilityDay
from pipelines.processors.liability import EPOCH
from pipelines.warehouse import duck
from tests.laws.strategies import spending_histories
from tests.laws.test_laws import THE_END
from tests.laws.test_liability import ledger, straight
from tests.support.history import play
from tests.support.owed import FEBRUARY, Owed
from tests.support.programmes import reference

COLUMNS = [name for name in LiabilityDay._fields if name not in ("recorded_at_ms", "entries")]


@pytest.fixture(scope="module")
def models() -> Iterator[duckdb.DuckDBPyConnection]:
    """The models of points and of liability, over a table `ledger` that each test fills."""
    with duckdb.connect() as database:
        database.register("ledger", rows(FEBRUARY))
        for model in duck.models():
            if model.name in ("fact_points", "liability"):
                database.execute(f"CREATE VIEW {model.name} AS {model.query}")
        yield database


def rows(entries: Iterable[LedgerEntry]) -> pa.Table:
    """A ledger as the warehouse has it, as far as these models look."""

    def at(instant_ms: int) -> datetime:
        return datetime.fromtimestamp(instant_ms / 1000, UTC).replace(tzinfo=None)

    columns: dict[str, list[Any]] = {name: [] for name in LedgerEntry._fields if name != "derivation"}
    for entry in entries:
        for name, column in columns.items():
            value = getattr(entry, name)
            column.append(at(value) if name.endswith("_at_ms") else value)
    return pa.table({name.removesuffix("_ms"): column for name, column in columns.items()})


def said(models: duckdb.DuckDBPyConnection, entries: Iterable[LedgerEntry]) -> list[tuple[Any, ...]]:
    models.unregister("ledger")
    models.register("ledger", rows(entries))
    columns = ", ".join(COLUMNS)
    found = models.execute(f"SELECT {columns} FROM liability ORDER BY market, day").fetchall()
    return [(market, (day - EPOCH).days, *figures) for market, day, *figures in found]


def told(owed: Owed) -> list[tuple[Any, ...]]:
    days = [day for _, day in sorted(owed.days().items())]
    return [tuple(getattr(day, name) for name in COLUMNS) for day in days]


def test_of_a_clerks_ledger(models: duckdb.DuckDBPyConnection) -> None:
    assert said(models, FEBRUARY) == told(Owed().play(FEBRUARY))


def test_of_simulated_lives_in_five_markets(models: duckdb.DuckDBPyConnection) -> None:
    assert said(models, ledger()) == told(straight())


@given(spending_histories())
@hypothesis_settings(max_examples=40)
def test_of_any_history(models: duckdb.DuckDBPyConnection, facts: list[Fact]) -> None:
    entries = play([*facts, THE_END], reference()).ledger

    if entries:
        assert said(models, entries) == told(Owed().play(entries))
