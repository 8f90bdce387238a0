"""How the figures of workers are drawn: a line a figure, a column a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipelines.operations.looks import Figures
from pipelines.operations.thresholds import NOT_SEEN, SEEN, Past

UNKNOWN: Final = "–"

LINES: Final[dict[str, Callable[[Figures], str]]] = {
    "build": lambda f: f.build,
    "programme": lambda f: f.programme,
    "partitions": lambda f: f"{f.partitions}",
    "state": lambda f: _standing(f),
    "facts/s": lambda f: UNKNOWN if f.facts_per_second is None else f"{f.facts_per_second:,.0f}",
    "lag, facts": lambda f: f"{f.lag_records:,}",
    "lag, seconds": lambda f: f"{f.lag_seconds:,.1f}",
    "since recorded, p50 / p99": lambda f: _latency(f.since_recorded),
    "since tick, p50 / p99": lambda f: _latency(f.since_tick),
    "transactions": lambda f: f"{f.transactions:,}",
    "aborts": lambda f: f"{f.aborts:,}",
    "dead letters": lambda f: f"{sum(f.dead_letters.values()):,}",
    "by class": lambda f: "\n".join(f"{c} {n:,}" for c, n in f.dead_letters.items()) or UNKNOWN,
    "state on disk": lambda f: f"{_size(f.state_bytes)}, {_size(f.state_free_bytes)} free",
}
"""The figures, in their order, as they are written."""


def table(workers: Sequence[Figures]) -> Table:
    """The workers' figures."""
    drawn = Table("", *(f"{w.processor} {w.replica}" for w in workers), box=box.SIMPLE_HEAD)
    for name, written in LINES.items():
        drawn.add_row(name, *(written(worker) for worker in workers))
    return drawn


def told(found: Sequence[Past]) -> Text:
    """What is past its threshold, a line each, and how much of the alerts was looked at."""
    lines = [Text.assemble((p.alert, "bold red"), f" {p.who}: {p.what}") for p in found]
    lines = lines or [Text("nothing is past its threshold", "green")]
    seen = f"{len(SEEN)} alerts are held against a look; {len(NOT_SEEN)} need Prometheus (--help names them)"
    return Text("\n").join([*lines, Text(seen, "dim")])


def picture(workers: Sequence[Figures], found: Sequence[Past], spans: str) -> RenderableType:
    """All of it; `spans` says over what time rates and latencies are."""
    drawn = (table(workers), Text(spans, "dim"), Text()) if workers else ()
    return Group(*drawn, told(found))


def _standing(f: Figures) -> str:
    if f.restoring:
        return f"restoring, {f.restoring:,} left"
    return "restored" if f.partitions else "no partitions"


def _latency(of: tuple[float, float] | None) -> str:
    return UNKNOWN if of is None else " / ".join(map(_duration, of))


def _duration(seconds: float) -> str:
    if seconds == inf:
        return "over a day"
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:,.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
