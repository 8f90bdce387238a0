"""Workers that are killed, paused, doubled, slowed, and asked to leave."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Final

from confluent_kafka import KafkaException, Producer

from pipelines.connection import kafka_client
from pipelines.topics import PIPELINES
from pipelines.torture.fault import Fault, Strike, Unmet, wait_for
from pipelines.torture.ground import Ground

RESTORING: Final = "restoring state"
ASSIGNED: Final = "partitions assigned"
TOLD_S: Final = 30.0
BEGUN_S: Final = 45.0
"""By then a worker that was starting has begun, also where much else runs."""
GONE_S: Final = 60.0
DUTY_S: Final = 0.5


def _one(ground: Ground, rnd: Random, processor: str | None = None) -> str:
    return rnd.choice(ground.workers.replicas(processor))


def told_since(ground: Ground, replica: str, mark: int, word: str) -> bool:
    """Whether the worker's log says it behind `mark`, a size."""
    log = ground.workers.log(replica)
    with log.open("rb") as text:
        text.seek(mark)
        return word.encode() in text.read()


def log_size(ground: Ground, replica: str) -> int:
    """How long the worker's log is now."""
    log = ground.workers.log(replica)
    return log.stat().st_size if log.exists() else 0


def _must_leave(ground: Ground, replica: str, pid: int) -> None:
    if not ground.workers.wait_exit(replica, pid, GONE_S):
        raise Unmet(f"{replica} still runs {GONE_S:.0f} s later")


@contextlib.contextmanager
def kill(ground: Ground, rnd: Random) -> Iterator[str]:
    """SIGKILL at any moment: under load, nearly always in a transaction."""
    replica = _one(ground, rnd)
    ground.workers.send(replica, signal.SIGKILL)
    yield replica


@contextlib.contextmanager
def kill_idle(ground: Ground, rnd: Random) -> Iterator[str]:
    replica = _one(ground, rnd)
    with ground.feed.paused():
        time.sleep(1.0 + rnd.random())
        ground.workers.send(replica, signal.SIGKILL)
        yield replica


@contextlib.contextmanager
def kill_all(ground: Ground, _: Random) -> Iterator[str]:
    replicas = ground.workers.replicas()
    for replica in replicas:
        ground.workers.send(replica, signal.SIGKILL)
    yield ", ".join(replicas)


def _in_restore(ground: Ground, replica: str, number: signal.Signals) -> None:
    """Take the state away, wait until the worker restores it, and send the signal then."""
    with ground.workers.held(replica):
        shutil.rmtree(ground.workers.state_dir(replica), ignore_errors=True)
        mark = log_size(ground, replica)
    if not wait_for(lambda: told_since(ground, replica, mark, RESTORING), TOLD_S):
        raise Unmet(f"{replica} did not begin to restore its state within {TOLD_S:.0f} s")
    ground.workers.send(replica, number)


@contextlib.contextmanager
def kill_in_restore(ground: Ground, rnd: Random) -> Iterator[str]:
    replica = _one(ground, rnd, "accounts")
    for _ in range(2):
        _in_restore(ground, replica, signal.SIGKILL)
    yield f"{replica}, twice"


@contextlib.contextmanager
def term_in_restore(ground: Ground, rnd: Random) -> Iterator[str]:
    replica = _one(ground, rnd, "accounts")
    _in_restore(ground, replica, signal.SIGTERM)
    yield replica


def _asked_to_leave(times: int) -> Strike:
    """SIGTERM, and again before the worker has ended."""

    @contextlib.contextmanager
    def strike(ground: Ground, rnd: Random) -> Iterator[str]:
        replica = _one(ground, rnd)
        pid = ground.workers.pid(replica)
        for nth in range(times):
            time.sleep(rnd.uniform(0.05, 0.5) if nth else 0)
            if pid is not None and ground.workers.pid(replica) == pid:
                ground.workers.send(replica, signal.SIGTERM)
        yield replica
        if pid is not None:
            _must_leave(ground, replica, pid)

    return strike


@contextlib.contextmanager
def pause(ground: Ground, rnd: Random) -> Iterator[str]:
    replica = _one(ground, rnd)
    with _stopped(ground, replica):
        yield replica


@contextlib.contextmanager
def _stopped(ground: Ground, replica: str) -> Iterator[int | None]:
    """SIGSTOP whoever fills the post, and SIGCONT the same process afterwards."""
    pid = ground.workers.pid(replica)
    ground.workers.send(replica, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def pause_beyond(ground: Ground, rnd: Random) -> Iterator[str]:
    """A zombie: the others have its partitions when it wakes. It must leave, and commit nothing."""
    replica = _one(ground, rnd, "accounts")
    with _stopped(ground, replica) as pid:
        yield replica
    if pid is not None:
        _must_leave(ground, replica, pid)


@contextlib.contextmanager
def slow(ground: Ground, rnd: Random) -> Iterator[str]:
    """A worker that gets a tenth of its time."""
    replica = _one(ground, rnd)
    over = threading.Event()

    def throttle() -> None:
        while not over.is_set():
            with _stopped(ground, replica):
                over.wait(DUTY_S * 0.9)
            over.wait(DUTY_S * 0.1)

    thread = threading.Thread(target=throttle, daemon=True)
    thread.start()
    try:
        yield replica
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def same_transactional_id(ground: Ground, rnd: Random) -> Iterator[str]:
    """Somebody else begins under the worker's transactional id: the worker is fenced, and must leave.

    Whoever begins last has the id: a worker that was starting took it back, so that somebody else begins once more.
    """
    replica = _one(ground, rnd, "accounts")
    pid = ground.workers.pid(replica)
    _begin_as(ground, replica)
    yield replica
    if pid is not None and not ground.workers.wait_exit(replica, pid, BEGUN_S):
        _begin_as(ground, replica)
        _must_leave(ground, replica, pid)


def _begin_as(ground: Ground, replica: str) -> None:
    twin = Producer(
        {
            **kafka_client(ground.endpoints.bootstrap_servers),
            "transactional.id": f"{ground.prefix}{PIPELINES['accounts'].group}-{replica}",
            "transaction.timeout.ms": 10_000,
            "log_level": 0,
        }
    )
    try:
        twin.init_transactions(TOLD_S)
    except KafkaException as error:
        raise Unmet(f"the twin could not begin: {error}") from error


@contextlib.contextmanager
def same_instance_id(ground: Ground, rnd: Random) -> Iterator[str]:
    """A whole second worker under the same name: of the two one is fenced, and leaves."""
    replica = _one(ground, rnd, "accounts")
    pid = ground.workers.pid(replica)
    folder = ground.home / "twin"
    twin = ground.workers.spawn(replica, "accounts", folder, ground.home / "logs" / "twin.log")
    try:
        fenced = wait_for(lambda: twin.poll() is not None or ground.workers.pid(replica) != pid, GONE_S)
        yield replica
    finally:
        _end(twin)
        shutil.rmtree(folder, ignore_errors=True)
    if not fenced:
        raise Unmet(f"{replica} and its twin ran side by side for {GONE_S:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextlib.contextmanager
def join_and_leave(ground: Ground, rnd: Random) -> Iterator[str]:
    name = f"guest-{rnd.randrange(1000)}"
    with ground.workers.joined(name):
        yield name


@contextlib.contextmanager
def two_join(ground: Ground, rnd: Random) -> Iterator[str]:
    first, second = (f"guest-{rnd.randrange(1000)}-{n}" for n in "ab")
    with ground.workers.joined(first):
        time.sleep(rnd.uniform(0.5, 2.0))
        with ground.workers.joined(second):
            yield f"{first}, {second}"


@contextlib.contextmanager
def kill_in_rebalance(ground: Ground, rnd: Random) -> Iterator[str]:
    """Somebody joins, and as soon as that has begun another one is killed."""
    name, victim = f"guest-{rnd.randrange(1000)}", _one(ground, rnd, "accounts")
    with ground.workers.joined(name):
        wait_for(lambda: told_since(ground, name, 0, ASSIGNED), TOLD_S)
        ground.workers.send(victim, signal.SIGKILL)
        yield f"{victim}, while {name} joins"


@contextlib.contextmanager
def join_in_restore(ground: Ground, rnd: Random) -> Iterator[str]:
    replica, name = _one(ground, rnd, "accounts"), f"guest-{rnd.randrange(1000)}"
    with ground.workers.held(replica):
        shutil.rmtree(ground.workers.state_dir(replica), ignore_errors=True)
        mark = log_size(ground, replica)
    wait_for(lambda: told_since(ground, replica, mark, RESTORING), TOLD_S)
    with ground.workers.joined(name):
        yield f"{name}, while {replica} restores"


AGAIN: Final = "Its transaction is aborted; it starts again and goes on where it had committed"
LEAVES: Final = "It leaves with an exit code, commits nothing any more, and starts again"

FAULTS: Final = (
    Fault("F1", "kill", AGAIN, kill, (0, 1), weight=6),
    Fault("F1", "kill-idle", AGAIN, kill_idle, (0, 1), weight=2),
    Fault("F1", "kill-all-workers", AGAIN, kill_all, (0, 1), weight=2),
    Fault("F3", "kill-in-restore", "The restore begins again, and converges", kill_in_restore, weight=2),
    Fault(
        "F4",
        "join-and-leave",
        "Who gives partitions away commits or aborts first",
        join_and_leave,
        (6, 10),
        weight=2,
    ),
    Fault("F4", "two-join", "Who gives partitions away commits or aborts first", two_join, (6, 10)),
    Fault("F4", "kill-in-rebalance", AGAIN, kill_in_rebalance, (3, 6), weight=2),
    Fault("F5", "join-in-restore", "No loop of crashes; the restore converges", join_in_restore, (6, 10)),
    Fault("F6", "pause-beyond-session", LEAVES, pause_beyond, (9, 14), weight=3),
    Fault("F6", "pause", "It goes on; nobody else has its partitions", pause, (2, 4), weight=3),
    Fault("F8", "same-transactional-id", LEAVES, same_transactional_id, (0, 1), weight=2),
    Fault("F9", "same-instance-id", "One of the two leaves", same_instance_id, (0, 1), weight=2, alone=True),
    Fault("F20", "slow-worker", "Lag grows and goes back; nothing else", slow, (5, 9), weight=2),
    Fault(
        "F40", "sigterm", "It commits and leaves in its grace period", _asked_to_leave(1), (0, 1), weight=3
    ),
    Fault("F40", "sigterm-twice", "It leaves in its grace period", _asked_to_leave(2), (0, 1), weight=2),
    Fault(
        "F40",
        "sigterm-in-restore",
        "It leaves, and the next start restores the rest",
        term_in_restore,
        weight=2,
    ),
)
