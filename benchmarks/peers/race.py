"""Our pipeline, plain Quix Streams and the floor on the same work, in turns: `make bench-peers`.

On the running stack (`loyalty up`). The engines take turns, round by round; each starts from nothing on freshly filled
topics, in a process of its own whose CPU and memory alone are counted. The first fifth is warm-up. Progress is what
is committed. Balances, and the entries of orders and returns, must be the same, else there is no result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil

from benchmarks.peers import workload
from pipelines.audit.reading import Topics
from pipelines.failure import Failure
from pipelines.feeds.arrivals import Arrival
from pipelines.feeds.producer import checked
from pipelines.local.endpoints import Endpoints, endpoints, home_dir
from pipelines.runtime.offsets import Group
from pipelines.runtime.producers import Sender
from pipelines.runtime.topic_admin import connect as connect_admin
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import ACCOUNTS, PARTITIONS
from schemas import catalogue
from schemas.codec import Codec, topic_of
from schemas.registry import connect

READ = (catalogue.ORDERS, catalogue.RETURNS, catalogue.ENGAGEMENTS, catalogue.MEMBERS)
WARM_UP = 0.2
COMMIT_MS = 500
PATIENCE_S = 1_800
OF_ENGAGEMENTS = frozenset({"ACTIVITY", "REVIEW", "CAP"})
HERE = Path(__file__).parent
ENGINES = ("loyalty", "plain-quix", "floor")

Record = tuple[str, bytes, str, int]
"""Topic without prefix, value, key, timestamp in ms."""


@dataclass(frozen=True, slots=True)
class Run:
    """One engine's round; CPU and memory are of its process alone, from the end of the warm-up on."""

    engine: str
    facts_per_second: float
    cpu_seconds_per_million: float
    rss_mb: float
    load_average: float
    state_bytes_per_fact: float
    balances: str
    entries: str


def main() -> None:
    arguments = _arguments()
    work = workload.Workload(
        arguments.facts,
        arguments.members,
        arguments.seed,
        arguments.skew,
        arguments.late,
        arguments.duplicates,
    )
    found = endpoints()
    codec = connect(found.schema_registry_url, register=True)
    arrivals = (Arrival(fact.recorded_at_ms, fact) for fact in workload.facts(work))
    records: list[Record] = [
        (topic_of(a.fact), codec.encode(a.fact), a.fact.member_id, a.fact.recorded_at_ms)  # type: ignore[union-attr]
        for a in checked(arrivals)
    ]
    runs = []
    for turn in range(arguments.rounds):
        for engine in ENGINES:
            runs.append(one_round(engine, records, found, codec))
            print(f"round {turn + 1}: {engine} {runs[-1].facts_per_second:,.0f} facts/s", file=sys.stderr)
    refuse_different(runs)
    report = {
        "work": asdict(work),
        "facts_with_members": len(records),
        "rounds": arguments.rounds,
        "commit_interval_ms": COMMIT_MS,
        "partitions": PARTITIONS,
        "cores": os.cpu_count(),
        "quixstreams": version("quixstreams"),
        "command": "make bench-peers BENCH_ARGS='" + " ".join(sys.argv[1:]) + "'",
        "runs": [asdict(run) for run in runs],
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    for engine in ENGINES:
        rates = [run.facts_per_second for run in runs if run.engine == engine]
        print(
            f"{engine:12} {statistics.median(rates):10,.0f} facts/s ({min(rates):,.0f} to {max(rates):,.0f})"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=200_000)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skew", type=float, default=0.5, help="members by rank^-skew, in [0, 1)")
    parser.add_argument("--late", type=float, default=0.02, help="share of engagements recorded days late")
    parser.add_argument("--duplicates", type=float, default=0.01, help="share of facts that come twice")
    parser.add_argument("--json", type=Path, default=Path("docs/performance.json"))
    return parser.parse_args()


def one_round(engine: str, records: list[Record], found: Endpoints, codec: Codec) -> Run:
    """Fill topics, let the engine do them, read what it says, and remove everything."""
    prefix = f"race-{token_hex(3)}-"
    state_dir = home_dir() / "race" / prefix
    ensure_topics(found.bootstrap_servers, PARTITIONS, prefix)
    try:
        sender = Sender(found.bootstrap_servers, "facts")
        for topic, value, key, at_ms in records:
            sender.send(prefix + topic, value, key=key, timestamp=at_ms)
        sender.flush()
        return _measured(engine, len(records), prefix, state_dir, found, codec)
    finally:
        admin = connect_admin(found.bootstrap_servers)
        ours = [name for name in admin.list_topics(timeout=15).topics if prefix in name]
        for future in admin.delete_topics(ours, operation_timeout=30).values():
            future.result()
        shutil.rmtree(state_dir, ignore_errors=True)


def _measured(engine: str, total: int, prefix: str, state_dir: Path, found: Endpoints, codec: Codec) -> Run:
    command, group = _command(engine, prefix, state_dir, found)
    state_dir.mkdir(parents=True)
    with (state_dir.parent / f"{engine}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        watched = psutil.Process(process.pid)
        begun, at, cpu = 0, 0.0, 0.0
        for done in _committed(process, group, prefix, found.bootstrap_servers):
            if not at and done >= total * WARM_UP:
                begun, at, cpu = done, time.monotonic(), _cpu_s(watched)
            if done >= total:
                break
        if begun >= total:
            raise Failure(f"all facts were done before the warm-up ended ({engine})", "give more --facts")
        seconds, cpu = time.monotonic() - at, _cpu_s(watched) - cpu
        rss = watched.memory_info().rss
    finally:
        process.terminate()
        process.wait(60)
    facts = total - begun
    balances, entries = told(engine, prefix, found.bootstrap_servers, codec)
    on_disk = sum(path.stat().st_size for path in state_dir.rglob("*") if path.is_file())
    return Run(
        engine, round(facts / seconds, 1), round(cpu / facts * 1e6, 1), round(rss / 2**20, 1),
        round(os.getloadavg()[0], 2), round(on_disk / total, 1), balances, entries,
    )  # fmt: skip


def _command(engine: str, prefix: str, state_dir: Path, found: Endpoints) -> tuple[list[str], str]:
    """What starts the engine, and the group whose offsets it commits."""
    if engine == "loyalty":
        command = ["-m", "pipelines.cli.main", "run", "accounts", "--topic-prefix", prefix]
        return [sys.executable, *command, "--state-dir", str(state_dir)], prefix + ACCOUNTS.group
    script = str(HERE / f"{engine.replace('-', '_')}.py")
    given = [found.bootstrap_servers, found.schema_registry_url, prefix, str(COMMIT_MS), str(state_dir)]
    return [sys.executable, script, *given, *READ], prefix + engine


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _committed(process: subprocess.Popen[bytes], group: str, prefix: str, bootstrap: str) -> Iterator[int]:
    """How many facts the group has committed, five times a second, for as long as the engine lives."""
    places = [(prefix + topic, n) for topic in READ for n in range(PARTITIONS)]
    asked = Group(bootstrap, group)
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise Failure(
                f"{group} ended with {process.returncode}", f"read its log in {home_dir() / 'race'}"
            )
        yield sum(offset or 0 for offset in asked.committed(places).values())
        time.sleep(0.2)
    raise Failure(f"{group} was not done after {PATIENCE_S} s", "give fewer --facts")


def told(engine: str, prefix: str, bootstrap: str, codec: Codec) -> tuple[str, str]:
    """Digests of what an engine says: each member's last balance; and all entries but those of engagements, for of
    two runs that compete for a day's cap a late one takes its points from the other, if the engine sees to that."""
    if engine == "floor":
        return "", ""
    infix = "" if engine == "loyalty" else f"{engine}."
    last: dict[str, str] = {}
    for body in _bodies(prefix + infix + catalogue.BALANCES, catalogue.BALANCES, bootstrap, codec):
        last[body["member_id"]] = " ".join(
            str(body[name]) for name in ("active", "pending", "reserved", "debt", "lifetime")
        )
    entries = [
        " ".join(
            str(body[name])
            for name in (
                "member_id",
                "lot_id",
                "reason",
                "points",
                "from_account",
                "to_account",
                "tier_at_event",
            )
        )
        for body in _bodies(prefix + infix + catalogue.LEDGER, catalogue.LEDGER, bootstrap, codec)
        if body["reason"] not in OF_ENGAGEMENTS
    ]
    return digest(f"{member} {says}" for member, says in last.items()), digest(entries)


def _bodies(name: str, topic: str, bootstrap: str, codec: Codec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    Topics(bootstrap).read(
        name, lambda some: found.extend(codec.body(topic, record.value) for record in some if record.value)
    )
    return found


def digest(lines: Iterator[str] | list[str]) -> str:
    """The number of lines and a hash of them, in whatever order they come."""
    ordered = sorted(lines)
    return f"{len(ordered)}:{hashlib.sha256(chr(10).join(ordered).encode()).hexdigest()[:16]}"


def refuse_different(runs: list[Run]) -> None:
    """A Failure unless all engines with rules said the same, and said anything."""
    said = {(run.engine, run.balances, run.entries) for run in runs if run.engine != "floor"}
    if len({answer[1:] for answer in said}) != 1 or any(run[1].startswith("0:") for run in said):
        raise Failure(f"the engines do not say the same: {sorted(said)}", "no figure of this run counts")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Failure as failure:
        sys.exit(f"error: {failure.what}\n   do: {failure.do}")
