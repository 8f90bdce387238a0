"""How many partitions, workers and bytes so many members need: a model over measured figures.

The figures are of one worker on one machine (`capacity.json` beside this file, by `benchmarks/capacity.py`). What
they do not know, how many members there are and what they do, is asked. Each line of the answer says its own sum, so
that who doubts a result can redo it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from pipelines.domain.programme import DAY_MS

MEASURED: Final = Path(__file__).with_suffix(".json")
DAY_S: Final = DAY_MS // 1000
YEAR_DAYS: Final = 365
YEAR_S: Final = YEAR_DAYS * DAY_S
PARTITIONS_A_WORKER: Final = 4
"""Partitions for four times the workers: the day these do not suffice, some are added, and no topic is made anew."""


class Figures(BaseModel):
    """What was measured. Bytes on the broker are as it keeps them, compressed, one copy."""

    model_config = ConfigDict(frozen=True)

    facts: PositiveInt
    members: PositiveInt
    days: PositiveInt
    cpu_s_per_million_facts: PositiveFloat
    state_bytes: PositiveInt
    restored_records_per_s: PositiveFloat
    changelog_records: PositiveInt
    live_records: PositiveInt
    rss_mb: PositiveFloat
    broker_bytes: dict[str, int]
    """Of the run's facts and results, by topic; the changelog as `changelog`, before it is compacted."""

    @property
    def facts_per_member_year(self) -> float:
        """As the simulated members are active."""
        return self.facts / self.members * YEAR_DAYS / self.days

    @property
    def state_bytes_per_fact(self) -> float:
        """State grows with what is known of a member, and nothing is forgotten."""
        return self.state_bytes / self.facts

    @property
    def live_records_per_fact(self) -> float:
        """Records of state that a restore reads, when the changelog is compacted."""
        return self.live_records / self.facts


class Demand(BaseModel):
    """What is to be carried."""

    model_config = ConfigDict(frozen=True)

    members: PositiveInt
    facts_per_member_year: PositiveFloat
    years: PositiveFloat = 3.0
    """How long members have been members, on average."""
    peak: Annotated[float, Field(ge=1)] = 10.0
    """The busiest minute, in times of the mean."""
    busy: Annotated[float, Field(gt=0, le=1)] = 0.5
    """What share of a core a worker may use at the peak: the rest catches up after a fault."""
    copies: PositiveInt = 3
    restore_s_max: PositiveFloat = 1_800.0
    """How long a worker that lost its disk may take to restore its state."""
    facts_kept_days: NonNegativeFloat = 3_650.0


class Line(BaseModel):
    """One figure of the answer, and how it comes about."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float
    unit: str
    how: str


class Capacity(BaseModel):
    """The answer. A worker is one process on one core, with a disk of its own."""

    model_config = ConfigDict(frozen=True)

    demand: Demand
    lines: tuple[Line, ...]

    def __getitem__(self, name: str) -> float:
        return next(line.value for line in self.lines if line.name == name)


def capacity(demand: Demand, figures: Figures) -> Capacity:
    """What the demand needs, by the figures. Holds as far as cost a fact stays flat as state grows (docs/LOAD.md)."""
    mean = demand.members * demand.facts_per_member_year / YEAR_S
    peak = mean * demand.peak
    a_core = 1e6 / figures.cpu_s_per_million_facts
    facts_known = demand.members * demand.facts_per_member_year * demand.years
    state = facts_known * figures.state_bytes_per_fact
    live = facts_known * figures.live_records_per_fact
    for_restore = ceil(live / figures.restored_records_per_s / demand.restore_s_max)
    workers, for_rate = max(for_restore, 1), 1
    while (for_rate := ceil((peak + _partitions(workers)) / (a_core * demand.busy))) > workers:
        workers = for_rate
    partitions = _partitions(workers)
    kept_s = min(demand.facts_kept_days * DAY_S, demand.years * YEAR_S)
    topics = sum(size for name, size in figures.broker_bytes.items() if name != "changelog")
    broker = (mean * kept_s * topics / figures.facts + state) * demand.copies
    written = sum(figures.broker_bytes.values()) / figures.facts
    lines = (
        Line(
            name="facts/s, mean", value=mean, unit="facts/s", how="members × facts a member and year ÷ a year"
        ),
        Line(name="facts/s, peak", value=peak, unit="facts/s", how=f"mean × {demand.peak:g}"),
        Line(
            name="workers for the peak",
            value=for_rate,
            unit="cores",
            how=f"(peak + a tick a second and partition) ÷ ({a_core:,.0f} facts/s a core × {demand.busy:g})",
        ),
        Line(
            name="workers for a restore",
            value=for_restore,
            unit="cores",
            how=f"live records ÷ {figures.restored_records_per_s:,.0f}/s ÷ {demand.restore_s_max:,.0f} s",
        ),
        Line(name="workers", value=workers, unit="cores", how="the larger of the two"),
        Line(
            name="partitions",
            value=partitions,
            unit="partitions",
            how=f"workers × {PARTITIONS_A_WORKER}, up to a power of two",
        ),
        Line(
            name="state",
            value=state,
            unit="bytes",
            how=f"facts of {demand.years:g} years × {figures.state_bytes_per_fact:,.0f} bytes",
        ),
        Line(name="state a worker", value=state / workers, unit="bytes", how="state ÷ workers"),
        Line(
            name="restore of a worker",
            value=live / workers / figures.restored_records_per_s,
            unit="seconds",
            how=f"{live / workers:,.0f} live records ÷ {figures.restored_records_per_s:,.0f}/s",
        ),
        Line(
            name="memory a worker", value=figures.rss_mb * 1e6, unit="bytes", how="as measured, at the most"
        ),
        Line(
            name="disk of the brokers",
            value=broker,
            unit="bytes",
            how=f"(facts kept × {topics / figures.facts:,.0f} bytes + state) × {demand.copies} copies",
        ),
        Line(
            name="written to the brokers, peak",
            value=peak * written * demand.copies,
            unit="bytes/s",
            how=f"peak × {written:,.0f} bytes, the changelog's included, × {demand.copies} copies",
        ),
    )
    return Capacity(demand=demand, lines=lines)


def _partitions(workers: int) -> int:
    """Up to a power of two."""
    return 1 << (workers * PARTITIONS_A_WORKER - 1).bit_length()


def shown(value: float, unit: str) -> str:
    """A figure for people: two digits that count."""
    if unit.startswith("bytes"):
        for name in ("B", "kB", "MB", "GB", "TB"):
            if value < 1000 or name == "TB":
                return f"{value:,.3g} {name}{unit.removeprefix('bytes')}"
            value /= 1000
    if unit == "seconds":
        return f"{value / 60:,.1f} min" if value >= 120 else f"{value:,.1f} s"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


PAGE: Final = """# Capacity

Written from `pipelines/operations/capacity.py` and `capacity.json` beside it by `make golden`; a test compares them.
`loyalty capacity --members N` does the same sum for your own numbers, and `--help` names what can be said of them.

## For {members} members

Each does {facts:.1f} facts a year (orders, returns, engagements, commands, changes of the member), as the simulated
ones do; has been a member for {years:g} years; the busiest minute has {peak:g} times the mean; a worker uses
{busy:.0%} of its core then; a worker that lost its disk is back within {restore:.0f} minutes; brokers keep {copies}
copies, and facts and results for ever.

{table}

How each line comes about, for a million members:

{how}

## What was measured

{measured}

`.venv/bin/python benchmarks/capacity.py` on a stack that `make up` started measures all of it: {run} under the
reference programme, one worker, exactly once. CPU is the worker's, brokers apart. Sizes on the broker are of its log
directories.

## How far to trust it

- The figures are of one machine that was shared; processor time is used, not the clock, so a faster core moves the
  workers in proportion.
- Cost a fact is taken as flat while state grows: docs/LOAD.md shows how far that was seen. A single hot member is not
  in the sum: one member is one partition's work, whatever is added.
- State is what members of that history keep, and grows with their facts, for nothing is forgotten yet: five years are
  five times one.
- Restore is counted by records of a compacted changelog. Before compaction it is longer: the run wrote {churn:.1f}
  records for each that lives.
- A tick of the clock is counted as a fact, which is too much for most: it only looks for what is due.
- The triggers pipeline and the warehouse's sinks are workers of their own and not in here."""


def capacity_page(figures: Figures, sizes: Sequence[int] = (1_000_000, 10_000_000, 100_000_000)) -> str:
    """docs/CAPACITY.md."""
    answers = [
        capacity(Demand(members=members, facts_per_member_year=figures.facts_per_member_year), figures)
        for members in sizes
    ]
    first = answers[0]
    head = [
        "| |" + "".join(f" {members // 1_000_000} M |" for members in sizes),
        "|---|" + "--:|" * len(sizes),
    ]
    rows = [
        f"| {line.name} |" + "".join(f" {shown(answer[line.name], line.unit)} |" for answer in answers)
        for line in first.lines
    ]
    return PAGE.format(
        members=", ".join(f"{members // 1_000_000}" for members in sizes[:-1])
        + f" and {sizes[-1] // 1_000_000} million",
        facts=first.demand.facts_per_member_year,
        years=first.demand.years,
        peak=first.demand.peak,
        busy=first.demand.busy,
        restore=first.demand.restore_s_max / 60,
        copies=first.demand.copies,
        table="\n".join([*head, *rows]),
        how="\n".join(f"- **{line.name}**: {line.how}" for line in first.lines),
        measured=_measured(figures),
        run=f"{figures.facts:,} facts of {figures.members:,} simulated members over {figures.days} days",
        churn=figures.changelog_records / figures.live_records,
    )


def _measured(figures: Figures) -> str:
    rows = [
        ("processor time of a worker", f"{figures.cpu_s_per_million_facts:,.0f} s a million facts"),
        ("its memory, at the most", f"{figures.rss_mb:,.0f} MB"),
        ("its state on disk", f"{figures.state_bytes_per_fact:,.0f} bytes a fact"),
        ("restore from the changelog", f"{figures.restored_records_per_s:,.0f} records/s"),
        ("records that live in state", f"{figures.live_records_per_fact:,.2f} a fact"),
        *(
            (f"`{name}` on the broker", f"{size / figures.facts:,.0f} bytes a fact")
            for name, size in figures.broker_bytes.items()
        ),
    ]
    return "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows)])
