"""Apache Iceberg: one table a topic, one commit a batch, and in each commit's summary the offsets that it goes up to.

Commits are optimistic: one that builds on a snapshot which is no longer the newest is refused by the catalogue. The
library would then put its rows on top of the other's and try again; for a sink that was paused and overtaken, these are
rows that the other has written too. So retrying is off, and a refused commit is tried again only when the offsets say
that nothing was read meanwhile (a compaction came between).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform, Transform
from sqlalchemy.exc import SQLAlchemyError

from pipelines.failure import Failure
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.settings import WarehouseSettings
from pipelines.warehouse.tables import ICEBERG, MARKET, MEMBER, Table
from pipelines.warehouse.target import Away, Batch, Fenced, Offsets, decoded, same

OFFSETS: Final = "loyalty.kafka-offsets"
TOPIC: Final = "loyalty.topic"
IN_SERVICE: Final = "loyalty.in-service"
"""A property of the settings' namespace: the one pointer that all readers and sinks follow."""
PROPERTIES: Final = {
    "format-version": "2",
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": "65536",
}
_UNSURE: Final = (
    CommitFailedException,
    CommitStateUnknownException,
    RESTError,
    SQLAlchemyError,
    OSError,
    pa.ArrowException,
)


def open_catalogue(settings: WarehouseSettings) -> Catalog:
    """The catalogue that the settings name, made when it is the embedded one; a Failure when it does not answer."""
    settings.home.mkdir(parents=True, exist_ok=True)
    rest = settings.catalogue_uri.startswith("http")
    given = {
        "type": "rest" if rest else "sql",
        "uri": settings.catalogue_uri,
        "warehouse": settings.rest_warehouse if rest else settings.tables_at,
        "token": _said(settings.token),
        "credential": _said(settings.credential),
        "s3.endpoint": settings.s3_endpoint,
        "s3.region": settings.s3_region,
        "s3.access-key-id": settings.s3_access_key_id,
        "s3.secret-access-key": _said(settings.s3_secret_access_key),
    }
    try:
        catalogue = load_catalog("loyalty", **{name: value for name, value in given.items() if value})
        with suppress(NamespaceAlreadyExistsError):
            catalogue.create_namespace(settings.namespace)
    except _UNSURE as error:
        raise Failure(
            f"the warehouse's catalogue at {settings.catalogue_uri.rpartition('@')[2]} does not answer: {error}",
            "start it, or correct LOYALTY_WAREHOUSE_CATALOGUE",
        ) from error
    return catalogue


def _said(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()


def in_service(catalogue: Catalog, settings: WarehouseSettings) -> str:
    """The namespace whose tables are in service: the settings' own, until a rebuild has put others there."""
    said: str = catalogue.load_namespace_properties(settings.namespace).get(IN_SERVICE, settings.namespace)
    return said


class Replaced(Failure):
    """A rebuild has put other tables into service."""

    def __init__(self, mine: str, now: str) -> None:
        super().__init__(
            f"a rebuild has put {now} into service, this sink writes {mine}",
            "start it again: it goes on where the new tables end",
            EXIT_FENCED,
        )


class Lake:
    """The Iceberg tables of one namespace: the one in service when this is made, and that one for good, so that who
    asks never sees some tables of one set and some of another; or the one given, which is not in service."""

    name: str = "iceberg"
    tables: tuple[Table, ...] = ICEBERG

    def __init__(self, settings: WarehouseSettings, apart: str | None = None) -> None:
        self.settings = settings
        self.catalogue = open_catalogue(settings)
        self.namespace = apart or in_service(self.catalogue, settings)
        self._serves = apart is None
        self._open: dict[str, IcebergTable] = {}

    def table(self, name: str) -> IcebergTable:
        """The table as it is now; NoSuchTableError when it was never made."""
        found = self._open.get(name)
        if found is None:
            found = self._open[name] = self.catalogue.load_table(f"{self.namespace}.{name}")
        else:
            found.refresh()
        return found

    def there(self, table: Table) -> IcebergTable | None:
        try:
            return self.table(table.name)
        except NoSuchTableError:
            return None

    def fit(self, shape: Shape) -> None:
        with _or_away(shape.table):
            self._fit(shape)

    def _fit(self, shape: Shape) -> None:
        found = self.there(shape.table)
        if found is None:
            self._make(shape)
            return
        with found.update_schema() as update:
            update.union_by_name(shape.iceberg())
        if new := {name: said for name, said in PROPERTIES.items() if found.properties.get(name) != said}:
            with found.transaction() as change:
                change.set_properties(new)

    def _make(self, shape: Shape) -> None:
        schema = shape.iceberg()
        with suppress(TableAlreadyExistsError):
            self.catalogue.create_table(
                f"{self.namespace}.{shape.table.name}",
                schema,
                partition_spec=_partitions(shape.table, schema, self.settings.partition_by),
                sort_order=SortOrder(
                    *(
                        SortField(schema.find_field(name).field_id, IdentityTransform())
                        for name in shape.table.sorted_by
                    )
                ),
                properties=PROPERTIES | {TOPIC: shape.table.topic, "comment": shape.table.what},
            )

    def offsets(self, table: Table) -> Offsets:
        with _or_away(table):
            found = self.there(table)
            return {} if found is None else offsets_of(found)

    def write(self, table: Table, batch: Batch) -> None:
        with _or_away(table):
            if self._serves and (now := in_service(self.catalogue, self.settings)) != self.namespace:
                raise Replaced(self.namespace, now)
            found = self.table(table.name)
            if not same(at := offsets_of(found), batch.base):
                raise Fenced(table.name, batch.base, at)
            rows = batch.rows.sort_by([(name, "ascending") for name in table.sorted_by])
            with found.transaction() as commit:
                if table.current and found.current_snapshot() is not None:
                    commit.overwrite(
                        _replaced(found, rows, batch.gone), snapshot_properties=_summary(batch.upto)
                    )
                else:
                    commit.append(rows, snapshot_properties=_summary(batch.upto))

    def prefers_ms(self, table: Table) -> int:
        return self.settings.current_interval_ms if table.current else self.settings.commit_interval_ms


@contextmanager
def _or_away(table: Table) -> Iterator[None]:
    """Away instead of whatever a catalogue, a database or a storage raises that does not answer, or not clearly."""
    try:
        yield
    except _UNSURE as error:
        raise Away(f"{table.name}: {type(error).__name__}: {error}") from error


def _summary(offsets: Offsets) -> dict[str, str]:
    return {OFFSETS: json.dumps({str(p): offset for p, offset in sorted(offsets.items())})}


def summary_of(table: IcebergTable) -> dict[str, str]:
    """What a commit that reads nothing must carry on, such as a compaction."""
    found = offsets_of(table)
    return _summary(found) if found else {}


def offsets_of(table: IcebergTable) -> dict[int, int]:
    """How far the table's topic was read: as the newest snapshot says, or the newest before it that a sink wrote."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return {}
    while snapshot is not None:
        if (said := _said_by(snapshot)) is not None:
            return decoded(json.loads(said))
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)
    name = ".".join(table.name())
    raise Failure(
        f"{name} has rows, but no snapshot of it says which offsets they go up to",
        "run `loyalty warehouse rebuild`: it makes all tables anew from the topics",
    )


def _said_by(snapshot: Snapshot) -> str | None:
    said: Mapping[str, str] = {} if snapshot.summary is None else snapshot.summary.additional_properties
    return said.get(OFFSETS)


def _partitions(table: Table, schema: Schema, granularity: str) -> PartitionSpec:
    if table.day is None:
        return UNPARTITIONED_PARTITION_SPEC
    by: Transform[Any, int] = DayTransform() if granularity == "day" else MonthTransform()
    day = PartitionField(schema.find_field(table.day).field_id, 1000, by, f"{table.day}_{granularity}")
    if MARKET not in schema.column_names:
        return PartitionSpec(day)
    return PartitionSpec(
        day, PartitionField(schema.find_field(MARKET).field_id, 1001, IdentityTransform(), MARKET)
    )


def _replaced(table: IcebergTable, rows: pa.Table, gone: frozenset[str]) -> pa.Table:
    """The current rows with those of the batch in their members' place."""
    kept = table.scan().to_arrow()
    leaving = pa.concat_arrays([*rows[MEMBER].chunks, pa.array(sorted(gone), pa.string())])
    kept = kept.filter(pc.invert(pc.is_in(kept[MEMBER].cast(pa.string()), leaving)))
    both = pa.concat_tables([_typed(kept, rows.schema), rows], promote_options="default")
    return both.sort_by([(MEMBER, "ascending")])


def _typed(kept: pa.Table, schema: pa.Schema) -> pa.Table:
    """As wide as the new rows: Iceberg reads text as large text."""
    return pa.table([kept[name].cast(schema.field(name).type) for name in schema.names], schema=schema)
