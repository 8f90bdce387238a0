"""A rebuild makes all tables anew beside those in service: who asks sees the set of before or the new one, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.failure import Failure
from pipelines.warehouse import duck
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.rebuilding import Rebuilt, drop_before, rebuild, sets_before, unfinished
from pipelines.warehouse.tables import BY_NAME, ICEBERG
from pipelines.warehouse.upkeep import upkeep
from schemas import catalogue
from tests.broker.histories import END, history
from tests.cli.test_main import loyalty
from tests.support.facts import ms
from tests.support.pipeline import Pipeline, wait_until
from tests.support.warehouse import Warehouse
from tests.warehouse.test_sink import check_logs_are_whole

pytestmark = pytest.mark.broker


@pytest.fixture
def warehouse(pipeline: Pipeline) -> Warehouse:
    """Four members who order, return and run for three days, in a warehouse that lacks some of it."""
    pipeline.send([*history(members=4, orders=3), END])
    pipeline.run()
    made = Warehouse(pipeline)
    made.sink()
    made.lake.table("ledger").delete("member_id = 'm-1'")
    return made


def rebuilt(warehouse: Warehouse) -> Rebuilt:
    cluster = warehouse.pipeline.cluster
    return rebuild(
        warehouse.settings, cluster.bootstrap_servers, cluster.schema_registry_url, warehouse.pipeline.prefix
    )


def counts(lake: Lake) -> dict[str, int]:
    """The rows of each table, as a question counts them."""
    with duck.ask(lake) as database:
        return {t.name: database.execute(f"SELECT count(*) FROM {t.name}").fetchall()[0][0] for t in ICEBERG}


def started(warehouse: Warehouse, *doom: str) -> subprocess.Popen[bytes]:
    """A rebuild as a process of its own, which dies right before a call if one is given."""
    pipeline = warehouse.pipeline
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
        "LOYALTY_WAREHOUSE_HOME": str(warehouse.home),
    }
    launcher = ["tests.support.doom", *doom] if doom else ["pipelines.cli.main"]
    command = [sys.executable, "-m", *launcher, "warehouse", "rebuild", "--topic-prefix", pipeline.prefix]
    log = (pipeline.tmp_path / "rebuild.log").open("ab")
    process = subprocess.Popen(command, env=os.environ | given, stdout=log, stderr=log)
    pipeline.workers.append(process)
    return process


def test_what_was_wrong_is_right_and_the_old_set_stays_until_it_is_dropped(warehouse: Warehouse) -> None:
    reader, lacking = warehouse.lake, len(warehouse.rows("ledger"))

    done = rebuilt(warehouse)

    check_logs_are_whole(warehouse)
    assert warehouse.lake.namespace == done.in_service != done.before == "loyalty"
    assert {name: now for name, _, now in done.rows} == counts(warehouse.lake)
    assert ("ledger", lacking, len(warehouse.rows("ledger"))) in done.rows
    assert counts(reader)["ledger"] == lacking, "who had begun to ask keeps what was in service then"
    assert sets_before(reader.catalogue, reader.settings) == ["loyalty"]
    assert upkeep(reader.catalogue, reader.settings).differences == 0, (
        "it was verified before it was swapped in"
    )

    old = Path(reader.table("ledger").location().removeprefix("file://"))
    assert old.exists()
    assert drop_before(warehouse.settings) == ["loyalty"]
    assert not old.exists()
    assert drop_before(warehouse.settings) == []
    check_logs_are_whole(warehouse)


POINTS = (
    ("pipelines.warehouse.rebuilding", "_catch_up", "1"),
    ("pipelines.warehouse.lake", "Lake.write", "1"),
    ("pipelines.warehouse.lake", "Lake.write", "5"),
    ("pipelines.warehouse.rebuilding", "verify", "1"),
    ("pipelines.warehouse.rebuilding", "_catch_up", "2"),
    ("pipelines.warehouse.rebuilding", "swap", "1"),
)
"""Behind each of these calls a rebuild has done more; behind the last the new set is in service."""


@pytest.mark.timeout(900)
def test_kill_9_anywhere_before_the_swap_leaves_the_old_set_in_service_and_the_next_begins_anew(
    warehouse: Warehouse,
) -> None:
    before, lake = counts(warehouse.lake), warehouse.lake
    left: list[str] = []
    for point in POINTS:
        assert started(warehouse, *point).wait(300) == -signal.SIGKILL, point

        assert warehouse.lake.namespace == "loyalty", point
        assert counts(warehouse.lake) == before, point
        left += unfinished(lake.catalogue, lake.settings)
    assert len(set(left)) == len(left) == len(POINTS), "each has dropped what the one before had left"

    done = rebuilt(warehouse)

    assert unfinished(lake.catalogue, lake.settings) == []
    assert not any(lake.catalogue.namespace_exists(name) for name in left)
    assert warehouse.lake.namespace == done.in_service
    check_logs_are_whole(warehouse)


def test_a_set_that_was_being_dropped_when_the_command_died_is_dropped_by_the_next(
    warehouse: Warehouse,
) -> None:
    rebuilt(warehouse)
    old = Lake(warehouse.settings, "loyalty")
    old.catalogue.purge_table("loyalty.orders")

    assert drop_before(warehouse.settings) == ["loyalty"]

    assert old.catalogue.list_tables("loyalty") == []
    check_logs_are_whole(warehouse)


def test_ctrl_c_leaves_the_old_set_in_service_and_says_so(warehouse: Warehouse) -> None:
    process, lake = started(warehouse), warehouse.lake
    wait_until(lambda: bool(unfinished(lake.catalogue, lake.settings)), "it is on its way")

    process.send_signal(signal.SIGINT)

    assert process.wait(120) == 130
    assert warehouse.lake.namespace == "loyalty"


def test_a_running_sink_ends_and_goes_on_in_the_new_set(warehouse: Warehouse) -> None:
    sink = warehouse.start()
    wait_until(lambda: sink.poll() is None and warehouse.lake.there(BY_NAME["tiers"]) is not None, "it runs")
    rebuilt(warehouse)
    pipeline = warehouse.pipeline
    pipeline.send(history(members=2, orders=5))
    pipeline.run()

    assert sink.wait(120) == 75
    log = (pipeline.tmp_path / "warehouse.log").read_text()
    assert "a rebuild has put loyalty__" in log

    warehouse.sink()
    check_logs_are_whole(warehouse)


def test_tables_that_are_not_what_they_should_be_are_not_put_into_service(warehouse: Warehouse) -> None:
    pipeline = warehouse.pipeline
    twice = pipeline.records(catalogue.LEDGER)[0]
    pipeline.send_bytes(catalogue.LEDGER, twice.key, twice.value, ms("2026-02-10T00:00:00Z"))
    pipeline.sender.flush()

    with pytest.raises(Failure, match="was not put into service: ledger-ids: 1 wrong"):
        rebuilt(warehouse)

    assert warehouse.lake.namespace == "loyalty"


def test_the_commands_say_what_they_did(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster: Any = warehouse.pipeline.cluster
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", cluster.schema_registry_url)
    monkeypatch.setenv("LOYALTY_WAREHOUSE_HOME", str(warehouse.home))

    assert loyalty("warehouse", "rebuild", "--topic-prefix", warehouse.pipeline.prefix) == 0
    assert "loyalty stays until `loyalty warehouse drop-old`" in capsys.readouterr().out
    assert loyalty("warehouse", "verify", "--topic-prefix", warehouse.pipeline.prefix) == 0
    assert loyalty("warehouse", "drop-old") == 0
    assert "dropped: loyalty\n" in capsys.readouterr().out
    assert loyalty("warehouse", "drop-old") == 0
    assert "nothing out of service" in capsys.readouterr().out
