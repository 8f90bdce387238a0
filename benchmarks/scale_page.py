"""docs/SCALE.md from docs/scale.json: `make scale-page`. No figure on the page is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.scale import FIGURES

PAGE: Final = Path(__file__).parents[1] / "docs/SCALE.md"
Point = dict[str, Any]
Columns = dict[str, Callable[[Point], str]]


def number(name: str) -> Callable[[Point], str]:
    return lambda point: f"{point[name]:,}"


MEMBERS: Final[Columns] = {
    "Members": number("members"),
    "Records of state": number("records"),
    "On disk, MB": lambda point: f"{point['state_mb']:,.0f}",
    "Ready with the state on disk, s": number("started_s"),
    "Ready with none, s": number("restored_s"),
    "Restored, records/s": number("restored_records_per_s"),
    "Restored, members/s": lambda point: (
        f"{point['restored_records_per_s'] * point['members'] / point['records']:,.0f}"
    ),
    "CPU µs a fact": number("cpu_us_per_fact"),
    "Facts/s": number("facts_per_second"),
    "Resident, MB": lambda point: f"{point['rss_mb']:,.0f}",
    "Load": number("load_average"),
}
RESTARTS: Final[Columns] = {
    "Members": number("members"),
    "Facts/s that came in": number("facts_per_second"),
    "Longest without a commit before, s": number("usual_gap_s"),
    "on the partitions of the other worker, s": number("gap_of_the_others_s"),
    "on those of the restarted one, s": number("gap_of_its_own_s"),
    "Load": number("load_average"),
}
SPLIT: Final[Columns] = {
    "Workers": number("workers"),
    "Partitions": number("partitions"),
    "Facts/s": number("facts_per_second"),
    "CPU µs a fact, all workers": number("cpu_us_per_fact"),
    "Resident, MB, the largest": lambda point: f"{point['rss_mb']:,.0f}",
    "Load": number("load_average"),
}
ACCOUNTS: Final[Columns] = {
    "Years": number("years"),
    "Account, median": number("account_median"),
    "Account, p99": number("account_p99"),
    "All that is kept, median": number("all_median"),
    "All that is kept, p99": number("all_p99"),
}

TEXT: Final = """# Scale

Written by `make scale-page` from `docs/scale.json`, which `.venv/bin/python benchmarks/scale.py CURVE` fills on a
running stack (`loyalty up`), a point a line. Exactly once, all rules, Avro; one machine of two cores, shared by the
broker, the workers and what else ran (load average, one minute, at each point): facts/s are what was left of it,
processor time is the workers' alone.

## Members in state

{members}

Each member has enrolled and told some four facts: orders, runs, reviews, a return. Her state is planted as records of
the changelog, as a worker would have written them; then a worker with an empty disk restores it, one with the
state on its disk starts again, and one works on {facts:,} facts of members drawn evenly. Nearly each of these finds her
account cold.

## Bytes a member

{accounts}

Of {sized:,} simulated members; values as they are stored, without keys and before RocksDB compresses them. A fact reads
the account, and of the rest what it concerns.

## A restart

{restarts}

Two workers, facts at a steady rate; one gets SIGTERM and is started again at once with its state on disk, as in an
upgrade. Membership is static, so nobody else's partitions move.

## Partitions

{partitions}

## Workers

{workers}

{ratio}
"""


RATIO: Final = """Two workers do {clock:.2f} times what one does by the clock, the broker being on the same cores, and
{processor:.2f} times by processor time, which is what two do that have a core each."""


def main() -> None:
    found = json.loads(FIGURES.read_text())
    one, two = (next(p for p in found["workers"] if p["workers"] == n) for n in (1, 2))
    PAGE.write_text(
        TEXT.format(
            members=table(MEMBERS, found["members"]),
            restarts=table(RESTARTS, found["restarts"]),
            partitions=table(SPLIT, found["partitions"]),
            workers=table(SPLIT, found["workers"]),
            accounts=table(ACCOUNTS, found["accounts"]),
            sized=found["accounts"][0]["members"],
            facts=found["members"][-1]["facts"],
            ratio=RATIO.format(
                clock=two["facts_per_second"] / one["facts_per_second"],
                processor=2 * one["cpu_us_per_fact"] / two["cpu_us_per_fact"],
            ),
        )
    )


def table(columns: Columns, points: list[Point]) -> str:
    """In Markdown, a row a point."""
    rows = [
        list(columns),
        ["--:"] * len(columns),
        *([of(point) for of in columns.values()] for point in points),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
