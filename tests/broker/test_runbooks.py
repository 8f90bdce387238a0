"""Faults on a real worker, seen by a real Prometheus: the alert fires, its runbook's own commands are run, it is over.

Windows are 60 times shorter than in operation; the rules are otherwise those of `deploy/monitoring/alerts.yaml`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.domain.facts import Tick
from schemas import catalogue
from tests.broker.histories import history
from tests.support.drill import Drill
from tests.support.pipeline import Pipeline, wait_until
from tests.support.scrape import scrape

pytestmark = [pytest.mark.broker, pytest.mark.timeout(500)]


@pytest.fixture
def drill(pipeline: Pipeline, tmp_path: Path) -> Iterator[Drill]:
    with Drill(pipeline, tmp_path) as made:
        yield made


def test_a_killed_worker_calls_and_is_started_again_as_its_runbook_says(drill: Drill) -> None:
    drill.pipeline.send(history(members=3, orders=2))
    drill.pipeline.wait_until_caught_up()
    drill.worker.kill()
    drill.worker.wait()

    drill.recover("LoyaltyWorkerDown", corrected={"9464": str(drill.port)})

    drill.pipeline.send(history(members=3, orders=3))
    drill.pipeline.wait_until_caught_up()
    drill.follow("LoyaltyWorkerDown", "Afterwards")


def test_poison_pills_call_and_corrected_facts_end_it(drill: Drill, tmp_path: Path) -> None:
    facts = history(members=3, orders=2)
    drill.pipeline.send(facts)
    drill.pipeline.wait_until_caught_up()
    wait_until(lambda: scrape(drill.port).total("loyalty_facts_total") > 0, "facts are told")
    time.sleep(2)
    for _ in range(30):
        drill.pipeline.send_bytes(catalogue.ORDERS, b"m-1", b"poison", facts[-1].recorded_at_ms)
    drill.pipeline.sender.flush()

    corrected = tmp_path / "corrected.jsonl"
    corrected.write_text(json.dumps(CORRECTED) + "\n")
    drill.recover("LoyaltyDeadLetters", corrected={"corrected.jsonl": str(corrected)})

    drill.pipeline.wait_until_caught_up()
    drill.follow("LoyaltyDeadLetters", "Afterwards")


CORRECTED = {
    "member": {
        "event_id": "e-m-7@1",
        "member_id": "m-7",
        "version": 1,
        "occurred_at": "2026-02-01T00:00:00Z",
        "recorded_at": "2026-02-01T00:00:00Z",
        "enrolled_at": "2026-02-01T00:00:00Z",
        "market": "CH",
        "zone": "Europe/Zurich",
    }
}


def test_a_clock_that_stopped_calls_and_is_started_as_its_runbook_says(drill: Drill) -> None:
    drill.pipeline.send([*history(members=2, orders=1), Tick(time.time_ns() // 1_000_000 - 300_000)])
    drill.pipeline.wait_until_caught_up()

    drill.recover("LoyaltyClockStopped")
