"""What a look at one member costs among a million: `.venv/bin/python benchmarks/member_lookup.py [MEMBERS]`.

The table `balances` is written by the sink's own code in one commit, as it is each minute, in three layouts: one row
group a file; row groups of 65,536 rows; sixteen buckets by member. Then members are looked up by DuckDB, as `loyalty
warehouse query` does, and by an Iceberg scan with a filter, as engines do that plan by partitions and statistics.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import duckdb
from pyiceberg.expressions import EqualTo
from pyiceberg.transforms import BucketTransform

from pipelines.warehouse.columns import Shape
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.settings import warehouse_settings
from pipelines.warehouse.tables import BY_NAME
from pipelines.warehouse.target import Batch
from schemas import catalogue

BALANCES = BY_NAME["balances"]
SHAPE = Shape(BALANCES, catalogue.released(BALANCES.topic))
ROW_GROUPS = "write.parquet.row-group-limit"
LOOK_UPS = 20


def member_id(number: int) -> str:
    return f"m-{number:07}"


def batch(members: int) -> Batch:
    example = json.loads((catalogue.FOLDER / BALANCES.topic / "v1.example.json").read_text())
    plain = example | {"next_activation_at": None, "next_expiry_at": None}
    chance = Random(1)
    rows = [
        plain
        | {
            "member_id": member_id(n),
            "active": chance.randrange(5_000),
            "source_partition": n % 8,
            "source_offset": n,
        }
        for n in range(members)
    ]
    return Batch(SHAPE.rows(rows), {}, dict.fromkeys(range(8), members))


def laid_out(lake: Lake, layout: str) -> None:
    lake.fit(SHAPE)
    table = lake.table(BALANCES.name)
    rows = "65536" if layout == "row groups of 65,536" else "1048576"
    with table.transaction() as change:
        change.set_properties({ROW_GROUPS: rows})
    if layout == "16 buckets":
        with table.update_spec() as spec:
            spec.add_field("member_id", BucketTransform(16), "member_bucket")


def seconds(look_up: Any, members: int) -> float:
    chance, taken = Random(2), []
    for _ in range(LOOK_UPS):
        wanted = member_id(chance.randrange(members))
        began = perf_counter()
        assert look_up(wanted) == 1, wanted
        taken.append(perf_counter() - began)
    return median(taken)


def measure(layout: str, given: Batch, members: int) -> None:
    with TemporaryDirectory() as folder, duckdb.connect() as database:
        lake = Lake(warehouse_settings(Path(folder)))
        laid_out(lake, layout)
        began = process_time()
        lake.write(BALANCES, given)
        write_s = process_time() - began
        table = lake.table(BALANCES.name)
        paths = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
        query = f"SELECT count(*) FROM read_parquet({paths}, hive_partitioning = false) WHERE member_id = ?"
        asked = seconds(lambda wanted: _one(database, query, wanted), members)
        planned = seconds(
            lambda wanted: len(table.scan(row_filter=EqualTo("member_id", wanted)).to_arrow()), members
        )
        size = sum(Path(path).stat().st_size for path in paths)
    print(
        f"{layout:22} write {write_s:5.1f} s of CPU, {len(paths):3} files, {size / 1e6:5.1f} MB; "
        f"a member by DuckDB {asked * 1000:6.1f} ms, by a scan {planned * 1000:6.1f} ms"
    )


def _one(database: duckdb.DuckDBPyConnection, query: str, wanted: str) -> int:
    found = database.execute(query, [wanted]).fetchone()
    assert found is not None
    return int(found[0])


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    given = batch(members)
    for layout in ("one row group", "row groups of 65,536", "16 buckets"):
        measure(layout, given, members)


if __name__ == "__main__":
    main()
