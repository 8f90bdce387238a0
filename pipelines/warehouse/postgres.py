"""PostgreSQL: for services and BI tools that ask for one member, and want the answer in a millisecond.

A batch is one transaction: rows go in by their own ids, members' rows are replaced by newer ones, and the offsets move,
together. Repeating what is there already changes nothing, though the offsets alone would keep it from happening.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
import pyarrow as pa
from psycopg import sql

from pipelines.failure import Failure
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.settings import WarehouseSettings
from pipelines.warehouse.tables import MEMBER, OFFSET, PARTITION, PLACE, POSTGRES, Table
from pipelines.warehouse.target import Away, Batch, Fenced, Offsets, same

OFFSETS: Final = "sink_offsets"
READ_MAX: Final = 50_000
_TYPES: Final = {
    "string": sql.SQL("text"),
    "enum": sql.SQL("text"),
    "bytes": sql.SQL("bytea"),
    "boolean": sql.SQL("boolean"),
    "int": sql.SQL("integer"),
    "long": sql.SQL("bigint"),
    "float": sql.SQL("real"),
    "double": sql.SQL("double precision"),
    "instant": sql.SQL("timestamptz"),
    "record": sql.SQL("jsonb"),
    "array": sql.SQL("jsonb"),
}


class Column(NamedTuple):
    """A column to be."""

    name: str
    type: sql.SQL
    doc: str


class Postgres:
    """The tables of one schema of a PostgreSQL database."""

    name: str = "postgres"
    tables: tuple[Table, ...] = POSTGRES

    def __init__(self, settings: WarehouseSettings) -> None:
        if settings.postgres is None:
            raise Failure(
                "nothing says where PostgreSQL is",
                "set LOYALTY_WAREHOUSE_POSTGRES to postgresql://user:password@host:port/database",
            )
        self.settings = settings
        self._address = settings.postgres.get_secret_value()
        self._schema = sql.Identifier(settings.namespace)
        self._open: psycopg.Connection[Any] | None = None
        try:
            self._prepare()
        except Away as away:
            where = self._address.rpartition("@")[2]
            raise Failure(
                f"PostgreSQL at {where} does not answer: {away}",
                "start it, or correct LOYALTY_WAREHOUSE_POSTGRES",
            ) from away

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """All of it or nothing. A connection that broke is opened anew next time."""
        try:
            if self._open is None or self._open.closed:
                self._open = psycopg.connect(self._address, connect_timeout=10, application_name="loyalty")
            with self._open.transaction():
                yield self._open
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if self._open is not None:
                self._open.close()
            self._open = None
            raise Away(f"{type(error).__name__}: {error}") from error
        except psycopg.Error as error:
            what = f"PostgreSQL refuses: {error}"
            raise Failure(what, "see its message; nothing of the batch was written") from error

    def asked(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """The rows of a query, in which {} stands for the schema."""
        with self._transaction() as database:
            return database.execute(sql.SQL(query).format(self._schema)).fetchall()

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection[Any]]:
        """All tables as they are at one instant, whatever the sink writes meanwhile."""
        with self._transaction() as database:
            database.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield database

    def types(self, database: psycopg.Connection[Any], table: Table) -> dict[str, str]:
        """The columns of a table that is there, with PostgreSQL's names of their types."""
        found = database.execute(
            """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
            WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped""",
            [self._name(table).as_string(database)],
        )
        return dict(found.fetchall())

    def rows(
        self, database: psycopg.Connection[Any], table: Table, names: Sequence[str]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of a table, some thousand at a time."""
        with database.cursor(name=f"rows_of_{table.name}") as cursor:
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(_names(names), self._name(table)))
            while some := cursor.fetchmany(READ_MAX):
                yield some

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _prepare(self) -> None:
        with self._transaction() as database:
            database.execute("SET client_min_messages = warning")
            database.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(self._schema))
            database.execute(
                sql.SQL("""CREATE TABLE IF NOT EXISTS {}.{} (table_name text, source_partition integer,
                    next_offset bigint NOT NULL, PRIMARY KEY (table_name, source_partition))""").format(
                    self._schema, sql.Identifier(OFFSETS)
                )
            )

    def fit(self, shape: Shape) -> None:
        """Columns are added and never taken away, and only the key may not be null: so every schema to come fits."""
        name, table = self._name(shape.table), shape.table
        columns = [Column(field.name, _TYPES[field.kind.word], field.doc) for field in shape.fields]
        columns += [
            Column(PARTITION, sql.SQL("integer"), PLACE[PARTITION]),
            Column(OFFSET, sql.SQL("bigint"), PLACE[OFFSET]),
        ]
        keyed = [
            sql.SQL("{} {}").format(sql.Identifier(c.name), c.type) for c in columns if c.name in table.unique
        ]
        with self._transaction() as database:
            database.execute(
                sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(
                    name, sql.SQL(", ").join(keyed), _names(table.unique)
                )
            )
            for column in columns:
                _add(database, name, column)
            database.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(table.what)))
            if table.day is not None:
                index = sql.Identifier(f"{table.name}_of_member")
                database.execute(
                    sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
                        index, name, _names((MEMBER, table.day))
                    )
                )

    def _name(self, table: Table) -> sql.Composed:
        return sql.SQL("{}.{}").format(self._schema, sql.Identifier(table.name))

    def offsets(self, table: Table) -> Offsets:
        with self._transaction() as database:
            return self.offsets_in(database, table)

    def offsets_in(self, database: psycopg.Connection[Any], table: Table) -> Offsets:
        """The same, in a transaction that is open."""
        found = database.execute(
            sql.SQL("SELECT source_partition, next_offset FROM {}.{} WHERE table_name = %s").format(
                self._schema, sql.Identifier(OFFSETS)
            ),
            [table.name],
        )
        return dict(found.fetchall())

    def write(self, table: Table, batch: Batch) -> None:
        with self._transaction() as database:
            lock = f"{self.settings.namespace}.{table.name}"
            database.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
            if not same(at := self.offsets_in(database, table), batch.base):
                raise Fenced(table.name, batch.base, at)
            self._put(database, table, batch.rows)
            if batch.gone:
                statement = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)")
                database.execute(
                    statement.format(self._name(table), sql.Identifier(MEMBER)), [sorted(batch.gone)]
                )
            self._move(database, table, batch.upto)

    def _put(self, database: psycopg.Connection[Any], table: Table, rows: pa.Table) -> None:
        """By way of a table of the transaction's own: COPY is the quickest way in, and knows no conflicts."""
        names = _names(rows.schema.names)
        database.execute(
            sql.SQL("CREATE TEMP TABLE incoming (LIKE {}) ON COMMIT DROP").format(self._name(table))
        )
        with (
            database.cursor() as cursor,
            cursor.copy(sql.SQL("COPY incoming ({}) FROM STDIN").format(names)) as copy,
        ):
            for row in zip(*(_values(column) for column in rows.columns), strict=True):
                copy.write_row(row)
        database.execute(
            sql.SQL("INSERT INTO {} AS kept ({}) SELECT {} FROM incoming ON CONFLICT ({}) {}").format(
                self._name(table), names, names, _names(table.unique), _on_conflict(table, rows.schema.names)
            )
        )

    def _move(self, database: psycopg.Connection[Any], table: Table, upto: Offsets) -> None:
        statement = sql.SQL("""INSERT INTO {}.{} VALUES (%s, %s, %s) ON CONFLICT (table_name, source_partition)
            DO UPDATE SET next_offset = excluded.next_offset""")
        with database.cursor() as cursor:
            cursor.executemany(
                statement.format(self._schema, sql.Identifier(OFFSETS)),
                [(table.name, partition, offset) for partition, offset in upto.items()],
            )

    def prefers_ms(self, table: Table) -> int:
        return min(self.settings.commit_interval_ms, 1_000)


def _add(database: psycopg.Connection[Any], table: sql.Composed, column: Column) -> None:
    name = sql.Identifier(column.name)
    database.execute(
        sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(table, name, column.type)
    )
    database.execute(sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, name, sql.Literal(column.doc)))


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _on_conflict(table: Table, names: Sequence[str]) -> sql.Composable:
    """A log keeps what it has; of a member the newer row stays."""
    if not table.current:
        return sql.SQL("DO NOTHING")
    sets = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names]
    newer = sql.SQL(" WHERE excluded.{0} > kept.{0}").format(sql.Identifier(OFFSET))
    return sql.SQL("DO UPDATE SET ") + sql.SQL(", ").join(sets) + newer


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if not pa.types.is_nested(column.type):
        return values
    return [None if value is None else json.dumps(value, default=str) for value in values]
