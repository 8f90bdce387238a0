"""A fault on a real worker, a real Prometheus that sees it, and an operator who has nothing but the runbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from tests.operations.commands import fenced_blocks, fenced_commands, part
from tests.operations.drilled import DRILLED
from tests.support.pipeline import Pipeline, wait_until
from tests.support.prometheus import Prometheus
from tests.support.scrape import free_port, scrape

ROOT: Final = Path(__file__).parent.parent.parent
RUNBOOKS: Final = ROOT / "runbooks"
JOB: Final = "loyalty-accounts"
PREFIXED: Final = frozenset({"run", "clock", "verify", "feed", "topics"})
LASTING: Final = frozenset({"run", "clock"})


class Operator:
    """Runs a page's commands as they stand, on a test's stack.

    A command that goes on (a worker, the clock) does so beside the test, and ends with it.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
            "LOYALTY_WORKER_WATCH_INTERVAL_MS": "200",
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self._log = pipeline.tmp_path / "operator.log"

    def __exit__(self, *_: object) -> None:
        for started in self._started:
            if started.poll() is None:
                started.kill()
            started.wait()

    def __enter__(self) -> Operator:
        return self

    def follow(self, page: str, heading: str, block: int | None = None, **corrected: str) -> None:
        """Run the commands under a heading, or of one of its blocks; `corrected` says what stands for the
        page's example names."""
        text = f"\n{part(RUNBOOKS / f'{page}.md', heading)}"
        commands = fenced_commands(text) if block is None else fenced_blocks(text)[block]
        assert commands, f"{page}: nothing to run under {heading}"
        for _, *arguments in commands:
            self._run([corrected.get(argument, argument) for argument in arguments])

    def _run(self, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "pipelines.cli.main", *arguments, *self._placed(arguments)]
        with self._log.open("ab") as log:
            started = subprocess.Popen(command, env=self._told(), stdout=log, stderr=log)
        self._started.append(started)
        if arguments[0] not in LASTING or "--until-caught-up" in arguments:
            answers = (0, 1) if arguments[0] == "status" else (0,)
            assert started.wait(timeout=120) in answers, f"{arguments}: {self._log.read_text()[-2_000:]}"

    def _told(self) -> dict[str, str]:
        told = {name: value for name, value in os.environ.items() if name not in self.environment}
        return told | {name: value for name, value in self.environment.items() if value}

    def _placed(self, arguments: list[str]) -> list[str]:
        more: list[str] = []
        if arguments[0] in PREFIXED and "--topic-prefix" not in arguments:
            more += ["--topic-prefix", self.pipeline.prefix]
        if arguments[0] == "topics" and "--partitions" not in arguments:
            more += ["--partitions", "2"]
        if arguments[0] == "run":
            more += ["--state-dir", str(self.pipeline.tmp_path / "state")]
        return more


class Drill(Operator):
    """An operator with a worker, and a Prometheus whose windows are so many times shorter than in operation.

    `beside` are ports of a second worker that the test starts later, `others` of other jobs.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        tmp_path: Path,
        beside: Sequence[int] = (),
        others: Mapping[str, int] | None = None,
        times: int = 60,
    ) -> None:
        super().__init__(pipeline)
        self.port, self._times = free_port(), times
        self.worker = pipeline.start("worker-0", metrics_port=self.port, watch_interval_ms=200)
        targets = {JOB: [self.port, *beside]} | {job: [port] for job, port in (others or {}).items()}
        self.prometheus = Prometheus(tmp_path / "prometheus", targets, times)

    def __enter__(self) -> Drill:
        self.prometheus.__enter__()
        wait_until(lambda: scraped(self.port), "the worker answers", 120)
        return self

    def __exit__(self, *_: object) -> None:
        self.prometheus.__exit__()
        super().__exit__()

    def recover(
        self,
        alert: str,
        patience_s: float = 180,
        by_hand: Callable[[], object] = lambda: None,
        **corrected: str,
    ) -> None:
        """Wait until it fires, follow its runbook until it is over, and write down how long that took.

        `by_hand` is what the page says in words, before its mitigation's commands.
        """
        assert alert in DRILLED, "docs/ALERTS.md would not say that it is drilled"
        self.prometheus.wait_until_fires(alert, patience_s)
        called = time.monotonic()
        self.follow(alert, "Diagnosis", **corrected)
        by_hand()
        self.follow(alert, "Mitigation", **corrected)
        self.prometheus.wait_until_clear(alert, patience_s)
        record(alert, time.monotonic() - called, self._times)


def record(alert: str, recovered_s: float, times: int) -> None:
    """Keep a drill's figure for docs/ALERTS.md, when LOYALTY_DRILLS says where."""
    if where := os.environ.get("LOYALTY_DRILLS"):
        path = Path(where)
        drills = json.loads(path.read_text()) if path.exists() else {}
        drills[alert] = {
            "on": time.strftime("%Y-%m-%d", time.gmtime()),
            "recovered_s": round(recovered_s, 1),
            "times": times,
        }
        path.write_text(json.dumps(drills, indent=2, sort_keys=True) + "\n")


def scraped(port: int) -> bool:
    """A worker answers, and has partitions."""
    try:
        return scrape(port).total("loyalty_assigned_partitions") > 0
    except httpx.TransportError:
        return False
