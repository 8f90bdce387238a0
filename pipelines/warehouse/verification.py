"""Holds the warehouse against Kafka: every record a row and no row without a record, by partition and offset range;
sums by account and day; and what must be true of the data by itself.

The topics are read with the auditor's own reader and decoder, not with the sink's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from pipelines.audit.reading import Decoder, Record, Schemas, Topics, Unreadable
from pipelines.topics import prefixed
from pipelines.warehouse.columns import EARLIEST_MS, LATEST_MS
from pipelines.warehouse.duck import ask
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.tables import ICEBERG, OFFSET, PARTITION, Table

CHECKS: Final = files("pipelines.warehouse") / "checks"
SHOWN: Final = 5


class Range(NamedTuple):
    """A table's rows of one partition against the records that Kafka shows in the range that the table has read.

    `first` and `until` are offsets; `missing` records have no row, `extra` rows no record. A compacted topic no longer
    shows every record that it had: rows of those are not extra.
    """

    table: str
    partition: int
    first: int
    until: int
    records: int
    rows: int
    missing: int
    extra: int
    behind: int


class Checked(NamedTuple):
    """What a check of the data found: how many things it looked at, how many are wrong, and the first of those."""

    check: str
    promise: str
    looked_at: int
    wrong: int
    first: tuple[str, ...]


class Verdict(NamedTuple):
    """All that was compared."""

    ranges: tuple[Range, ...]
    checks: tuple[Checked, ...]

    @property
    def clean(self) -> bool:
        return not any(r.missing or r.extra for r in self.ranges) and not any(c.wrong for c in self.checks)


def verify(
    lake: Lake,
    topics: Topics,
    schemas: Schemas,
    prefix: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """Compare everything; the sink may run meanwhile: what it has not read yet is `behind`, not missing."""
    database = ask(lake)
    try:
        ranges: list[Range] = []
        for topic in dict.fromkeys(table.topic for table in ICEBERG):
            read_topic(database, topics, schemas, topic, prefix, progress)
            for table in (one for one in ICEBERG if one.topic == topic and not one.current):
                ranges += _ranges(database, lake, table)
        names = sorted(p.name for p in CHECKS.iterdir() if p.name.endswith(".sql"))
        return Verdict(tuple(ranges), tuple(_check(database, name) for name in names))
    finally:
        database.close()


def read_topic(
    database: duckdb.DuckDBPyConnection,
    topics: Topics,
    schemas: Schemas,
    topic: str,
    prefix: str,
    progress: Callable[[int], None],
) -> None:
    """Where every record stands, as table `record`; and what the ledger and the balances say, to be summed up."""
    decoder = Decoder(schemas)
    database.execute("CREATE OR REPLACE TABLE record (source_partition INTEGER, source_offset BIGINT)")
    fact = next(table.fact for table in ICEBERG if table.topic == topic)
    said = _SAID.get(topic)
    if said is not None:
        database.execute(f"CREATE TABLE told_{said[0]} ({said[1]})")

    def take(records: Sequence[Record]) -> None:
        kept = [r for r in records if not fact or _readable(decoder, r)]
        _insert(
            database, "record", {PARTITION: [r.partition for r in kept], OFFSET: [r.offset for r in kept]}
        )
        if said is not None:
            _insert(
                database, f"told_{said[0]}", said[2]([(r, r.value and decoder.decode(r.value)) for r in kept])
            )
        progress(len(records))

    topics.read(prefixed(prefix, topic), take)


def _insert(database: duckdb.DuckDBPyConnection, table: str, columns: dict[str, list[Any]]) -> None:
    database.register("incoming", pa.table(columns))
    database.execute(f"INSERT INTO {table} BY NAME FROM incoming")
    database.unregister("incoming")


def _readable(decoder: Decoder, record: Record) -> bool:
    """Whether a fact can be a row at all; what cannot is among the dead letters."""
    try:
        return not _absurd(decoder.decode(record.value))
    except Unreadable:
        return False


def _absurd(value: Any, name: str = "") -> bool:
    if isinstance(value, dict):
        return any(_absurd(part, key) for key, part in value.items())
    if isinstance(value, list):
        return any(_absurd(part) for part in value)
    return name.endswith("_at") and isinstance(value, int) and not EARLIEST_MS <= value < LATEST_MS


def _entries(records: Sequence[tuple[Record, Any]]) -> dict[str, list[Any]]:
    names = ("from_account", "to_account", "points", "effective_at")
    columns = {name: [entry[name] for _, entry in records] for name in names}
    return columns | {PARTITION: [r.partition for r, _ in records], OFFSET: [r.offset for r, _ in records]}


def _balances(records: Sequence[tuple[Record, Any]]) -> dict[str, list[Any]]:
    return {
        "member_id": [(r.key or b"").decode() for r, _ in records],
        "active": [None if said is None else said["active"] for _, said in records],
        PARTITION: [r.partition for r, _ in records],
        OFFSET: [r.offset for r, _ in records],
    }


_SAID: Final[dict[str, tuple[str, str, Callable[[Sequence[tuple[Record, Any]]], dict[str, list[Any]]]]]] = {
    "loyalty.ledger.v1": (
        "ledger",
        "from_account VARCHAR, to_account VARCHAR, points BIGINT, effective_at BIGINT, "
        "source_partition INTEGER, source_offset BIGINT",
        _entries,
    ),
    "loyalty.balances.v1": (
        "balances",
        "member_id VARCHAR, active BIGINT, source_partition INTEGER, source_offset BIGINT",
        _balances,
    ),
}


def _ranges(database: duckdb.DuckDBPyConnection, lake: Lake, table: Table) -> list[Range]:
    upto = lake.offsets(table)
    database.execute("CREATE OR REPLACE TABLE upto (source_partition INTEGER, until BIGINT)")
    if upto:
        database.executemany("INSERT INTO upto VALUES (?, ?)", [[p, until] for p, until in upto.items()])
    extra = "0" if table.removable else "count(*) FILTER (has_row AND NOT has_record)"
    found = database.execute(f"""
        WITH placed AS (
            SELECT source_partition, source_offset, bool_or(is_row) AS has_row, bool_or(NOT is_row) AS has_record,
                   count(*) FILTER (is_row) AS rows
            FROM (SELECT source_partition, source_offset, TRUE AS is_row FROM {table.name}
                  UNION ALL FROM (SELECT source_partition, source_offset, FALSE FROM record))
            GROUP BY ALL),
        ranged AS (SELECT placed.*, coalesce(until, 0) AS until FROM placed LEFT JOIN upto USING (source_partition))
        SELECT source_partition, min(source_offset), any_value(until),
               count(*) FILTER (has_record AND source_offset < until), coalesce(sum(rows), 0),
               count(*) FILTER (has_record AND NOT has_row AND source_offset < until),
               {extra} + count(*) FILTER (rows > 1), count(*) FILTER (has_record AND source_offset >= until)
        FROM ranged GROUP BY ALL ORDER BY ALL""").fetchall()
    return [Range(table.name, *(int(figure) for figure in row)) for row in found]


def _check(database: duckdb.DuckDBPyConnection, name: str) -> Checked:
    """A check is a query for offenders, opened by its promise and a count of what it looks at."""
    text = (CHECKS / name).read_text()
    promise, over = (line.removeprefix("--").strip() for line in text.splitlines()[:2])
    database.execute(f"CREATE OR REPLACE TEMP TABLE offender AS {text}")
    looked_at = _one(database, over.removeprefix("over:"))
    first = database.execute(f"SELECT what FROM offender ORDER BY what LIMIT {SHOWN}").fetchall()
    return Checked(
        name.removesuffix(".sql").split("_", 1)[1].replace("_", "-"),
        promise,
        looked_at,
        _one(database, "SELECT count(*) FROM offender"),
        tuple(str(row[0]) for row in first),
    )


def _one(database: duckdb.DuckDBPyConnection, query: str) -> int:
    found = database.execute(query).fetchone()
    assert found is not None, query
    return int(found[0])
