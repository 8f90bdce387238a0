"""The sink on a real broker: every committed record is a row, once, whatever happens to the sink or the warehouse."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from io import BytesIO
from itertools import count
from pathlib import PurePath
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema

from pipelines.failure import Failure
from pipelines.runtime.topic_admin import connect
from pipelines.warehouse import sink as sinks
from pipelines.warehouse.tables import ICEBERG
from schemas import catalogue
from schemas.registry import client
from tests.broker.histories import END, history, shares
from tests.support.facts import ms
from tests.support.pipeline import Pipeline, wait_until
from tests.support.warehouse import Warehouse, kill

pytestmark = pytest.mark.broker
AT = ms("2026-02-10T00:00:00Z")


@pytest.fixture
def warehouse(pipeline: Pipeline) -> Warehouse:
    return Warehouse(pipeline)


@pytest.fixture
def lived(pipeline: Pipeline) -> Pipeline:
    """Four members who order, return and run for three days."""
    pipeline.send([*history(members=4, orders=3), END])
    pipeline.run()
    return pipeline


def told_on(pipeline: Pipeline, topic: str) -> list[tuple[int, int]]:
    return sorted((r.partition, r.offset) for r in pipeline.records(topic))


def kept_in(warehouse: Warehouse, table: str) -> list[tuple[int, int]]:
    return [(row["source_partition"], row["source_offset"]) for row in warehouse.rows(table)]


def check_logs_are_whole(warehouse: Warehouse) -> None:
    """Every visible record of every topic is a row of its log, once. History has what compaction has removed since."""
    for table in (one for one in ICEBERG if not one.current):
        kept, told = kept_in(warehouse, table.name), told_on(warehouse.pipeline, table.topic)
        assert len(set(kept)) == len(kept), table.name
        assert set(told) <= set(kept) if table.removable else kept == told, table.name


def test_every_committed_record_is_a_row_once(lived: Pipeline, warehouse: Warehouse) -> None:
    done = warehouse.sink()

    check_logs_are_whole(warehouse)
    assert done.rows > 100
    ledger = warehouse.rows("ledger")
    assert {row["entry_id"] for row in ledger} == set(lived.entry_ids())
    first = next(e for e in lived.read(catalogue.LEDGER) if e["entry_id"] == ledger[0]["entry_id"])
    assert ledger[0]["derivation"] == first["derivation"]
    assert ledger[0]["effective_at"].timestamp() * 1000 == first["effective_at"]


def test_again_there_is_nothing_to_do(lived: Pipeline, warehouse: Warehouse) -> None:
    warehouse.sink()

    again = warehouse.sink()

    assert (again.rows, again.commits) == (0, 0)


def test_a_current_table_is_the_last_that_its_topic_told_of_each_member(
    lived: Pipeline, warehouse: Warehouse
) -> None:
    warehouse.sink()

    told = {balance["member_id"]: balance["active"] for balance in lived.read(catalogue.BALANCES)}
    assert {row["member_id"]: row["active"] for row in warehouse.rows("balances")} == told
    assert len(told) == 4


def test_a_tombstone_takes_the_current_row_back_and_history_says_so(
    lived: Pipeline, warehouse: Warehouse
) -> None:
    warehouse.sink()
    lived.send_bytes(catalogue.BALANCES, b"m-1", None, AT)

    warehouse.sink()

    assert {row["member_id"] for row in warehouse.rows("balances")} == {"m-0", "m-2", "m-3"}
    removed = [row for row in warehouse.rows("balances_history") if row["removed"]]
    assert [(row["member_id"], row["active"]) for row in removed] == [("m-1", None)]
    assert removed[0]["recorded_at"].timestamp() * 1000 == AT


def test_an_unreadable_fact_is_left_to_the_dead_letters(lived: Pipeline, warehouse: Warehouse) -> None:
    lived.send_bytes(catalogue.ORDERS, b"m-1", b"no order at all", AT)
    lived.run()

    done = warehouse.sink()

    assert done.unreadable == 1
    assert [row["topic"] for row in warehouse.rows("dead_letters")] == [lived.topic(catalogue.ORDERS)]


def test_an_unreadable_result_stops_the_sink_and_nothing_is_skipped(
    lived: Pipeline, warehouse: Warehouse
) -> None:
    lived.send_bytes(catalogue.TIERS, b"m-1", b"no tier change at all", AT)

    with pytest.raises(Failure, match="is unreadable") as refused:
        warehouse.sink()

    assert lived.topic(catalogue.TIERS) in refused.value.what
    with pytest.raises(Failure, match="is unreadable"):
        warehouse.sink()


def test_columns_follow_the_registry_while_the_sink_runs(lived: Pipeline, warehouse: Warehouse) -> None:
    warehouse.sink()
    schema = json.loads(catalogue.released(catalogue.COMMAND_RESULTS))
    added = {"name": "till", "type": ["null", "string"], "default": None, "doc": "Which till asked."}
    schema["fields"].append(added)
    registry = client(lived.cluster.schema_registry_url)
    subject = catalogue.subject(catalogue.COMMAND_RESULTS)
    number = registry.register_schema(subject, Schema(json.dumps(schema), "AVRO"))
    value = _avro(schema, _result() | {"till": "T-7"})
    lived.send_bytes(catalogue.COMMAND_RESULTS, b"m-1", b"\0" + number.to_bytes(4, "big") + value, AT)

    warehouse.sink()

    assert [row["till"] for row in warehouse.rows("command_results")] == ["T-7"]


def _result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (catalogue.FOLDER / catalogue.COMMAND_RESULTS / "v1.example.json").read_text()
    )
    return found


def _avro(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(catalogue.plain(schema)), record)
    return stream.getvalue()


def test_a_topic_that_was_made_anew_is_refused(lived: Pipeline, warehouse: Warehouse) -> None:
    warehouse.sink()
    admin = connect(lived.cluster.bootstrap_servers)
    topic = lived.topic(catalogue.TIERS)
    admin.delete_topics([topic])[topic].result()
    wait_until(lambda: topic not in lived.topics(), "the topic is gone")
    Pipeline(lived.cluster, lived.codec, lived.prefix, lived.tmp_path)

    with pytest.raises(Failure, match="the topic was made anew"):
        warehouse.sink()


def test_a_warehouse_that_was_away_is_caught_up_with_by_itself(
    lived: Pipeline, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "PAUSE_S", 0.01)
    lake, calls = warehouse.lake, Counter[str]()
    commit = lake.catalogue.commit_table

    def away(*args: Any) -> Any:
        calls["asked"] += 1
        if calls["asked"] % 3 == 1:
            raise ConnectionError("the catalogue is away")
        answer = commit(*args)
        if calls["asked"] % 3 == 2:
            raise ConnectionError("it was done, but the answer got lost")
        return answer

    monkeypatch.setattr(lake.catalogue, "commit_table", away)
    warehouse.sink(lambda _: lake)

    assert calls["asked"] > 12
    check_logs_are_whole(warehouse)


class Killed(BaseException):
    """As kill -9 is, at this very place."""


@pytest.mark.parametrize("landed", [False, True], ids=["files written", "committed"])
def test_a_crash_at_each_commit_in_turn_neither_loses_nor_doubles_a_row(
    lived: Pipeline, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    commit = type(warehouse.lake.catalogue).commit_table

    def killed(self: Any, *args: Any) -> Any:
        if landed:
            commit(self, *args)
        raise Killed

    crashes = 0
    for nth in range(6):
        monkeypatch.setattr(type(warehouse.lake.catalogue), "commit_table", _after(nth % 2, commit, killed))
        try:
            warehouse.sink()
        except Killed:
            crashes += 1
    monkeypatch.undo()
    warehouse.sink()

    assert crashes >= 3
    check_logs_are_whole(warehouse)


def _after(commits: int, well: Any, ill: Any) -> Any:
    left = iter([well] * commits)

    def next_one(self: Any, *args: Any) -> Any:
        return next(left, ill)(self, *args)

    return next_one


@pytest.mark.kills
def test_kill_9_again_and_again_during_the_load_loses_and_doubles_nothing(
    pipeline: Pipeline, warehouse: Warehouse, pytestconfig: pytest.Config
) -> None:
    chance, kills = random.Random(7), pytestconfig.getoption("--kills")
    worker = pipeline.start()
    for share in shares(history(members=8 + kills, orders=4), kills):
        sink, before = warehouse.start(), _commits(warehouse)
        pipeline.send(share)
        wait_until(lambda before=before: _commits(warehouse) > before, "the sink commits")  # type: ignore[misc]
        time.sleep(chance.random() * 0.4)
        kill(sink)
    pipeline.send([END])
    pipeline.wait_until_caught_up()
    worker.terminate()
    worker.wait()
    warehouse.sink()

    check_logs_are_whole(warehouse)
    ledger = warehouse.rows("ledger")
    assert len({row["entry_id"] for row in ledger}) == len(ledger) == len(pipeline.entry_ids())
    assert sum(row["points"] for row in ledger) == sum(e["points"] for e in pipeline.read(catalogue.LEDGER))
    assert {r["member_id"]: r["active"] for r in warehouse.rows("balances")} == {
        b["member_id"]: b["active"] for b in pipeline.read(catalogue.BALANCES)
    }


def _commits(warehouse: Warehouse) -> int:
    """Versions of all tables, as their metadata files count them: asked beside the sink, and as cheaply as can be."""
    try:
        with closing(sqlite3.connect(warehouse.home / "catalogue.db")) as catalogue:
            found = catalogue.execute("SELECT metadata_location FROM iceberg_tables").fetchall()
    except sqlite3.Error:
        return 0
    return sum(int(PurePath(location).name.partition("-")[0]) for (location,) in found)


def test_two_sinks_on_one_warehouse_never_double_a_row(lived: Pipeline, warehouse: Warehouse) -> None:
    first = warehouse.start()
    wait_until(lambda: _commits(warehouse) > 0, "the first sink commits")
    second = warehouse.start()
    numbers = count()

    def refused() -> bool:
        joined = history(1, 0)[0]._replace(member_id=f"n-{next(numbers)}")
        lived.send([joined])
        return (first.poll(), second.poll()) != (None, None)

    wait_until(refused, "one of them is refused")
    kill(first)
    kill(second)
    warehouse.sink()

    check_logs_are_whole(warehouse)
    assert {first.returncode, second.returncode} & {75}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "PAUSE_S", 0.05)
