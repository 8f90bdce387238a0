"""CPU time a fact of the accounts' join in memory, by the share of facts that their source traces.

`python -m benchmarks.trace_speed [--facts N] [--rounds R]` measures each share beside a run with tracing off, and
prints the ratio. Spans go by the real exporter to a collector in another process. What is measured of the way of a
fact is what `join_speed.py` measures.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import structlog
from quixstreams.state.rocksdb import RocksDBStorePartition

from benchmarks.join_speed import A_COMMIT, records
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from pipelines.runtime.profile import Profile
from pipelines.runtime.settings import settings
from pipelines.runtime.tracing import EXPORTER, traced
from pipelines.topology import AccountsJoin, _source
from schemas.codec import Codec
from state.rocks import RocksStore

SHARES: Final = (0.0, 0.01, 0.1, 1.0)
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
MEMBERS: Final = 1_000


class Message(SimpleNamespace):
    """A client's message: what a join and a trace ask of it."""

    def __init__(self, record: tuple[str, bytes, bytes, int], offset: int, headers: Any) -> None:
        topic, key, value, at_ms = record
        super().__init__(
            topic=lambda: topic,
            partition=lambda: 0,
            offset=lambda: offset,
            key=lambda: key,
            value=lambda: value,
            headers=lambda: headers,
            timestamp=lambda: (1, at_ms),
        )


class App(SimpleNamespace):
    """An engine whose producer takes everything, and whose processing is called here."""

    def __init__(self) -> None:
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        super().__init__(
            producer=SimpleNamespace(send=nothing, commit_transaction=nothing, abort_transaction=nothing),
            each=self._take,
        )

    def _take(self, process: Callable[[Any], None]) -> None:
        self.process = process


def messages(facts: int, share: float) -> list[Message]:
    """One of so many has a context, sampled."""
    every = round(1 / share) if share else 0
    return [
        Message(
            record,
            nth,
            [("traceparent", f"00-{nth + 1:032x}-{nth + 1:016x}-01".encode())]
            if every and nth % every == 0
            else None,
        )
        for nth, record in enumerate(records(facts, MEMBERS))
    ]


def measure(facts: int, share: float) -> float:
    """Microseconds of CPU a fact, the exporter's thread included."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    given, app = messages(facts, share), App()
    chosen = settings(bootstrap_servers="none", schema_registry_url="none", state_dir=".", replica="w0")
    with traced(app, chosen), tempfile.TemporaryDirectory() as folder:  # type: ignore[arg-type]
        rules = Accounts(load_programme(Path("reference")))
        join = AccountsJoin(rules, Codec.offline(), chosen, app.producer.send, Profile())
        partition = RocksDBStorePartition(folder + "/db")
        stores: list[RocksStore] = []
        app.each(lambda message: join(_source(message), stores[-1]))
        begun = time.process_time()
        for start in range(0, len(given), A_COMMIT):
            transaction = partition.begin()
            stores.append(RocksStore(transaction))
            for message in given[start : start + A_COMMIT]:
                app.process(message)
            transaction.prepare()
            transaction.flush()
            app.producer.commit_transaction()
            join.tally.publish(time.time())
        spent = time.process_time() - begun
        partition.close()
    return spent / len(given) * 1e6


class Door(BaseHTTPRequestHandler):
    """Takes whatever comes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the library's
        """Nothing."""


def _serve(port: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        port.value = server.server_address[1]
        server.serve_forever()


@contextmanager
def collecting() -> Iterator[str]:
    """A collector in a process of its own; its address."""
    port = multiprocessing.Value("i", 0)
    serving = multiprocessing.Process(target=_serve, args=(port,), daemon=True)
    serving.start()
    while not port.value:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port.value}"
    serving.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--facts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with collecting() as os.environ[ENDPOINT]:
        ratios: dict[float, list[float]] = {share: [] for share in SHARES}
        for _ in range(chosen.rounds):
            os.environ[EXPORTER] = "none"
            off = measure(chosen.facts, 0.0)
            os.environ[EXPORTER] = "otlp"
            for share in SHARES:
                ratios[share].append(measure(chosen.facts, share) / off)
    for share, found in ratios.items():
        print(
            f"{share:.0%} traced: {statistics.median(found):.3f} times the CPU of off, "
            f"{min(found):.3f} to {max(found):.3f} in {chosen.rounds} rounds"
        )


if __name__ == "__main__":
    main()
