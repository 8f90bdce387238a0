"""A worker that dies at each point of a commit, on a real broker: what it leaves, and what its heir makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.failure import Failure
from pipelines.runtime.offsets import Group
from pipelines.torture.disks import held
from pipelines.torture.kill_points import LAST_WORDS, KillPoint, doomed
from tests.broker.histories import END, history
from tests.support.pipeline import Pipeline


def _killed_at(pipeline: Pipeline, point: KillPoint, passage: int) -> dict[tuple[str, int], int]:
    """Start a worker that dies there; the last offsets that its last checkpoint had processed."""
    pipeline.sender.flush()
    command = [sys.executable, "-m", "pipelines.torture.kill_points", point, str(passage), "run", "accounts"]
    command += ["--topic-prefix", pipeline.prefix, "--replica", "w0"]
    command += ["--state-dir", str(pipeline.tmp_path / "state")]
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
        "LOYALTY_WORKER_COMMIT_INTERVAL_MS": "200",
        "LOYALTY_WORKER_POLL_TIMEOUT_MS": "5",
        "LOYALTY_WORKER_PARTITION_BUFFER_MAX": "20",
    }
    log = pipeline.tmp_path / f"{point}.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(command, env=os.environ | given, stdout=out, stderr=out)
    pipeline.workers.append(worker)
    assert worker.wait(timeout=180) == -signal.SIGKILL, log.read_text()
    return _last_words(log, point)


def _last_words(log: Path, point: KillPoint) -> dict[tuple[str, int], int]:
    (said,) = [line for line in log.read_text().splitlines() if line.startswith(LAST_WORDS)]
    where, offsets = said.removeprefix(LAST_WORDS).split(" ", 1)
    assert where == point
    return {
        (name.rpartition("/")[0], int(name.rpartition("/")[2])): offset
        for name, offset in json.loads(offsets).items()
    }


def _committed(pipeline: Pipeline, processed: dict[tuple[str, int], int]) -> set[bool]:
    """Whether the group has committed what the dead worker had processed; both when it has of some."""
    group = Group(pipeline.cluster.bootstrap_servers, pipeline.settings().group)
    committed = group.committed(list(processed))
    return {(committed.get(place) or 0) > offset for place, offset in processed.items()}


@pytest.mark.broker
def test_killed_at_every_point_of_a_commit_the_ledger_and_the_state_are_those_of_an_undisturbed_run(
    pipeline: Pipeline,
) -> None:
    facts = [*history(members=40, orders=8), END]
    share = len(facts) // len(KillPoint) + 1
    for nth, point in enumerate(KillPoint):
        pipeline.send(facts[nth * share : (nth + 1) * share])

        processed = _killed_at(pipeline, point, passage=1)

        assert processed
        assert _committed(pipeline, processed) == {point.visible}, point
    heir = pipeline.start("w0")
    pipeline.wait_until_caught_up()
    heir.terminate()
    assert heir.wait(timeout=180) == 0

    undisturbed = pipeline.another()
    undisturbed.send(facts)
    undisturbed.run()
    assert pipeline.digest() == undisturbed.digest()
    assert max(Counter(pipeline.entry_ids()).values()) == 1
    assert held(pipeline.tmp_path / "state/accounts/w0", "accounts-v1") == held(
        undisturbed.tmp_path / "state", "accounts-v1"
    )


@pytest.mark.broker
def test_killed_at_the_third_passage_two_commits_have_been_made(pipeline: Pipeline) -> None:
    pipeline.send(history(members=60, orders=40))

    processed = _killed_at(pipeline, KillPoint.PROCESSED, passage=3)

    assert _committed(pipeline, processed) == {False}
    assert pipeline.entry_ids(), "what the first two committed is there"


@pytest.mark.parametrize(
    "words", [[], ["K9", "1", "run"], ["K1", "0", "run"], ["K1", "x", "run"], ["K1", "1"]]
)
def test_what_is_no_kill_point_is_refused(words: list[str]) -> None:
    with pytest.raises(Failure, match="not a kill point"):
        doomed(words)
