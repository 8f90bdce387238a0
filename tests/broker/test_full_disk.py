"""A worker whose disk becomes full while it works: it says so, and where there is room it goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

from pipelines.domain.facts import Tick
from pipelines.local import small_disk
from pipelines.local.small_disk import SmallDisk
from schemas import catalogue
from tests.broker.histories import END, history
from tests.support.history import play
from tests.support.pipeline import Pipeline
from tests.support.programmes import reference

pytestmark = pytest.mark.broker
MEMBERS: Final = 20


def test_a_disk_that_becomes_full_stops_the_worker_by_name_and_nothing_is_lost(pipeline: Pipeline) -> None:
    facts = [*history(members=MEMBERS, orders=8), END]
    half = len(facts) // 2
    pipeline.send(facts[:half])
    disk, kept = pipeline.tmp_path / "disk", pipeline.tmp_path / "state"
    disk.mkdir()
    with small_disk.made(disk) as small:
        worker = _start_inside(pipeline, small)
        pipeline.wait_until_caught_up()
        small.fill()

        pipeline.send(facts[half:])
        _, said = worker.communicate(timeout=50)
        shutil.copytree(small.seen_from_outside, kept)

    assert worker.returncode == 1, said
    assert f"error: the disk of {disk}" in said, said
    assert "do: make room" in said, said
    assert "Traceback" not in said, said
    assert (kept / "accounts" / "w0").is_dir()
    assert pipeline.lag() > 0, "it became full in the middle"
    pipeline.start()
    pipeline.wait_until_caught_up()
    told = pipeline.read(catalogue.LEDGER)
    assert max(Counter(entry["entry_id"] for entry in told).values()) == 1
    straight = [
        play([f for f in facts if isinstance(f, Tick) or f.member_id == f"m-{n}"], reference())
        for n in range(MEMBERS)
    ]
    rules = [e._asdict() for h in straight for e in h.ledger]
    assert _points_by_account(told) == _points_by_account(rules)


def _points_by_account(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """What each member has active and pending. Topics are not read in step, so that an order may come before an older
    return: the entries on the way there differ then, and where they end does not.
    """
    points: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        for account, sign in ((entry["from_account"], -1), (entry["to_account"], 1)):
            if account in ("ACTIVE", "PENDING"):
                points[entry["member_id"], str(account)] += sign * entry["points"]
    return dict(points)


def _start_inside(pipeline: Pipeline, disk: SmallDisk) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.cli.main", "run", "accounts", "--replica", "w0"]
    command += ["--topic-prefix", pipeline.prefix, "--state-dir", str(disk.path)]
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
        "LOYALTY_WORKER_COMMIT_INTERVAL_MS": "100",
        "LOYALTY_WORKER_WRITE_BUFFER_BYTES": str(1 << 20),
        "LOYALTY_WORKER_PARTITION_BUFFER_MAX": "20",
        "LOYALTY_WORKER_STATE_FREE_BYTES_MIN": "0",
    }
    return subprocess.Popen(
        [*disk.inside, *command],
        env=os.environ | given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
