"""One worker, from its guards to its clean end; and several, as processes of one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaException
from prometheus_client import start_http_server
from quixstreams.exceptions import QuixException

from pipelines.domain.programme import Programme
from pipelines.failure import Failure
from pipelines.processors.accounts import Accounts
from pipelines.runtime import guards
from pipelines.runtime.engine import EXIT_FENCED, HardenedApplication, application
from pipelines.runtime.profile import Profile, TimedStore, watch_engine
from pipelines.runtime.settings import Settings
from pipelines.runtime.topic_admin import connect
from pipelines.topology import build
from schemas.registry import connect as connect_registry
from state.rocks import RocksStore

POLL_S: Final = 0.25
GRACE_S: Final = 60.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """What a worker did until it ended."""

    facts: int
    seconds: float
    profile: Profile


def run_accounts(
    settings: Settings, programme: Programme, *, until_caught_up: bool = False, profiled: bool = False
) -> WorkerSummary:
    """Process facts until a signal says stop, or (for replays) until all that there is has been committed.

    What the engine cannot go on from (a fenced transaction, a broker away too long) is a Failure with exit code 75:
    start again, nothing is lost.
    """
    with guards.check_all(settings):
        codec = connect_registry(settings.schema_registry_url)
        profile = Profile()
        app = application(settings)
        open_store = partial(TimedStore, profile=profile) if profiled else RocksStore
        build(app, Accounts(programme), codec, settings, profile, open_store)
        if profiled:
            watch_engine(app, profile)
        if settings.metrics_port is not None:
            start_http_server(settings.metrics_port, "127.0.0.1")
        started = time.monotonic()
        with _stopping_when_caught_up(app, settings) if until_caught_up else _until_told():
            log.info("worker started", replica=settings.replica, group=settings.group)
            _run(app)
        log.info("worker stopped", replica=settings.replica, facts=profile.facts)
        return WorkerSummary(profile.facts, time.monotonic() - started, profile)


def _run(app: HardenedApplication) -> None:
    try:
        app.run()
    except (KafkaException, QuixException) as error:
        message = f"the engine had to stop: {type(error).__name__}: {error}"
        raise Failure(
            message, "start the worker again; what was not committed is processed again", EXIT_FENCED
        ) from error


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
    while not done.wait(POLL_S):
        if not any(current_lag(settings).values()):
            stop()
            return


def current_lag(settings: Settings) -> dict[str, int]:
    """Input records that are not committed yet, by topic."""
    partitions = guards.check_topics(connect(settings.bootstrap_servers), settings)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": settings.group,
            "enable.auto.commit": False,
        }
    )
    try:
        return dict(guards.lag(consumer, settings, partitions))
    finally:
        consumer.close()


def run_many(command: Sequence[str], replicas: Sequence[str], lag: Callable[[], int] | None) -> None:
    """Run `command --replica R` for each replica; stop all when one fails, on a signal, or when `lag` is nothing."""
    workers = {
        replica: subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli.main", *command, "--replica", replica]
        )
        for replica in replicas
    }
    told = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        failed = _wait_for_end(workers, told, lag)
    finally:
        _stop_all(workers.values())
        for number, handler in before.items():
            signal.signal(number, handler)
    if failed is not None:
        replica, code = failed
        raise Failure(
            f"worker {replica} ended with exit code {code}", "read its message above", abs(code) or 1
        )


def _wait_for_end(
    workers: dict[str, subprocess.Popen[bytes]], told: threading.Event, lag: Callable[[], int] | None
) -> tuple[str, int] | None:
    while not told.wait(POLL_S):
        for replica, worker in workers.items():
            if worker.poll() is not None:
                return replica, worker.returncode
        if lag is not None and lag() == 0:
            return None
    return None


def _stop_all(workers: Any) -> None:
    running = [worker for worker in workers if worker.poll() is None]
    for worker in running:
        worker.send_signal(signal.SIGTERM)
    for worker in running:
        try:
            worker.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
