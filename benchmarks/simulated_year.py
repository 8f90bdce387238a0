"""A simulated year of many members, as the accounts and the triggers would tell it, audited, and as an HTML report.

    .venv/bin/python benchmarks/simulated_year.py [--members 100000] [--report report/simulated-year.html]

The rules themselves, in memory and without Kafka: members in slices, one process a core; what would stand on the topics
goes to Parquet files, and from these into the auditor's books. No slice is cut between two members who are one person.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pipelines.audit.books import Books, as_row, as_table
from pipelines.audit.rules import enter_rules
from pipelines.audit.verification import gate_findings
from pipelines.cli.experiments import arms_table, uplifts_table
from pipelines.cli.feed import SETTLE_DAYS, progress
from pipelines.cli.verify import checks_table
from pipelines.domain.facts import Engagement, Member, Order, PointsCommand, Return, Tick
from pipelines.domain.ledger import (
    Balance,
    CommandResult,
    LedgerEntry,
    NoBalance,
    NoProgress,
    TierChanged,
    TierProgress,
)
from pipelines.domain.merging import Handover
from pipelines.domain.programme import DAY_MS
from pipelines.domain.triggers.announcing import SuppressedTrigger, Trigger
from pipelines.experiments.comparison import Arm, Verdict, compare
from pipelines.experiments.outcomes import experiments
from pipelines.experiments.words import METRICS, sentences
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.processors.accounts import Accounts, Refusal
from pipelines.processors.triggers import Triggers
from pipelines.programme_file import load_programme
from pipelines.report.report import write_report
from pipelines.report.summary import Source, print_summary, summary
from schemas.codec import topic_of
from state import layout
from state.memory import MemoryStore

START_MS = 1_735_689_600_000  # 2025-01-01
SLICE = 500
PROGRAMME = Path("reference")
DAYS_AFTER, UPLIFT, OTHER_NAMES = 30, 0.02, 300
"""Nobody who is simulated reads what they are told: the experiment is an A/A test, and so are those of other names."""
TABLES: dict[type, str] = {
    Order: "fact_order",
    Return: "fact_return",
    Engagement: "fact_engagement",
    Member: "fact_member",
    PointsCommand: "fact_command",
    Tick: "tick",
    LedgerEntry: "ledger",
    Balance: "balance",
    TierProgress: "tier_progress",
    TierChanged: "tier_changed",
    CommandResult: "command_result",
    Trigger: "sent_trigger",
    SuppressedTrigger: "suppressed_trigger",
}
WATCHES = "watches"
NOT_WATCHED = (Balance, NoBalance, CommandResult, PointsCommand, Handover)


class Slice:
    """Some members' lives through both pipelines. Their records are a partition of their own."""

    def __init__(self, number: int) -> None:
        programme = load_programme(PROGRAMME)
        self.number = number
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.watches: list[int] = []
        """Bytes of each member's watch at the end."""
        self._accounts, self._triggers = Accounts(programme), Triggers(programme)
        self._account_store, self._watch_store = MemoryStore(), MemoryStore()
        self._latest: dict[tuple[str, str], dict[str, Any]] = {}
        self._offsets: Counter[str] = Counter()

    def live(self, lives: Iterable[Any]) -> None:
        """Each fact through the accounts, and with their answers, by recorded time, through the triggers."""
        for fact in lives:
            place = self._keep(fact)
            answers: list[Any] = []
            waiting: deque[Any] = deque([fact])
            while waiting:
                answer = self._accounts.process(waiting.popleft(), self._account_store, place)
                answers += answer.results
                waiting.extendleft(reversed([one for one in answer.results if isinstance(one, Handover)]))
                for refusal in answer.refusals:
                    self._set_aside(refusal, place)
            for seen in sorted((fact, *answers), key=_recorded_ms):
                if seen is not fact and not isinstance(seen, Handover | NoBalance | NoProgress):
                    self._keep(seen)
                if not isinstance(seen, NOT_WATCHED):
                    for told in self._triggers.process(seen, self._watch_store):
                        self._keep(told)
        for (table, _), row in self._latest.items():
            self.rows[table].append(row)
        records = self._watch_store.records.items()
        self.watches = [len(value) for (kind, _, _), value in records if kind == layout.WATCH]

    def _keep(self, record: Any) -> bytes:
        """Write a record down; where it stands. Of a balance or progress only the member's last counts, and is kept."""
        table, topic = TABLES[type(record)], topic_of(record)
        self._offsets[topic] += 1
        row = as_row(record, topic, self._offsets[topic], self.number)
        if isinstance(record, Balance | TierProgress):
            self._latest[table, record.member_id] = row
        else:
            self.rows[table].append(row)
        return f"{topic} {self._offsets[topic]}".encode()

    def _set_aside(self, refusal: Refusal, at_hand: bytes) -> None:
        topic, offset = (refusal.source or at_hand).decode().split()
        place = {"topic": topic, "partition": self.number, "offset": int(offset)}
        self.rows["dead_letter"].append(place | {"error_class": refusal.refused.value})

    def write(self, folder: Path) -> None:
        """A file a table."""
        for table, rows in self.rows.items():
            pq.write_table(as_table(table, rows), folder / f"{table}-{self.number:04d}.parquet")
        pq.write_table(pa.table({"bytes": self.watches}), folder / f"{WATCHES}-{self.number:04d}.parquet")


def _recorded_ms(seen: Any) -> int:
    return int(seen.at_ms if isinstance(seen, Tick) else seen.recorded_at_ms)


def live(number: int, first: int, end: int, days: int, seed: int, folder: Path) -> None:
    """The members from `first` on, before `end`, into the folder."""
    made = Slice(number)
    arrivals = simulate.facts(seed, end - first, days, START_MS, first=first)
    made.live(arrival.fact for arrival in with_ticks(arrivals, DAY_MS, SETTLE_DAYS * DAY_MS))
    made.write(folder)


def cuts(members: int, days: int, seed: int) -> list[int]:
    """Where slices begin, and the last one ends: at members who are never merged into the one before them."""
    places = [0]
    for place in range(SLICE, members, SLICE):
        while any(
            isinstance(arrival.fact, Member) and arrival.fact.merged_into
            for arrival in simulate.facts(seed, 1, days, START_MS, first=place)
        ):
            place += 1
        places.append(min(place, members))
    return [*places, members]


def live_all(members: int, days: int, seed: int, processes: int, folder: Path) -> None:
    """All slices that are not there yet, on as many processes as said."""
    slices = [
        (number, span)
        for number, span in enumerate(pairwise(cuts(members, days, seed)))
        if not (folder / f"{WATCHES}-{number:04d}.parquet").exists()
    ]
    with ProcessPoolExecutor(processes) as pool, progress("members") as bar:
        task = bar.add_task("members", total=sum(end - first for _, (first, end) in slices))
        running = {
            pool.submit(live, n, first, end, days, seed, folder): end - first for n, (first, end) in slices
        }
        for done in as_completed(running):
            done.result()
            bar.advance(task, running[done])


def enter(books: Books, folder: Path) -> None:
    """The programme, and every record of every slice."""
    enter_rules(books, PROGRAMME)
    for table in sorted({file.name.split("-")[0] for file in folder.iterdir()} - {WATCHES}):
        books.add_files(table, f"{folder}/{table}-*.parquet")


def sizes(books: Books, folder: Path) -> dict[str, str]:
    """How many bytes a member's watch has at the end: the median, the hundredth from above, the greatest."""
    query = f"SELECT unnest(quantile_disc(bytes, [0.5, 0.99, 1])) FROM '{folder}/{WATCHES}-*.parquet'"
    names = ("median", "p99", "greatest")
    return {
        f"bytes of a watch, {name}": f"{size:,}"
        for name, (size,) in zip(names, books.rows(query), strict=True)
    }


def shown_by_luck(books: Books, names: int) -> dict[str, float]:
    """How often a difference shows when the same members are put into arms by other names' hashes, by figure."""
    rows = books.rows("SELECT member_id, orders, net::DOUBLE FROM outcome")
    orders, net = (np.array([row[n] for row in rows], dtype=float) for n in (1, 2))
    shown: Counter[str] = Counter()
    for number in range(names):
        place = np.array([_bucket(f"other-{number}:{row[0]}") for row in rows])
        spans = {"holdout": (0, 1_000), "plain": (1_000, 5_500), "shoe": (5_500, 10_000)}
        holdout, *variants = (
            Arm(name, (end - first) / 10_000, orders[chosen], net[chosen])
            for name, (first, end) in spans.items()
            for chosen in [(place >= first) & (place < end)]
        )
        found = compare(holdout, variants, UPLIFT).uplifts
        shown.update({one.metric for one in found if one.verdict is not Verdict.NOT_SEEN})
    return {metric: shown[metric] / names for metric in METRICS}


def _bucket(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") % 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated year, told, audited and drawn.")
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path, default=Path("report/simulated-year.html"))
    parser.add_argument(
        "--records",
        type=Path,
        help="keep the records here; a later run with the same figures goes on where this one stopped",
    )
    chosen = parser.parse_args()
    console, started = Console(highlight=False), time.monotonic()
    with TemporaryDirectory(prefix="loyalty-year-") as passing, Books(memory_mb=4_000) as books:
        folder = chosen.records or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        live_all(chosen.members, chosen.days, chosen.seed, chosen.processes, folder)
        ran_s = time.monotonic() - started
        enter(books, folder)
        audited = gate_findings(books)
        told = summary(books)
        facts = books.count("SELECT count(*) FROM fact")
        run = {
            "facts": f"{facts:,}",
            "seconds, in memory": f"{ran_s:,.0f}",
            "seconds of the audit": f"{time.monotonic() - started - ran_s:,.0f}",
        } | sizes(books, folder)
        write_report(books, run, chosen.report, told, audited, source=Source.MEMORY)
        print_summary(told, console)
        console.print(checks_table(audited))
        for experiment in experiments(books, DAYS_AFTER):
            comparison = compare(experiment.holdout, experiment.variants, UPLIFT)
            console.print(arms_table(experiment), uplifts_table(comparison))
            for sentence in sentences(experiment, comparison, UPLIFT):
                console.print(sentence)
        for metric, share in shown_by_luck(books, OTHER_NAMES).items():
            console.print(
                f"{METRICS[metric].name}: shown under {100 * share:.1f} % of {OTHER_NAMES} other names"
            )
        for name, figure in run.items():
            console.print(f"{name}: {figure}")
        for finding in audited:
            for offender in finding.first:
                console.print(f"{finding.check}: {offender.who} {offender.what}")
        console.print(f"the report is {chosen.report}")


if __name__ == "__main__":
    main()
