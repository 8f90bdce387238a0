"""A fault on a real worker, a real Prometheus that sees it, and an operator who has nothing but the runbook."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import MappingProxyType
from typing import Any, Final

import httpx
import pytest

from pipelines.failure import Failure
from pipelines.local import stack
from pipelines.local.endpoints import HOME_VARIABLE, KAFKA_VARIABLE, REGISTRY_VARIABLE, Endpoints
from pipelines.runtime.topic_admin import connect
from schemas import catalogue
from schemas.codec import Codec
from schemas.registry import connect as connect_registry
from tests.operations.commands import fenced_blocks, fenced_commands, part
from tests.operations.drilled import FAULTS
from tests.support.pipeline import THIS_BUILD, Pipeline, wait_until
from tests.support.prometheus import Prometheus
from tests.support.scrape import free_port, scrape

ROOT: Final = Path(__file__).parent.parent.parent
RUNBOOKS: Final = ROOT / "runbooks"
REFERENCE: Final = (ROOT / "pipelines/programmes/reference.yaml").read_text()
JOB: Final = "loyalty-accounts"
COMMAND_S: Final = 300
PREFIXED: Final = frozenset(
    {"run", "clock", "verify", "feed", "topics", "member", "explain", "erase", "dead-letters", "warehouse"}
)
LASTING: Final = frozenset({"run", "clock"})
AS_IT_STANDS: Final[Mapping[str, str]] = MappingProxyType({})
LOOKS: Final = frozenset({"status", "topics", "verify", "schemas", "warehouse"})
"""What a diagnosis asks, and what may answer that something is wrong."""


@contextmanager
def beside(work: Callable[[Event], None]) -> Iterator[Event]:
    """Work in a thread of its own, until it is told to stop or the context ends."""
    told = Event()
    working = Thread(target=work, args=(told,), daemon=True)
    working.start()
    try:
        yield told
    finally:
        told.set()
        working.join(timeout=30)


class Operator:
    """Runs a page's commands as they stand, on a test's stack.

    A command that goes on (a worker, the clock) does so beside the test, and ends with it. `home` is that of a stack
    of the operator's own, who then knows it as everybody on its machine does. `inside` and `state_dir` are where
    workers are started.
    """

    inside: Sequence[str] = ()
    state_dir: Path | None = None

    def __init__(self, pipeline: Pipeline, home: Path | None = None) -> None:
        self.pipeline = pipeline
        where = {
            KAFKA_VARIABLE: pipeline.cluster.bootstrap_servers,
            REGISTRY_VARIABLE: pipeline.cluster.schema_registry_url,
        }
        if home is not None:
            where = {KAFKA_VARIABLE: "", REGISTRY_VARIABLE: "", HOME_VARIABLE: str(home)}
        self.environment = where | {"LOYALTY_WORKER_WATCH_INTERVAL_MS": "200"}
        self.started: list[subprocess.Popen[bytes]] = []
        self._log = pipeline.tmp_path / "operator.log"

    def __exit__(self, *_: object) -> None:
        for started in self.started:
            if started.poll() is None:
                started.kill()
            started.wait()

    def __enter__(self) -> Operator:
        return self

    def follow(
        self,
        page: str,
        heading: str,
        block: int | None = None,
        looking: bool = False,
        corrected: Mapping[str, str] = AS_IT_STANDS,
    ) -> None:
        """Run the commands under a heading, or of one of its blocks; `corrected` says what stands for the page's
        example names. Who is `looking` may find something wrong, as in every diagnosis."""
        commands = commands_of(page, heading, block)
        assert commands, f"{page}: nothing to run under {heading}"
        for _, *arguments in commands:
            self.run([corrected.get(argument, argument) for argument in arguments], looking)

    def carry_out(
        self,
        heading: str,
        block: int | None = None,
        corrected: Mapping[str, str] = AS_IT_STANDS,
        until: Callable[[], bool] = lambda: True,
    ) -> None:
        """Follow a procedure, and write down how long it took until what it is for holds."""
        began = time.monotonic()
        self.follow("procedures", heading, block, corrected=corrected)
        wait_until(until, f"{heading} is done")
        record(heading, time.monotonic() - began)

    def answer(
        self,
        refusal: str,
        by_hand: Callable[[], object] = lambda: None,
        corrected: Mapping[str, str] = AS_IT_STANDS,
    ) -> None:
        """Follow the page that a worker's refusal names until all is committed, and write down how long that took."""
        began = time.monotonic()
        self.follow(refusal, "Diagnosis", looking=True, corrected=corrected)
        by_hand()
        self.follow(refusal, "Mitigation", corrected=corrected)
        self.pipeline.wait_until_caught_up()
        record(refusal, time.monotonic() - began)
        self.follow(refusal, "Afterwards", corrected=corrected)

    def run(self, arguments: list[str], looking: bool = False) -> None:
        """Run a command to its end, unless it is one that lasts. One that looks may find something wrong."""
        inside = self.inside if arguments[0] == "run" else ()
        command = [*inside, sys.executable, "-m", *THIS_BUILD, *arguments, *self._placed(arguments)]
        with self._log.open("ab") as log:
            started = subprocess.Popen(command, env=self._told(), stdout=log, stderr=log)
        self.started.append(started)
        if arguments[0] not in LASTING or "--until-caught-up" in arguments:
            asks = arguments[0] == "status" or (looking and arguments[0] in LOOKS)
            answers = (0, 1) if asks else (0,)
            assert started.wait(timeout=COMMAND_S) in answers, (
                f"{arguments}: {self._log.read_text()[-2_000:]}"
            )

    def _told(self) -> dict[str, str]:
        told = {name: value for name, value in os.environ.items() if name not in self.environment}
        return told | {name: value for name, value in self.environment.items() if value}

    def _placed(self, arguments: list[str]) -> list[str]:
        more: list[str] = []
        if arguments[0] in PREFIXED and "--topic-prefix" not in arguments:
            more += ["--topic-prefix", self.pipeline.prefix]
        if arguments[0] == "topics" and "--partitions" not in arguments:
            more += ["--partitions", str(self.pipeline.partitions)]
        if arguments[0] == "run":
            more += ["--state-dir", str(self.state_dir or self.pipeline.tmp_path / "state")]
        return more


def commands_of(page: str, heading: str, block: int | None = None) -> list[list[str]]:
    """The commands under a heading of a page, or of one of its blocks."""
    text = f"\n{part(RUNBOOKS / f'{page}.md', heading)}"
    return fenced_commands(text) if block is None else fenced_blocks(text)[block]


class Drill(Operator):
    """An operator with a worker, and a Prometheus whose windows are so many times shorter than in operation.

    `beside` are ports of workers that are started later, `others` of other jobs; `lower` says what stands for a
    threshold here. The worker is of `build`, stands where `inside` puts it, and has the settings given.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        tmp_path: Path,
        beside: Sequence[int] = (),
        others: Mapping[str, int] | None = None,
        times: int = 60,
        home: Path | None = None,
        lower: Mapping[int, int] = MappingProxyType({}),
        **worker: Any,
    ) -> None:
        super().__init__(pipeline, home)
        self.port, self._times = free_port(), times
        self._worker: dict[str, Any] = {
            "build": THIS_BUILD,
            "metrics_port": self.port,
            "watch_interval_ms": 200,
        } | worker
        self.worker = self.start()
        targets = {JOB: [self.port, *beside]} | {job: [port] for job, port in (others or {}).items()}
        self.prometheus = Prometheus(tmp_path / "prometheus", targets, times, lower)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the worker, once more when it has ended."""
        return self.pipeline.start("worker-0", **self._worker)

    def __enter__(self) -> Drill:
        self.prometheus.__enter__()
        wait_until(lambda: scraped(self.port), "the worker answers")
        wait_until(lambda: self.prometheus.scrapes(JOB), "Prometheus sees it")
        return self

    def __exit__(self, *_: object) -> None:
        self.prometheus.__exit__()
        super().__exit__()

    def recover(
        self,
        *alerts: str,
        patience_s: float = 400,
        by_hand: Callable[[], object] = lambda: None,
        corrected: Mapping[str, str] = AS_IT_STANDS,
    ) -> None:
        """Wait until they fire, follow their runbooks until they are over, and write down how long that took.

        `by_hand` is what the pages say in words, before their mitigations' commands. Of several alerts that one fault
        causes, the first is the one whose runbook must have commands; the others may send there.
        """
        assert FAULTS.keys() >= set(alerts), "docs/ALERTS.md would not say that they are drilled"
        called = {}
        for alert in alerts:
            self.prometheus.wait_until_fires(alert, patience_s)
            called[alert] = time.monotonic()
            self.follow(alert, "Diagnosis", looking=True, corrected=corrected)
        by_hand()
        self.follow(alerts[0], "Mitigation", corrected=corrected)
        for alert in alerts:
            self.prometheus.wait_until_clear(alert, patience_s)
            record(alert, time.monotonic() - called[alert], self._times)


def record(name: str, recovered_s: float, times: int = 1) -> None:
    """Keep a drill's figure for docs/ALERTS.md, when LOYALTY_DRILLS says where."""
    assert name in FAULTS, f"{name}: docs/ALERTS.md would not say that it is drilled"
    if where := os.environ.get("LOYALTY_DRILLS"):
        with Path(where).open("a+") as kept:
            fcntl.flock(kept, fcntl.LOCK_EX)  # two drills may end at once
            kept.seek(0)
            drills = json.loads(kept.read() or "{}")
            drills[name] = {
                "on": time.strftime("%Y-%m-%d", time.gmtime()),
                "recovered_s": round(recovered_s, 1),
                "times": times,
            }
            kept.truncate(0)
            kept.write(json.dumps(drills, indent=2, sort_keys=True) + "\n")


def scraped(port: int) -> bool:
    """A worker answers, and has partitions."""
    try:
        return scrape(port).total("loyalty_assigned_partitions") > 0
    except httpx.TransportError:
        return False


def reference_with(folder: Path, words: str, others: str) -> Path:
    """The reference programme with these words in the place of its own."""
    assert words in REFERENCE, words
    written = folder / "programme.yaml"
    written.write_text(REFERENCE.replace(words, others))
    return written


def forget_group(pipeline: Pipeline) -> None:
    """Delete the group, with its offsets: as soon as no worker counts as there."""
    admin = connect(pipeline.cluster.bootstrap_servers)
    group = pipeline.settings().group
    wait_until(
        lambda: all(f.exception(30) is None for f in admin.delete_consumer_groups([group]).values()),
        "the group is deleted",
    )


def forget_all_but_inputs(pipeline: Pipeline) -> None:
    """Delete the state, the group if it is there, and every topic of the pipeline but those of facts and the clock."""
    shutil.rmtree(pipeline.tmp_path / "state", ignore_errors=True)
    kept = {pipeline.topic(name) for name in (*catalogue.FACTS, catalogue.CLOCK)}
    gone = [name for name in pipeline.topics() if pipeline.prefix in name and name not in kept]
    admin = connect(pipeline.cluster.bootstrap_servers)
    for future in admin.delete_topics(gone).values():
        future.result(30)
    wait_until(lambda: not pipeline.topics() & set(gone), "the topics are deleted")


def end(worker: subprocess.Popen[bytes]) -> int:
    """SIGTERM: it commits and leaves, and one that hangs leaves all the same; its exit code."""
    worker.send_signal(signal.SIGTERM)
    return worker.wait(timeout=COMMAND_S)


def said(pipeline: Pipeline, replica: str = "worker-0") -> str:
    """All that a worker's builds have said."""
    return (pipeline.tmp_path / f"{replica}.log").read_text()


@contextmanager
def stack_of_its_own(home: Path, brokers: int = 1, **more: Any) -> Iterator[Endpoints]:
    """Brokers and a registry that a drill may stop, whatever cluster the other tests have."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in (KAFKA_VARIABLE, REGISTRY_VARIABLE):
            patch.delenv(variable, raising=False)
        try:
            yield stack.up(home, brokers, use_docker=False, **more)
        finally:
            stack.down(home, wipe=True)


def schemas_of(found: Endpoints) -> Codec:
    """All schemas, registered: a registry that has just started may be too slow for the first of them."""
    deadline = time.monotonic() + COMMAND_S
    while True:
        try:
            return connect_registry(found.schema_registry_url, register=True)
        except Failure:
            if time.monotonic() > deadline:
                raise


@contextmanager
def textfiles(folder: Path) -> Iterator[int]:
    """Serves what a node exporter's textfile collector would: the file `metrics` of a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
