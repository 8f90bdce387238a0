"""How a fact's time and a member's state grow with her history: `benchmarks/history_growth.py [FACTS [HISTORY]]`.

One member under the reference programme on the pure rules, state encoded and decoded as a worker does it, in a store in
memory. Each line of the table is a kind of history after so many facts of it: the median and the longest processor time
of the last hundredth of them (at least 50), the bytes of her account, and of the largest record that she has. The
account is read and written with every fact and goes to the changelog each time; a record may have 16 MiB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count, takewhile
from pathlib import Path
from statistics import median
from time import thread_time_ns
from typing import NamedTuple

from benchmarks.orders import paid_order
from pipelines.domain.facts import (
    CommandKind,
    Consent,
    Engagement,
    EngagementKind,
    EngagementStatus,
    Fact,
    Member,
    Order,
    OrderLine,
    PointsCommand,
    Verification,
)
from pipelines.domain.programme import DAY_MS, HOUR_MS
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from state import layout
from state.memory import MemoryStore

START_MS = 1_767_225_600_000  # 2026-01-01
MINUTE_MS = 60_000
WHO = "m-1"


class Row(NamedTuple):
    """What stands after so many facts."""

    facts: int
    micros: float
    slowest_micros: float
    account_bytes: int
    largest_bytes: int


def order(number: int, placed_at_ms: int, recorded_at_ms: int) -> Order:
    """One of 10.00, paid."""
    line = OrderLine("A", "sku", "road", 1, 10_00, 0, True)
    ids = f"e-O{number}", f"O{number:06}"
    return paid_order(*ids, WHO, placed_at_ms, (line,), market="CH", recorded_at_ms=recorded_at_ms)


def orders(every_ms: int) -> Iterator[Fact]:
    """An order each so often, each told when it is placed."""
    return (order(n, START_MS + n * every_ms, START_MS + n * every_ms) for n in count(1))


def late_orders() -> Iterator[Fact]:
    """An order a minute, each tenth of them told a day late."""
    for n in count(1):
        now_ms = START_MS + DAY_MS + n * MINUTE_MS
        yield order(n, now_ms - (DAY_MS if n % 10 == 0 else 0), now_ms)


def runs(every_ms: int) -> Iterator[Fact]:
    """A run each so often."""
    for n in count(1):
        at_ms = START_MS + n * every_ms
        yield Engagement(
            event_id=f"e-E{n}",
            member_id=WHO,
            occurred_at_ms=at_ms,
            recorded_at_ms=at_ms,
            engagement_id=f"E{n:06}",
            version=1,
            kind=EngagementKind.RUN,
            status=EngagementStatus.RECORDED,
            zone="Europe/Zurich",
            distance_m=4_000,
            duration_s=1_200,
            verification=Verification.GPS,
            subject=None,
        )


def commands() -> Iterator[Fact]:
    """An agent's gift of 10 points and its redemption, in turns, a minute apart."""
    for n in count(1):
        kind = CommandKind.ADJUST if n % 2 else CommandKind.REDEEM
        said = ("agent-1", "goodwill", "T-1") if n % 2 else (None, None, None)
        at_ms = START_MS + n * MINUTE_MS
        yield PointsCommand(f"e-C{n}", WHO, at_ms, at_ms, f"C{n:06}", kind, None, 10, *said)


HISTORIES: dict[str, Callable[[], Iterator[Fact]]] = {
    "an order a minute": lambda: orders(MINUTE_MS),
    "an order an hour": lambda: orders(HOUR_MS),
    "an order a day": lambda: orders(DAY_MS),
    "an order a minute, a tenth late": late_orders,
    "a run a second": lambda: runs(1_000),
    "a run an hour": lambda: runs(HOUR_MS),
    "gifts and redemptions": commands,
}


def rows(history: Iterator[Fact], facts: int) -> list[Row]:
    """What stands after 100 facts, 1,000, and so on to `facts`."""
    accounts, store = Accounts(load_programme(Path("reference"))), MemoryStore()
    consents = (Consent("marketing", START_MS, None),)
    enrolled = Member(
        "e-m", WHO, START_MS, START_MS, 1, START_MS, "CH", "Europe/Zurich", None, None, consents, None
    )
    accounts.process(enrolled, store)
    wanted = set(takewhile(lambda n: n <= facts, (10**n for n in count(2))))
    found: list[Row] = []
    times: list[int] = []
    for number, fact in zip(range(1, facts + 1), history, strict=False):
        began = thread_time_ns()
        accounts.process(fact, store)
        times.append(thread_time_ns() - began)
        if number in wanted:
            last = times[-max(50, number // 100) :]
            account = store.records[layout.ACCOUNT, WHO, ""]
            found.append(
                Row(
                    number,
                    median(last) / 1e3,
                    max(last) / 1e3,
                    len(account),
                    max(map(len, store.records.values())),
                )
            )
    return found


def main() -> None:
    facts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    named = f"{'facts':>8} {'µs a fact':>10} {'slowest':>10} {'account bytes':>14} {'largest record':>15}"
    print(f"{'history':32} {named}")
    for name in sys.argv[2:] or HISTORIES:
        for row in rows(HISTORIES[name](), facts):
            took = f"{row.micros:>10,.0f} {row.slowest_micros:>10,.0f}"
            told = f"{row.facts:>8,} {took} {row.account_bytes:>14,} {row.largest_bytes:>15,}"
            print(f"{name:32} {told}", flush=True)


if __name__ == "__main__":
    main()
