"""What analysts get of a lived history: tables and models that agree with the topics, and stay so when compacted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.local.endpoints import Endpoints
from pipelines.warehouse import duck
from pipelines.warehouse import sink as sinks
from pipelines.warehouse.maintenance import compact, maintain
from pipelines.warehouse.tables import BY_NAME, ICEBERG
from pipelines.warehouse.verification import Verdict, verify
from schemas import catalogue
from schemas.codec import Codec
from tests.broker.histories import END, history
from tests.cli.test_main import loyalty
from tests.support.pipeline import Pipeline
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.broker
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lived(cluster: Endpoints, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Four members who order, return and run for three days."""
    with Pipeline(cluster, codec, f"test-{token_hex(4)}-", tmp_path_factory.mktemp("lived")) as pipeline:
        pipeline.send([*history(members=4, orders=3), END])
        pipeline.run()
        yield pipeline


@pytest.fixture
def warehouse(lived: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Written in several commits, so that days have several files."""
    made = Warehouse(lived, f"warehouse-{token_hex(4)}", commit_rows_max=8)
    monkeypatch.setattr(sinks, "FETCHED_MAX", 8)
    made.sink()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", lived.cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", lived.cluster.schema_registry_url)
    monkeypatch.setenv("LOYALTY_WAREHOUSE_HOME", str(made.home))
    return made


@pytest.fixture
def database(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    with duck.ask(warehouse.lake) as asked:
        yield asked


def verified(warehouse: Warehouse) -> Verdict:
    cluster = warehouse.pipeline.cluster
    return verify(
        warehouse.lake,
        Topics(cluster.bootstrap_servers),
        RegistrySchemas(cluster.schema_registry_url),
        warehouse.pipeline.prefix,
    )


def wrong(verdict: Verdict) -> set[str]:
    return {check.check for check in verdict.checks if check.wrong}


def one(database: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = database.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_the_models_say_what_the_history_was(
    warehouse: Warehouse, database: duckdb.DuckDBPyConnection
) -> None:
    ledger = warehouse.pipeline.read(catalogue.LEDGER)

    assert one(database, "SELECT sum(issued) FROM fact_points") == sum(
        e["points"] for e in ledger if e["from_account"] == "ISSUED"
    )
    orders = database.execute(
        "SELECT count(*), min(net_minor), max(refunded_minor), sum(is_first::INT), min(pieces) FROM fact_orders"
    ).fetchone()
    assert orders == (12, 14985, 4990, 4, 2)  # 99.95 + 49.90, of which the second comes back
    assert one(database, "SELECT count(*) FROM dim_member WHERE is_current") == 4
    held = one(
        database,
        "SELECT sum(last) FROM (SELECT arg_max(active, day) AS last FROM member_daily GROUP BY member_id)",
    )
    assert held == one(database, "SELECT sum(active) FROM balances")
    assert one(database, "SELECT ordered FROM cohort_retention WHERE months_later = 1") == 4
    owed = one(database, "SELECT arg_max(closing, day) FROM liability")
    assert owed == one(database, "SELECT sum(active + pending + reserved) FROM balances")
    assert one(database, "SELECT sum(activated) FROM breakage") > 0


def test_every_model_has_a_comment_and_so_has_each_column_that_needs_one(
    database: duckdb.DuckDBPyConnection,
) -> None:
    said = dict(
        database.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
    )

    assert {model.name for model in duck.models()} <= set(said)
    for table in ICEBERG:
        database.execute(f"FROM {table.name}").fetchall()
    assert all(said.values())
    for model in duck.models():
        columns = {row[0] for row in database.execute(f"DESCRIBE {model.name}").fetchall()}
        assert set(model.columns) <= columns, model.name
        database.execute(f"FROM {model.name}").fetchall()


def test_a_file_of_it_all_can_be_opened_by_anybody(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "loyalty.duckdb"

    assert loyalty("warehouse", "open", file) == 0

    with duckdb.connect(file, read_only=True) as database:
        assert one(database, "SELECT count(*) FROM ledger") == len(warehouse.rows("ledger"))
        assert one(
            database,
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'ledger' AND column_name = 'points'",
        )
        assert one(database, "SELECT count(*) FROM fact_orders") == 12


def test_compaction_leaves_a_file_a_day_and_changes_no_row_and_no_offset(warehouse: Warehouse) -> None:
    before, at = warehouse.rows("ledger"), warehouse.lake.offsets(BY_NAME["ledger"])
    files = list(warehouse.lake.table("ledger").scan().plan_files())

    kept = maintain(warehouse.lake, BY_NAME["ledger"], timedelta(0), timedelta(0))

    assert warehouse.rows("ledger") == before
    assert warehouse.lake.offsets(BY_NAME["ledger"]) == at
    days = {task.file.partition[0] for task in warehouse.lake.table("ledger").scan().plan_files()}
    assert kept.files_after == len(days) < kept.files_before == len(files)
    assert kept.snapshots_expired > 0
    assert kept.files_removed > 0
    assert verified(warehouse).clean


def test_the_sink_goes_on_behind_a_compaction(warehouse: Warehouse) -> None:
    for table in ICEBERG:
        if warehouse.rows(table.name):
            compact(warehouse.lake, table)
    warehouse.pipeline.send([fact._replace(member_id="m-9") for fact in history(1, 1)[:1]])

    assert warehouse.sink().rows == 1
    assert verified(warehouse).clean


def test_what_was_written_is_verified_and_what_is_not_read_yet_is_said(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.pipeline.send([fact._replace(member_id="m-9") for fact in history(1, 1)[:1]])

    assert loyalty("warehouse", "verify", "--json", "--topic-prefix", warehouse.pipeline.prefix) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["clean"]
    assert sum(r["behind"] for r in told["ranges"]) == 1
    assert {check["check"]: check["looked_at"] for check in told["checks"]}["ledger-ids"] > 50


@pytest.mark.parametrize("number", range(1, 11))
def test_the_questions_of_the_analysts_page_are_answered_with_the_columns_that_it_shows(
    asked_once: duckdb.DuckDBPyConnection, number: int
) -> None:
    title, sql, header = QUESTIONS[number - 1]

    found = asked_once.execute(sql)

    assert title.startswith(f"{number}. ")
    assert found.description is not None
    if "PIVOT" not in sql:  # there the columns are the data's
        assert [column[0] for column in found.description] == header
    found.fetchall()


QUESTION = re.compile(r"^## (\d+\. .*?)$.*?```sql\n(.*?)\n```\n\n(\|.*?)$", re.MULTILINE | re.DOTALL)
QUESTIONS = [
    (title, sql, [name.strip() for name in header.strip("| ").split("|")])
    for title, sql, header in QUESTION.findall((ROOT / "docs/ANALYSTS.md").read_text())
]


@pytest.fixture(scope="module")
def asked_once(lived: Pipeline) -> Iterator[duckdb.DuckDBPyConnection]:
    made = Warehouse(lived, "asked-once")
    made.sink()
    with duck.ask(made.lake) as database:
        yield database


def doubled(warehouse: Warehouse, table: str) -> None:
    found = warehouse.lake.table(table)
    found.append(found.scan(limit=1).to_arrow())


def lost(warehouse: Warehouse, table: str) -> None:
    row = warehouse.rows(table)[0]
    place = f"source_partition = {row['source_partition']} and source_offset = {row['source_offset']}"
    warehouse.lake.table(table).delete(place)


@pytest.mark.parametrize("table", ["ledger", "orders", "balances_history"])
def test_a_doubled_row_is_found(warehouse: Warehouse, table: str) -> None:
    doubled(warehouse, table)

    verdict = verified(warehouse)

    assert {(r.table, r.extra) for r in verdict.ranges if r.extra} == {(table, 1)}
    assert (table == "ledger") == ("ledger-ids" in wrong(verdict))


@pytest.mark.parametrize("table", ["ledger", "tiers", "balances_history"])
def test_a_lost_row_is_found(warehouse: Warehouse, table: str) -> None:
    lost(warehouse, table)

    verdict = verified(warehouse)

    assert {(r.table, r.missing) for r in verdict.ranges if r.missing} == {(table, 1)}
    if table == "ledger":
        assert {"sums-by-account-and-day", "chain"} <= wrong(verdict)


def test_a_current_row_that_is_not_the_last_record_is_found(warehouse: Warehouse) -> None:
    found = warehouse.lake.table("balances")
    found.delete("member_id = 'm-1'")
    rows = found.scan().to_arrow()
    place = rows.schema.get_field_index("source_offset")
    older = [offset - 1 for offset in rows["source_offset"].to_pylist()]
    found.overwrite(rows.set_column(place, rows.schema.field(place), pa.array(older, pa.int64())))

    (check,) = [c for c in verified(warehouse).checks if c.check == "current-rows"]

    assert check.wrong == 4
    assert any(first.startswith("balances of m-1 is record none, the last is ") for first in check.first)


def test_points_that_were_changed_are_found_by_the_sums(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    found = warehouse.lake.table("ledger")
    rows = found.scan().to_arrow()
    place = rows.schema.get_field_index("points")
    more = rows.set_column(place, rows.schema.field(place), [[p + 1 for p in rows["points"].to_pylist()]])
    found.overwrite(more)

    assert loyalty("warehouse", "verify", "--topic-prefix", warehouse.pipeline.prefix) == 1

    said = capsys.readouterr().out
    assert "sums-by-account-and-day" in said and "The warehouse is not what the topics say." in said


def test_a_question_is_answered_and_a_wrong_one_named(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loyalty("warehouse", "query", "SELECT count(*) AS n FROM fact_orders", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 12}]

    assert loyalty("warehouse", "query", "SELECT pints FROM fact_points") == 1
    assert "pints" in capsys.readouterr().err

    assert loyalty("warehouse", "tables") == 0
    assert "One row a ledger entry" in capsys.readouterr().out
    assert len(warehouse.rows("orders")) == 24
