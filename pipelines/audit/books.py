"""The auditor's books: every topic as a DuckDB table, one row a record, as it stands on the topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

Row = Mapping[str, Any]

_TEXT, _WHOLE = pa.string(), pa.int64()
_PLACE = {"topic": _TEXT, "partition": pa.int32(), "offset": _WHOLE}
_FACT = _PLACE | {"event_id": _TEXT, "member_id": _TEXT, "occurred_at": _WHOLE, "recorded_at": _WHOLE}
_ORDER_LINE = pa.struct(
    {
        "line_id": _TEXT,
        "category": _TEXT,
        "quantity": _WHOLE,
        "gross_minor": _WHOLE,
        "discount_minor": _WHOLE,
        "eligible": pa.bool_(),
    }
)
_CONSENT = pa.struct({"purpose": _TEXT, "granted_at": _WHOLE, "withdrawn_at": _WHOLE})
_TOLD = _PLACE | {
    "trigger_id": _TEXT,
    "member_id": _TEXT,
    "kind": _TEXT,
    "subject": _TEXT,
    "purpose": _TEXT,
    "channel": _TEXT,
    "crossed_at": _WHOLE,
    "recorded_at": _WHOLE,
    "expires_at": _WHOLE,
    "experiment": _TEXT,
    "variant": _TEXT,
}
_RETURN_LINE = pa.struct({"line_id": _TEXT, "quantity": _WHOLE, "refund_minor": _WHOLE})

TABLES: Mapping[str, pa.Schema] = {
    name: pa.schema(columns)
    for name, columns in {
        "fact_order": _FACT
        | {
            "order_id": _TEXT,
            "version": _WHOLE,
            "status": _TEXT,
            "placed_at": _WHOLE,
            "paid_at": _WHOLE,
            "delivered_at": _WHOLE,
            "cancelled_at": _WHOLE,
            "currency": _TEXT,
            "lines": pa.list_(_ORDER_LINE),
            "order_discount_minor": _WHOLE,
            "paid_with_points_minor": _WHOLE,
        },
        "fact_return": _FACT
        | {
            "return_id": _TEXT,
            "order_id": _TEXT,
            "version": _WHOLE,
            "status": _TEXT,
            "requested_at": _WHOLE,
            "settled_at": _WHOLE,
            "lines": pa.list_(_RETURN_LINE),
        },
        "fact_engagement": _FACT
        | {
            "engagement_id": _TEXT,
            "version": _WHOLE,
            "kind": _TEXT,
            "status": _TEXT,
            "zone": _TEXT,
            "distance_m": _WHOLE,
            "verification": _TEXT,
            "subject": _TEXT,
        },
        "fact_member": _FACT
        | {
            "version": _WHOLE,
            "enrolled_at": _WHOLE,
            "zone": _TEXT,
            "consents": pa.list_(_CONSENT),
            "erased_at": _WHOLE,
            "merged_into": _TEXT,
        },
        "fact_command": _FACT | {"command_id": _TEXT, "kind": _TEXT, "subject_id": _TEXT, "points": _WHOLE},
        "tick": _PLACE | {"at": _WHOLE},
        "handover": _PLACE | {"member_id": _TEXT},
        "removed": _PLACE | {"member_id": _TEXT, "what": _TEXT},
        "unreadable": _PLACE | {"problem": _TEXT},
        "dead_letter": _PLACE | {"key": pa.binary(), "value": pa.binary(), "error_class": _TEXT},
        "dead_bytes": _PLACE | {"key": pa.binary(), "value": pa.binary()},
        "ledger": _PLACE
        | {
            "entry_id": _TEXT,
            "transaction_id": _TEXT,
            "member_id": _TEXT,
            "sequence": _WHOLE,
            "lot_id": _TEXT,
            "points": _WHOLE,
            "from_account": _TEXT,
            "to_account": _TEXT,
            "reason": _TEXT,
            "effective_at": _WHOLE,
            "recorded_at": _WHOLE,
            "tier_at_event": _TEXT,
            "active_after": _WHOLE,
            "pending_after": _WHOLE,
        },
        "balance": _PLACE
        | {
            "member_id": _TEXT,
            "sequence": _WHOLE,
            "active": _WHOLE,
            "pending": _WHOLE,
            "reserved": _WHOLE,
            "debt": _WHOLE,
            "lifetime": _WHOLE,
        },
        "command_result": _PLACE
        | {
            "command_id": _TEXT,
            "member_id": _TEXT,
            "kind": _TEXT,
            "status": _TEXT,
            "refusal": _TEXT,
            "subject_id": _TEXT,
            "points_asked": _WHOLE,
            "active_before": _WHOLE,
            "points_moved": _WHOLE,
            "active_after": _WHOLE,
            "transaction_id": _TEXT,
            "recorded_at": _WHOLE,
        },
        "tier_progress": _PLACE
        | {
            "member_id": _TEXT,
            "tier": _TEXT,
            "valid_until": _WHOLE,
            "qualifying_points": _WHOLE,
            "to_keep_points": _WHOLE,
            "keep_by": _WHOLE,
            "to_next_points": _WHOLE,
            "next_by": _WHOLE,
        },
        "tier_changed": _PLACE
        | {"member_id": _TEXT, "kind": _TEXT, "from_tier": _TEXT, "tier": _TEXT, "effective_at": _WHOLE},
        "sent_trigger": _TOLD,
        "suppressed_trigger": _TOLD | {"reason": _TEXT},
        "derived": {**_PLACE, "granted_before": _WHOLE, "target": _WHOLE, "problem": _TEXT},
        "committed": {"topic": _TEXT, "partition": pa.int32(), "next_offset": _WHOLE},
        "programme": {
            "lateness_ms": _WHOLE,
            "window_kind": _TEXT,
            "window_months": _WHOLE,
            "grace_days": _WHOLE,
            "levels_down": _WHOLE,
        },
        "version": {
            "v": _WHOLE,
            "name": _TEXT,
            "from_ms": _WHOLE,
            "to_ms": _WHOLE,
            "zone": _TEXT,
            "multiplicative": pa.bool_(),
            "scale": _WHOLE,
            "welcome_points": _WHOLE,
            "pending_ms": _WHOLE,
            "pending_latest_ms": _WHOLE,
            "expiry_months": _WHOLE,
            "expiry_of_month": pa.bool_(),
        },
        "rate": {"v": _WHOLE, "currency": _TEXT, "points": _WHOLE, "per_minor": _WHOLE},
        "tier": {"v": _WHOLE, "level": _WHOLE, "name": _TEXT, "threshold": _WHOLE, "bonus": _WHOLE},
        "campaign": {
            "v": _WHOLE,
            "rank": _WHOLE,
            "id": _TEXT,
            "bonus": _WHOLE,
            "category": _TEXT,
            "from_ms": _WHOLE,
            "to_ms": _WHOLE,
        },
        "threshold_bonus": {
            "v": _WHOLE,
            "rank": _WHOLE,
            "id": _TEXT,
            "points": _WHOLE,
            "currency": _TEXT,
            "from_minor": _WHOLE,
            "from_ms": _WHOLE,
            "to_ms": _WHOLE,
        },
        "activity": {
            "v": _WHOLE,
            "rule_id": _TEXT,
            "kind": _TEXT,
            "points": _WHOLE,
            "per_m": _WHOLE,
            "cap_per_day": _WHOLE,
            "verifications": pa.list_(_TEXT),
        },
        "once": {"v": _WHOLE, "rule_id": _TEXT, "kind": _TEXT, "points": _WHOLE, "per_subject": pa.bool_()},
        "trigger_kind": {
            "rank": _WHOLE,
            "kind": _TEXT,
            "purpose": _TEXT,
            "channel": _TEXT,
            "lives_ms": _WHOLE,
            "experiment": _TEXT,
            "holdout_bp": _WHOLE,
        },
        "trigger_variant": {"experiment": _TEXT, "name": _TEXT, "from_weight": _WHOLE, "to_weight": _WHOLE},
        "trigger_cap": {"rank": _WHOLE, "most": _WHOLE, "days": _WHOLE, "kind": _TEXT, "channel": _TEXT},
        "trigger_quiet": {"from_minute": _WHOLE, "to_minute": _WHOLE},
    }.items()
}
FACT_TABLES = ("fact_order", "fact_return", "fact_engagement", "fact_member", "fact_command")
SQL = files("pipelines.audit") / "sql"


class Books:
    """Opened empty; what does not fit into `memory_mb` goes to a directory that `close` removes."""

    def __init__(self, memory_mb: int = 1500) -> None:
        self._overflow = TemporaryDirectory(prefix="loyalty-audit-")
        self.database = duckdb.connect(
            config={"memory_limit": f"{memory_mb}MB", "preserve_insertion_order": False}
        )
        self.database.execute("SET temp_directory = ?", [str(Path(self._overflow.name))])
        for name, schema in TABLES.items():
            self._insert(name, schema.empty_table(), create=True)
        facts = " UNION ALL ".join(
            f'SELECT topic, "partition", "offset", member_id, occurred_at, recorded_at, '
            f"'{name}' = 'fact_command' AS is_command FROM {name}"
            for name in FACT_TABLES
        )
        self.database.execute(f"CREATE VIEW fact AS {facts}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()
        self._overflow.cleanup()

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Enter rows; a column that a row lacks is NULL, what the table lacks is left out."""
        self._insert(table, as_table(table, list(rows)))

    def add_columns(self, table: str, columns: pa.Table) -> None:
        """Enter rows that are columns already; a column that is not among them is NULL."""
        self.database.register("incoming", columns)
        self.database.execute(f'INSERT INTO "{table}" BY NAME SELECT * FROM incoming')
        self.database.unregister("incoming")

    def add_files(self, table: str, pattern: str) -> None:
        """Enter what stands in Parquet files, each a table that `as_table` made."""
        self.database.execute(f"INSERT INTO {table} BY NAME SELECT * FROM read_parquet(?)", [pattern])

    def _insert(self, table: str, rows: pa.Table, create: bool = False) -> None:
        self.database.register("incoming", rows)
        verb = f'CREATE TABLE "{table}" AS' if create else f'INSERT INTO "{table}"'
        self.database.execute(f"{verb} SELECT * FROM incoming")
        self.database.unregister("incoming")

    def run(self, script: str) -> None:
        """Run one of the `sql` files."""
        self.database.execute((SQL / script).read_text())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows that a query gives."""
        return self.database.execute(query).fetchall()

    def count(self, query: str) -> int:
        """The one number that a query gives."""
        ((number,),) = self.rows(query)
        return int(number)


def as_table(table: str, rows: Sequence[Row]) -> pa.Table:
    """Rows in the columns of a table of the books."""
    schema = TABLES[table]
    return pa.table([_column(rows, field) for field in schema], schema=schema)


def as_row(record: Any, topic: str, offset: int, partition: int = 0) -> dict[str, Any]:
    """A record that never was on a topic, as it would read there: instants lose their `_ms`, enumerations are text."""
    return {**_plain(record), "topic": topic, "partition": partition, "offset": offset}


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name.removesuffix("_ms"): _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _column(rows: Sequence[Row], field: pa.Field) -> pa.Array:
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return _lists([row.get(field.name) or () for row in rows], field.type.value_type)
    return pa.array([row.get(field.name) for row in rows], field.type)


def _lists(lists: Sequence[Sequence[Row]], item: pa.StructType) -> pa.Array:
    """Lists of records, column by column: twenty times as fast as from dictionaries."""
    flat = [record for records in lists for record in records]
    columns = [_column(flat, part) for part in item]
    ends = accumulate((len(records) for records in lists), initial=0)
    return pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), pa.StructArray.from_arrays(columns, fields=list(item))
    )
