"""The warehouse is away, wrong, or not looked after: called, followed, and right again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from pipelines.runtime.engine import EXIT_FENCED
from pipelines.warehouse.upkeep import MAINTAINED, VERIFIED, upkeep
from tests.broker.histories import history
from tests.support.drill import Drill
from tests.support.pipeline import PATIENCE_S, Pipeline, wait_until
from tests.support.postgres import postgres
from tests.support.scrape import free_port, scrape
from tests.support.warehouse import Warehouse

pytestmark = [pytest.mark.broker, pytest.mark.drill, pytest.mark.timeout(1_200)]

FACTS: Final = history(members=4, orders=3)
JOB: Final = "loyalty-warehouse"


@contextmanager
def watched(warehouse: Warehouse, tmp_path: Path, catalogue: str = "", **more: Any) -> Iterator[Drill]:
    """A drill with a worker and a sink that has caught up, in a warehouse that the operator knows as well."""
    pipeline, port = warehouse.pipeline, free_port()
    with Drill(pipeline, tmp_path, others={JOB: port}, **more) as drill:
        drill.environment["LOYALTY_WAREHOUSE_HOME"] = str(warehouse.home)
        drill.environment["LOYALTY_WAREHOUSE_CATALOGUE"] = catalogue
        pipeline.send(FACTS)
        pipeline.wait_until_caught_up()
        warehouse.start(metrics_port=port, watch_interval_ms=200, catalogue=catalogue)
        wait_until(lambda: _caught_up(port), "the sink has caught up")
        yield drill


def _caught_up(port: int) -> bool:
    try:
        told = scrape(port)
    except httpx.TransportError:
        return False
    return told.total("loyalty_warehouse_rows_total") > 0 == told.total("loyalty_warehouse_lag_records")


def test_a_warehouse_that_is_away_calls_and_is_caught_up_with_when_it_is_back(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with postgres() as server:
        catalogue = server.url.replace("postgresql:", "postgresql+psycopg:")
        warehouse = Warehouse(pipeline, catalogue=catalogue)
        with watched(warehouse, tmp_path, catalogue, lower={900: 15}) as drill:
            server.stop()
            pipeline.send(history(members=4, orders=4))
            pipeline.wait_until_caught_up()

            drill.recover("LoyaltySinkBehind", by_hand=server.start)

            drill.follow("LoyaltySinkBehind", "Afterwards")


def test_a_warehouse_that_nobody_looks_after_calls_and_is_kept_in_order_and_verified(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    warehouse = Warehouse(pipeline)
    lake = warehouse.lake
    upkeep(lake.catalogue, lake.settings)
    old = str(round((time.time() - 27 * 3_600) * 1000))
    lake.catalogue.update_namespace_properties(
        lake.settings.namespace, updates={MAINTAINED: old, VERIFIED: old}
    )
    with watched(warehouse, tmp_path) as drill:
        drill.recover("LoyaltyWarehouseMaintenanceStale")
        drill.recover("LoyaltyWarehouseVerifyStale")


def test_rows_that_are_gone_call_and_the_tables_are_made_anew(pipeline: Pipeline, tmp_path: Path) -> None:
    warehouse = Warehouse(pipeline)
    with watched(warehouse, tmp_path) as drill:
        sink = pipeline.workers[-1]
        warehouse.lake.table("ledger").delete("member_id = 'm-1'")
        drill.run(["warehouse", "verify", "--record"], looking=True)

        drill.recover("LoyaltyWarehouseDrift")

        drill.follow("LoyaltyWarehouseDrift", "Afterwards")
        pipeline.send(history(members=4, orders=4))
        assert sink.wait(PATIENCE_S) == EXIT_FENCED
        pipeline.wait_until_caught_up()
        warehouse.sink()
        drill.run(["warehouse", "verify"])
