"""A disk in memory that only a process and those it lets in can see, and that can be made full. Needs no root.

A process in a user and mount namespace of its own keeps it, and it is gone with that process. Where the machine allows
no such namespaces there is none.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pipelines.failure import Failure

SIZE: Final = 2 << 30
"""What it holds at most; memory is taken only for what stands on it."""
PAGE: Final = 4096
MOUNTED_S: Final = 10.0
TOOL_S: Final = 10.0
KEEP: Final = f'mount -t tmpfs -o size={SIZE} tmpfs "$1" && exec sleep infinity'


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """What is mounted at `path` for those who are let in by the process `keeper`."""

    path: Path
    keeper: int

    @property
    def inside(self) -> list[str]:
        """Put before a command, so that it sees the disk."""
        return ["nsenter", "--user", "--mount", "--preserve-credentials", f"--target={self.keeper}"]

    @property
    def seen_from_outside(self) -> Path:
        return Path(f"/proc/{self.keeper}/root{self.path}")

    def fill(self) -> None:
        """Leave no byte: the disk becomes as small as what stands on it."""
        found = os.statvfs(self.seen_from_outside)
        self._resize((found.f_blocks - found.f_bfree) * found.f_frsize)

    def clear(self) -> None:
        """Give it back its room."""
        self._resize(SIZE)

    def _resize(self, size: int) -> None:
        # a disk of no pages would be one without a limit
        command = ["mount", "-o", f"remount,size={max(size, PAGE)}", str(self.path)]
        _run([*self.inside, *command])


def keeper(path: Path) -> list[str]:
    """The command of the process that keeps a disk at `path`."""
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", KEEP, "sh", str(path)]


@contextmanager
def made(path: Path) -> Iterator[SmallDisk]:
    """A disk at `path`, which must be an empty directory, for as long as the context lasts."""
    process = subprocess.Popen(keeper(path), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        disk = SmallDisk(path, process.pid)
        wait_until_there(disk)
        yield disk
    finally:
        process.kill()
        process.wait()


def wait_until_there(disk: SmallDisk) -> None:
    """Return when it is mounted; a Failure when it is not soon."""
    deadline = time.monotonic() + MOUNTED_S
    while not _there(disk):
        if time.monotonic() > deadline:
            raise Failure(
                f"no small disk at {disk.path}", "see its log; does this machine have user namespaces?"
            )
        time.sleep(0.02)


def _there(disk: SmallDisk) -> bool:
    try:
        return os.path.ismount(disk.seen_from_outside)
    except OSError:
        return False


@cache
def possible() -> bool:
    """Whether this machine lets one be made."""
    try:
        _run(["unshare", "--user", "--map-root-user", "--mount", "true"])
    except (Failure, OSError):
        return False
    return True


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TOOL_S)
    if done.returncode:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}", "a small disk needs user namespaces")
