"""What a worker answers over HTTP: /metrics for Prometheus, /live and /ready for whatever restarts and routes.

Alive is a worker that asks for records, whatever brokers and registry do: to restart it because they are away would
help nobody. Ready is one that has partitions, has restored them and is not far behind.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import TCPServer, ThreadingMixIn
from time import time
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app

from pipelines.failure import Failure
from pipelines.runtime.engine import HardenedApplication
from pipelines.runtime.settings import Settings
from pipelines.runtime.watcher import Standing, Watcher

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answered:
    """Yes, or no and why."""

    yes: bool
    because: tuple[str, ...] = ()


def liveness(beat_s: float, now_s: float, limit_s: float) -> Answered:
    """Whether the worker asks for records; one that does not do so for `limit_s` lost its partitions anyway."""
    silent_s = now_s - beat_s
    if silent_s <= limit_s:
        return Answered(True)
    return Answered(
        False, (f"records were last asked for {silent_s:.0f} s ago; {limit_s:.0f} s are allowed",)
    )


def readiness(standing: Standing, lag_seconds_max: int) -> Answered:
    """Whether the worker has partitions, has restored them, and is not further behind than that."""
    because = []
    if not standing.partitions:
        because.append("no partitions are assigned")
    if standing.restoring:
        because.append(f"state is being restored, {standing.left_to_restore} records are left")
    if standing.lag_seconds > lag_seconds_max:
        because.append(f"a record waits for {standing.lag_seconds:.0f} s; {lag_seconds_max} s are allowed")
    return Answered(not because, tuple(because))


class Health:
    """Answers for one worker: what it measures, and whether it is alive and ready."""

    def __init__(self, live: Callable[[], Answered], ready: Callable[[], Answered]) -> None:
        self.live, self.ready = live, ready
        self._metrics: Any = make_wsgi_app()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        path = environ["PATH_INFO"]
        if path == "/metrics":
            told: Iterable[bytes] = self._metrics(environ, start_response)
            return told
        checks: Final = {"/live": self.live, "/ready": self.ready}
        if path not in checks:
            return _answer(start_response, "404 Not Found", {"paths": ["/metrics", *checks]})
        answered = checks[path]()
        status = "200 OK" if answered.yes else "503 Service Unavailable"
        return _answer(start_response, status, {path[1:]: answered.yes, "because": answered.because})


def _answer(start_response: StartResponse, status: str, told: dict[str, Any]) -> list[bytes]:
    body = json.dumps(told).encode() + b"\n"
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Listen, without the look-up of this machine's name that the library would make first."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the library's
        """A scrape every few seconds is no news."""


@contextmanager
def serving(app: HardenedApplication, settings: Settings) -> Iterator[None]:
    """Watch the worker and answer for it, when a port is set, until it ends."""
    if settings.metrics_port is None:
        yield
        return
    started_s = time()
    with Watcher(app, settings) as watcher:
        health = Health(
            lambda: liveness(app.beat_s or started_s, time(), settings.max_poll_interval_ms / 1000),
            lambda: readiness(watcher.standing, settings.ready_lag_seconds_max),
        )
        with answering(health, settings.metrics_host, settings.metrics_port):
            yield


@contextmanager
def answering(health: Health, host: str, port: int) -> Iterator[None]:
    """Answer over HTTP meanwhile."""
    server = _listen(health, host, port)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _listen(health: Health, host: str, port: int) -> WSGIServer:
    try:
        server = make_server(host, port, health, _Server, _Silent)
    except OSError as error:
        what = f"metrics cannot be served on {host}:{port}: {error.strerror}"
        raise Failure(what, "give another --metrics-port, or stop what listens there") from error
    log.info("serving metrics", host=host, port=server.server_port)
    return server
