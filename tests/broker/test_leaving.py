"""SIGTERM ends a worker within its grace, whatever it waits for."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import pytest

from pipelines.runtime.engine import EXIT_FENCED
from schemas import catalogue
from tests.support.facts import member, order
from tests.support.pipeline import Pipeline, wait_until

GRACE_S: Final = 45
"""Longer than a worker may take, less than the minute for which a silent registry is asked."""
UNKNOWN_ID: Final = 9_999_999
WAITING_IN_C: Final = """
from confluent_kafka import Producer
from pipelines.runtime.signals import leaving_within

nobody = {"bootstrap.servers": "127.0.0.1:1", "transactional.id": "t", "log_level": 0}
with leaving_within(0.5, 75):
    asking = Producer(nobody)
    print("waiting", flush=True)
    asking.init_transactions()
"""
STARTING: Final = """
import time
from pipelines.runtime.signals import leaving_within

with leaving_within(20, 75):
    print("waiting", flush=True)
    time.sleep(60)
"""
FIRST_OF_A_CONTAINER: Final = ("unshare", "-Urpf", "--kill-child")


@pytest.mark.broker
def test_sigterm_ends_a_worker_that_waits_for_a_silent_registry(pipeline: Pipeline) -> None:
    good = order("O1", "2026-02-01T10:00:00Z")
    unknown = b"\x00" + UNKNOWN_ID.to_bytes(4, "big") + pipeline.codec.encode(good)[5:]
    pipeline.send([member("2026-01-01T00:00:00Z"), good])
    worker = pipeline.start()
    pipeline.wait_until_caught_up()
    with _silent(pipeline.cluster.schema_registry_url):
        pipeline.send_bytes(catalogue.ORDERS, b"m-1", unknown, good.recorded_at_ms)
        pipeline.sender.flush()
        wait_until(lambda: _asks(pipeline.cluster.schema_registry_url), "it asks", 20)

        worker.send_signal(signal.SIGTERM)

        assert worker.wait(timeout=GRACE_S) == EXIT_FENCED
    assert "SIGTERM" in (pipeline.tmp_path / "w0.log").read_text()
    assert pipeline.lag() == 1, "the fact is there for the next start"


def test_sigterm_ends_a_process_that_waits_in_the_client_where_no_handler_runs() -> None:
    with _waiting(sys.executable, "-c", WAITING_IN_C) as process:
        time.sleep(0.5)

        process.send_signal(signal.SIGTERM)

        said, _ = process.communicate(timeout=15)
        assert process.returncode == EXIT_FENCED, said
        assert "SIGTERM" in said


def test_sigterm_ends_the_first_process_of_a_container_while_it_starts() -> None:
    with _waiting(*FIRST_OF_A_CONTAINER, sys.executable, "-c", STARTING) as process:
        (first,) = psutil.Process(process.pid).children()

        first.send_signal(signal.SIGTERM)

        process.communicate(timeout=15)
        assert process.returncode == 128 + signal.SIGTERM


@contextmanager
def _waiting(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it waits; it is ended whatever happens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "waiting\n"
            yield process
        finally:
            process.kill()


@contextmanager
def _silent(url: str) -> Iterator[None]:
    """The registry is there and answers nobody."""
    port = urlsplit(url).port
    (pid,) = {c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
    registry = psutil.Process(pid)
    registry.suspend()
    try:
        yield
    finally:
        registry.resume()


def _asks(url: str) -> bool:
    """Whether a request lies at the registry unread: the fifth word of a line is `sent:received`, in hex."""
    port = f":{urlsplit(url).port:04X}"
    read = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    sockets = [line.split() for lines in read for line in lines]
    return any(words[1].endswith(port) and int(words[4].partition(":")[2], 16) for words in sockets)
