"""The analysts' tables as books: the report asks them what it asks of the topics, in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from pipelines.audit.books import TABLES, Books
from pipelines.audit.rules import enter_rules
from pipelines.topics import prefixed
from pipelines.warehouse import duck
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.tables import BY_NAME, OFFSET, PARTITION

KEPT_AS: Final = {
    "fact_order": "orders",
    "fact_return": "returns",
    "fact_engagement": "engagements",
    "fact_member": "members",
    "fact_command": "commands",
    "ledger": "ledger",
    "balance": "balances",
    "tier_changed": "tiers",
    "tier_progress": "tier_progress",
    "sent_trigger": "triggers",
    "suppressed_trigger": "suppressed_triggers",
    "dead_letter": "dead_letters",
}
"""The table of the warehouse in which the rows of a table of the books stand."""
BATCH: Final = 100_000
REFUSED_UNREAD: Final = """
    INSERT INTO unreadable BY NAME
    SELECT topic, "partition", "offset", error_class AS problem
    FROM dead_letter ANTI JOIN fact USING (topic, "partition", "offset") WHERE list_contains(?, topic)"""


@contextmanager
def books_of(lake: Lake, programme: Path, prefix: str = "") -> Iterator[Books]:
    """Books with the rows of the warehouse's newest snapshots and the rules of a programme.

    Lists are left out, for no figure asks for an order's lines; so the auditor cannot recompute points from these.
    """
    with Books() as books, duck.ask(lake) as database:
        enter_rules(books, programme)
        for kept, table in KEPT_AS.items():
            _enter(books, kept, database, table, prefixed(prefix, BY_NAME[table].topic))
        _enter_unread(books, prefix)
        yield books


def _enter(books: Books, kept: str, database: duckdb.DuckDBPyConnection, table: str, topic: str) -> None:
    columns = ", ".join(_columns(TABLES[kept], database, table))
    given = [topic] if "?" in columns else None
    reader: pa.RecordBatchReader = database.sql(
        f"SELECT {columns} FROM {table}", params=given
    ).to_arrow_reader(BATCH)
    for batch in reader:
        books.add_columns(kept, pa.Table.from_batches([batch]))


def _columns(wanted: pa.Schema, database: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    """What the books want and the table has: instants in milliseconds, and where the record stands on its topic.

    A dead letter's place is that of the record which was refused, and a column of the table.
    """
    kinds = {name: kind for name, kind, *_ in database.execute(f"DESCRIBE {table}").fetchall()}
    place = {"topic": "?", "partition": PARTITION, "offset": OFFSET}
    for field in (one for one in wanted if not pa.types.is_nested(one.type)):
        if field.name in kinds:
            column = f'"{field.name}"'
            yield f"epoch_ms({column}) AS {column}" if kinds[field.name] == "TIMESTAMP" else column
        elif field.name in place:
            yield f'{place[field.name]} AS "{field.name}"'


def _enter_unread(books: Books, prefix: str) -> None:
    """Facts that could not be read have no row: their dead letters say that they came."""
    facts = [prefixed(prefix, table.topic) for table in BY_NAME.values() if table.fact]
    books.database.execute(REFUSED_UNREAD, [facts])
