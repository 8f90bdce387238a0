"""A pipeline of a test's own on the real broker: send facts, run workers, read what they committed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from pipelines.audit.digest import ledger_digest
from pipelines.audit.reading import Decoder, Record, RegistrySchemas, Topics
from pipelines.domain.facts import Tick
from pipelines.domain.programme import Programme
from pipelines.local.endpoints import Endpoints
from pipelines.runtime.offsets import Backlog
from pipelines.runtime.producers import Sender
from pipelines.runtime.settings import Settings, settings
from pipelines.runtime.ticks import send_tick
from pipelines.runtime.topic_admin import connect, ensure_topics
from pipelines.topics import prefixed
from pipelines.worker import backlog, run_worker
from schemas import catalogue
from schemas.codec import Codec, topic_of
from tests.support.programmes import reference

PARTITIONS = 2
PATIENCE_S = 180.0
THIS_BUILD = ("pipelines.cli.main",)


def wait_until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll until it holds; the test fails when it does not in time."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(0.05)


class Pipeline:
    """Topics, group and state of one test; workers started here end with it."""

    def __init__(
        self, cluster: Endpoints, codec: Codec, prefix: str, tmp_path: Path, partitions: int = PARTITIONS
    ) -> None:
        self.cluster, self.codec, self.prefix, self.tmp_path = cluster, codec, prefix, tmp_path
        self.partitions = partitions
        self.workers: list[subprocess.Popen[bytes]] = []
        self._backlogs: dict[str, Backlog] = {}
        ensure_topics(cluster.bootstrap_servers, partitions, prefix)
        self.sender = Sender(cluster.bootstrap_servers, "the facts of a test")

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()

    def topic(self, name: str) -> str:
        return prefixed(self.prefix, name)

    def another(self) -> Pipeline:
        """One on the same cluster that has lived through nothing yet, for what an undisturbed one would say."""
        return Pipeline(self.cluster, self.codec, self.prefix + "again-", self.tmp_path / "again")

    def settings(self, replica: str = "w0", **given: Any) -> Settings:
        return settings(
            bootstrap_servers=self.cluster.bootstrap_servers,
            schema_registry_url=self.cluster.schema_registry_url,
            state_dir=self.tmp_path / "state" / replica,
            replica=replica,
            topic_prefix=self.prefix,
            **({"commit_interval_ms": 100} | given),
        )

    def send(self, facts: Iterable[Any]) -> None:
        """Produce facts and ticks as their sources would."""
        for fact in facts:
            if isinstance(fact, Tick):
                send_tick(self.sender, self.codec, fact.at_ms, self.partitions, self.prefix)
            else:
                self.send_bytes(
                    topic_of(fact), fact.member_id.encode(), self.codec.encode(fact), fact.recorded_at_ms
                )
        self.sender.flush()

    def send_bytes(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> None:
        self.sender.send(self.topic(topic), value, key=key, timestamp=timestamp_ms, headers=headers or [])

    def run(self, programme: Programme | None = None, replica: str = "w0", **given: Any) -> int:
        """Run a worker here until all is committed; how many facts it processed."""
        self.sender.flush()
        chosen = self.settings(replica, **given)
        return run_worker(chosen, programme or reference(), until_caught_up=True).facts

    def start(
        self,
        replica: str = "w0",
        processor: str = "accounts",
        programme: Path | None = None,
        build: Sequence[str] = THIS_BUILD,
        inside: Sequence[str] = (),
        state_dir: Path | None = None,
        bootstrap_servers: str = "",
        **environment: object,
    ) -> subprocess.Popen[bytes]:
        """Start a worker as a process of its own, with the reference programme unless another is given.

        `build` is the module whose command line it is, and what stands before the command; `inside` stands before all
        of it. Its state and its way to the brokers are the pipeline's, unless others are given.
        """
        self.sender.flush()
        told = {f"LOYALTY_WORKER_{name.upper()}": str(value) for name, value in environment.items()}
        given = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers or self.cluster.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": self.cluster.schema_registry_url,
            "LOYALTY_WORKER_COMMIT_INTERVAL_MS": "100",
        }
        command = [
            *inside,
            sys.executable,
            "-m",
            *build,
            "run",
            processor,
            "--topic-prefix",
            self.prefix,
        ]
        command += ["--state-dir", str(state_dir or self.tmp_path / "state"), "--replica", replica]
        command += ["--programme", str(programme)] if programme else []
        log = (self.tmp_path / f"{replica}.log").open("ab")
        worker = subprocess.Popen(command, env=os.environ | given | told, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def lag(self, processor: str = "accounts") -> int:
        if processor not in self._backlogs:
            self._backlogs[processor] = backlog(self.settings(processor=processor))
        return self._backlogs[processor].total()

    def wait_until_caught_up(self) -> None:
        wait_until(lambda: self.lag() == 0, "the workers have caught up")

    def records(self, topic: str) -> list[Record]:
        """All committed records of a topic."""
        found: list[Record] = []
        Topics(self.cluster.bootstrap_servers).read(self.topic(topic), found.extend)
        return found

    def read(self, topic: str) -> list[dict[str, Any]]:
        """All committed records of a topic, decoded without the codec."""
        decoder = Decoder(RegistrySchemas(self.cluster.schema_registry_url))
        return [decoder.decode(record.value) for record in self.records(topic)]

    def topics(self) -> set[str]:
        """Every topic on the cluster."""
        return set(connect(self.cluster.bootstrap_servers).list_topics(timeout=10).topics)

    def configure(self, name: str, setting: str, value: str) -> None:
        """Change a setting of a topic on the broker."""
        admin = connect(self.cluster.bootstrap_servers)
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.topic(name), incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(timeout=15)

    def digest(self) -> tuple[int, str]:
        return ledger_digest(Topics(self.cluster.bootstrap_servers), self.topic(catalogue.LEDGER))

    def entry_ids(self) -> list[str]:
        return [entry["entry_id"] for entry in self.read(catalogue.LEDGER)]
