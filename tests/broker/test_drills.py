"""Faults that take longer to show, and procedures: each brought about, and ended by the page's own commands.

`make drills` runs them with those of `test_runbooks.py` and writes down how long each recovery took; CI runs the
latter only. Windows are shorter than in operation by the number that is written down with the time.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from pipelines.audit.digest import ledger_digest
from pipelines.audit.reading import Topics
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import topic_of
from tests.broker.histories import history
from tests.support.drill import ROOT, Drill, Operator, scraped
from tests.support.pipeline import Pipeline, wait_until
from tests.support.scrape import free_port

pytestmark = [pytest.mark.broker, pytest.mark.drill, pytest.mark.timeout(600)]


@contextmanager
def textfiles(folder: Path) -> Iterator[int]:
    """Serves what a node exporter's textfile collector would: the file `metrics` of a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_verification_that_is_a_day_old_calls_and_one_that_is_run_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send(history(members=3, orders=2))
    told = tmp_path / "textfiles" / "metrics"
    told.parent.mkdir()
    old = time.time() - 27 * 3_600
    told.write_text(f"loyalty_verify_differences 0\nloyalty_verify_time_seconds {old}\n")

    with (
        textfiles(told.parent) as port,
        Drill(pipeline, tmp_path, others={"node": port}) as drill,
    ):
        pipeline.wait_until_caught_up()
        drill.recover("LoyaltyVerifyStale", **{"loyalty_verify.prom": str(told)})

        drill.follow("LoyaltyLedgerDrift", "Afterwards")


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
        drill.recover("LoyaltyBuildsDiffer", by_hand=lambda: end(odd), **{"9465": str(port)})
        wait_until(lambda: scraped(port), "the second worker answers")
        assert "LoyaltyBuildsDiffer" not in drill.prometheus.firing()

        pipeline.send(history(members=3, orders=2))
        pipeline.wait_until_caught_up()
        drill.follow("LoyaltyBuildsDiffer", "Afterwards")


def end(worker: subprocess.Popen[bytes]) -> None:
    """SIGTERM: it commits and leaves."""
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=60)


def test_a_transaction_that_nobody_ends_calls_and_the_worker_that_left_it_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send(history(members=3, orders=2))
    with Drill(pipeline, tmp_path) as drill:
        pipeline.wait_until_caught_up()
        leave_a_transaction_open(pipeline, "worker-1")
        drill.recover("LoyaltyTransactionStuck", **{"worker-0": "worker-1"})

        drill.follow("LoyaltyTransactionStuck", "Afterwards")


DYING = """
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
    died = subprocess.run([sys.executable, "-c", DYING, *arguments], capture_output=True, text=True)
    assert died.returncode == 3, died.stderr


FACTS = history(members=4, orders=3)


@pytest.fixture
def operator(pipeline: Pipeline) -> Iterator[Operator]:
    with Operator(pipeline) as made:
        yield made


def test_state_that_is_lost_is_restored_as_the_procedure_says(pipeline: Pipeline, operator: Operator) -> None:
    port = free_port()
    worker = pipeline.start("worker-0")
    pipeline.send(FACTS[: len(FACTS) // 2])
    pipeline.wait_until_caught_up()
    end(worker)
    shutil.rmtree(pipeline.tmp_path / "state/accounts/worker-0")

    operator.follow("procedures", "Restore state", **{"9464": str(port)})

    wait_until(lambda: scraped(port), "the worker answers")
    pipeline.send(FACTS[len(FACTS) // 2 :])
    pipeline.wait_until_caught_up()
    operator.follow("LoyaltyWorkerDown", "Afterwards")


def test_all_workers_are_gone_and_the_topics_bring_them_back(pipeline: Pipeline, operator: Operator) -> None:
    pipeline.send(FACTS)
    pipeline.run(replica="worker-7")
    shutil.rmtree(pipeline.tmp_path / "state")

    operator.follow("procedures", "Disaster recovery from topics alone", block=0)

    pipeline.send(history(members=4, orders=4))
    pipeline.wait_until_caught_up()
    operator.follow("LoyaltyWorkerDown", "Afterwards")


def test_only_the_inputs_are_left_and_the_same_ledger_comes_out(
    pipeline: Pipeline, operator: Operator
) -> None:
    pipeline.send(FACTS)
    pipeline.run()
    before = pipeline.digest()
    shutil.rmtree(pipeline.tmp_path / "state")
    forget_all_but_inputs(pipeline)

    operator.follow("procedures", "Disaster recovery from topics alone", block=1)

    assert pipeline.digest() == before
    assert before[0] > 0


def forget_all_but_inputs(pipeline: Pipeline) -> None:
    """Delete the group, and every topic of the pipeline but those of facts and the clock."""
    kept = {pipeline.topic(name) for name in (*catalogue.FACTS, catalogue.CLOCK)}
    gone = [name for name in pipeline.topics() if pipeline.prefix in name and name not in kept]
    admin = AdminClient({"bootstrap.servers": pipeline.cluster.bootstrap_servers})
    wait_until(lambda: deleted(admin, pipeline.settings().group), "the group is deleted")
    for future in admin.delete_topics(gone).values():
        future.result(30)
    wait_until(lambda: not pipeline.topics() & set(gone), "the topics are deleted")


def deleted(admin: AdminClient, group: str) -> bool:
    """Whether the broker has deleted the group: not while a member may still be there."""
    return all(f.exception(30) is None for f in admin.delete_consumer_groups([group]).values())


@pytest.mark.parametrize(("heading", "prefix"), [("Replay", "replay-"), ("More partitions", "wide-")])
def test_a_pipeline_beside_tells_the_same_ledger(
    pipeline: Pipeline, operator: Operator, heading: str, prefix: str
) -> None:
    pipeline.send(FACTS)
    pipeline.run()

    operator.follow("procedures", heading, block=0)
    for fact in FACTS:
        where, value = prefixed(prefix, topic_of(fact)), pipeline.codec.encode(fact)
        pipeline.sender.send(
            where, value, key=fact.member_id.encode(), timestamp=fact.recorded_at_ms, headers=[]
        )
    pipeline.sender.flush()

    operator.follow("procedures", heading, block=1)

    assert ledger(pipeline, prefix) == pipeline.digest()
    assert pipeline.digest()[0] > 0


def ledger(pipeline: Pipeline, prefix: str) -> tuple[int, str]:
    topics = Topics(pipeline.cluster.bootstrap_servers)
    return ledger_digest(topics, prefixed(prefix, catalogue.LEDGER))
