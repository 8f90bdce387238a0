"""Workers as processes, started again when they end, as a StatefulSet does: same name, same state, a second later."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

COMMAND: Final = ("pipelines.cli.main",)
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
BACK_AFTER_S: Final = 1.0
BACK_AFTER_MAX_S: Final = 8.0
WATCH_S: Final = 0.1
GRACE_S: Final = 45.0
STEADY_S: Final = 20.0


class Exit(NamedTuple):
    """A worker's end: who, how (below 0: by that signal), and when, by the monotonic clock."""

    replica: str
    code: int
    at_s: float


@dataclass(slots=True)
class _Post:
    """The place of one worker, whoever fills it."""

    processor: str
    process: subprocess.Popen[bytes] | None = None
    held: bool = False
    started_s: float = 0.0
    back_at_s: float = 0.0
    back_after_s: float = BACK_AFTER_S
    more: dict[str, str] = field(default_factory=dict)


class Supervisor:
    """Keeps a worker at each post, until it is held back; remembers every exit."""

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        posts: Mapping[str, str],
        more: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`posts` has the processor of each replica, `more` what only some of them have in their environment."""
        self._home, self._environment = home, dict(environment)
        own = more or {}
        self._posts = {
            replica: _Post(processor, more=dict(own.get(replica, {}))) for replica, processor in posts.items()
        }
        self._lock = threading.RLock()
        self._over = threading.Event()
        self.exits: list[Exit] = []
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        with self._lock:
            for replica in self._posts:
                self._fill(replica)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join(timeout=GRACE_S)
        self.stop()

    def replicas(self, processor: str | None = None) -> Sequence[str]:
        """The names of the workers of a processor, or of all, in order."""
        with self._lock:
            return [r for r, p in self._posts.items() if processor in (None, p.processor)]

    def state_dir(self, replica: str) -> Path:
        return self._home / "state" / self._posts[replica].processor / replica

    def log(self, replica: str) -> Path:
        return self._home / "logs" / f"{replica}.log"

    def pid(self, replica: str) -> int | None:
        """The process that fills the post now; None when there is none."""
        with self._lock:
            process = self._posts[replica].process
            return process.pid if process is not None and process.poll() is None else None

    def send(self, replica: str, number: signal.Signals) -> bool:
        """Send a signal; whether somebody was there to get it."""
        with self._lock:
            process = self._posts[replica].process
            if process is None or process.poll() is not None:
                return False
            process.send_signal(number)
            return True

    def wait_exit(self, replica: str, pid: int, patience_s: float = GRACE_S) -> bool:
        """Wait until that process has left the post; whether it did in time."""
        deadline = time.monotonic() + patience_s
        while self.pid(replica) == pid:
            if time.monotonic() > deadline:
                return False
            time.sleep(WATCH_S / 2)
        return True

    @contextlib.contextmanager
    def held(self, *replicas: str, how: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """End these workers, and keep their posts empty meanwhile."""
        with self._lock:
            for replica in replicas:
                self._posts[replica].held = True
        try:
            for replica in replicas:
                pid = self.pid(replica)
                self.send(replica, how)
                if pid is not None and not self.wait_exit(replica, pid):
                    self.send(replica, signal.SIGKILL)
                    self.wait_exit(replica, pid)
            yield
        finally:
            with self._lock:
                for post in (self._posts[r] for r in replicas if r in self._posts):
                    post.held, post.back_at_s = False, 0.0

    @contextlib.contextmanager
    def stood_in(
        self,
        replica: str,
        launcher: Sequence[str] = COMMAND,
        state_dir: Path | None = None,
        inside: Sequence[str] = (),
        more: Mapping[str, str] = NOTHING,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Have another process in a worker's place, on its state, until the end; then the worker comes back."""
        state = state_dir or self._home / "state"
        with self.held(replica):
            processor = self._posts[replica].processor
            process = self.spawn(replica, processor, state, self.log(replica), launcher, inside, more)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    @contextlib.contextmanager
    def joined(self, replica: str, processor: str = "accounts", **more: str) -> Iterator[None]:
        """Have one more worker, which is asked to leave at the end; its state goes with it."""
        with self._lock:
            self._posts[replica] = _Post(processor, more=dict(more))
            self._fill(replica)
        try:
            yield
        finally:
            self._dismiss(replica)

    def _dismiss(self, replica: str) -> None:
        with self.held(replica, how=signal.SIGTERM), self._lock:
            self._exit_seen(replica)
            shutil.rmtree(self.state_dir(replica), ignore_errors=True)
            del self._posts[replica]

    def spawn(
        self,
        replica: str,
        processor: str,
        state_dir: Path,
        log: Path,
        launcher: Sequence[str] = COMMAND,
        inside: Sequence[str] = (),
        more: Mapping[str, str] = NOTHING,
    ) -> subprocess.Popen[bytes]:
        """Start a process that nobody watches: a twin of a worker, for instance. Whoever starts it ends it.

        `launcher` is the module that takes the command, and what it wants before that; `inside` stands before all.
        Where the name is a post's, it has that post's environment, and `more`.
        """
        post = self._posts.get(replica)
        command = [*inside, sys.executable, "-m", *launcher, "run", processor]
        command += ["--replica", replica, "--state-dir", str(state_dir)]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            return subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=os.environ | self._environment | ({} if post is None else post.more) | dict(more),
                start_new_session=True,
            )

    def stop(self) -> None:
        """End all workers: SIGTERM, and SIGKILL for whoever does not go."""
        running = self._hold_all()
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()

    def kill(self) -> None:
        """SIGKILL all workers, and keep their posts empty: where nobody will look at what they leave."""
        running = self._hold_all()
        for process in running:
            process.kill()
        for process in running:
            process.wait()

    def _hold_all(self) -> list[subprocess.Popen[bytes]]:
        """Keep all posts empty from now on; the processes that are still there."""
        with self._lock:
            for post in self._posts.values():
                post.held = True
            return [p.process for p in self._posts.values() if p.process and p.process.poll() is None]

    def resume(self) -> None:
        """Fill all posts again behind a `stop`."""
        with self._lock:
            for post in self._posts.values():
                post.held, post.back_at_s = False, 0.0

    def _fill(self, replica: str) -> None:
        post = self._posts[replica]
        post.process = self.spawn(replica, post.processor, self._home / "state", self.log(replica))
        post.started_s = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(WATCH_S):
            with self._lock:
                for replica in list(self._posts):
                    self._look(replica)

    def _look(self, replica: str) -> None:
        post = self._posts[replica]
        if post.process is not None and post.process.poll() is not None:
            self._exit_seen(replica)
        if post.process is None and not post.held and time.monotonic() >= post.back_at_s:
            self._fill(replica)

    def _exit_seen(self, replica: str) -> None:
        """Note the exit; who keeps ending soon behind its start waits longer each time."""
        post, now = self._posts[replica], time.monotonic()
        if post.process is None or (code := post.process.poll()) is None:
            return
        self.exits.append(Exit(replica, code, now))
        steady = now - post.started_s > STEADY_S
        post.back_after_s = BACK_AFTER_S if steady else min(BACK_AFTER_MAX_S, post.back_after_s * 2)
        post.back_at_s = now + (BACK_AFTER_S if steady or code < 0 else post.back_after_s)
        post.process = None
