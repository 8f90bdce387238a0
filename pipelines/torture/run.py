"""One torture run: facts come in, faults are struck one after the other, each is measured; then all is judged."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipelines.audit.gathering import topic_names
from pipelines.connection import kafka_client
from pipelines.failure import Failure
from pipelines.local import small_disk, stack
from pipelines.local.endpoints import Endpoints, given_endpoints
from pipelines.runtime import offsets
from pipelines.runtime.settings import settings
from pipelines.runtime.signals import handled_by
from pipelines.runtime.topic_admin import connect, ensure_topics
from pipelines.topics import ACCOUNTS, PARTITIONS, TRIGGERS, prefixed
from pipelines.torture import disks
from pipelines.torture.fault import Fault, Unmet
from pipelines.torture.faults import possible
from pipelines.torture.feeding import Clock, Feed, digest_of, members_for
from pipelines.torture.ground import Ground
from pipelines.torture.oracle import Acknowledged, Court, Verdict, state_agrees
from pipelines.torture.schedule import Step, schedule
from pipelines.torture.servers import BROKERS, ON_SMALL_DISK, Servers
from pipelines.torture.supervisor import Supervisor
from pipelines.torture.wire import Wire
from pipelines.worker import backlog
from schemas import catalogue
from schemas.registry import connect as connect_registry

PROGRAMME: Final = Path("reference")
SESSION_MS: Final = 6_000
ENVIRONMENT: Final = {
    "LOYALTY_WORKER_COMMIT_INTERVAL_MS": "200",
    "LOYALTY_WORKER_SESSION_TIMEOUT_MS": str(SESSION_MS),
    "LOYALTY_WORKER_MAX_POLL_INTERVAL_MS": "30000",
    "LOYALTY_WORKER_TRANSACTION_TIMEOUT_MS": "10000",
    "LOYALTY_WORKER_BLOCK_CACHE_BYTES": str(32 << 20),
    "LOYALTY_WORKER_WRITE_BUFFER_BYTES": str(1 << 20),
    "LOYALTY_WORKER_STATE_FREE_BYTES_MIN": str(64 << 20),
    "LOYALTY_LOG": "json",
}
WARM_UP_S: Final = 10.0
STARTED_S: Final = 120.0
"""For so long the first fault waits for workers that have still to start."""
ENROLLED_S: Final = 120.0
"""At the most so long members enrol at ten times the rate."""
DRAIN_S: Final = 240.0
ASK_S: Final = 0.25
KILLS_THAT_TELL: Final = 5
"""So many kills without a record aborted are no chance: they all fell between transactions, or nothing did work."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault, or two at once, and what came of it: `at_s` from the first fault on, `recovered_s` from the heal on."""

    number: int
    faults: tuple[str, ...]
    names: tuple[str, ...]
    target: str
    at_s: float
    lasted_s: float
    recovered_s: float | None
    exits: tuple[str, ...]
    outcome: str

    @property
    def ok(self) -> bool:
        return self.outcome == "recovered"


@dataclass(slots=True)
class Result:
    """All of a run, for people and for scripts."""

    seed: int
    minutes: float
    rate: float
    only: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """Faults that this machine does not let be struck."""
    struck: list[Struck] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    exits_by_code: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def clean(self) -> bool:
        return not self.findings

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {
            "clean": self.clean,
            "faults": sum(len(s.faults) for s in self.struck),
            "verdicts": [v._asdict() for v in self.verdicts],
        }


Tell = Callable[[str], None]
OnStruck = Callable[[Struck], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be done: for how long, from which seed, which faults, at how many facts a second."""

    home: Path
    seed: int
    minutes: float
    faults: Sequence[Fault]
    rate: float
    workers: int
    only: tuple[str, ...] = ()

    def __call__(self, told: threading.Event, tell: Tell, on_struck: OnStruck) -> Result:
        """Run to the end, or until told; all that was started is stopped, whatever happens."""
        if given_endpoints() is not None:
            what = "KAFKA_BOOTSTRAP_SERVERS names a cluster, and a torture run kills brokers"
            raise Failure(what, "unset it and SCHEMA_REGISTRY_URL: the run starts a cluster of its own")
        faults, left_out = possible(self.faults)
        result = Result(self.seed, self.minutes, self.rate, self.only, left_out)
        stack.down(self.home, wipe=True)
        shutil.rmtree(self.home, ignore_errors=True)
        tell("starting three brokers, a registry and the workers")
        if left_out:
            tell(f"not struck, because this machine does not let it: {', '.join(left_out)}")
        with contextlib.closing(Wire(len(BROKERS))) as wire:
            try:
                found = self._brokers(wire)
                with self._ground(found, wire) as ground:
                    self._torment(ground, faults, result, told, tell, on_struck)
                    if not result.interrupted:
                        _judge_unless(told, ground, result, tell)
                    if result.interrupted:
                        ground.workers.kill()
            finally:
                stack.down(self.home)
        return result

    def _brokers(self, wire: Wire) -> Endpoints:
        """The stack, with the wire before the brokers' second doors."""
        disks = (ON_SMALL_DISK,) if small_disk.possible() else ()
        found = stack.up(self.home, len(BROKERS), use_docker=False, advertised=wire.ports, small_disks=disks)
        wire.lead_to(stack.second_doors(self.home))
        return found

    @contextlib.contextmanager
    def _ground(self, found: Endpoints, wire: Wire) -> Iterator[Ground]:
        ensure_topics(found.bootstrap_servers, PARTITIONS)
        codec = connect_registry(found.schema_registry_url, register=True)
        log = self.home / "sent.tsv"
        members = members_for(self.rate, self.minutes * 60 + WARM_UP_S + STARTED_S)
        feed = Feed(found.bootstrap_servers, codec, self.seed, self.rate, members, log)
        clock = Clock(found.bootstrap_servers, codec, PARTITIONS, feed)
        posts = {f"worker-{n}": "accounts" for n in range(self.workers)} | {"triggers-0": "triggers"}
        environment = ENVIRONMENT | {
            "KAFKA_BOOTSTRAP_SERVERS": found.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": found.schema_registry_url,
        }
        wired = f"worker-{self.workers - 1}"
        more = {wired: {"KAFKA_BOOTSTRAP_SERVERS": wire.bootstrap_servers}}
        supervisor = Supervisor(self.home, environment, posts, more)
        try:
            with supervisor:
                yield Ground(self.home, found, Servers(self.home), supervisor, feed, clock, wire, wired)
        finally:
            clock.stop()
            feed.stop()

    def _torment(
        self,
        ground: Ground,
        faults: Sequence[Fault],
        result: Result,
        told: threading.Event,
        tell: Tell,
        on_struck: OnStruck,
    ) -> None:
        ground.feed.start()
        ground.clock.start()
        _enrol(ground.feed, told)
        told.wait(WARM_UP_S)
        watch = Progress(ground)
        watch.recovered(STARTED_S, told)
        tell(f"{self.rate:g} facts a second; the first fault follows")
        began = time.monotonic()
        for step in schedule(self.seed, faults):
            if told.wait(step.wait_s) or time.monotonic() - began > self.minutes * 60:
                break
            struck = _strike(ground, step, watch, began, told)
            result.struck.append(struck)
            on_struck(struck)
            if not struck.ok and not told.is_set():
                result.findings.append(f"fault {struck.number}, {', '.join(struck.names)}: {struck.outcome}")
            if ground.feed.stopped_by is not None:
                raise ground.feed.stopped_by
        result.interrupted = told.is_set()
        ground.servers.heal()
        result.exits_by_code = _by_code(ground)


def _enrol(feed: Feed, told: threading.Event) -> None:
    """Members enrol before the first of them orders, all of them: that part of the history goes by faster."""
    ends = time.monotonic() + ENROLLED_S
    with feed.faster(10):
        while not feed.has_ordered() and not told.wait(0.2) and time.monotonic() < ends:
            pass


def _by_code(ground: Ground) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in ground.workers.exits:
        counts[str(one.code)] = counts.get(str(one.code), 0) + 1
    return dict(sorted(counts.items()))


def _strike(ground: Ground, step: Step, watch: Progress, began: float, told: threading.Event) -> Struck:
    """Inject, wait, heal, and wait until all that was sent before the heal is committed."""
    at_s, exits_before = time.monotonic(), len(ground.workers.exits)
    targets: list[str] = []
    outcome, recovered_s = "recovered", None
    try:
        with contextlib.ExitStack() as struck:
            for nth, fault in enumerate(step.faults):
                rnd = Random(f"{step.seed}:{nth}")
                targets.append(struck.enter_context(fault.strike(ground, rnd)))
            told.wait(step.lasts_s)
    except Unmet as unmet:
        outcome = f"not as required: {unmet}"
    except Exception as error:  # noqa: BLE001  a finding, and the run goes on to judge
        outcome = f"could not be struck or healed: {type(error).__name__}: {error}"
    healed_s = time.monotonic()
    took = watch.recovered(max(fault.recovers_s for fault in step.faults), told)
    if took is None and not told.is_set():
        outcome = f"not recovered: {watch.behind()}"
    elif took is not None:
        recovered_s = round(took, 1)
    exits = ground.workers.exits[exits_before:]
    return Struck(
        step.number,
        tuple(fault.number for fault in step.faults),
        tuple(fault.name for fault in step.faults),
        "; ".join(targets),
        round(at_s - began, 1),
        round(healed_s - at_s, 1),
        recovered_s,
        tuple(f"{one.replica} {one.code}" for one in exits),
        outcome,
    )


TORMENTED: Final = {pipeline.name: pipeline for pipeline in (ACCOUNTS, TRIGGERS)}
"""The pipelines whose workers run; the judge's oracles are of what these say."""


class Progress:
    """How far both pipelines' groups have come, against where the topics ended at an instant."""

    def __init__(self, ground: Ground) -> None:
        self._admin = connect(ground.endpoints.bootstrap_servers)
        self._groups = {
            name: offsets.Group(ground.endpoints.bootstrap_servers, prefixed(ground.prefix, pipeline.group))
            for name, pipeline in TORMENTED.items()
        }
        sources = {prefixed(ground.prefix, name) for name in SOURCES}
        self._places = {
            name: [place for place in pipeline.inputs(ground.prefix, PARTITIONS) if place[0] in sources]
            for name, pipeline in TORMENTED.items()
        }
        self._left: dict[str, dict[tuple[str, int], int]] = {}
        self._error = ""

    def recovered(self, patience_s: float, told: threading.Event) -> float | None:
        """Seconds until all that stands on the topics of facts now is committed; None when it is not in time."""
        began = time.monotonic()
        goal: dict[tuple[str, int], int] | None = None
        while time.monotonic() - began < patience_s:
            try:
                if goal is None:
                    goal = offsets.ends(self._admin, {p for places in self._places.values() for p in places})
                self._left = {name: self._behind(name, goal) for name in self._groups}
                if not any(self._left.values()):
                    return time.monotonic() - began
                self._error = ""
            except KafkaException as error:  # brokers that do not answer yet are a part of what is measured
                self._error = str(error)
            if told.wait(ASK_S):
                return None
        return None

    def _behind(self, name: str, goal: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        done = self._groups[name].committed(self._places[name])
        ahead = {place: goal[place] - (done[place] or 0) for place in self._places[name]}
        return {place: left for place, left in ahead.items() if left > 0}

    def behind(self) -> str:
        """Who is how far behind, in words."""
        if self._error:
            return f"Kafka does not answer: {self._error}"
        told = [
            f"{name} has {sum(left.values())} records left on {len(left)} partitions"
            for name, left in self._left.items()
            if left
        ]
        return "; ".join(told)


SOURCES: Final = frozenset(catalogue.INPUTS) - {catalogue.HANDOVERS}
"""What sources write, outside transactions: their ends are records, and no marks of transactions."""


class Interrupted(Exception):
    """Somebody wants the run to end."""


def _judge_unless(told: threading.Event, ground: Ground, result: Result, tell: Tell) -> None:
    """Judge; what keeps it from being judged is a finding, unless somebody interrupted."""
    try:
        with interrupted_by_signals(told):
            _judge(ground, result, told, tell)
    except Interrupted:
        result.interrupted = True
    except Unmet as unmet:
        result.findings.append(str(unmet))
    except Exception:
        if not told.is_set():  # an interrupted query says so in its library's own error
            raise
        result.interrupted = True


@contextlib.contextmanager
def interrupted_by_signals(told: threading.Event) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C raises Interrupted wherever the main thread is, and sets `told`; further ones, and
    any in the clean-up, change nothing."""

    def interrupt(*_: object) -> None:
        if not told.is_set():
            told.set()
            raise Interrupted

    with handled_by(interrupt):
        if told.is_set():
            raise Interrupted
        yield


def _judge(ground: Ground, result: Result, told: threading.Event, tell: Tell) -> None:
    tell("stopping the feed, and draining")
    ground.clock.stop()
    ground.feed.stop()
    began = time.monotonic()
    for _ in range(2):  # what one account hands to another may come behind the other's last tick
        ground.clock.settle()
        for processor in TORMENTED:
            _drain(ground, processor, told)
    drained_s = time.monotonic() - began
    tell(f"drained in {drained_s:.0f} s; comparing")
    ground.workers.stop()
    court = Court(
        ground.endpoints.bootstrap_servers,
        ground.endpoints.schema_registry_url,
        topic_names(ground.prefix),
        digest_of,
    )
    sent = [Acknowledged((s.topic, s.partition, s.offset), s.digest, s.bad) for s in ground.feed.sent]
    group = prefixed(ground.prefix, ACCOUNTS.group)
    result.verdicts += court.judge(group, sent, ground.feed.uncertain, PROGRAMME)
    result.verdicts += _state_verdicts(
        ground, court, "kept", "What workers kept is what its changelog folds to."
    )
    tell("rebuilding all state from the changelogs")
    for processor in TORMENTED:
        shutil.rmtree(ground.home / "state" / processor, ignore_errors=True)
    ground.workers.resume()
    _until_rebuilt(ground, told)
    ground.workers.stop()
    promise = "State rebuilt from nothing is what its changelog folds to."
    result.verdicts += _state_verdicts(ground, court, "rebuilt", promise)
    _figures(ground, court, result)
    result.findings += [
        f"{v.oracle} {v.check}: {v.wrong} wrong: {'; '.join(v.first)}" for v in result.verdicts if v.wrong
    ]


def _drain(ground: Ground, processor: str, told: threading.Event) -> None:
    behind = backlog(_settings(ground, processor))
    deadline = time.monotonic() + DRAIN_S
    while True:
        with contextlib.suppress(KafkaException):
            if not behind.total():
                return
        if time.monotonic() > deadline:
            raise Unmet(f"{processor} has not caught up {DRAIN_S:.0f} s behind the last fact")
        if told.wait(ASK_S):
            raise Interrupted


def _settings(ground: Ground, processor: str) -> Any:
    return settings(
        bootstrap_servers=ground.endpoints.bootstrap_servers,
        schema_registry_url=ground.endpoints.schema_registry_url,
        state_dir=ground.home / "none",
        replica="torture",
        processor=processor,
    )


def _until_rebuilt(ground: Ground, told: threading.Event) -> None:
    """Every partition is somewhere; a worker that stops writes down what it has restored."""
    deadline = time.monotonic() + DRAIN_S
    admin = connect(ground.endpoints.bootstrap_servers)
    watch = Progress(ground)
    ground.clock.settle()
    while time.monotonic() < deadline:
        groups = [prefixed(ground.prefix, p.group) for p in TORMENTED.values()]
        answers = admin.describe_consumer_groups(groups, request_timeout=30)
        stable = all(f.result().state.name == "STABLE" for f in answers.values())
        if stable and watch.recovered(30, told) is not None:
            for processor in TORMENTED:
                _drain(ground, processor, told)
            return
        if told.wait(1.0):
            raise Interrupted
    raise Unmet(f"the state was not rebuilt within {DRAIN_S:.0f} s")


def _state_verdicts(ground: Ground, court: Court, name: str, promise: str) -> list[Verdict]:
    return [
        state_agrees(
            f"{name}-{processor}",
            disks.held(ground.home / "state" / processor, pipeline.store),
            court.fold(pipeline.changelog(ground.prefix)),
            promise,
        )
        for processor, pipeline in TORMENTED.items()
    ]


def _figures(ground: Ground, court: Court, result: Result) -> None:
    sent = ground.feed.sent
    written = (catalogue.LEDGER, catalogue.BALANCES, catalogue.DEAD_LETTERS, catalogue.TRIGGERS)
    result.exits_by_code = _by_code(ground)
    result.figures = {
        "steps": len(result.struck),
        "faults": sum(len(s.faults) for s in result.struck),
        "facts acknowledged": len(sent),
        "of these bad on purpose": sum(s.bad for s in sent),
        "facts of unknown outcome": len(ground.feed.uncertain),
        "worker exits": len(ground.workers.exits),
        "records aborted": sum(
            court.aborted(
                prefixed(ground.prefix, topic),
                count_all(ground.endpoints.bootstrap_servers, prefixed(ground.prefix, topic)),
            )
            for topic in written
        ),
    } | {f"{v.oracle} {v.check} looked at": v.looked_at for v in result.verdicts}
    if result.exits_by_code.get("-9", 0) >= KILLS_THAT_TELL and not result.figures["records aborted"]:
        result.findings.append("no record was aborted: this run proves nothing about transactions")


def count_all(bootstrap: str, topic: str) -> int:
    """How many records stand on a topic, those of aborted transactions among them."""
    consumer = Consumer(
        {
            **kafka_client(bootstrap),
            "group.id": "torture-count",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        left, seen = set(partitions), 0
        deadline = time.monotonic() + DRAIN_S
        while left and time.monotonic() < deadline:
            for message in consumer.consume(5_000, timeout=0.5):
                error = message.error()
                if error is None:
                    seen += 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
        return seen
    finally:
        consumer.close()
