"""CPU time a fact of the accounts' join in memory, and the digest of all that it says and keeps.

`python benchmarks/join_speed.py [--facts N] [--members M]` measures this tree; `--against TREE` measures another
checkout (with its own `.venv`) in turns with this one and prints the ratio of each pair. Both read the same records,
made once. Digests of two trees are equal unless what is said, or the bytes of the state, has changed. `--profile`
prints where the time goes, by function. On a busy machine `--repeat N` does all N times, and counts of each transaction
the fastest. `--work race` takes the comparison's facts (`benchmarks/peers`); its members' enrolments are not counted.

RocksDB is real, the broker is not: what is measured is decoding, rules, state, encoding and the commits of the state.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import logging
import pstats
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog
from quixstreams.state.rocksdb import RocksDBStorePartition

from benchmarks.peers import workload
from pipelines.domain.facts import Tick
from pipelines.domain.programme import DAY_MS
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from pipelines.runtime.profile import Profile
from pipelines.runtime.settings import settings
from pipelines.topology import AccountsJoin, Source
from schemas import catalogue
from schemas.codec import Codec, topic_of
from state.rocks import RocksStore

START_MS = 1_704_067_200_000
A_COMMIT = 500
"""Facts in one transaction: an eighth of a second of one worker's."""

Record = tuple[str, bytes, bytes, int]
"""Topic, key, value, timestamp."""


def records(chosen: argparse.Namespace) -> list[Record]:
    """What is given, made once and kept: simulated facts with a tick a day, or the comparison's."""
    name = f"join-speed-{chosen.work}-{chosen.facts}-{chosen.members}.msgpack"
    kept = Path(tempfile.gettempdir()) / name
    if not kept.exists():
        made = _made(chosen)
        kept.with_suffix(".new").write_bytes(msgspec.msgpack.encode(made))
        kept.with_suffix(".new").rename(kept)
    return msgspec.msgpack.decode(kept.read_bytes(), type=list[Record])


def _made(chosen: argparse.Namespace) -> list[Record]:
    codec = Codec.offline()
    given: Iterable[Any]
    if chosen.work == "race":
        given = workload.facts(workload.Workload(chosen.facts, chosen.members))
    else:
        history = simulate.exactly(1, chosen.members, chosen.facts, START_MS)
        given = (arrival.fact for arrival in with_ticks(history, DAY_MS, 0))
    found = []
    for fact in given:
        key, at_ms = (
            (b"tick", fact.at_ms)
            if isinstance(fact, Tick)
            else (fact.member_id.encode(), fact.recorded_at_ms)
        )
        found.append((topic_of(fact), key, codec.encode(fact), at_ms))
    return found


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """As many runs as chosen, each over an empty partition; of each transaction the fastest counts."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    given = records(chosen)
    runs = [_run_once(given) for _ in range(chosen.repeat)]
    enrolled = next(n for n, record in enumerate(given) if record[0] != catalogue.MEMBERS)
    skipped = -(-enrolled // A_COMMIT) if chosen.work == "race" else 0
    spent = [min(times) for times in zip(*(run.pop("seconds") for run in runs), strict=True)][skipped:]
    assert all(run["said"] == runs[0]["said"] and run["kept"] == runs[0]["kept"] for run in runs)
    counted = len(given) - skipped * A_COMMIT
    return {"cpu_us_per_fact": round(sum(spent) / counted * 1e6, 2), "facts": counted, **runs[0]}


def _run_once(given: list[Record]) -> dict[str, Any]:
    said = hashlib.sha256()
    again: list[tuple[str, bytes | None, bytes | None, int]] = []

    def produce(topic: str, key: bytes | None, value: bytes | None, at_ms: int) -> None:
        said.update(repr((topic, key, value, at_ms)).encode())
        if topic == catalogue.HANDOVERS:
            again.append((topic, key, value, at_ms))

    worker = settings(bootstrap_servers="none", schema_registry_url="none", state_dir=".", replica="w0")
    profile = Profile()
    join = AccountsJoin(
        Accounts(load_programme(Path("reference"))), Codec.offline(), worker, produce, profile
    )
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        partition = RocksDBStorePartition(folder + "/db")
        offset = 0
        for start in range(0, len(given), A_COMMIT):
            begun = time.process_time()
            transaction = partition.begin()
            store = RocksStore(transaction)
            for record in given[start : start + A_COMMIT]:
                waiting = [record]
                while waiting:
                    topic, key, value, at_ms = waiting.pop()
                    offset += 1
                    join(Source(topic, 0, offset, key, value, [], at_ms), store)
                    waiting += again
                    again.clear()
            transaction.prepare()
            transaction.flush()
            join.tally.publish(time.time())
            seconds.append(time.process_time() - begun)
        kept = hashlib.sha256()
        for key, value in partition.iter_items(b"\x00", b"\xff"):
            kept.update(repr((key, value)).encode())
        partition.close()
    return {
        "seconds": seconds,
        "parts_us": {k: round(v / len(given) / 1e3, 1) for k, v in profile.parts().items() if v},
        "said": said.hexdigest()[:16],
        "kept": kept.hexdigest()[:16],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--facts", type=int, default=40_000)
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--work", choices=("simulated", "race"), default="simulated")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    if chosen.profile:
        _profiled(chosen)
    elif chosen.against is None:
        print(json.dumps(measure(chosen)))
    else:
        _compared(chosen)


def _profiled(chosen: argparse.Namespace) -> None:
    given = records(chosen)
    profile = cProfile.Profile(time.process_time)
    profile.runcall(_run_once, given)
    pstats.Stats(profile).sort_stats("tottime").print_stats(60)


def _compared(chosen: argparse.Namespace) -> None:
    here = Path(__file__).parents[1]
    there = chosen.against.absolute()
    records(chosen)
    ratios = []
    for nth in range(chosen.rounds):
        turn = (here, there) if nth % 2 else (there, here)
        found = {tree: _run(tree, chosen) for tree in turn}
        ratios.append(found[there]["cpu_us_per_fact"] / found[here]["cpu_us_per_fact"])
        same = all(found[here][what] == found[there][what] for what in ("said", "kept"))
        print(
            f"here {found[here]['cpu_us_per_fact']} µs, there {found[there]['cpu_us_per_fact']} µs, "
            f"{ratios[-1]:.2f} times as fast, results {'the same' if same else 'DIFFER'}"
        )
    print(f"median {statistics.median(ratios):.2f} times as fast, of {chosen.rounds} rounds")


def _run(tree: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    command = [tree / ".venv/bin/python", Path(__file__).absolute()]
    command += ["--facts", str(chosen.facts), "--members", str(chosen.members)]
    command += ["--work", chosen.work, "--repeat", str(chosen.repeat)]
    environment = {"PYTHONPATH": str(tree), "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
