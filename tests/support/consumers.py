"""The consumers of docs/consumers, built once, and what they send to: a service that answers as a test wants it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from benchmarks.peers.built import built as build
from pipelines.domain.ledger import Balance
from pipelines.domain.triggers.announcing import SuppressedTrigger, Trigger
from pipelines.domain.triggers.rules import TriggerKind
from schemas import catalogue
from schemas.codec import topic_of
from tests.support.pipeline import Pipeline, wait_until

CONSUMERS = Path(__file__).parents[2] / "docs/consumers"
BUILDS = {
    "java": [["mvn", "-q", "-B", "compile"]],
    "typescript": [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["npm", "run", "build"]],
}


def built(language: str) -> Path:
    """The consumer in this language, built; once for all tests of a machine, until its sources change."""
    source = CONSUMERS / language
    return build(f"consumer-{language}", source, BUILDS[language]) if language in BUILDS else source


def command(language: str) -> list[str]:
    """What starts it."""
    at = built(language)
    if language == "java":
        classes = os.pathsep.join((str(at / "target/classes"), str(at / "target/lib/*")))
        return ["java", "-cp", classes, "loyalty.consumers.SendTriggers"]
    if language == "typescript":
        return ["node", str(at / "dist/forward-balances.js")]
    return [sys.executable, str(at / "send_triggers.py")]


LONG_AGO_MS, SOON_MS = 1_700_000_000_000, 86_400_000
NOW_MS = time.time_ns() // 1_000_000
"""When balances are recorded: were it long ago, the broker would roll their segment, and compact what a test reads."""
FIGURES = (("weeks", 4), ("sku", "A"))


def trigger(trigger_id: str, member_id: str = "m-1", expires_at_ms: int | None = None) -> Trigger:
    until = expires_at_ms if expires_at_ms is not None else NOW_MS + SOON_MS
    head = (trigger_id, member_id, "CH", TriggerKind.STREAK_REACHED, "4", "marketing", "push")
    return Trigger(*head, LONG_AGO_MS, LONG_AGO_MS, until, None, "warm", ("e-1",), FIGURES)


def balance(member_id: str, sequence: int) -> Balance:
    """A balance with as many active points as its sequence says."""
    return Balance(member_id, "CH", sequence, NOW_MS, sequence, 0, 0, 0, sequence, None, 0, None, 0)


def send(pipeline: Pipeline, *records: Trigger | SuppressedTrigger | Balance) -> None:
    for one in records:
        pipeline.send_bytes(
            topic_of(one), one.member_id.encode(), pipeline.codec.encode(one), one.recorded_at_ms
        )
    pipeline.sender.flush()


class Request(NamedTuple):
    """What a consumer asked for; `answer` is the status that it got."""

    method: str
    path: str
    key: str | None
    body: bytes
    answer: int


@dataclass
class Service:
    """A service over HTTP. `answers` come first, one a request, then 200; what it is asked is kept."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def taken(self) -> list[Request]:
        return [one for one in self.asked if one.answer == 200]


@contextmanager
def service() -> Iterator[Service]:
    """A service that is there for a while."""
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status = made.answers.pop(0) if made.answers else 200
            made.asked.append(
                Request(self.command, self.path, self.headers.get("Idempotency-Key"), body, status)
            )
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/told"
        Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


class Running:
    """A consumer as a process of its own, as its supervisor would start it."""

    def __init__(
        self, pipeline: Pipeline, language: str, to: Service, seen: str = "seen", **given: str
    ) -> None:
        self._log = pipeline.tmp_path / f"{language}.{seen}.log"
        topics = {
            "TRIGGERS_TOPIC": pipeline.topic(catalogue.TRIGGERS),
            "SUPPRESSED_TRIGGERS_TOPIC": pipeline.topic(catalogue.SUPPRESSED_TRIGGERS),
            "BALANCES_TOPIC": pipeline.topic(catalogue.BALANCES),
        }
        environment = topics | {
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
            "GROUP_ID": f"{pipeline.prefix}{language}",
            "SEEN_FILE": str(pipeline.tmp_path / f"{language}.{seen}"),
            "GATEWAY_URL": to.url,
            "SERVICE_URL": to.url,
        }
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command(language), env=os.environ | environment | given, stdout=log, stderr=log
            )
        pipeline.workers.append(self.process)

    def said(self) -> str:
        return self._log.read_text()

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Until it holds; at once wrong when the consumer has ended."""

        def holds_while_it_runs() -> bool:
            assert self.process.poll() is None, self.said()
            return holds()

        wait_until(holds_while_it_runs, what)

    def wait_until_taken(self, to: Service, times: int) -> None:
        """Until the service has taken so much."""
        self.wait_until(lambda: len(to.taken()) >= times, f"{times} taken")

    def leave(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
