"""Workers that are hindered from inside, on a real broker: who blocks too long leaves, who has a slow disk goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from pipelines.failure import Failure
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.torture.hindered import BLOCKED_AT, SAID, Hindrance, hindered
from tests.broker.histories import END, history
from tests.support.pipeline import Pipeline

MEMBERS = 40


def start(pipeline: Pipeline, *words: str, **more: int) -> subprocess.Popen[bytes]:
    pipeline.sender.flush()
    command = [sys.executable, "-m", "pipelines.torture.hindered", *words, "run", "accounts"]
    command += ["--topic-prefix", pipeline.prefix, "--replica", "w0"]
    command += ["--state-dir", str(pipeline.tmp_path / "state")]
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
        "LOYALTY_WORKER_COMMIT_INTERVAL_MS": "100",
    } | {f"LOYALTY_WORKER_{name.upper()}": str(value) for name, value in more.items()}
    with (pipeline.tmp_path / "w0.log").open("ab") as out:
        worker = subprocess.Popen(command, env=os.environ | given, stdout=out, stderr=out)
    pipeline.workers.append(worker)
    return worker


def nothing_lost_or_doubled(pipeline: Pipeline, facts: Sequence[object]) -> bool:
    undisturbed = pipeline.another()
    undisturbed.send(facts)
    undisturbed.run()
    assert max(Counter(pipeline.entry_ids()).values()) == 1
    return pipeline.digest() == undisturbed.digest()


@pytest.mark.broker
def test_a_worker_that_blocks_beyond_its_poll_interval_leaves_and_commits_nothing_of_it(
    pipeline: Pipeline,
) -> None:
    facts = [*history(members=MEMBERS, orders=8), END]
    assert len(facts) > BLOCKED_AT
    pipeline.send(facts)
    times = {"session_timeout_ms": 6_000, "max_poll_interval_ms": 6_000, "transaction_timeout_ms": 30_000}
    worker = start(pipeline, Hindrance.BLOCKED, "8", **times)

    assert worker.wait(timeout=120) == EXIT_FENCED

    assert SAID in (pipeline.tmp_path / "w0.log").read_text()
    pipeline.start()
    pipeline.wait_until_caught_up()
    assert nothing_lost_or_doubled(pipeline, facts)


@pytest.mark.broker
def test_a_worker_on_a_slow_disk_goes_on(pipeline: Pipeline) -> None:
    facts = [*history(members=MEMBERS, orders=8), END]
    pipeline.send(facts)
    worker = start(pipeline, Hindrance.SLOW_DISK, "0.3", session_timeout_ms=6_000)

    pipeline.wait_until_caught_up()

    assert worker.poll() is None
    assert nothing_lost_or_doubled(pipeline, facts)


@pytest.mark.parametrize(
    "words", ["", "SLOW-DISK", "SLOW-DISK 1", "SLOW-DISK 0 run", "SLOW-DISK x run", "X 1 run"]
)
def test_what_is_no_hindrance_is_refused(words: str) -> None:
    with pytest.raises(Failure, match="not a hindrance"):
        hindered(words.split())


def test_a_hindrance_is_followed_by_the_command_that_it_hinders() -> None:
    assert hindered(["BLOCKED", "1.5", "run", "accounts"]) == (Hindrance.BLOCKED, 1.5, ["run", "accounts"])
