"""The warehouse where it is in operation: tables on S3, the catalogue over REST or in PostgreSQL. The same promise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipelines.warehouse import duck
from pipelines.warehouse.maintenance import maintain
from pipelines.warehouse.tables import BY_NAME
from tests.broker.histories import END, history
from tests.support.pipeline import Pipeline, wait_until
from tests.support.postgres import postgres
from tests.support.storage import BUCKET, Storage, rest_catalogue, storage
from tests.support.warehouse import Warehouse, kill
from tests.warehouse.test_analysis import verified
from tests.warehouse.test_sink import check_logs_are_whole

pytestmark = pytest.mark.broker
CATALOGUES = ("rest", "postgres")
KILLS = 3
OF_THE_FIRST = {f"m-{n}" for n in range(4)}


@pytest.fixture(scope="module")
def stored() -> Iterator[Storage]:
    with storage() as started:
        yield started


@pytest.fixture
def settings(stored: Storage, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Where the catalogue of this case is, and where its tables lie."""
    if request.param == "rest":
        with rest_catalogue(stored) as address:
            yield {"catalogue": address, **stored.settings()}
    else:
        with postgres() as server:
            address = server.url.replace("postgresql://", "postgresql+psycopg://")
            yield {"catalogue": address, "location": f"s3://{BUCKET}/sql", **stored.settings()}


@pytest.mark.parametrize("settings", CATALOGUES, indirect=True)
def test_a_sink_that_is_killed_in_the_middle_leaves_every_record_a_row_once(
    pipeline: Pipeline, settings: dict[str, str]
) -> None:
    warehouse = Warehouse(pipeline, **settings)
    chance, facts = random.Random(5), history(members=4, orders=3)
    share = len(facts) // KILLS
    for nth in range(KILLS):
        before = written(warehouse)
        sink = warehouse.start(**settings)
        pipeline.send(facts[nth * share :][: share if nth < KILLS - 1 else None])
        pipeline.run()
        wait_until(lambda before=before: written(warehouse) > before, "the sink commits")  # type: ignore[misc]
        time.sleep(chance.random() * 0.3)
        kill(sink)
    of_the_same_days = [fact for fact in history(members=8, orders=3) if fact.member_id not in OF_THE_FIRST]
    for more in ([], of_the_same_days):
        pipeline.send([*more, END])
        pipeline.run()
        warehouse.sink()

    check_logs_are_whole(warehouse)
    assert verified(warehouse).clean
    kept = maintain(warehouse.lake, BY_NAME["ledger"], timedelta(0), timedelta(0))
    assert kept.files_after < kept.files_before and kept.files_removed > 0
    assert verified(warehouse).clean
    with duck.ask(warehouse.lake) as database:
        assert database.execute("SELECT count(*) FROM fact_orders").fetchall() == [(24,)]


def written(warehouse: Warehouse) -> int:
    """How far the orders and the ledger were read, all partitions together."""
    lake = warehouse.lake
    return sum(sum(lake.offsets(BY_NAME[name]).values()) for name in ("orders", "ledger"))
