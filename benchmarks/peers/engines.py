"""The engines of the race: how each is built and started, what it reads, where it writes; and the course it runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Final, NamedTuple

from confluent_kafka.admin import NewTopic

from benchmarks.peers.built import built
from pipelines.failure import Failure
from pipelines.local.artefacts import java
from pipelines.local.endpoints import KAFKA_VARIABLE, REGISTRY_VARIABLE, Endpoints, home_dir
from pipelines.runtime.offsets import Group
from pipelines.runtime.producers import Sender
from pipelines.runtime.topic_admin import connect as connect_admin
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import ACCOUNTS, PARTITIONS, topics
from schemas import catalogue

READ: Final = (catalogue.ORDERS, catalogue.RETURNS, catalogue.ENGAGEMENTS, catalogue.MEMBERS)
TOLD: Final = (catalogue.LEDGER, catalogue.BALANCES)
COMMIT_MS: Final = 500
HEAP_MB: Final = 512
PATIENCE_S: Final = 1_800
HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


class Record(NamedTuple):
    """A fact as it is sent; the topic is without prefix."""

    topic: str
    value: bytes
    key: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Course:
    """Where an engine runs: topics under a prefix, and a folder for its state."""

    found: Endpoints
    prefix: str
    state_dir: Path

    @property
    def arguments(self) -> list[str]:
        """What every peer is started with."""
        return [
            self.found.bootstrap_servers, self.found.schema_registry_url, self.prefix, str(COMMIT_MS),
            str(self.state_dir),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine, and the name under which its figures stand."""

    name: str
    title: str
    command: Callable[[Course], list[str]]
    own_topics: bool = True
    """Whether it writes beside our topics, not into them."""
    rules: bool = True
    joined: str = ""
    """The one topic that has all facts, for an engine that does not read several in order of time."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def group(self, prefix: str) -> str:
        return prefix + (self.name if self.own_topics else ACCOUNTS.group)

    def reads(self, prefix: str) -> tuple[str, ...]:
        """The topics with facts."""
        return (prefix + self.joined,) if self.joined else tuple(prefix + topic for topic in READ)

    def reads_at(self, prefix: str, topic: str) -> str:
        """Where it reads the facts of a topic of ours."""
        return prefix + (self.joined or topic)

    def writes(self, prefix: str, topic: str) -> str:
        """Where it writes what we write to that topic."""
        return f"{prefix}{self.name}.{topic}" if self.own_topics and self.rules else prefix + topic


def _loyalty(course: Course) -> list[str]:
    command = ["-m", "pipelines.cli.main", "run", "accounts", "--topic-prefix", course.prefix]
    return [sys.executable, *command, "--state-dir", str(course.state_dir)]


def _script(name: str) -> Callable[[Course], list[str]]:
    return lambda course: [sys.executable, str(HERE / name), *course.arguments, *READ]


def _kafka_streams(course: Course) -> list[str]:
    at = kafka_streams_built()
    classes = os.pathsep.join((str(at / "target/classes"), str(at / "target/lib/*")))
    options = [f"-Xms{HEAP_MB}m", f"-Xmx{HEAP_MB}m", "--enable-native-access=ALL-UNNAMED"]
    return [str(java()), *options, "-cp", classes, "loyalty.peers.Main", *course.arguments]


@cache
def kafka_streams_built() -> Path:
    """The folder with its classes and jars."""
    schemas = [catalogue.versions(topic)[-1][1] for topic in (*READ, *TOLD)]
    command = ["mvn", "-q", "-B", "compile", f"-Dschemas={catalogue.FOLDER}"]
    return built("peer-kafka-streams", HERE / "kafka-streams", [command], schemas)


def _faust(course: Course) -> list[str]:
    python = str(faust_built() / "venv/bin/python")
    return [python, str(HERE / "faust/peer.py"), *course.arguments]


@cache
def faust_built() -> Path:
    """The folder with its environment."""
    uv = str(Path(sys.executable).with_name("uv"))
    make = [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, "venv"]
    install = [uv, "pip", "sync", "--quiet", "--python", "venv/bin/python", "--require-hashes"]
    return built("peer-faust", HERE / "faust", [make, [*install, "requirements.lock"]])


LOYALTY: Final = Engine("loyalty", "Loyalty Streams, all rules", _loyalty, own_topics=False)
KAFKA_STREAMS: Final = Engine("kafka-streams", "Kafka Streams, the rules of this work", _kafka_streams)
PLAIN_QUIX: Final = Engine(
    "plain-quix", "plain Quix Streams, the rules of this work", _script("plain_quix.py")
)
FAUST: Final = Engine(
    "faust", "Faust, the rules of this work", _faust,
    joined="faust.facts", environment={"PYTHONPATH": str(ROOT)},
)  # fmt: skip
FLOOR: Final = Engine("floor", "the floor: decode, encode, no rules", _script("floor.py"), rules=False)
ENGINES: Final = (LOYALTY, KAFKA_STREAMS, PLAIN_QUIX, FAUST, FLOOR)


@contextmanager
def course(engine: Engine, found: Endpoints) -> Iterator[Course]:
    """Topics and state of its own for one run; nothing is left of them."""
    prefix = f"race-{token_hex(3)}-"
    made = Course(found, prefix, home_dir() / "race" / prefix)
    ensure_topics(found.bootstrap_servers, PARTITIONS, prefix)
    admin = connect_admin(found.bootstrap_servers)
    configured = {topic.name: dict(topic.config) for topic in topics(prefix)}
    besides = {
        engine.writes(prefix, topic): configured[prefix + topic] for topic in TOLD if engine.own_topics
    }
    besides |= dict.fromkeys(engine.reads(prefix), configured[prefix + catalogue.ORDERS])
    missing = [name for name in besides if name not in configured]
    if missing:
        _wait(admin.create_topics([NewTopic(n, PARTITIONS, -1, config=besides[n]) for n in missing]))
    made.state_dir.mkdir(parents=True)
    try:
        yield made
    finally:
        _wait(admin.delete_topics([n for n in admin.list_topics(timeout=15).topics if prefix in n]))
        shutil.rmtree(made.state_dir, ignore_errors=True)


def _wait(futures: Mapping[str, object]) -> None:
    for future in futures.values():
        future.result()  # type: ignore[attr-defined]


def fill(engine: Engine, run: Course, records: Iterable[Record]) -> None:
    """Send the facts, in order, and wait until the brokers have them."""
    sender = Sender(run.found.bootstrap_servers, "facts")
    for topic, value, key, at_ms in records:
        sender.send(engine.reads_at(run.prefix, topic), value, key=key, timestamp=at_ms)
    sender.flush()


@contextmanager
def started(engine: Engine, run: Course) -> Iterator[subprocess.Popen[bytes]]:
    """The engine as a process of its own; told to stop at the end. Its log is beside its state."""
    addresses = {
        KAFKA_VARIABLE: run.found.bootstrap_servers,
        REGISTRY_VARIABLE: run.found.schema_registry_url,
    }
    environment = {**os.environ, **addresses, **engine.environment}
    with log_of(engine, run).open("w") as log:
        process = subprocess.Popen(engine.command(run), stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)


def log_of(engine: Engine, run: Course) -> Path:
    return run.state_dir.parent / f"{engine.name}.log"


def committed(engine: Engine, run: Course, process: subprocess.Popen[bytes]) -> Iterator[int]:
    """How many facts the engine has committed, five times a second, for as long as it lives."""
    places = [(topic, number) for topic in engine.reads(run.prefix) for number in range(PARTITIONS)]
    group = Group(run.found.bootstrap_servers, engine.group(run.prefix))
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise Failure(
                f"{engine.name} ended with {process.returncode}", f"read its log: {log_of(engine, run)}"
            )
        yield sum(offset or 0 for offset in group.committed(places).values())
        time.sleep(0.2)
    raise Failure(f"{engine.name} was not done after {PATIENCE_S} s", "give fewer --facts")


def wait_until_committed(engine: Engine, run: Course, process: subprocess.Popen[bytes], facts: int) -> None:
    """Until the engine has committed so many."""
    next(done for done in committed(engine, run, process) if done >= facts)
