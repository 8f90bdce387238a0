"""A short torture run: three real brokers, the most important faults, and an oracle that finds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.broker

FAULTS = "kill,pause-beyond-session,sst-damaged,broker-killed,bad-facts"
SEED = "20"


def torture(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    outside = {
        n: v for n, v in os.environ.items() if n not in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")
    }
    command = [sys.executable, "-m", "pipelines.cli.main", "torture", "--seed", SEED, *words]
    given = outside | {"LOYALTY_HOME": str(home)}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=500)


def test_faults_of_every_family_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    done = torture(tmp_path, "--minutes", "1.5", "--only", FAULTS, "--json")

    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["clean"] and told["faults"] >= 2
    assert told["figures"]["facts acknowledged"] > 1_000
    assert {verdict["oracle"] for verdict in told["verdicts"]} >= {"O1", "O2", "O3", "O4", "O5", "O7", "O8"}
    assert all(verdict["looked_at"] for verdict in told["verdicts"] if verdict["oracle"] in ("O2", "O5"))
    assert not [p.pid for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info["cmdline"])]


def test_a_cluster_that_is_somebody_elses_is_not_tortured(tmp_path: Path) -> None:
    given = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SCHEMA_REGISTRY_URL": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-m", "pipelines.cli.main", "torture", "--minutes", "1"]

    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 1
    assert "a torture run kills brokers" in done.stderr
