"""Holds the warehouse against Kafka: every record a row and no row without a record, by partition and offset range;
sums by account and day; and what must be true of the data by itself.

The topics are read with the auditor's own reader and decoder, not with the sink's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from importlib.resources import files
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from pipelines.audit.reading import Decoder, Record, Schemas, Topics, Unreadable
from pipelines.failure import Failure
from pipelines.topics import LIABILITY, prefixed
from pipelines.warehouse import told
from pipelines.warehouse.columns import EARLIEST_MS, LATEST_MS
from pipelines.warehouse.duck import ask
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.postgres import Postgres
from pipelines.warehouse.tables import ICEBERG, MEMBER, OFFSET, PARTITION, POSTGRES, Table
from pipelines.warehouse.target import Offsets
from pipelines.warehouse.told import Told
from schemas import catalogue

CHECKS: Final = files("pipelines.warehouse") / "checks"
SHOWN: Final = 5
POSTGRES_CHECKS: Final = (
    "01_sums_by_account_and_day",
    "02_ledger_ids",
    "03_other_ids",
    "04_chain",
    "10_current_rows",
)
LEDGER_COLUMNS: Final = ("sequence", "from_account", "to_account", "points", "effective_at")
"""What these checks ask for besides ids and places."""


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
        return not self.differences

    @property
    def differences(self) -> int:
        """Rows missing and extra, and what checks found, all together."""
        return sum(r.missing + r.extra for r in self.ranges) + sum(c.wrong for c in self.checks)


def verify(
    lake: Lake,
    topics: Topics,
    schemas: Schemas,
    prefix: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """Compare everything; the sink may run meanwhile: what it has not read yet is `behind`, not missing."""
    read = {table.name: lake.offsets(table) for table in ICEBERG}  # first: the tables then have at least that
    with closing(ask(lake)) as database:
        _enter_committed(database, topics, prefix)
        ranges = _compared(database, ICEBERG, read, topics, schemas, prefix, progress)
        for topic, said in told.OF_MODELS.items():
            _read_told(database, topics, schemas, prefixed(prefix, topic), said, progress)
        names = sorted(p.name for p in CHECKS.iterdir() if p.name.endswith(".sql"))
        return Verdict(ranges, tuple(check(database, name) for name in names))


def verify_postgres(
    target: Postgres,
    topics: Topics,
    schemas: Schemas,
    prefix: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Verdict:
    """The same of PostgreSQL's tables, with the checks that ask for no other."""
    with closing(duckdb.connect()) as database:
        database.execute("SET TimeZone = 'UTC'")
        with target.reading() as source:
            read = {table.name: target.offsets_in(source, table) for table in POSTGRES}
            for table in POSTGRES:
                _copy(database, target, source, table)
        ranges = _compared(database, POSTGRES, read, topics, schemas, prefix, progress)
        return Verdict(ranges, tuple(check(database, f"{name}.sql") for name in POSTGRES_CHECKS))


def _copy(database: duckdb.DuckDBPyConnection, target: Postgres, source: Any, table: Table) -> None:
    """What is compared of a table. DuckDB knows PostgreSQL's names of types."""
    types = target.types(source, table)
    if not types:
        what = f"PostgreSQL has no table {table.name}"
        raise Failure(what, "run `loyalty run postgres` first, or correct LOYALTY_WAREHOUSE_NAMESPACE")
    names = [name for name in types if name in (PARTITION, OFFSET, MEMBER, *table.unique, *LEDGER_COLUMNS)]
    database.execute(f"CREATE TABLE {table.name} ({', '.join(f'{name} {types[name]}' for name in names)})")
    for rows in target.rows(source, table, names):
        columns = zip(*rows, strict=True)
        _insert(database, table.name, dict(zip(names, map(list, columns), strict=True)))


def _compared(
    database: duckdb.DuckDBPyConnection,
    tables: Sequence[Table],
    read: Mapping[str, Offsets],
    topics: Topics,
    schemas: Schemas,
    prefix: str,
    progress: Callable[[int], None],
) -> tuple[Range, ...]:
    """Every topic of the tables, read and held against their rows; what checks ask for is kept."""
    ranges: list[Range] = []
    for topic in dict.fromkeys(table.topic for table in tables):
        _read_topic(database, topics, schemas, topic, prefix, progress)
        for table in (one for one in tables if one.topic == topic and not one.current):
            ranges += _ranges(database, table, read[table.name])
    _enter_read_upto(database, read)
    return tuple(ranges)


def _enter_committed(database: duckdb.DuckDBPyConnection, topics: Topics, prefix: str) -> None:
    """How far the liability's workers have come, asked before anything is read: what they have committed is there."""
    names = {
        "ledger": prefixed(prefix, catalogue.LEDGER),
        "parts": prefixed(prefix, catalogue.LIABILITY_PARTS),
    }
    done = topics.committed(prefixed(prefix, LIABILITY.group), list(names.values()))
    database.execute("CREATE TABLE committed (topic VARCHAR, source_partition INTEGER, next_offset BIGINT)")
    for name, topic in names.items():
        found = [(name, partition, offset) for (of, partition), offset in done.items() if of == topic]
        _insert_rows(database, "committed", found)


def _enter_read_upto(database: duckdb.DuckDBPyConnection, read: Mapping[str, Offsets]) -> None:
    database.execute("CREATE TABLE read_upto (name VARCHAR, source_partition INTEGER, until BIGINT)")
    for name, offsets in read.items():
        _insert_rows(
            database, "read_upto", [(name, partition, until) for partition, until in offsets.items()]
        )


def _insert_rows(database: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[str, int, int]]) -> None:
    if rows:
        database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)


def _read_topic(
    database: duckdb.DuckDBPyConnection,
    topics: Topics,
    schemas: Schemas,
    topic: str,
    prefix: str,
    progress: Callable[[int], None],
) -> None:
    """Where every record stands, as table `record`; and what checks ask for besides."""
    decoder = Decoder(schemas)
    database.execute("CREATE OR REPLACE TABLE record (source_partition INTEGER, source_offset BIGINT)")
    fact = next(table.fact for table in ICEBERG if table.topic == topic)
    said = told.OF_TABLES.get(topic)
    if said is not None:
        database.execute(f"CREATE TABLE {said.table} ({said.columns})")

    def take(records: Sequence[Record]) -> None:
        kept = [r for r in records if not fact or _readable(decoder, r)]
        _insert(
            database, "record", {PARTITION: [r.partition for r in kept], OFFSET: [r.offset for r in kept]}
        )
        if said is not None:
            _insert(database, said.table, said.rows([_said(decoder, r) for r in kept]))
        progress(len(records))

    topics.read(prefixed(prefix, topic), take)


def _read_told(
    database: duckdb.DuckDBPyConnection,
    topics: Topics,
    schemas: Schemas,
    topic: str,
    said: Told,
    progress: Callable[[int], None],
) -> None:
    decoder = Decoder(schemas)
    database.execute(f"CREATE TABLE {said.table} ({said.columns})")

    def take(records: Sequence[Record]) -> None:
        _insert(database, said.table, said.rows([_said(decoder, r) for r in records]))
        progress(len(records))

    topics.read(topic, take)


def _said(decoder: Decoder, record: Record) -> tuple[Record, dict[str, Any] | None]:
    return record, None if record.value is None else decoder.decode(record.value)


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


def _ranges(database: duckdb.DuckDBPyConnection, table: Table, upto: Offsets) -> list[Range]:
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


def check(database: duckdb.DuckDBPyConnection, name: str) -> Checked:
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
