"""A real PostgreSQL of the tests' own, from the binaries that the machine has, on 127.0.0.1 and unprivileged."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pipelines.local.embedded import free_port

UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""


def binaries() -> Path:
    """Where `initdb` and `postgres` are. It never skips: without them the tests fail, and say what to do."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    initdb = found[-1] if found else Path(on_path) if on_path else None
    assert initdb is not None, "there is no PostgreSQL here: install it (Debian: apt-get install postgresql)"
    return initdb.resolve().parent


class Server:
    """A database cluster in a folder of its own; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._bin = folder, binaries()
        self._user = UNPRIVILEGED if os.getuid() == 0 else None
        self.port = free_port(25_432, set())
        self.url = f"postgresql://loyalty@127.0.0.1:{self.port}/postgres"
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", "loyalty", "-A", "trust", "-E", "UTF8", "--no-sync"
        )
        self.process = self.start()

    def _run(self, *command: str) -> None:
        subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            user=self._user,
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def start(self) -> subprocess.Popen[bytes]:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        command = [
            str(self._bin / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            *options,
        ]
        log = (self.folder / "postgres.log").open("ab")
        self.process = subprocess.Popen(command, user=self._user, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return self.process
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "postgres.log").read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        """At once: whoever is connected is cut off, and what was not committed is gone."""
        self.process.send_signal(3)
        self.process.wait()


@contextmanager
def postgres() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="loyalty-postgres-"))
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
