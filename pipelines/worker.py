"""One worker, from its guards to its clean end; and several, as processes of one command."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException
from quixstreams.exceptions import QuixException

from pipelines.domain.programme import Programme
from pipelines.failure import Failure
from pipelines.processors.accounts import Accounts
from pipelines.processors.triggers import Triggers
from pipelines.runtime import access, guards, metrics
from pipelines.runtime.engine import EXIT_FENCED, HardenedApplication, application
from pipelines.runtime.health import serving
from pipelines.runtime.offsets import Backlog
from pipelines.runtime.profile import Profile, timed_store, watch_engine
from pipelines.runtime.settings import Settings
from pipelines.runtime.signals import given_back, leaving_within, told_by_signals
from pipelines.runtime.tally import count_transactions
from pipelines.runtime.topic_admin import connect
from pipelines.runtime.tracing import traced
from pipelines.topology import AccountsJoin, LiabilityJoin, TriggersJoin, build
from schemas.codec import Codec
from schemas.registry import connect as connect_registry
from state.rocks import RocksStore

POLL_S: Final = 0.25
GRACE_S: Final = 60.0
COLLECT_FROM: Final = 20_000
"""Objects more than at the last look; by default it is 700."""
LEAVE_S: Final = 25.0
"""Longer than a transaction lasts (15 s), and less than any grace given: 30 s is Kubernetes' own default."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """What a worker did until it ended."""

    facts: int
    seconds: float
    profile: Profile


def run_worker(
    settings: Settings, programme: Programme, *, until_caught_up: bool = False, profiled: bool = False
) -> WorkerSummary:
    """Process facts until a signal says stop, or (for replays) until all that there is has been committed.

    What the engine cannot go on from (a fenced transaction, a broker away too long) is a Failure with exit code 75:
    start again, nothing is lost. So is what has not come to an end `LEAVE_S` after a signal, whatever it waits for.
    """
    with leaving_within(LEAVE_S, EXIT_FENCED), guards.checked(settings) as partitions:
        codec = connect_registry(settings.schema_registry_url)
        profile = Profile()
        app = application(settings)
        traces = traced(app, settings)
        open_store = partial(timed_store, profile=profile) if profiled else RocksStore
        join = _join(app, settings, programme, codec, profile, partitions)
        build(app, join, settings, open_store)
        count_transactions(app.producer, join.tally)
        if profiled:
            watch_engine(app, profile)
        _tell_build(settings, programme)
        _collect_seldom()
        started = time.monotonic()
        until = _stopping_when_caught_up(app, settings) if until_caught_up else _until_told()
        with traces, serving(app, settings), until:
            log.info("worker started", replica=settings.replica, group=settings.group)
            _run(app, settings)
        log.info("worker stopped", replica=settings.replica, facts=profile.facts)
        return WorkerSummary(profile.facts, time.monotonic() - started, profile)


def _collect_seldom() -> None:
    """Let the collector of garbage pass over what start-up made, which stays, and look seldom at what facts make: they
    leave hardly a cycle behind, and a fact's own values are more than makes it look by default."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_FROM, 10, 10)


def _tell_build(settings: Settings, programme: Programme) -> None:
    in_force = programme.at(time.time_ns() // 1_000_000)
    metrics.BUILD.labels(
        version("loyalty-streams"), settings.processor, settings.replica, programme.name, in_force.version
    ).set(1)


def _join(
    app: HardenedApplication,
    settings: Settings,
    programme: Programme,
    codec: Codec,
    profile: Profile,
    partitions: int,
) -> AccountsJoin | TriggersJoin | LiabilityJoin:
    produce = app.producer.send
    if settings.processor == "accounts":
        return AccountsJoin(Accounts(programme), codec, settings, produce, profile)
    if settings.processor == "liability":
        return LiabilityJoin(codec, settings, produce, profile, partitions)
    if programme.triggers is None:
        what = f"the programme {programme.name} tells members nothing: it has no `triggers`"
        raise Failure(what, "add them (see the programme `reference`), or do not run this pipeline")
    return TriggersJoin(Triggers(programme), codec, settings, produce, profile)


def _run(app: HardenedApplication, settings: Settings) -> None:
    """The engine takes the signals over while it runs; they are given back behind it."""
    try:
        with given_back():
            app.run()
    except (KafkaException, QuixException) as error:
        if isinstance(app.stopped_by, Failure):
            raise app.stopped_by from error
        refused = access.refusal(settings)
        if refused is not None:
            raise refused from error
        message = f"the engine had to stop: {type(error).__name__}: {error}"
        raise Failure(
            message, "start the worker again; what was not committed is processed again", EXIT_FENCED
        ) from error
    except Exception as error:
        if (full := guards.disk_full(app.stopped_by or error, settings.state_dir)) is not None:
            raise full from error
        raise


@contextmanager
def _until_told() -> Iterator[None]:
    yield


@contextmanager
def _stopping_when_caught_up(app: HardenedApplication, settings: Settings) -> Iterator[None]:
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(settings, app.stop, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(timeout=GRACE_S)


def _watch(settings: Settings, stop: Callable[[], Any], done: threading.Event) -> None:
    """Stop when nothing is left; again and again, for what is told before the engine runs it does not remember."""
    left = backlog(settings)
    while not done.wait(POLL_S):
        if not left.total():
            stop()


def backlog(settings: Settings) -> Backlog:
    """What the pipeline has still to do, on topics that are as they should be."""
    admin = connect(settings.bootstrap_servers)
    return Backlog(admin, settings, guards.check_topics(admin, settings))


class Fleet:
    """Workers as processes of this one: started together, stopped together."""

    def __init__(
        self, command: Sequence[str], replicas: Sequence[str], metrics_port: int | None = None
    ) -> None:
        self._command = command
        self._ports = {replica: (metrics_port or 0) + nth for nth, replica in enumerate(replicas)}
        self._serving = metrics_port is not None
        self._workers = {replica: self._start(replica) for replica in replicas}

    def _start(self, replica: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipelines.cli.main", *self._command, "--replica", replica]
        command += ["--metrics-port", str(self._ports[replica])] if self._serving else []
        return subprocess.Popen(command, start_new_session=True)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        running = [worker for worker in self._workers.values() if worker.poll() is None]
        for worker in running:
            worker.send_signal(signal.SIGTERM)
        for worker in running:
            try:
                worker.wait(timeout=GRACE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def check(self) -> None:
        """A Failure when a worker has ended."""
        for replica, worker in self._workers.items():
            if worker.poll() is not None:
                what = f"worker {replica} ended with exit code {worker.returncode}"
                raise Failure(what, "read its message above", abs(worker.returncode) or 1)

    def kill(self, number: int, by: signal.Signals = signal.SIGKILL) -> str:
        """End a worker in the middle of what it does, and start it again; its name."""
        replica = list(self._workers)[number]
        self._workers[replica].send_signal(by)
        self._workers[replica].wait()
        self._workers[replica] = self._start(replica)
        return replica


def run_many(
    command: Sequence[str],
    replicas: Sequence[str],
    lag: Callable[[], int] | None,
    metrics_port: int | None = None,
) -> None:
    """Run `command --replica R` for each replica, until one fails, a signal comes, or `lag` is nothing.

    The first serves metrics on `metrics_port`, each other on the next.
    """
    with told_by_signals() as told, Fleet(command, replicas, metrics_port) as fleet:
        while not told.wait(POLL_S) and not (lag is not None and lag() == 0):
            fleet.check()
