"""The liability worker on a real broker: what it tells is what the warehouse says, whatever happens to it."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares, with_ticks
from pipelines.processors.liability import EPOCH
from pipelines.runtime.partition import partition_of
from pipelines.warehouse import duck
from pipelines.warehouse.verification import verify
from schemas import catalogue
from tests.broker.test_triggers import REFERENCE, killed_twice
from tests.support.facts import DAY_MS, ms
from tests.support.pipeline import PARTITIONS, Pipeline
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.broker
MOVEMENTS = ("issued", "redeemed", "expired", "clawed_back", "adjusted", "erased", "repaid", "other")
FIGURES = (
    "market",
    "day",
    "opening",
    *MOVEMENTS,
    "closing",
    "debt_closing",
    "breakage_bp",
    "breakage_points",
)


def lived(pipeline: Pipeline) -> None:
    """Sixty members' year in five markets, and what expires behind it."""
    arrivals = simulate.facts(5, 60, 365, ms("2025-01-01T00:00:00Z"))
    pipeline.send([arrival.fact for arrival in with_ticks(arrivals, 30 * DAY_MS, 200 * DAY_MS)])
    pipeline.run(REFERENCE)


def told(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """Each day as last told. Every record closes and opens with what the day before it, as told until then, closed
    with: so they do at every commit."""
    days: dict[tuple[str, int], dict[str, Any]] = {}
    for record, day in zip(
        pipeline.records(catalogue.LIABILITY), pipeline.read(catalogue.LIABILITY), strict=True
    ):
        assert record.partition == partition_of(day["market"].encode(), PARTITIONS)
        assert record.timestamp_ms == day["recorded_at"]
        before = [at for at in days if at[0] == day["market"] and at[1] < day["day"]]
        assert day["opening"] == (days[max(before)]["closing"] if before else 0)
        assert day["opening"] + sum(day[name] for name in MOVEMENTS) == day["closing"]
        days[day["market"], day["day"]] = day
    return [tuple(day[name] for name in FIGURES) for _, day in sorted(days.items())]


def said(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """What the warehouse says, from the same ledger."""
    warehouse.sink()
    with duck.ask(warehouse.lake) as database:
        found = database.execute(
            f"SELECT {', '.join(FIGURES)} FROM liability ORDER BY market, day"
        ).fetchall()
    return [(market, (day - EPOCH).days, *figures) for market, day, *figures in found]


def checked(warehouse: Warehouse) -> dict[str, tuple[int, int]]:
    """Of each check of `loyalty warehouse verify`: how much it looked at, and how much of it is wrong."""
    cluster = warehouse.pipeline.cluster
    topics, schemas = Topics(cluster.bootstrap_servers), RegistrySchemas(cluster.schema_registry_url)
    verdict = verify(warehouse.lake, topics, schemas, warehouse.pipeline.prefix)
    return {one.check: (one.looked_at, one.wrong) for one in verdict.checks}


def test_kill_9_in_the_middle_changes_nothing_and_the_warehouse_says_the_same(pipeline: Pipeline) -> None:
    lived(pipeline)
    killed_twice(pipeline, "liability")

    figures = told(pipeline)
    warehouse = Warehouse(pipeline)
    assert figures == said(warehouse)
    assert checked(warehouse)["liability-topic"] == (len(figures), 0)
    assert len({market for market, *_ in figures}) == 5
    assert len(figures) > 500


def test_what_comes_late_is_told_as_a_correction_and_a_second_worker_goes_on(pipeline: Pipeline) -> None:
    spoilt = Shares(late=0.4)
    arrivals = [a.fact for a in simulate.facts(3, 20, 120, ms("2025-01-01T00:00:00Z"), spoilt)]
    half, then = len(arrivals) // 2, []
    for replica, facts in (("l0", arrivals[:half]), ("l1", arrivals[half:])):
        pipeline.send(facts)
        pipeline.run(REFERENCE)
        pipeline.run(REFERENCE, replica, processor="liability")
        then.append({tuple(day[:2]): day for day in told(pipeline)})

    first, second = then
    assert list(second.values()) == said(Warehouse(pipeline))
    assert any(first[at] != second[at] for at in first), "nothing came late"


def test_the_store_and_its_changelog_keep_their_names(pipeline: Pipeline) -> None:
    pipeline.run(REFERENCE, "l0", processor="liability")

    found = [p.name for p in (pipeline.tmp_path / "state/l0").rglob("liability-v1")]
    assert found, "the store is no longer called liability-v1: all would be counted again"
    changelog = f"changelog__{pipeline.prefix}loyalty-liability-v1--liability-v1--default"
    assert changelog in pipeline.topics()
