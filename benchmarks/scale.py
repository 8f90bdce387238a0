"""What changes with members in state, with partitions and with workers: `.venv/bin/python benchmarks/scale.py CURVE`.

On the running stack. members: state of so many is planted as records of the changelog; a worker restores it, starts
again with it, and works on facts of theirs. restarts: one of two workers ends and starts again while facts come in.
partitions, workers: one history, split among so many. accounts: bytes a member, without a stack. Workers are processes
of their own, whose processor time and memory alone are counted. Each point is a line, and goes to docs/scale.json,
beside the points of the other curves; `make scale-page` writes docs/SCALE.md from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from quixstreams.state.metadata import CHANGELOG_CF_MESSAGE_HEADER, CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER
from quixstreams.state.rocksdb import RocksDBStorePartition

from benchmarks import account_size
from benchmarks.load import Run, tell
from benchmarks.peers import workload
from pipelines.cli.main import failures_told
from pipelines.domain.facts import Fact, Order
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from pipelines.runtime.partition import partition_of
from pipelines.topics import ACCOUNTS, PARTITIONS
from state.rocks import RocksStore

FIGURES: Final = Path(__file__).parents[1] / "docs/scale.json"
TEMPLATES: Final = 500
RESTART_S: Final = 30.0
FACTS_EACH: Final = 4
"""Of a planted member, besides her enrolment, on the average."""

SIZED: Final = 1_000
"""Members whose accounts are looked at."""
KEYS: Final = {"restarts": "members", "accounts": "years"}
"""What tells the points of a curve apart, where that is not its name."""

HEADERS: Final = [
    (CHANGELOG_CF_MESSAGE_HEADER, b"default"),
    (CHANGELOG_PROCESSED_OFFSETS_MESSAGE_HEADER, b"{}"),
]

Records = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Members:
    """So many in state. Restored and started: seconds from the start of the process until it is ready."""

    members: int
    facts: int
    records: int
    restored_s: float
    restored_records_per_s: float
    started_s: float
    cpu_us_per_fact: float
    facts_per_second: float
    rss_mb: float
    state_mb: float
    load_average: float


@dataclass(frozen=True, slots=True)
class Split:
    """One history, done by so many workers on so many partitions; processor time is of all of them together."""

    workers: int
    partitions: int
    facts: int
    seconds: float
    facts_per_second: float
    cpu_us_per_fact: float
    rss_mb: float
    load_average: float


@dataclass(frozen=True, slots=True)
class Restart:
    """One of two workers ends as an upgrade has it, and starts again, while facts come in.

    Gaps are the longest times without a commit: of the four partitions held up most, which are its own, and of the
    four held up least. A gap is seen to a quarter of a second.
    """

    members: int
    facts_per_second: int
    gap_of_its_own_s: float
    gap_of_the_others_s: float
    usual_gap_s: float
    load_average: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a simulated member's state after so many years: of her account, and of all that is kept of her."""

    years: int
    members: int
    account_median: int
    account_p99: int
    all_median: int
    all_p99: int


def members(count: int, chosen: argparse.Namespace) -> Members:
    with Run("scale") as run:
        records = _prepare(run, count)
        restored_s, restore_s = _until_ready(run)
        started_s, _ = _until_ready(run)
        run.fill(_facts(chosen.facts, count, 10_000_000))
        with run.workers(1):
            run.drain(1)
            run.finish()
    done = run.summary
    return Members(
        count, done.records, records, restored_s, round(records / restore_s), started_s, done.cpu_us_per_record,
        round(done.records / done.seconds), done.rss_peak_mb, done.state_mb, done.load_average,
    )  # fmt: skip


def _prepare(run: Run, count: int) -> int:
    """State of so many members in the changelog, and offsets behind which it was written; how many records."""
    run.fill(workload.enrolment(f"seed-{n}", workload.ENROLLED_MS) for n in range(8 * PARTITIONS))
    with run.workers(1):
        run.drain(1)
    shutil.rmtree(run.state_dir)
    return plant(run, planted(count))


def _until_ready(run: Run) -> tuple[float, float]:
    """Seconds until a new worker is ready, and those of them in which it restored state."""
    begun = time.monotonic()
    with run.workers(1):
        run.await_ready()
        took = round(time.monotonic() - begun, 1)
        return took, sum(look.total("loyalty_restore_seconds") for look in run.asked())


def plant(run: Run, states: Iterator[tuple[str, Records]]) -> int:
    """Write members' state into the changelog, as a worker whose inputs are committed does; how many records."""
    changelog, count = ACCOUNTS.changelog(run.prefix), 0
    for name, records in states:
        partition = partition_of(name.encode(), run.partitions)
        for key, value in records:
            run.sender.send(changelog, value, key=key, partition=partition, headers=HEADERS)
        count += len(records)
    run.sender.flush()
    return count


def planted(count: int) -> Iterator[tuple[str, Records]]:
    """Members, and the records that a worker would keep of each: those of a template, under her own name."""
    kept = _templates()
    for number in range(count):
        name = workload.member_name(number)
        template, records = kept[number % len(kept)]
        yield (
            name,
            [
                (key.replace(template, name.encode()), value.replace(template, name.encode()))
                for key, value in records
            ],
        )


def _templates() -> list[tuple[bytes, Records]]:
    """Names, and all that a worker keeps of each, after some facts; made by the rules, in a store as it is on disk."""
    names = [workload.member_name(n).encode() for n in range(TEMPLATES)]
    accounts = Accounts(load_programme(Path("reference")))
    with tempfile.TemporaryDirectory() as folder:
        partition = RocksDBStorePartition(folder + "/db")
        transaction = partition.begin()
        store = RocksStore(transaction)
        for fact in workload.facts(workload.Workload(TEMPLATES * FACTS_EACH, TEMPLATES, skew=0.0)):
            accounts.process(fact, store)
        transaction.prepare()
        transaction.flush()
        found = list(partition.iter_items(b"\x00", b"\xff"))
        partition.close()
    return [(name, [(key, value) for key, value in found if name in key]) for name in names]


def _facts(count: int, members: int, first: int) -> Iterator[Fact]:
    """Facts of members drawn evenly, all enrolled."""
    work, rnd, sold = workload.Workload(count, members, skew=0.0), Random(1), list[Order]()
    for number in range(count):
        at_ms = workload.START_MS + workload.SPAN_MS + workload.SPAN_MS * number // count
        yield workload.next_fact(work, first + number, at_ms, sold, rnd)


def split(workers: int, partitions: int, chosen: argparse.Namespace) -> Split:
    with Run("scale", partitions) as run:
        run.fill(workload.facts(workload.Workload(chosen.facts, 50_000)))
        with run.workers(workers):
            run.drain(1)
            run.finish()
    done = run.summary
    return Split(
        workers, partitions, done.records, done.seconds, round(done.records / done.seconds),
        done.cpu_us_per_record, done.rss_peak_mb, done.load_average,
    )  # fmt: skip


def restarts(count: int, chosen: argparse.Namespace) -> Restart:
    with Run("scale") as run:
        _prepare(run, count)
        with run.workers(2):
            run.await_ready()
            coming = _facts(10_000_000, count, 10_000_000)
            calm = _gaps(run, coming, chosen)
            upgrade = threading.Thread(target=run.restart, args=(1,))
            upgrade.start()
            held_up = _gaps(run, coming, chosen)
            upgrade.join()
    half = PARTITIONS // 2
    return Restart(
        count, chosen.facts, held_up[-1], held_up[half - 1], calm[-1], round(os.getloadavg()[0], 1)
    )


def _gaps(run: Run, coming: Iterator[Fact], chosen: argparse.Namespace) -> list[float]:
    """The longest time without a commit of each partition, the least first, while facts come for half a minute."""
    begun = time.monotonic()
    at, since, longest = run.committed_by_partition(), defaultdict(lambda: begun), defaultdict(float)
    sent = 0
    while (now := time.monotonic()) - begun < RESTART_S:
        while sent < (now - begun) * chosen.facts:
            run.send(next(coming))
            sent += 1
        for partition, done in run.committed_by_partition().items():
            longest[partition] = max(longest[partition], time.monotonic() - since[partition])
            if done > at[partition]:
                at[partition], since[partition] = done, time.monotonic()
        time.sleep(0.05)
    return sorted(round(gap, 2) for gap in longest.values())


def accounts(years: int, _: argparse.Namespace) -> Sizes:
    found = account_size.sizes(SIZED, years)
    each, everything = found["account"], found["all"]
    half, most = len(each) // 2, len(each) * 99 // 100
    return Sizes(years, len(each), each[half], each[most], everything[half], everything[most])


def main() -> None:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for number in chosen.numbers:
        point = chosen.point(number, chosen)
        tell(json.dumps(asdict(point)))
        _keep(chosen.curve, asdict(point), chosen.by)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    curves = parser.add_subparsers(required=True, metavar="CURVE", dest="curve")

    def curve(
        name: str, of: str, numbers: tuple[int, ...], facts: int, point: Callable[[int, Any], Any]
    ) -> None:
        one = curves.add_parser(name, help=of)
        one.add_argument(
            "numbers", type=int, nargs="*", default=numbers, help=f"points of the curve; {numbers}"
        )
        if facts:
            one.add_argument("--facts", type=int, default=facts, help=f"facts at each point; {facts:,}")
        one.set_defaults(point=point, by=KEYS.get(name, name))

    curve("members", "members in state", (10_000, 100_000, 1_000_000), 50_000, members)
    curve(
        "restarts",
        "members in state, one of two workers starts again; --facts a second",
        (1_000_000,),
        400,
        restarts,
    )
    curve("partitions", "partitions of each topic, one worker", (4, 8, 16, 32, 64), 200_000, _of_partitions)
    curve("workers", "workers, on 8 partitions", (1, 2, 4), 200_000, _of_workers)
    curve("accounts", "years that members have lived", (1, 5), 0, accounts)
    return parser.parse_args()


def _of_partitions(partitions: int, chosen: argparse.Namespace) -> Split:
    return split(1, partitions, chosen)


def _of_workers(workers: int, chosen: argparse.Namespace) -> Split:
    return split(workers, PARTITIONS, chosen)


def _keep(curve: str, point: dict[str, Any], by: str) -> None:
    """Put it among the points that are known, in place of one for the same number."""
    found = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    points = {one[by]: one for one in found.get(curve, [])} | {point[by]: point}
    found[curve] = [points[number] for number in sorted(points)]
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    with failures_told():
        main()
