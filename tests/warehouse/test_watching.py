"""What a sink tells of itself: how far behind its tables are, whether it is alive and ready, and how they are kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import REGISTRY

from pipelines.warehouse import sink as sinks
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.sink import write_topics
from pipelines.warehouse.tables import ICEBERG, Table
from pipelines.warehouse.target import Away, Batch
from pipelines.warehouse.upkeep import upkeep
from pipelines.warehouse.watching import sink_readiness, watched
from tests.broker.histories import END, history
from tests.cli.test_main import loyalty
from tests.support.pipeline import Pipeline, wait_until
from tests.support.scrape import free_port
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.broker


class Shut(Lake):
    """A warehouse that takes nothing for as long as it is shut."""

    shut = False

    def write(self, table: Table, batch: Batch) -> None:
        if self.shut:
            raise Away("it is shut")
        super().write(table, batch)


class Watched:
    """A sink in a thread of this process, watched, on a port of its own."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.target, self.told, self.port = (
            Shut(warehouse.settings),
            threading.Event(),
            free_port(),
        )
        cluster = warehouse.pipeline.cluster
        self.thread = threading.Thread(
            target=write_topics,
            args=(
                warehouse.settings,
                self.target,
                cluster.bootstrap_servers,
                cluster.schema_registry_url,
                warehouse.pipeline.prefix,
                self.told,
                False,
            ),
            kwargs={
                "beside": lambda sink: watched(sink, warehouse.settings, cluster.bootstrap_servers, self.port)
            },
        )
        self.thread.start()

    def asks(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and answer; status 0 while nobody listens yet."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def stop(self) -> None:
        self.target.shut = False
        self.told.set()
        self.thread.join(60)


@pytest.fixture
def warehouse(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setattr(sinks, "PAUSE_MAX_S", 0.2)
    return Warehouse(
        pipeline,
        commit_interval_ms=100,
        current_interval_ms=100,
        watch_interval_ms=100,
        ready_lag_seconds_max=1,
    )


@pytest.fixture
def sink(warehouse: Warehouse) -> Iterator[Watched]:
    started = Watched(warehouse)
    yield started
    started.stop()


def lag(what: str, table: str) -> float | None:
    return REGISTRY.get_sample_value(f"loyalty_warehouse_lag_{what}", {"sink": "iceberg", "table": table})


def test_a_sink_that_has_caught_up_lags_by_nothing_and_one_whose_warehouse_is_away_is_not_ready(
    pipeline: Pipeline, sink: Watched
) -> None:
    pipeline.send([*history(members=4, orders=3), END])
    pipeline.run()

    wait_until(lambda: sink.asks("/ready")[0] == 200, "it is ready")
    wait_until(
        lambda: all(lag("records", table.name) == 0 for table in ICEBERG), "marks of transactions count"
    )
    assert sink.asks("/live") == (200, {"live": True, "because": []})

    sink.target.shut = True
    pipeline.send([fact._replace(member_id="m-9") for fact in history(1, 1)[:1]])
    wait_until(lambda: (lag("seconds", "members") or 0) > 1, "the record waits")

    status, answer = sink.asks("/ready")
    assert (status, lag("records", "members")) == (503, 1)
    assert answer["because"] == ["the warehouse is away: it is shut"] or len(answer["because"]) == 2
    assert sink.asks("/live")[0] == 200

    sink.target.shut = False
    wait_until(lambda: sink.asks("/ready")[0] == 200, "it goes on by itself")
    assert lag("records", "members") == 0


def test_a_new_warehouse_is_in_order_and_what_is_done_to_it_is_told(
    pipeline: Pipeline, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, sink: Watched
) -> None:
    pipeline.send([*history(members=2, orders=1), END])
    pipeline.run()
    wait_until(lambda: sink.asks("/ready")[0] == 200, "it is ready")
    sink.stop()
    warehouse.sink()  # ready is within a second of the end, and the row to delete may be in that
    began = time.time() * 1000
    monkeypatch.setenv("LOYALTY_WAREHOUSE_HOME", str(warehouse.home))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", pipeline.cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", pipeline.cluster.schema_registry_url)

    before = upkeep(warehouse.lake.catalogue, warehouse.settings)
    assert loyalty("warehouse", "maintain") == 0
    warehouse.lake.table("ledger").delete("member_id = 'm-1'")
    assert loyalty("warehouse", "verify", "--record", "--topic-prefix", pipeline.prefix) == 1

    after = upkeep(warehouse.lake.catalogue, warehouse.settings)
    assert before.maintained_at_ms < began < after.maintained_at_ms <= after.verified_at_ms
    assert (before.differences, (after.differences or 0) > 0) == (None, True)


def test_ready_says_why_not() -> None:
    assert sink_readiness(None, 899.0, 900).yes
    assert sink_readiness("no answer", 901.0, 900).because == (
        "the warehouse is away: no answer",
        "a record waits for 901 s; 900 s are allowed",
    )
    assert not sink_readiness(None, None, 900).yes
