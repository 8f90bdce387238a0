"""Workers that hang, are slow, die again and again, or are not alone: a real Prometheus calls, and the runbook ends it.

Windows are shorter than in operation by the number that is written down with the time; thresholds are those of
operation.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from threading import Event
from typing import Any, Final

import pytest
from confluent_kafka import Consumer

from pipelines.domain.facts import Fact
from pipelines.local.endpoints import Endpoints
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.runtime.partition import partition_of
from pipelines.torture import hindered, kill_points
from schemas import catalogue
from schemas.codec import Codec
from tests.broker.histories import history
from tests.support.drill import ROOT, Drill, Operator, beside, end, scraped
from tests.support.pipeline import PATIENCE_S, Pipeline, wait_until
from tests.support.scrape import free_port

pytestmark = [pytest.mark.broker, pytest.mark.drill, pytest.mark.timeout(1_200)]

BLOCKED: Final = (hindered.LAUNCHER, hindered.Hindrance.BLOCKED, "600")
SLOW: Final = (hindered.LAUNCHER, hindered.Hindrance.SLOW_DISK, "0.6")
DYING: Final = (kill_points.LAUNCHER, kill_points.KillPoint.COMMITTED, "5")
BURN_TIMES: Final = 240
"""The ticket of a burn looks at six hours: 90 seconds here."""


def block(drill: Drill) -> None:
    """Facts come, and one of them blocks the worker."""
    drill.pipeline.send(history(members=10, orders=5))


def healthy(drill: Drill, page: str) -> None:
    """All is committed, and right."""
    drill.pipeline.wait_until_caught_up()
    drill.follow(page, "Afterwards")


def test_a_worker_that_commits_nothing_calls_and_is_started_again(pipeline: Pipeline, tmp_path: Path) -> None:
    with Drill(pipeline, tmp_path, times=BURN_TIMES, build=BLOCKED) as drill:
        block(drill)

        drill.recover(
            "LoyaltyCommitsStalled",
            "LoyaltyOutputsBurn",
            by_hand=lambda: end(drill.worker),
            corrected={"9464": str(drill.port)},
        )

        healthy(drill, "LoyaltyCommitsStalled")


def test_a_worker_that_hangs_calls_and_is_killed_and_started(pipeline: Pipeline, tmp_path: Path) -> None:
    with Drill(pipeline, tmp_path, build=BLOCKED) as drill:
        block(drill)

        drill.recover(
            "LoyaltyWorkerHangs", by_hand=lambda: kill(drill.worker), corrected={"9464": str(drill.port)}
        )

        healthy(drill, "LoyaltyWorkerHangs")


def kill(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()


@pytest.mark.parametrize(
    ("alert", "records"),
    [("LoyaltyHotPartition", 6_000), ("LoyaltyLagGrowing", 40_000)],
)
def test_thousands_wait_on_one_partition_and_a_worker_more_takes_them(
    cluster: Endpoints, codec: Codec, tmp_path: Path, alert: str, records: int
) -> None:
    second = free_port()
    with (
        Pipeline(cluster, codec, f"test-{token_hex(4)}-", tmp_path, partitions=4) as pipeline,
        Drill(pipeline, tmp_path, beside=[second], build=SLOW, commit_interval_ms=10) as drill,
    ):
        crowd = of_partition(3, 4, records)
        pipeline.send(crowd)

        drill.recover(alert, corrected={"MEMBER": crowd[0].member_id, "9465": str(second)})

        pipeline.wait_until_caught_up()
        drill.follow("LoyaltyWorkerDown", "Afterwards")


def of_partition(partition: int, partitions: int, records: int) -> list[Fact]:
    """At least so many facts of members who are all on one partition."""
    members = records * partitions // 5
    facts = history(members=members + members // 8, orders=1)
    found = [fact for fact in facts if partition_of(fact.member_id.encode(), partitions) == partition]
    assert len(found) >= records
    return found


def test_ticks_that_are_committed_late_call_and_another_machine_ends_it(
    cluster: Endpoints, codec: Codec, tmp_path: Path
) -> None:
    second = free_port()
    with (
        Pipeline(cluster, codec, f"test-{token_hex(4)}-", tmp_path, partitions=4) as pipeline,
        Drill(pipeline, tmp_path, beside=[second], times=BURN_TIMES, build=SLOW) as drill,
    ):
        drill.run(["clock"])

        drill.recover(
            "LoyaltyFreshnessBurn",
            patience_s=400,
            by_hand=lambda: end(drill.worker),
            corrected={"9464": str(drill.port), "9465": str(second)},
        )


@contextmanager
def coming_and_going(pipeline: Pipeline) -> Iterator[Event]:
    """Somebody joins the workers' group, and leaves it, again and again, until told to stop."""

    def join_and_leave(told: Event) -> None:
        while not told.is_set():
            reader = Consumer(
                {
                    "bootstrap.servers": pipeline.cluster.bootstrap_servers,
                    "group.id": pipeline.settings().group,
                    "partition.assignment.strategy": "range",
                    "enable.auto.commit": False,
                }
            )
            given: list[Any] = []
            reader.subscribe(
                [pipeline.topic(name) for name in catalogue.INPUTS],
                on_assign=lambda _, places, given=given: given.append(places),
            )
            deadline = time.monotonic() + 15
            while not given and not told.is_set() and time.monotonic() < deadline:
                reader.poll(0.2)
            reader.close()

    with beside(join_and_leave) as told:
        yield told


def test_a_group_that_never_rests_calls_and_rests_when_nobody_comes_and_goes(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    second = free_port()
    with (
        Drill(pipeline, tmp_path, beside=[second], times=10) as drill,
        coming_and_going(pipeline) as enough,
    ):
        drill.recover("LoyaltyRebalanceStorm", by_hand=enough.set, corrected={"9465": str(second)})

        pipeline.send(history(members=3, orders=2))
        healthy(drill, "LoyaltyRebalanceStorm")


@contextmanager
def supervised(drill: Drill) -> Iterator[Event]:
    """Whatever the worker ends with, it is started again, until told to stop."""

    def supervise(told: Event) -> None:
        while not told.is_set():
            if drill.worker.poll() is not None:
                drill.worker = drill.start()
            told.wait(0.2)

    with beside(supervise) as told:
        yield told


def test_a_build_that_dies_again_and_again_calls_and_is_rolled_back(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with Drill(pipeline, tmp_path, times=10, build=DYING) as drill, supervised(drill) as enough:
        drill.run(["clock"])

        def stop() -> None:
            enough.set()
            kill(drill.worker)

        drill.recover("LoyaltyWorkerRestarts", by_hand=stop, corrected={"9464": str(drill.port)})

        pipeline.send(history(members=3, orders=2))
        healthy(drill, "LoyaltyWorkerRestarts")


def test_a_worker_that_has_a_twin_leaves_and_is_started_when_the_twin_has_ended(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    port = free_port()
    worker = pipeline.start("worker-0", metrics_port=port)
    wait_until(lambda: scraped(port), "the worker has partitions")
    twin = pipeline.start("worker-0", state_dir=tmp_path / "elsewhere")
    pipeline.send(history(members=10, orders=5))
    assert worker.wait(PATIENCE_S) == EXIT_FENCED

    with Operator(pipeline) as operator:
        operator.answer("LoyaltyWorkerFenced", by_hand=lambda: end(twin), corrected={"9464": str(port)})


def test_a_worker_with_another_programme_calls_and_its_own_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    written = (ROOT / "pipelines/programmes/reference.yaml").read_text()
    other.write_text(re.sub(r"^name: reference$", "name: other", written, flags=re.MULTILINE))
    port = free_port()

    with Drill(pipeline, tmp_path, beside=[port]) as drill:
        odd = pipeline.start("worker-1", programme=other, metrics_port=port, watch_interval_ms=200)
        wait_until(lambda: scraped(port), "the second worker answers")
        drill.recover("LoyaltyBuildsDiffer", by_hand=lambda: end(odd), corrected={"9465": str(port)})
        wait_until(lambda: scraped(port), "the second worker answers")
        assert "LoyaltyBuildsDiffer" not in drill.prometheus.firing()

        pipeline.send(history(members=3, orders=2))
        healthy(drill, "LoyaltyBuildsDiffer")


def test_a_transaction_that_nobody_ends_calls_and_the_worker_that_left_it_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send(history(members=3, orders=2))
    with Drill(pipeline, tmp_path) as drill:
        pipeline.wait_until_caught_up()
        leave_a_transaction_open(pipeline, "worker-1")
        drill.recover("LoyaltyTransactionStuck", corrected={"worker-0": "worker-1"})

        drill.follow("LoyaltyTransactionStuck", "Afterwards")


LEAVING: Final = """
import os, sys
from confluent_kafka import Producer
servers, name, topic = sys.argv[1:]
writer = Producer({"bootstrap.servers": servers, "transactional.id": name, "transaction.timeout.ms": 600_000})
writer.init_transactions(30)
writer.begin_transaction()
writer.produce(topic, b"never committed", key=b"m-0", partition=0)
writer.flush(30)
os._exit(3)
"""


def leave_a_transaction_open(pipeline: Pipeline, replica: str) -> None:
    """As a worker does that dies in the middle: the broker keeps it open for ten minutes."""
    name = pipeline.settings(replica).transactional_id
    arguments = [pipeline.cluster.bootstrap_servers, name, pipeline.topic(catalogue.LEDGER)]
    died = subprocess.run([sys.executable, "-c", LEAVING, *arguments], capture_output=True, text=True)
    assert died.returncode == 3, died.stderr
