"""The warehouse in DuckDB: every table, and the models as views with their comments, to ask in SQL.

A question reads the Parquet files of the newest snapshots where they lie. `open` copies them into one file, which needs
nothing else any more: it can be sent, kept, or opened by any tool that speaks DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from pyarrow import dataset
from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow
from pyiceberg.table import Table as IcebergTable

from pipelines.failure import Failure
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.tables import ICEBERG, Table

MODELS: Final = files("pipelines.warehouse") / "models"
_COMMENT: Final = re.compile(r"^-- ?", re.MULTILINE)


class Model(NamedTuple):
    """A view: its name, what it says of itself, and its query. `columns` have a line each in its head."""

    name: str
    comment: str
    columns: dict[str, str]
    query: str


def models() -> list[Model]:
    """The models in the order in which they build on each other, which is their files' order."""
    found = sorted(path.name for path in MODELS.iterdir() if path.name.endswith(".sql"))
    return [_model(name, (MODELS / name).read_text()) for name in found]


def _model(file: str, text: str) -> Model:
    """Opened by its promise; then a line `@column: what it is` for each column; then the query."""
    head = [line for line in text.splitlines() if line.startswith("--")]
    said = [_COMMENT.sub("", line) for line in head]
    columns = dict(line[1:].split(": ", 1) for line in said if line.startswith("@"))
    comment = " ".join(line for line in said if not line.startswith("@"))
    query = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return Model(file.removesuffix(".sql").split("_", 1)[1], comment, columns, query.strip().rstrip(";"))


def ask(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A database in memory whose tables are the warehouse's newest snapshots."""
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for table, found in _tables(lake):
        _view(database, table, found)
    _models(database)
    return database


def copy_to(lake: Lake, path: Path) -> None:
    """Write the warehouse to a DuckDB file of its own, whole or not at all; one that is there is replaced."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    database = duckdb.connect(scratch)
    try:
        database.execute("SET TimeZone = 'UTC'")
        for table, found in _tables(lake):
            _view(database, table, found, "source_" + table.name)
            order = ", ".join(table.sorted_by)
            database.execute(f"CREATE TABLE {table.name} AS FROM source_{table.name} ORDER BY {order}")
            database.execute(f"DROP VIEW source_{table.name}")
            _comments(database, "TABLE", table.name, table.what, _docs(found))
        _models(database)
    finally:
        database.close()
    scratch.replace(path)


def _tables(lake: Lake) -> Iterator[tuple[Table, IcebergTable]]:
    missing = [table.name for table in ICEBERG if lake.there(table) is None]
    if missing:
        raise Failure(f"the warehouse has no {', '.join(missing)}", "run `loyalty run warehouse` first")
    for table in ICEBERG:
        yield table, lake.table(table.name)


def _view(
    database: duckdb.DuckDBPyConnection, table: Table, found: IcebergTable, name: str | None = None
) -> None:
    """A view over the table's files, as wide as its schema: files of before a column have null in it."""
    schema = schema_to_pyarrow(found.schema(), include_field_ids=False)
    database.register(f"empty_{table.name}", schema.empty_table())
    database.execute(f"CREATE TABLE none_{table.name} AS FROM empty_{table.name}")
    columns = _columns(database, f"none_{table.name}")
    database.unregister(f"empty_{table.name}")
    paths = [task.file.file_path for task in found.scan().plan_files()]
    source = f"FROM none_{table.name}"
    if paths and all(path.startswith("file://") for path in paths):
        listed = ", ".join(
            "'" + unquote(path.removeprefix("file://")).replace("'", "''") + "'" for path in paths
        )
        source += f" UNION ALL BY NAME FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    elif paths:
        database.register(f"all_{table.name}", _elsewhere(found, paths))
        source += f" UNION ALL BY NAME FROM all_{table.name}"
    database.execute(f"CREATE VIEW {name or table.name} AS SELECT {columns} FROM ({source})")
    _comments(database, "VIEW", name or table.name, table.what, _docs(found))


def _columns(database: duckdb.DuckDBPyConnection, table: str) -> str:
    """Instants as plain timestamps, in UTC: a day begins at the same instant for whoever opens this, wherever."""
    described = database.execute(f"DESCRIBE {table}").fetchall()
    plain = {name: kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMP") for name, kind, *_ in described}
    return ", ".join(
        f'"{name}"' if plain[name] == kind else f'CAST("{name}" AS {plain[name]}) AS "{name}"'
        for name, kind, *_ in described
    )


def _elsewhere(found: IcebergTable, paths: Sequence[str]) -> dataset.Dataset | pa.Table:
    """Files that are not of this machine: of each, a question fetches the columns and days that it wants."""
    io = found.io
    if not isinstance(io, PyArrowFileIO):
        return found.scan().to_arrow()
    scheme, host, _ = PyArrowFileIO.parse_location(paths[0])
    files = [PyArrowFileIO.parse_location(path)[2] for path in paths]
    schema = schema_to_pyarrow(found.schema(), include_field_ids=False)
    return dataset.dataset(files, schema, format="parquet", filesystem=io.fs_by_scheme(scheme, host))


def _docs(found: IcebergTable) -> dict[str, str]:
    return {field.name: field.doc or "" for field in found.schema().fields}


def _models(database: duckdb.DuckDBPyConnection) -> None:
    for model in models():
        database.execute(f"CREATE VIEW {model.name} AS {model.query}")
        _comments(database, "VIEW", model.name, model.comment, model.columns)


def _comments(
    database: duckdb.DuckDBPyConnection, kind: str, name: str, comment: str, columns: dict[str, str]
) -> None:
    database.execute(f"COMMENT ON {kind} {name} IS {_quoted(comment)}")
    for column, said in columns.items():
        database.execute(f'COMMENT ON COLUMN {name}."{column}" IS {_quoted(said)}')


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
