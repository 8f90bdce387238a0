"""Workers that are hindered: by a call that blocks, a slow disk, or too little memory."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
from collections.abc import Iterator
from random import Random
from typing import Final

import psutil

from pipelines.local import small_disk
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.torture.fault import Fault, Strike, Unmet, wait_for
from pipelines.torture.faults.workers import log_size, told_since
from pipelines.torture.ground import Ground
from pipelines.torture.hindered import LAUNCHER, SAID, Hindrance

POLL_MS: Final = 7_000
GONE_S: Final = 60.0
SLOW_S: Final = (0.2, 0.6)
RESTORED: Final = "state restored"
RESTORED_S: Final = 90.0
ANY_ROOM: Final = {"LOYALTY_WORKER_STATE_FREE_BYTES_MIN": "0"}


def blocked(shortest_s: float, longest_s: float) -> Strike:
    """A worker in another's place that blocks for longer than it may in the middle of a transaction: it must leave."""

    @contextlib.contextmanager
    def strike(ground: Ground, rnd: Random) -> Iterator[str]:
        replica = rnd.choice(ground.workers.replicas("accounts"))
        seconds = round(rnd.uniform(shortest_s, longest_s), 1)
        launcher = (LAUNCHER, Hindrance.BLOCKED, str(seconds))
        poll = {"LOYALTY_WORKER_MAX_POLL_INTERVAL_MS": str(POLL_MS)}
        mark = log_size(ground, replica)
        with ground.workers.stood_in(replica, launcher, more=poll) as worker:
            code = _end_of(worker, f"{replica} did not leave within {GONE_S:.0f} s")
        if not told_since(ground, replica, mark, SAID):
            raise Unmet(f"{replica} ended with {code} before it was blocked")
        yield f"{replica}, for {seconds} s of {POLL_MS / 1_000:.0f}"
        if code != EXIT_FENCED:
            raise Unmet(f"{replica} ended with {code}, not with {EXIT_FENCED}")

    return strike


def _end_of(worker: subprocess.Popen[bytes], otherwise: str) -> int:
    try:
        return worker.wait(GONE_S)
    except subprocess.TimeoutExpired as still:
        raise Unmet(otherwise) from still


@contextlib.contextmanager
def slow_disk(ground: Ground, rnd: Random) -> Iterator[str]:
    """Each write of a partition's state takes long; the worker is put back behind it."""
    replica = rnd.choice(ground.workers.replicas("accounts"))
    seconds = round(rnd.uniform(*SLOW_S), 2)
    with ground.workers.stood_in(replica, (LAUNCHER, Hindrance.SLOW_DISK, str(seconds))) as worker:
        yield f"{replica}, {seconds * 1_000:.0f} ms a write"
        if worker.poll() is not None:
            raise Unmet(f"{replica} ended with {worker.returncode}")


@contextlib.contextmanager
def state_disk_full(ground: Ground, rnd: Random) -> Iterator[str]:
    """A worker in another's place whose disk becomes full at work; the other comes back to where there is room."""
    replica = rnd.choice(ground.workers.replicas("accounts"))
    folder, mark = ground.home / "small-disk", log_size(ground, replica)
    folder.mkdir(exist_ok=True)
    with (
        small_disk.made(folder) as disk,
        ground.workers.stood_in(replica, state_dir=folder, inside=disk.inside, more=ANY_ROOM) as worker,
    ):
        if not wait_for(lambda: told_since(ground, replica, mark, RESTORED), RESTORED_S):
            raise Unmet(f"{replica} did not restore its state within {RESTORED_S:.0f} s")
        disk.fill()
        code = _end_of(worker, f"{replica} still runs {GONE_S:.0f} s after its disk was full")
    if not told_since(ground, replica, mark, f"the disk of {folder}"):
        raise Unmet(f"{replica} ended with {code}, and did not say why")
    yield f"{replica}, which left with {code}"


@contextlib.contextmanager
def no_memory(ground: Ground, rnd: Random) -> Iterator[str]:
    """The worker gets no page more; if it still runs at the end, it is killed, as the kernel kills."""
    replica = rnd.choice(ground.workers.replicas("accounts"))
    pid = ground.workers.pid(replica)
    size = 0
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if pid is not None:
            size = psutil.Process(pid).memory_info().vms
            resource.prlimit(pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
    yield f"{replica}, at {size >> 20} MiB of addresses"
    if pid is not None and ground.workers.pid(replica) == pid:
        ground.workers.send(replica, signal.SIGKILL)


EVICTED: Final = "It is evicted, leaves with its exit code, and commits nothing any more"
SAYS_SO: Final = "It says so and leaves; where there is room it goes on"
ENDED: Final = "It ends, by itself or killed, and starts again; nothing is committed by halves"

FAULTS: Final = (
    Fault("F7", "blocked", EVICTED, blocked(7.5, 9.5), (0, 1), recovers_s=90, weight=2, alone=True),
    Fault("F7", "blocked-long", EVICTED, blocked(14, 20), (0, 1), recovers_s=90, alone=True),
    Fault(
        "F18",
        "state-disk-full",
        SAYS_SO,
        state_disk_full,
        recovers_s=90,
        alone=True,
        possible=small_disk.possible,
    ),
    Fault(
        "F20", "slow-disk", "Lag grows and goes back; nothing else", slow_disk, (12, 18), weight=2, alone=True
    ),
    Fault("F44", "memory-limit", ENDED, no_memory, (4, 10), weight=2),
)
