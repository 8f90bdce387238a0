"""Commits to Iceberg: whole or not at all, on top of what the sink itself left, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.failure import Failure
from pipelines.warehouse import maintenance
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.lake import OFFSETS, Lake, summary_of
from pipelines.warehouse.settings import warehouse_settings
from pipelines.warehouse.tables import BY_NAME, Table
from pipelines.warehouse.target import Away, Batch, Fenced
from schemas import catalogue

TIERS = BY_NAME["tiers"]
BALANCES = BY_NAME["balances"]


def balance(member_id: str, active: int, offset: int) -> dict[str, Any]:
    text = (catalogue.FOLDER / catalogue.BALANCES / "v1.example.json").read_text()
    place = {"source_partition": 0, "source_offset": offset}
    plain = {"next_activation_at": None, "next_expiry_at": None}
    return json.loads(text) | plain | {"member_id": member_id, "active": active} | place


def change(number: int) -> dict[str, Any]:
    return {
        "change_id": f"c-{number}",
        "member_id": f"m-{number % 3}",
        "market": "CH",
        "kind": "JOINED",
        "from_tier": None,
        "tier": "Starter",
        "qualifying_points": 0,
        "valid_until": None,
        "effective_at": 1_767_225_600_000 + number * 86_400_000,
        "recorded_at": 1_767_225_600_000,
        "caused_by": ["e-1"],
        "programme_version": "v1",
        "source_partition": 0,
        "source_offset": number,
    }


def shape(table: Table) -> Shape:
    return Shape(table, catalogue.released(table.topic))


def changes(first: int, last: int) -> Batch:
    rows = shape(TIERS).rows([change(n) for n in range(first, last)])
    return Batch(rows, {0: first} if first else {}, {0: last})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(warehouse_settings(tmp_path))
    for table in (TIERS, BALANCES):
        made.fit(shape(table))
    return made


def column(lake: Lake, table: Table, name: str) -> list[Any]:
    return sorted(lake.table(table.name).scan().to_arrow()[name].to_pylist())


def test_rows_and_offsets_are_one_commit(lake: Lake) -> None:
    lake.write(TIERS, changes(0, 5))

    table = lake.table("tiers")
    assert table.scan().to_arrow().num_rows == 5
    assert lake.offsets(TIERS) == {0: 5}
    snapshot = table.current_snapshot()
    assert snapshot is not None and snapshot.summary is not None
    assert snapshot.summary.additional_properties[OFFSETS] == '{"0": 5}'


def test_late_data_lies_in_its_own_day(lake: Lake) -> None:
    lake.write(TIERS, changes(0, 3))

    days = {
        str(p["partition"]["effective_at_day"]) for p in lake.table("tiers").inspect.partitions().to_pylist()
    }
    assert days == {"2026-01-01", "2026-01-02", "2026-01-03"}


def test_a_sink_that_was_overtaken_is_refused(lake: Lake) -> None:
    lake.write(TIERS, changes(0, 5))

    with pytest.raises(Fenced, match="another sink writes it"):
        lake.write(TIERS, changes(0, 4))

    assert column(lake, TIERS, "source_offset") == [0, 1, 2, 3, 4]


def test_a_sink_overtaken_while_it_commits_is_refused_and_its_rows_are_not_put_on_top(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would try again by itself, on the other's snapshot: then every row was there twice."""
    other = Lake(warehouse_settings(tmp_path))
    commit = lake.catalogue.commit_table

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(lake.catalogue, "commit_table", commit)
        other.write(TIERS, changes(0, 5))
        return commit(*args)

    monkeypatch.setattr(lake.catalogue, "commit_table", overtaken)
    with pytest.raises(Away, match="CommitFailed"):
        lake.write(TIERS, changes(0, 4))

    assert column(lake, TIERS, "source_offset") == [0, 1, 2, 3, 4]
    with pytest.raises(Fenced):
        lake.write(TIERS, changes(0, 4))


@pytest.mark.parametrize("landed", [False, True], ids=["before the commit", "behind the commit"])
def test_a_commit_of_unknown_end_is_known_by_its_offsets(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    commit: Callable[..., Any] = lake.catalogue.commit_table

    def lost(*args: Any) -> Any:
        if landed:
            commit(*args)
        raise ConnectionError("the answer never came")

    monkeypatch.setattr(lake.catalogue, "commit_table", lost)
    with pytest.raises(Away):
        lake.write(TIERS, changes(0, 5))

    assert lake.offsets(TIERS) == ({0: 5} if landed else {})
    assert lake.table("tiers").scan().to_arrow().num_rows == (5 if landed else 0)


def test_a_current_table_has_a_row_a_member_the_last_one_and_none_that_was_taken_back(lake: Lake) -> None:
    first = shape(BALANCES).rows([balance("m-1", 10, 0), balance("m-2", 20, 1), balance("m-3", 30, 2)])
    lake.write(BALANCES, Batch(first, {}, {0: 3}))

    second = shape(BALANCES).rows([balance("m-2", 25, 3), balance("m-4", 40, 4)])
    lake.write(BALANCES, Batch(second, {0: 3}, {0: 6}, frozenset({"m-1"})))

    rows = lake.table("balances").scan().to_arrow().to_pylist()
    assert {row["member_id"]: row["active"] for row in rows} == {"m-2": 25, "m-3": 30, "m-4": 40}
    assert lake.offsets(BALANCES) == {0: 6}


def test_a_current_table_can_become_empty(lake: Lake) -> None:
    lake.write(BALANCES, Batch(shape(BALANCES).rows([balance("m-1", 10, 0)]), {}, {0: 1}))

    lake.write(BALANCES, Batch(shape(BALANCES).rows([]), {0: 1}, {0: 2}, frozenset({"m-1"})))

    assert lake.table("balances").scan().to_arrow().num_rows == 0
    assert lake.offsets(BALANCES) == {0: 2}


def test_a_field_that_the_registry_gains_becomes_a_column_and_old_rows_have_null(lake: Lake) -> None:
    lake.write(TIERS, changes(0, 2))
    schema = json.loads(catalogue.released(TIERS.topic))
    schema["fields"].append({"name": "channel", "type": "string", "default": "SHOP", "doc": "Where."})
    wider = Shape(TIERS, json.dumps(schema))

    lake.fit(wider)
    rows = wider.rows([change(2) | {"channel": "APP"}])
    lake.write(TIERS, Batch(rows, {0: 2}, {0: 3}))

    found = lake.table("tiers")
    by_offset = {r["source_offset"]: r["channel"] for r in found.scan().to_arrow().to_pylist()}
    assert by_offset == {0: None, 1: None, 2: "APP"}
    assert found.schema().find_field("channel").doc == "Where."


def test_a_narrower_shape_still_fits_for_fields_with_a_default_may_go(lake: Lake) -> None:
    schema = json.loads(catalogue.released(TIERS.topic))
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "valid_until"]
    narrower = Shape(TIERS, json.dumps(schema))

    lake.fit(narrower)
    lake.write(TIERS, Batch(narrower.rows([change(0)]), {}, {0: 1}))

    assert column(lake, TIERS, "change_id") == ["c-0"]


def test_a_table_of_before_gets_the_properties_of_now_and_keeps_its_rows(lake: Lake) -> None:
    lake.write(TIERS, changes(0, 2))
    with lake.table("tiers").transaction() as change:
        change.remove_properties("write.parquet.row-group-limit")

    lake.fit(shape(TIERS))

    assert lake.table("tiers").properties["write.parquet.row-group-limit"] == "65536"
    assert lake.offsets(TIERS) == {0: 2}
    assert column(lake, TIERS, "change_id") == ["c-0", "c-1"]


def test_a_commit_of_somebody_else_does_not_lose_the_offsets(lake: Lake) -> None:
    lake.write(TIERS, changes(0, 2))
    lake.table("tiers").delete("member_id == 'm-1'")

    assert lake.offsets(TIERS) == {0: 2}
    assert summary_of(lake.table("tiers")) == {OFFSETS: '{"0": 2}'}


def test_rows_without_offsets_are_refused_not_written_again(lake: Lake) -> None:
    lake.table("tiers").append(shape(TIERS).rows([change(0)]))

    with pytest.raises(Failure, match="no snapshot of it says which offsets"):
        lake.offsets(TIERS)


def test_maintenance_removes_nothing_where_the_storage_names_files_otherwise_than_the_table(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(TIERS, changes(0, 2))
    monkeypatch.setattr(maintenance, "_path", lambda name: name.removeprefix("file://").lstrip("/"))

    with pytest.raises(Failure, match="does not list the table's own"):
        maintenance.maintain(lake, TIERS, timedelta(0), timedelta(0))

    assert column(lake, TIERS, "change_id") == ["c-0", "c-1"]


def test_a_catalogue_that_is_not_there_is_a_failure_that_names_the_setting(tmp_path: Path) -> None:
    given = {"catalogue": "http://127.0.0.1:9/nothing", "location": "s3://nowhere/here"}

    with pytest.raises(Failure, match="does not answer") as refused:
        Lake(warehouse_settings(tmp_path, **given))

    assert "LOYALTY_WAREHOUSE_CATALOGUE" in refused.value.do


def test_a_misspelt_setting_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOYALTY_WAREHOUSE_CATALOG", "x")

    with pytest.raises(Failure, match="nobody knows the setting") as refused:
        warehouse_settings(tmp_path)

    assert "LOYALTY_WAREHOUSE_CATALOGUE" in refused.value.do
