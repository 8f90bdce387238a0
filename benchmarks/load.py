"""How the pipeline bears load, on the running stack: `.venv/bin/python benchmarks/load.py SCENARIO`.

spike: facts at a steady rate, ten times as many for a while, then the steady rate until the lag is what it was.
hot: one member's orders, one after the other. members: so many of them enrol, and every second one orders. backlog: a
week's facts and ticks wait while nobody works; then workers start and drain them.

Workers are processes of their own, whose memory alone is counted. Each line says how far they are; the last is a
summary in JSON. Facts are seeded and simulated. Timings are of this machine, with whatever else runs on it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from random import Random
from secrets import token_hex
from typing import Final

import httpx
import psutil

from benchmarks import history_growth
from benchmarks.peers import workload
from pipelines.cli.bench import forget
from pipelines.cli.main import failures_told
from pipelines.domain.facts import Fact, Order, Tick
from pipelines.domain.programme import DAY_MS, HOUR_MS
from pipelines.failure import Failure
from pipelines.local.embedded import free_port
from pipelines.local.endpoints import endpoints, home_dir
from pipelines.operations.looks import Look, ask
from pipelines.runtime.offsets import Group
from pipelines.runtime.producers import Sender
from pipelines.runtime.ticks import send_tick
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import ACCOUNTS, PARTITIONS, prefixed
from pipelines.worker import Fleet
from schemas import catalogue
from schemas.codec import topic_of
from schemas.registry import connect

LOOK_S: Final = 1.0
PATIENCE_S: Final = 7_200.0
STARTING_S: Final = 60.0
METRICS_PORT: Final = 24_100
"""Of the first worker, or the next free one; the other workers have those behind it."""
WEEK_S: Final = 7 * 86_400


@dataclass(slots=True)
class Summary:
    """What a run found, ticks among the records. Memory is resident, of the worker that has most; before: at first."""

    command: str
    records: int = 0
    seconds: float = 0.0
    cpu_us_per_record: float = 0.0
    rss_before_mb: float = 0.0
    rss_peak_mb: float = 0.0
    rss_after_mb: float = 0.0
    state_mb: float = 0.0
    lag_peak: int = 0
    longest_transaction_below_s: float = 0.0
    aborted: int = 0
    load_average: float = 0.0
    of_its_own: dict[str, float] = field(default_factory=dict)
    """What only this scenario has."""


class Run:
    """Topics and state of one run; facts go in, and workers are watched."""

    def __init__(self, command: str, partitions: int = PARTITIONS) -> None:
        self._found = endpoints()
        self.partitions = partitions
        self.prefix = f"load-{token_hex(3)}-"
        self.state_dir = home_dir() / "load" / self.prefix
        self._codec = connect(self._found.schema_registry_url, register=True)
        ensure_topics(self._found.bootstrap_servers, partitions, self.prefix)
        self.sender = Sender(self._found.bootstrap_servers, "the facts of a load")
        self._group = Group(self._found.bootstrap_servers, prefixed(self.prefix, ACCOUNTS.group))
        inputs = ACCOUNTS.inputs(self.prefix, partitions)
        self._places = [place for place in inputs if not place[0].endswith(catalogue.HANDOVERS)]
        self._fleet: Fleet | None = None
        self._workers: list[psutil.Process] = []
        self._port = 0
        self._begun_s = self._said_s = self._looked_s = 0.0
        self._begun_done = self._said_done = 0
        self._begun_cpu_s = self._said_cpu_s = 0.0
        self.sent = self.done = 0
        self.summary = Summary(command)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        forget(self._found.bootstrap_servers, self.prefix, self.state_dir)

    def send(self, fact: Fact | Tick) -> None:
        if isinstance(fact, Tick):
            send_tick(self.sender, self._codec, fact.at_ms, self.partitions, self.prefix)
            self.sent += self.partitions
            return
        place = {"key": fact.member_id, "timestamp": fact.recorded_at_ms}
        self.sender.send(prefixed(self.prefix, topic_of(fact)), self._codec.encode(fact), **place)
        self.sent += 1

    def fill(self, facts: Iterable[Fact | Tick]) -> None:
        """Send all of them before anybody works on them."""
        for fact in facts:
            self.send(fact)
        self.sender.flush()
        tell(f"{self.sent:,} records wait")

    @contextmanager
    def workers(self, count: int) -> Iterator[None]:
        """So many at work; the clock of the run begins anew when they have partitions."""
        given = ["--topic-prefix", self.prefix, "--state-dir", str(self.state_dir)]
        names = [f"worker-{number}" for number in range(count)]
        self._port = free_port(METRICS_PORT, set())
        with Fleet(["run", "accounts", *given], names, self._port) as fleet:
            self._fleet, self._workers = fleet, psutil.Process().children()
            self._await(lambda: sum(look.total("loyalty_assigned_partitions") for look in self.asked()))
            self.begin()
            try:
                yield
            finally:
                self._take_transactions()

    def restart(self, number: int) -> None:
        """End a worker as an upgrade does, and start it again."""
        assert self._fleet is not None
        self._fleet.kill(number, signal.SIGTERM)

    def begin(self) -> None:
        """Count from here on."""
        self.summary = Summary(self.summary.command)
        self._begun_s = self._said_s = time.monotonic()
        self.done = self._begun_done = self._said_done = self._committed()
        self._begun_cpu_s = self._said_cpu_s = self._cpu_s()

    def _await(self, holds: Callable[[], float]) -> None:
        ends = time.monotonic() + STARTING_S
        while not holds():
            self._check()
            if time.monotonic() > ends:
                raise Failure(f"workers had no partitions within {STARTING_S:.0f} s", "read their log above")
            time.sleep(0.2)

    def await_ready(self) -> None:
        """Until all workers have partitions, and their state."""
        ports = range(self._port, self._port + len(self._workers))
        with httpx.Client() as client:
            for port in ports:
                while client.get(f"http://127.0.0.1:{port}/ready").status_code != httpx.codes.OK:
                    self._check()
                    time.sleep(0.1)

    def _check(self) -> None:
        assert self._fleet is not None
        self._fleet.check()

    def asked(self) -> list[Look]:
        """What each worker tells of itself, of those that answer."""
        with httpx.Client() as client:
            urls = [f"http://127.0.0.1:{self._port + n}/metrics" for n in range(len(self._workers))]
            found = [ask(client, url, time.time()) for url in urls]
        return [look for look in found if isinstance(look, Look)]

    def _take_transactions(self) -> None:
        """How long the longest lasted: below a bound of the histogram, for more is not kept."""
        for look in self.asked():
            buckets = look.by("le", "loyalty_transaction_seconds_bucket")
            bound = min(
                (float(le) for le, count in buckets.items() if count == max(buckets.values())), default=0
            )
            self.summary.longest_transaction_below_s = max(self.summary.longest_transaction_below_s, bound)
            self.summary.aborted += round(look.total("loyalty_transactions_total", result="aborted"))

    def _committed(self) -> int:
        return sum(self.committed_by_partition().values())

    def committed_by_partition(self) -> Counter[int]:
        """How many records of each partition's inputs are done."""
        done: Counter[int] = Counter()
        for (_, partition), offset in self._group.committed(self._places).items():
            done[partition] += offset or 0
        return done

    @property
    def lag(self) -> int:
        return self.sent - self.done

    def look(self) -> bool:
        """Take in where the workers are, unless that was known within the last second; whether it was not."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return False
        self._check()
        self._looked_s, self.done = time.monotonic(), self._committed()
        rss = self.rss_mb()
        summary = self.summary
        summary.rss_before_mb = summary.rss_before_mb or rss
        summary.rss_peak_mb = max(summary.rss_peak_mb, rss)
        summary.lag_peak = max(summary.lag_peak, self.lag)
        return True

    def rss_mb(self) -> float:
        """Of the worker that has most."""
        return round(max(worker.memory_info().rss for worker in self._workers) / 2**20, 1)

    def _cpu_s(self) -> float:
        """Of all workers."""
        times = [worker.cpu_times() for worker in self._workers]
        return sum(one.user + one.system for one in times)

    def state_mb(self) -> float:
        files = [path for path in self.state_dir.rglob("*") if path.is_file()]
        return round(sum(path.stat().st_size for path in files if path.exists()) / 2**20, 1)

    def say(self, of: str = "") -> None:
        """A line: how far, how fast since the line before, and at what cost."""
        now_s = time.monotonic()
        done, cpu_s, at_s = self.done - self._said_done, self._cpu_s(), now_s - self._begun_s
        rate = done / max(now_s - self._said_s, 1e-9)
        micros = (cpu_s - self._said_cpu_s) / max(done, 1) * 1e6
        tell(
            f"{at_s:8,.0f} s {self.done:>10,} done {self.lag:>10,} left {rate:>8,.0f}/s {micros:>6,.0f} CPU µs each"
            f" {self.rss_mb():>7,.0f} MB resident {self.state_mb():>8,.1f} MB state  {of}"
        )
        self._said_s, self._said_done, self._said_cpu_s = now_s, self.done, cpu_s

    def drain(self, lines: int) -> None:
        """Until nothing is left; with about so many lines."""
        every = max(1, self.lag // lines)
        ends = time.monotonic() + PATIENCE_S
        while self.lag > 0 and time.monotonic() < ends:
            if self.look() and (self.done - self._said_done >= every or not self.lag):
                self.say()
            time.sleep(0.1)
        if self.lag > 0:
            raise Failure(f"{self.lag:,} facts were left after {PATIENCE_S:,.0f} s", "give fewer facts")

    def send_at(self, rate: float, seconds: float, fact: Callable[[], Fact], of: str, every_s: float) -> None:
        """Send for so long at that rate, and look on."""
        begun, count = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            for _ in range(int(passed * rate) - count):
                self.send(fact())
                count += 1
            if self.look() and time.monotonic() - self._said_s >= every_s:
                self.say(of)
            time.sleep(0.02)

    def finish(self) -> None:
        """Tell the summary."""
        summary = self.summary
        summary.records = self.done - self._begun_done
        summary.seconds = round(time.monotonic() - self._begun_s, 1)
        summary.cpu_us_per_record = round((self._cpu_s() - self._begun_cpu_s) / summary.records * 1e6, 1)
        summary.rss_after_mb, summary.state_mb = self.rss_mb(), self.state_mb()
        summary.load_average = round(os.getloadavg()[0], 1)


def tell(line: str) -> None:
    print(line, flush=True)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def spike(run: Run, chosen: argparse.Namespace) -> None:
    """Recovered: the lag is no more than its greatest of the calm, after the facts come at the steady rate again."""
    work, rnd = workload.Workload(1, chosen.members), Random(1)
    numbers, sold = itertools.count(), list[Order]()
    run.fill(workload.enrolment(workload.member_name(n), workload.ENROLLED_MS) for n in range(chosen.members))
    fact: Callable[[], Fact] = lambda: workload.next_fact(work, next(numbers), now_ms(), sold, rnd)  # noqa: E731
    with run.workers(chosen.workers):
        run.drain(1)
        run.begin()
        run.send_at(chosen.rate, chosen.calm, fact, "steady", chosen.every)
        calm = run.summary.lag_peak
        run.send_at(chosen.rate * 10, chosen.burst, fact, "ten times", chosen.every)
        ended = time.monotonic()
        recovered = lambda: run.lag <= calm  # noqa: E731
        while not recovered() and time.monotonic() - ended < PATIENCE_S:
            run.send_at(chosen.rate, LOOK_S, fact, "steady again", chosen.every)
        run.summary.of_its_own = {
            "rate": chosen.rate, "burst_s": chosen.burst, "lag_calm": calm,
            "recovered_s": round(time.monotonic() - ended, 1),
        }  # fmt: skip
        run.send_at(chosen.rate, chosen.calm, fact, "recovered", chosen.every)
        run.drain(1)
        run.finish()


def hot(run: Run, chosen: argparse.Namespace) -> None:
    """One member's orders, each placed so many minutes after the one before, up to now."""
    run.fill(orders_of_one(chosen.facts, int(chosen.minutes * 60_000), now_ms()))
    with run.workers(1):
        run.drain(chosen.lines)
        run.finish()


def orders_of_one(orders: int, every_ms: int, until_ms: int) -> Iterator[Fact]:
    """The member, and her orders, each told when it is placed."""
    first_ms = until_ms - orders * every_ms
    yield workload.enrolment(history_growth.WHO, first_ms - HOUR_MS)
    for number in range(1, orders + 1):
        at_ms = first_ms + number * every_ms
        yield history_growth.order(number, at_ms, at_ms)


def members(run: Run, chosen: argparse.Namespace) -> None:
    """Memory and time a fact while there are more and more of them."""
    run.fill(enrolling(chosen.members))
    with run.workers(chosen.workers):
        run.drain(chosen.lines)
        run.finish()


def enrolling(count: int) -> Iterator[Fact]:
    """One after the other enrols; every second one orders at once."""
    rnd = Random(1)
    for number in range(count):
        at_ms, name = workload.ENROLLED_MS + number * 10, workload.member_name(number)
        yield workload.enrolment(name, at_ms)
        if number % 2:
            yield workload.some_order(number, name, at_ms + 1_001, rnd)


def backlog(run: Run, chosen: argparse.Namespace) -> None:
    """A week of facts at the steady rate, and of ticks, behind members who are there already."""
    begins_ms = now_ms() // 1_000 * 1_000 - WEEK_S * 1_000
    run.fill(workload.enrolment(workload.member_name(n), begins_ms - DAY_MS) for n in range(chosen.members))
    with run.workers(chosen.workers):
        run.drain(4)
    run.fill(a_week(begins_ms, chosen.rate, chosen.members, int(chosen.tick * 1_000)))
    started = time.monotonic()
    with run.workers(chosen.workers):
        run.summary.of_its_own = {"rate": chosen.rate, "started_s": round(time.monotonic() - started, 1)}
        run.drain(chosen.lines)
        run.finish()


def a_week(begins_ms: int, rate: float, members: int, tick_ms: int) -> Iterator[Fact | Tick]:
    """Facts at that rate a second, evenly, with the ticks between them."""
    count, number = int(WEEK_S * rate), 0
    work, rnd, sold = workload.Workload(count, members), Random(1), list[Order]()
    for tick_at_ms in range(begins_ms + tick_ms, begins_ms + WEEK_S * 1_000 + 1, tick_ms):
        while number < count and (at_ms := begins_ms + WEEK_S * 1_000 * number // count) < tick_at_ms:
            yield workload.next_fact(work, number, at_ms, sold, rnd)
            number += 1
        yield Tick(tick_at_ms)


def above_zero(kind: Callable[[str], float]) -> Callable[[str], float]:
    """What reads such a number of the command line."""

    def number(text: str) -> float:
        if (value := kind(text)) <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    scenarios = parser.add_subparsers(required=True, metavar="SCENARIO")

    def scenario(
        work: Callable[[Run, argparse.Namespace], None], of: str, **options: tuple[float, str]
    ) -> None:
        one = scenarios.add_parser(work.__name__, help=of)
        one.set_defaults(work=work)
        for name, (default, means) in options.items():
            one.add_argument(
                f"--{name}", type=above_zero(type(default)), default=default, help=f"{means}; {default:,}"
            )

    lines = (20, "lines to print on the way")
    scenario(
        spike, "ten times the steady rate",
        rate=(200.0, "facts a second when all is calm"), calm=(60.0, "seconds before, and again at the end"),
        burst=(60.0, "seconds of ten times as many"), members=(20_000, "members"), workers=(2, "workers"),
        every=(5.0, "seconds from line to line"),
    )  # fmt: skip
    scenario(
        hot, "one member with very many orders",
        facts=(100_000, "orders"), minutes=(30.0, "from one to the next, in the member's time"), lines=lines,
    )  # fmt: skip
    scenario(
        members, "very many members in state",
        members=(1_000_000, "members"), workers=(1, "workers"), lines=lines,
    )  # fmt: skip
    scenario(
        backlog, "a week that nobody worked on",
        rate=(1.0, "facts a second in that week"), tick=(10.0, "seconds from tick to tick"),
        members=(100_000, "members"), workers=(2, "workers"), lines=lines,
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command = " ".join(["python benchmarks/load.py", *sys.argv[1:]])
    with Run(command) as run:
        chosen.work(run, chosen)
        tell(json.dumps(asdict(run.summary)))


if __name__ == "__main__":
    with failures_told():
        main()
