"""A warehouse of a test's own, and what must be true of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.runtime.topic_admin import connect
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.settings import WarehouseSettings, warehouse_settings
from pipelines.warehouse.sink import SinkSummary, run_sink
from tests.support.pipeline import Pipeline

Row = dict[str, Any]


class Warehouse:
    """The embedded warehouse beside a test's pipeline."""

    def __init__(self, pipeline: Pipeline, name: str = "warehouse", **given: Any) -> None:
        self.pipeline = pipeline
        self.home = pipeline.tmp_path / name
        self.settings: WarehouseSettings = warehouse_settings(self.home, **given)

    def sink(self, target: Callable[[WarehouseSettings], Any] = Lake) -> SinkSummary:
        """Run a sink here until everything committed is written."""
        self.pipeline.sender.flush()
        cluster = self.pipeline.cluster
        return run_sink(
            self.settings,
            target,
            cluster.bootstrap_servers,
            cluster.schema_registry_url,
            self.pipeline.prefix,
            until_caught_up=True,
        )

    def start(
        self, processor: str = "warehouse", metrics_port: int | None = None, **environment: object
    ) -> subprocess.Popen[bytes]:
        """Start a sink as a process of its own."""
        cluster = self.pipeline.cluster
        told = {f"LOYALTY_WAREHOUSE_{name.upper()}": str(value) for name, value in environment.items()}
        given = {
            "KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": cluster.schema_registry_url,
            "LOYALTY_WAREHOUSE_HOME": str(self.home),
            "LOYALTY_WAREHOUSE_COMMIT_INTERVAL_MS": "100",
            "LOYALTY_WAREHOUSE_CURRENT_INTERVAL_MS": "100",
        }
        command = [sys.executable, "-m", "pipelines.cli.main", "run", processor]
        command += ["--topic-prefix", self.pipeline.prefix]
        command += [] if metrics_port is None else ["--metrics-port", str(metrics_port)]
        log = (self.pipeline.tmp_path / f"{processor}.log").open("ab")
        worker = subprocess.Popen(command, env=os.environ | given | told, stdout=log, stderr=log)
        self.pipeline.workers.append(worker)
        return worker

    @property
    def lake(self) -> Lake:
        return Lake(self.settings)

    def rows(self, table: str) -> list[Row]:
        """All rows of a table, instants as milliseconds, in the order of the topic."""
        found: list[Row] = self.lake.table(table).scan().to_arrow().to_pylist()
        return sorted(found, key=lambda row: (row["source_partition"], row["source_offset"]))

    def topics(self) -> Any:
        return connect(self.pipeline.cluster.bootstrap_servers)


def kill(worker: subprocess.Popen[bytes]) -> None:
    """SIGKILL, in the middle of whatever it does."""
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
