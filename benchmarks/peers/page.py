"""docs/PERFORMANCE.md from a race's figures: `make bench-page`. No figure on the page is typed."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs/performance.json"
PAGE = ROOT / "docs/PERFORMANCE.md"
NAMES = {
    "loyalty": "Loyalty Streams, all rules",
    "plain-quix": "plain Quix Streams, the rules of this work",
    "floor": "the floor: decode, encode, no rules",
}

TEXT = """# Performance

Written by `make bench-page` from `docs/performance.json`, which this command writes:

    {command}

{facts:,} facts of up to {members:,} members, seed {seed}: orders 45 %, returns 7 %, engagements 48 %; members
drawn with rank^-{skew}; {late:.1%} of the engagements recorded 1 to 10 days late, {duplicates:.1%} of the facts
twice. {partitions} partitions, one worker each, exactly once, commits every {commit_interval_ms} ms, {cores}
cores shared with the broker, Quix Streams {quixstreams}. {rounds} rounds in turns; the first fifth of each is
warm-up. Medians, least to greatest in brackets. CPU and memory are the worker's alone. Load average (1 minute)
when the runs ended: {least_load} to {most_load}.

| Engine | Facts/s | CPU s per million facts | RSS, MB | State on disk, bytes per fact |
|---|---|---|---|---|
{rows}

{ratios}

{same}

## What the figures compare

The peer in `benchmarks/peers/plain_quix.py` names the rules that it implements, and those of ours that it does
not. Balances of all members (active, pending, reserved, debt, lifetime), and every entry of an order, return or
welcome (lot, reason, points, accounts, tier) are compared by digest after each round; when they differ there is
no result. Entries of engagements are not: when a run comes late to a full day, ours moves the day's points to
the earlier run, the peer does not; the balance is the same. Only ours writes derivations, progress and tier
changes.

## Not measured yet

Kafka Streams and Faust as peers; latency at shares of the top rate; restore; bytes of changelog per fact;
curves over workers, partitions and members. No claim about them is made here.
"""


def main() -> None:
    PAGE.write_text(page(json.loads(FIGURES.read_text())))


def page(report: dict[str, Any]) -> str:
    """The page of a report as `race.py` writes it."""
    runs = report["runs"]
    loads = [run["load_average"] for run in runs]
    rates = {engine: _median(runs, engine, "facts_per_second") for engine in NAMES}
    ours = rates["loyalty"]
    values = {key: value for key, value in report.items() if key not in ("work", "runs")} | report["work"]
    return TEXT.format(
        **values,
        least_load=min(loads),
        most_load=max(loads),
        rows="\n".join(_row(runs, engine) for engine in NAMES),
        ratios="\n".join(
            f"- Facts/s of ours, as a multiple of {NAMES[engine].split(':')[0].split(',')[0]}: **{ours / rate:.2f}**"
            for engine, rate in rates.items()
            if engine != "loyalty"
        ),
        same=_same(runs),
    )


def _row(runs: list[dict[str, Any]], engine: str) -> str:
    names = ("facts_per_second", "cpu_seconds_per_million", "rss_mb", "state_bytes_per_fact")
    cells = []
    for name in names:
        values = [run[name] for run in runs if run["engine"] == engine]
        cells.append(f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})")
    return f"| {NAMES[engine]} | " + " | ".join(cells) + " |"


def _median(runs: list[dict[str, Any]], engine: str, name: str) -> float:
    return statistics.median(run[name] for run in runs if run["engine"] == engine)


def _same(runs: list[dict[str, Any]]) -> str:
    balances, entries = next((run["balances"], run["entries"]) for run in runs if run["engine"] == "loyalty")
    members, digest = balances.split(":")
    count, of_entries = entries.split(":")
    return (
        f"All engines with rules said the same of {int(members):,} members (digest `{digest}`), in {int(count):,} "
        f"compared entries (digest `{of_entries}`)."
    )


if __name__ == "__main__":
    main()
