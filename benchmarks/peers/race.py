"""Our pipeline and its peers on the same work, in turns: `make bench-peers`.

On the running stack (`loyalty up`). The engines take turns, round by round; each starts from nothing on freshly filled
topics, in a process of its own whose CPU and memory alone are counted. The first fifth is warm-up. Progress is what
is committed. Balances, and the entries of orders and returns, must be the same, else there is no result. Then each is
killed once in a small work, and given facts at shares of the rate that it reached: the time from a fact to its entry.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from benchmarks.peers import crash, latency, workload
from benchmarks.peers.answers import Answer, refuse_different, told
from benchmarks.peers.engines import (
    COMMIT_MS,
    ENGINES,
    HEAP_MB,
    HERE,
    Course,
    Engine,
    Record,
    committed,
    course,
    fill,
    started,
)
from pipelines.audit.reading import Topics
from pipelines.cli.main import failures_told
from pipelines.failure import Failure
from pipelines.feeds.arrivals import Arrival
from pipelines.feeds.producer import checked
from pipelines.local.endpoints import Endpoints, alive, endpoints, home_dir, read_state
from pipelines.runtime.topic_admin import connect as connect_admin
from pipelines.topics import PARTITIONS
from schemas.codec import Codec, topic_of
from schemas.registry import connect

WARM_UP: Final = 0.2


@dataclass(frozen=True, slots=True)
class Run:
    """One engine's round; CPU and memory are of its process alone, CPU and rate from the end of the warm-up on."""

    engine: str
    facts_per_second: float
    cpu_seconds_per_million: float
    broker_cpu_seconds_per_million: float | None
    """Of the broker, apart; None where it is not a process of the local stack."""
    rss_mb: float
    load_average: float
    state_bytes_per_fact: float
    changelog_bytes_per_fact: float
    """Keys and values, before compression."""
    changelog_records_per_fact: float
    balances: str
    entries: str


def main() -> None:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    work = workload.Workload(
        chosen.facts, chosen.members, chosen.seed, chosen.skew, chosen.late, chosen.duplicates
    )
    engines = [engine for engine in ENGINES if engine.name in chosen.engines]
    found = endpoints()
    codec = connect(found.schema_registry_url, register=True)
    if chosen.latency_only:
        report = json.loads(chosen.json.read_text())
    else:
        report = _raced(work, engines, chosen, found, codec)
        _write(chosen.json, report)
        if chosen.kill:
            some = recorded(crash.WORK, codec)
            report["killed"] = [asdict(one) for one in crash.kills(engines, some, found, codec)]
            _write(chosen.json, report)
    if chosen.latency:
        runs = [Run(**run) for run in report["runs"]]
        report["latency"] = [asdict(one) for one in _latencies(engines, runs, work, found, codec)]
        _write(chosen.json, report)


def _raced(
    work: workload.Workload, engines: list[Engine], chosen: argparse.Namespace, found: Endpoints, codec: Codec
) -> dict[str, Any]:
    """The rounds, with what there is to know about them."""
    records = recorded(work, codec)
    runs: list[Run] = []
    for turn in range(chosen.rounds):
        for engine in engines:
            runs.append(one_round(engine, records, found, codec))
            _tell(f"round {turn + 1}: {engine.name} {runs[-1].facts_per_second:,.0f} facts/s")
            if engine.rules:
                refuse_different((run.engine, Answer(run.balances, run.entries)) for run in runs)
    return {
        "work": asdict(work),
        "facts_with_members": len(records),
        "rounds": chosen.rounds,
        "commit_interval_ms": COMMIT_MS,
        "partitions": PARTITIONS,
        "cores": os.cpu_count(),
        "heap_mb": HEAP_MB,
        "versions": versions(),
        "command": f"make bench-peers BENCH_ARGS='{' '.join(sys.argv[1:])}'",
        "runs": [asdict(run) for run in runs],
        "latency": list[dict[str, Any]](),
        "killed": list[dict[str, Any]](),
    }


def _write(path: Path, report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=1) + "\n")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    names = [engine.name for engine in ENGINES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=200_000)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skew", type=float, default=0.5, help="members by rank^-skew, in [0, 1)")
    parser.add_argument("--late", type=float, default=0.02, help="share of engagements recorded days late")
    parser.add_argument("--duplicates", type=float, default=0.01, help="share of facts that come twice")
    parser.add_argument(
        "--engines", nargs="+", choices=names, default=names, metavar="ENGINE", help=", ".join(names)
    )
    parser.add_argument("--no-latency", dest="latency", action="store_false", help="only the rates")
    parser.add_argument("--latency-only", action="store_true", help="keep the rates that --json has")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="do not kill any")
    parser.add_argument("--json", type=Path, default=Path("docs/performance.json"))
    return parser.parse_args()


def recorded(work: workload.Workload, codec: Codec) -> list[Record]:
    """The facts of the work as they are sent, checked as the border would."""
    arrivals = (Arrival(fact.recorded_at_ms, fact) for fact in workload.facts(work))
    return [
        Record(topic_of(a.fact), codec.encode(a.fact), a.fact.member_id, a.fact.recorded_at_ms)  # type: ignore[union-attr]
        for a in checked(arrivals)
    ]


def versions() -> dict[str, str]:
    """Of what the engines are made of, as their own build files say."""
    pom = (HERE / "kafka-streams/pom.xml").read_text()
    locked = (HERE / "faust/requirements.lock").read_text()
    return {
        "Python": f"{platform.python_version()} ({platform.python_compiler()})",
        "Quix Streams": version("quixstreams"),
        "Kafka Streams": re.findall(r"<artifactId>kafka-streams</artifactId>\s*<version>(.*?)<", pom)[0],
        "Faust": re.findall(r"^faust-streaming==(\S+)", locked, re.MULTILINE)[0],
    }


def one_round(engine: Engine, records: list[Record], found: Endpoints, codec: Codec) -> Run:
    """Fill topics, let the engine do them, read what it says, and remove everything."""
    with course(engine, found) as run:
        fill(engine, run, records)
        with started(engine, run) as process:
            watched = psutil.Process(process.pid)
            spent = _measured(engine, run, process, len(records), watched, _broker(found))
            rss = watched.memory_info().rss
        says = told(engine, run, codec)
        entries, size = changelog(run)
        on_disk = sum(path.stat().st_size for path in run.state_dir.rglob("*") if path.is_file())
    each = len(records)
    return Run(
        engine.name, round(spent.facts / spent.seconds, 1), spent.a_million(spent.cpu_s),
        None if spent.broker_cpu_s is None else spent.a_million(spent.broker_cpu_s), round(rss / 2**20, 1),
        round(os.getloadavg()[0], 2), round(on_disk / each, 1), round(size / each, 1), round(entries / each, 2), *says,
    )  # fmt: skip


class Spent(NamedTuple):
    """What was done, and what it took, from some instant on."""

    facts: int
    seconds: float
    cpu_s: float
    broker_cpu_s: float | None

    def since(self, before: Spent) -> Spent:
        pairs = zip(self, before, strict=True)
        return Spent(*(None if now is None or then is None else now - then for now, then in pairs))  # type: ignore[arg-type]

    def a_million(self, seconds: float) -> float:
        """So many seconds for a million facts."""
        return round(seconds / self.facts * 1e6, 1)


def _measured(
    engine: Engine, run: Course, process: subprocess.Popen[bytes], total: int,
    watched: psutil.Process, broker: psutil.Process | None,
) -> Spent:  # fmt: skip
    """What the engine spends from the end of the warm-up until all is committed."""
    begun: Spent | None = None
    for done in committed(engine, run, process):
        now = Spent(done, time.monotonic(), _cpu_s(watched), _cpu_s(broker) if broker else None)
        if begun is None and done >= total * WARM_UP:
            begun = now
        if done >= total:
            break
    if begun is None or now.facts == begun.facts:
        raise Failure(f"all facts were done before the warm-up ended ({engine.name})", "give more --facts")
    return now.since(begun)


def _broker(found: Endpoints) -> psutil.Process | None:
    """The one of the local stack, when that is where the race runs."""
    if found.way != "embedded":
        return None
    return next(alive(one) for one in read_state(home_dir())["processes"] if one["name"] == "kafka-1")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def changelog(run: Course) -> tuple[int, int]:
    """Records, and bytes of keys and values, of all changelogs that the engine wrote."""
    found = connect_admin(run.found.bootstrap_servers).list_topics(timeout=15).topics
    sizes: list[int] = []
    for name in (name for name in found if run.prefix in name and "changelog" in name):
        Topics(run.found.bootstrap_servers).read(
            name, lambda some: sizes.extend(len(r.key or b"") + len(r.value or b"") for r in some)
        )
    return len(sizes), sum(sizes)


def _latencies(
    engines: Iterable[Engine], runs: list[Run], work: workload.Workload, found: Endpoints, codec: Codec
) -> Iterator[latency.Latency]:
    for engine in (engine for engine in engines if engine.rules):
        top = statistics.median(run.facts_per_second for run in runs if run.engine == engine.name)
        records = recorded(latency.paced(work, top), codec)
        for one in latency.latencies(engine, top, records, found, codec):
            p50_p99 = (
                "not offered" if one.p50_ms is None else f"p50 {one.p50_ms:,.0f} ms, p99 {one.p99_ms:,.0f} ms"
            )
            _tell(f"latency: {engine.name} at {one.share:.0%} of its rate: {p50_p99}")
            yield one


if __name__ == "__main__":
    with failures_told():
        main()
