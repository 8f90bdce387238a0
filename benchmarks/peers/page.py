"""docs/PERFORMANCE.md from the figures of a race, of a profile and of scale: `make bench-page`. None is typed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.peers import crash
from benchmarks.peers.engines import ENGINES, FAUST, KAFKA_STREAMS, LOYALTY, PLAIN_QUIX

ROOT: Final = Path(__file__).parents[2]
FIGURES: Final = ROOT / "docs/performance.json"
SCALE: Final = ROOT / "docs/scale.json"
PROFILE: Final = ROOT / "docs/profile.json"
PAGE: Final = ROOT / "docs/PERFORMANCE.md"

Figures = dict[str, Any]

TEXT: Final = """# Performance

Written by `make bench-page` from `docs/performance.json`, which this command writes:

    {command}

{facts:,} facts of up to {members:,} members, seed {seed}: orders 45 %, returns 7 %, engagements 48 %; members
drawn with rank^-{skew}; {late:.1%} of the engagements recorded 1 to 10 days late, {duplicates:.1%} of the facts
twice. {partitions} partitions, one worker each, exactly once, commits every {commit_interval_ms} ms, {cores}
cores shared with the broker, {versions}.
Rounds in turns: {rounds}; the first fifth of each is warm-up. Medians, least to greatest in brackets. CPU and memory
are the worker's alone. Load average (1 minute) when the runs ended: {least_load} to {most_load}.

## Goals

| Goal | Measured | Met |
|---|---|---|
{goals}

What is missed, why, and what it would take: [RFC 0014](rfcs/0014-how-far-native-code-goes.md). Workers, members in
state, restarts and restore: [Scale](SCALE.md).

## Rates

| Engine | Facts/s | Ours is so many times as fast | CPU s per million facts | The broker's | RSS, MB |
|---|---|---|---|---|---|
{rates}

| Engine | Changelog, bytes per fact | Changelog, records per fact | State on disk, bytes per fact |
|---|---|---|---|
{bytes}

Bytes of a changelog are those of keys and values, before compression. {same}

## Latency

From the call that hands a fact to the producer until a reader of committed records has the first entry that the fact
caused, by one clock, at shares of the rate above that each engine reached. Behind: how much of the facts was not
committed when the last one was sent, in seconds of the rate; an engine that keeps up is less than two commit intervals
behind. A dash: the sender and the reader, which are Python and on the same two cores, could not keep up.
Ended: the engine stopped, for a return was read long before its order, which peers do not park.

| Engine | Share | Facts/s | p50, ms | p99, ms | Most, ms | Facts timed | Behind, s |
|---|---|---|---|---|---|---|---|
{latency}

## Killed half way

Each engine does a small work ({killed_facts:,} facts of few members), is killed (`kill -9`) when half of it is
committed, and started again. What it says in the end must be what we say when nobody is killed.

| Engine | Says the same | Facts committed | Entries of orders, returns and welcomes | Expected |
|---|---|---|---|---|
{killed}

## Where our time goes

`loyalty bench --json > docs/profile.json`: {profiled_facts:,} simulated facts of {profiled_members:,} members, ticks
included, by one worker, {profiled_rate:,.0f} facts/s, {profiled_cpu:,.0f} CPU s per million. Shares of the worker's
time; polling includes waiting.

| Part | Share |
|---|---|
{profile}

## What the figures compare

- **The rules.** `benchmarks/peers/rules.py` says which of our rules the peers implement, and which they do not.
  Balances of all members (active, pending, reserved, debt, lifetime), and every entry of an order, return or welcome
  (lot, reason, points, accounts, tier) are compared by digest after each round; when they differ there is no result.
  Entries of engagements are not: when a run comes late to a full day, ours moves the day's points to the earlier run,
  the peers do not; the balance is the same. Only ours writes derivations, progress and tier changes.
- **Kafka Streams** (`benchmarks/peers/kafka-streams`): Java, Processor API, `exactly_once_v2`, one stream thread, Avro
  SpecificRecord, one RocksDB store with changelog and a record cache of 64 MB; one block cache and write buffer bound
  for all partitions; heap {heap_mb} MB; lz4 and a linger of 50 ms, as all others.
- **Plain Quix Streams** (`benchmarks/peers/plain_quix.py`): `concat`, the library's own Avro serdes, State by key.
- **Faust** (`benchmarks/peers/faust`): an agent and a table on RocksDB, `processing_guarantee="exactly_once"`, the
  Cython build, uvloop. It does not read several topics in order of time, so it is given all facts in one topic, in
  order: less work than the others have.
- **The floor** (`benchmarks/peers/floor.py`): consume, decode, encode, produce. No rules, no state.
"""


class Goal(NamedTuple):
    """What was measured, and what it must be."""

    says: str
    measured: float
    bound: float
    at_least: bool = True
    unit: str = "×"

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def main() -> None:
    PAGE.write_text(page(*(json.loads(path.read_text()) for path in (FIGURES, SCALE, PROFILE))))


def page(report: Figures, scale: Figures, profile: Figures) -> str:
    """The page of a report as `race.py` writes it, the curves of `scale.py` and what `loyalty bench` says."""
    runs = report["runs"]
    loads = [one["load_average"] for one in (*runs, *report["latency"])]
    values = {
        key: value
        for key, value in report.items()
        if key not in ("work", "runs", "latency", "killed", "versions")
    }
    return TEXT.format(
        **values,
        **report["work"],
        versions=", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        least_load=min(loads),
        most_load=max(loads),
        goals="\n".join(_goal(goal) for goal in (*compared(report), *alone(scale))),
        rates="\n".join(_rates(runs)),
        bytes="\n".join(_bytes(runs)),
        latency="\n".join(_latency(report["latency"])),
        killed="\n".join(_killed(report["killed"])),
        killed_facts=crash.WORK.facts,
        same=_same(runs),
        profiled_facts=profile["facts"],
        profiled_members=profile["members"],
        profiled_rate=profile["facts_per_second"],
        profiled_cpu=profile["cpu_seconds_per_million"],
        profile="\n".join(f"| {part} | {share:.1%} |" for part, share in _largest_first(profile["shares"])),
    )


def _largest_first(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda share: -share[1])


def compared(report: Figures) -> Iterator[Goal]:
    """The goals beside others for which the report has figures."""
    rates = {name: _median(report["runs"], name, "facts_per_second") for name in _raced(report["runs"])}
    for peer, bound in ((KAFKA_STREAMS, 1.0), (PLAIN_QUIX, 2.0), (FAUST, 5.0)):
        if peer.name in rates:
            ratio = rates[LOYALTY.name] / rates[peer.name]
            yield Goal(f"facts/s ≥ {bound} × {_short(peer.title)}", ratio, bound)
    p99 = {(one["engine"], one["share"]): one["p99_ms"] for one in report["latency"]}
    for (engine, share), theirs in p99.items():
        if engine == KAFKA_STREAMS.name:
            if theirs is None or (ours := p99[LOYALTY.name, share]) is None:
                continue
            ratio = ours / theirs
            says = f"p99 latency ≤ 1.0 × {_short(KAFKA_STREAMS.title)}, at {share:.0%} of each one's rate"
            yield Goal(says, ratio, 1.0, at_least=False)


def alone(scale: Figures) -> Iterator[Goal]:
    """The goals that are no comparison, of the curves as far as they were measured."""
    of = {point["workers"]: point["cpu_us_per_fact"] for point in scale["workers"]}
    yield Goal(
        "two workers ≥ 1.8 × one, by processor time: the broker is on the same cores", 2 * of[1] / of[2], 1.8
    )
    most = scale["members"][-1]
    each_s = most["restored_records_per_s"]
    yield Goal("restore ≥ 100,000 records of state/s", each_s, 100_000, unit="records/s")
    whole = each_s * most["members"] / most["records"]
    says = (
        f"restore ≥ 100,000 accounts/s, with the {most['records'] / most['members']:.1f} records kept of each"
    )
    yield Goal(says, whole, 100_000, unit="accounts/s")
    year = scale["accounts"][0]
    says = f"the median account record < 1,024 bytes, of members of {year['years']} year"
    yield Goal(says, year["account_median"], 1_023, at_least=False, unit="bytes")


def _goal(goal: Goal) -> str:
    measured = f"{goal.measured:.2f}" if goal.unit == "×" else f"{goal.measured:,.0f}"
    return f"| {goal.says} | {measured} {goal.unit} | {'yes' if goal.met else '**no**'} |"


def _raced(runs: list[dict[str, Any]]) -> list[str]:
    known = {run["engine"] for run in runs}
    return [engine.name for engine in ENGINES if engine.name in known]


def _short(title: str) -> str:
    return title.split(",")[0].split(":")[0]


TITLES: Final = {engine.name: engine.title for engine in ENGINES}


def _rates(runs: list[dict[str, Any]]) -> Iterator[str]:
    ours = _median(runs, LOYALTY.name, "facts_per_second")
    for name in _raced(runs):
        ratio = f"{ours / _median(runs, name, 'facts_per_second'):.2f}"
        spent = ("cpu_seconds_per_million", "broker_cpu_seconds_per_million", "rss_mb")
        spread = " | ".join(_spread(runs, name, of) for of in spent)
        yield f"| {TITLES[name]} | {_spread(runs, name, 'facts_per_second')} | {ratio} | {spread} |"


def _bytes(runs: list[dict[str, Any]]) -> Iterator[str]:
    for name in _raced(runs):
        kept = [
            _spread(runs, name, "changelog_bytes_per_fact"),
            _spread(runs, name, "changelog_records_per_fact", 2),
            _spread(runs, name, "state_bytes_per_fact"),
        ]
        yield f"| {TITLES[name]} | {' | '.join(kept)} |"


def _spread(runs: list[dict[str, Any]], engine: str, name: str, digits: int = 0) -> str:
    values = [run[name] for run in runs if run["engine"] == engine]
    if None in values:
        return "not known"
    middle, least, most = (f"{v:,.{digits}f}" for v in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({least}–{most})"


def _median(runs: list[dict[str, Any]], engine: str, name: str) -> float:
    return float(statistics.median(run[name] for run in runs if run["engine"] == engine))


def _latency(measured: list[dict[str, Any]]) -> Iterator[str]:
    for one in measured:
        times = " | ".join(
            "–" if one[of] is None else f"{one[of]:,.0f}" for of in ("p50_ms", "p99_ms", "max_ms")
        )
        behind = "ended" if one["behind_s"] is None else f"{one['behind_s']:.2f}"
        yield (
            f"| {TITLES[one['engine']]} | {one['share']:.0%} | {one['offered_per_second']:,.0f} | {times} "
            f"| {one['samples']:,} | {behind} |"
        )


def _killed(killed: list[dict[str, Any]]) -> Iterator[str]:
    for one in killed:
        same = "yes" if one["same"] else "**no**"
        committed = f"{one['committed']:,} of {one['facts']:,}"
        entries = f"{one['entries']:,} | {one['entries_expected']:,}"
        yield f"| {TITLES[one['engine']]} | {same} | {committed} | {entries} |"


def _same(runs: list[dict[str, Any]]) -> str:
    balances, entries = next(
        (run["balances"], run["entries"]) for run in runs if run["engine"] == LOYALTY.name
    )
    members, digest = balances.split(":")
    count, of_entries = entries.split(":")
    return (
        f"All engines with rules said the same of {int(members):,} members (digest `{digest}`), in {int(count):,} "
        f"compared entries (digest `{of_entries}`)."
    )


if __name__ == "__main__":
    main()
