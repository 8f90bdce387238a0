"""Faults on a real worker, seen by a real Prometheus: the alert fires, its runbook's own commands are run, it is over.

Windows are 60 times shorter than in operation; the rules are otherwise those of `deploy/monitoring/alerts.yaml`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.domain.facts import Tick
from schemas import catalogue
from tests.broker.histories import history
from tests.operations.commands import fenced_commands, part
from tests.operations.drilled import DRILLED
from tests.support.pipeline import Pipeline, wait_until
from tests.support.prometheus import Prometheus
from tests.support.scrape import free_port, scrape

pytestmark = [pytest.mark.broker, pytest.mark.timeout(500)]

RUNBOOKS = Path(__file__).parent.parent.parent / "runbooks"
JOB = "loyalty-accounts"


class Drill:
    """A worker, a Prometheus that looks at it, and an operator who has nothing but the runbook."""

    def __init__(self, pipeline: Pipeline, tmp_path: Path) -> None:
        self.pipeline = pipeline
        self.port = free_port()
        self.worker = pipeline.start("worker-0", metrics_port=self.port, watch_interval_ms=200)
        self.prometheus = Prometheus(tmp_path / "prometheus", {JOB: self.port}, times=60)
        self._started: list[subprocess.Popen[bytes]] = []

    def follow(self, alert: str, heading: str, **corrected: str) -> None:
        """Run the runbook's commands under a heading, on this stack; a lasting one goes on beside the test.

        `corrected` says what stands for the page's example ports and files.
        """
        assert alert in DRILLED, "docs/ALERTS.md would not say that it is drilled"
        for _, *arguments in fenced_commands(f"\n{part(RUNBOOKS / f'{alert}.md', heading)}"):
            told = [corrected.get(argument, argument) for argument in arguments]
            self._run(told)

    def _run(self, arguments: list[str]) -> None:
        prefixed = ("run", "clock", "verify", "feed", "topics")
        more = ["--topic-prefix", self.pipeline.prefix] if arguments[0] in prefixed else []
        more += ["--partitions", "2"] if arguments[:2] == ["topics", "plan"] else []
        more += ["--state-dir", str(self.pipeline.tmp_path / "state")] if arguments[0] == "run" else []
        command = [sys.executable, "-m", "pipelines.cli.main", *arguments, *more]
        log = (self.pipeline.tmp_path / "operator.log").open("ab")
        started = subprocess.Popen(command, env=os.environ | self._environment, stdout=log, stderr=log)
        self._started.append(started)
        if arguments[0] not in ("run", "clock"):
            assert started.wait(timeout=120) == 0, (self.pipeline.tmp_path / "operator.log").read_text()[
                -2_000:
            ]

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.pipeline.cluster.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": self.pipeline.cluster.schema_registry_url,
            "LOYALTY_WORKER_WATCH_INTERVAL_MS": "200",
        }

    def __enter__(self) -> Drill:
        self.prometheus.__enter__()
        wait_until(lambda: scraped(self.port), "the worker answers")
        return self

    def __exit__(self, *_: object) -> None:
        self.prometheus.__exit__()
        for started in self._started:
            if started.poll() is None:
                started.kill()
            started.wait()


def scraped(port: int) -> bool:
    try:
        return scrape(port).total("loyalty_assigned_partitions") > 0
    except httpx.TransportError:
        return False


@pytest.fixture
def drill(pipeline: Pipeline, tmp_path: Path) -> Iterator[Drill]:
    with Drill(pipeline, tmp_path) as made:
        yield made


def test_a_killed_worker_calls_and_is_started_again_as_its_runbook_says(drill: Drill) -> None:
    drill.pipeline.send(history(members=3, orders=2))
    drill.pipeline.wait_until_caught_up()
    drill.worker.kill()
    drill.worker.wait()

    drill.prometheus.wait_until_fires("LoyaltyWorkerDown")
    drill.follow("LoyaltyWorkerDown", "Diagnosis")
    drill.follow("LoyaltyWorkerDown", "Mitigation", **{"9464": str(drill.port)})

    drill.prometheus.wait_until_clear("LoyaltyWorkerDown")
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

    drill.prometheus.wait_until_fires("LoyaltyDeadLetters")
    corrected = tmp_path / "corrected.jsonl"
    corrected.write_text(json.dumps(CORRECTED) + "\n")
    drill.follow("LoyaltyDeadLetters", "Diagnosis")
    drill.follow("LoyaltyDeadLetters", "Mitigation", **{"corrected.jsonl": str(corrected)})

    drill.prometheus.wait_until_clear("LoyaltyDeadLetters")
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

    drill.prometheus.wait_until_fires("LoyaltyClockStopped")
    drill.follow("LoyaltyClockStopped", "Diagnosis")
    drill.follow("LoyaltyClockStopped", "Mitigation")

    drill.prometheus.wait_until_clear("LoyaltyClockStopped")
