"""The check that holds the liability topic against the model: silent while one is behind, not when one is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.liability import LiabilityPart
from pipelines.runtime.partition import partition_of
from pipelines.warehouse import duck
from pipelines.warehouse.told import OF_MODELS
from pipelines.warehouse.verification import Checked, check
from schemas import catalogue
from tests.laws.test_liability import ledger
from tests.support.owed import FEBRUARY, Owed
from tests.warehouse.test_liability import rows

PARTITIONS = 2


class Recorded(Owed):
    """Keeps every part that was sent, as its topic does."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS)
        self.sent: list[LiabilityPart] = []

    def commit(self) -> None:
        super().commit()
        self.sent += self.parts


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def held(
    database: duckdb.DuckDBPyConnection,
    in_the_warehouse: Iterable[LedgerEntry],
    told: Iterable[LedgerEntry],
    spoil: str | None = None,
) -> Checked:
    """The check's answer where the sink has come so far and the pipeline so far, and then something happened."""
    enter_ledger(database, list(in_the_warehouse))
    owed = Recorded()
    owed.play(told)
    enter_told(database, owed)
    if spoil is not None:
        database.execute(spoil)
    return check(database, "11_liability_topic.sql")


def enter_ledger(database: duckdb.DuckDBPyConnection, entries: list[LedgerEntry]) -> None:
    table, next_offset, places = rows(entries), Counter[int](), []
    for entry in entries:
        partition = partition_of(entry.member_id.encode(), PARTITIONS)
        places.append((partition, next_offset[partition]))
        next_offset[partition] += 1
    for nth, name in enumerate(("source_partition", "source_offset")):
        table = table.append_column(name, pa.array([place[nth] for place in places], pa.int64()))
    database.register("ledger", table)
    for model in duck.models():
        if model.name in ("fact_points", "liability"):
            database.execute(f"CREATE VIEW {model.name} AS {model.query}")


def enter_told(database: duckdb.DuckDBPyConnection, owed: Recorded) -> None:
    for said in OF_MODELS.values():
        database.execute(f"CREATE TABLE {said.table} ({said.columns})")
    for offset, part in enumerate(owed.sent):
        enter(
            database,
            OF_MODELS[catalogue.LIABILITY_PARTS].table,
            part._asdict() | part.moves._asdict(),
            offset,
        )
    for offset, day in enumerate(owed.told):
        enter(database, OF_MODELS[catalogue.LIABILITY].table, day._asdict(), offset)
    database.execute("CREATE TABLE committed (topic VARCHAR, source_partition INTEGER, next_offset BIGINT)")
    for partition, offset in enumerate(owed.offsets):
        database.execute("INSERT INTO committed VALUES ('ledger', ?, ?)", [partition, offset])
    database.execute("INSERT INTO committed VALUES ('parts', 0, ?)", [len(owed.sent)])


def enter(database: duckdb.DuckDBPyConnection, table: str, values: dict[str, Any], offset: int) -> None:
    columns = [row[0] for row in database.execute(f"DESCRIBE {table}").fetchall()]
    row = [(values | {"source_partition": 0, "source_offset": offset})[name] for name in columns]
    database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def test_it_says_nothing_of_a_topic_that_says_what_the_model_says(
    database: duckdb.DuckDBPyConnection,
) -> None:
    found = held(database, ledger(), ledger())

    assert (found.wrong, found.looked_at > 200) == (0, True)


@pytest.mark.parametrize(("entries_read", "entries_told"), [(8, 5), (5, 8), (8, 0), (0, 8)])
def test_it_says_nothing_while_one_of_them_is_behind(
    database: duckdb.DuckDBPyConnection, entries_read: int, entries_told: int
) -> None:
    assert held(database, FEBRUARY[:entries_read], FEBRUARY[:entries_told]).wrong == 0


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("UPDATE told_days SET expired = expired - 1 WHERE expired < 0", "CH 2026-03-01 moves and closes"),
        ("UPDATE told_days SET closing = closing + 7 WHERE market = 'DE'", "DE 2026-02-01 moves and closes"),
        ("UPDATE told_days SET breakage_points = 1 WHERE market = 'CH'", "CH 2026-"),
        ("DELETE FROM told_parts WHERE market = 'DE'", "entries were committed, the part has 0"),
        ("DELETE FROM told_days WHERE market = 'DE'", "the day has 0"),
    ],
)
def test_it_finds_what_was_changed_and_what_was_lost(
    database: duckdb.DuckDBPyConnection, spoil: str, told: str
) -> None:
    found = held(database, FEBRUARY, FEBRUARY, spoil)

    assert found.wrong > 0
    assert any(told in first for first in found.first)
