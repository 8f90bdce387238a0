"""A worker's /metrics, looked at once or twice, and the figures of a moment that follow from it.

Rates and latencies come from two looks, as in Prometheus: the difference of their counters. Each figure that a worker
does not tell, or that cannot be known yet, is None.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

ANSWER_WITHIN_S: Final = 2.0
RATE_OVER_S: Final = 10.0
LATENCY_OVER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What an endpoint said at an instant (UTC, seconds since 1970)."""

    url: str
    at_s: float
    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a sample that have these labels; 0 of none."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def highest(self, name: str) -> float | None:
        return max((s.value for s in self.samples if s.name == name), default=None)

    def lowest(self, name: str) -> float | None:
        return min((s.value for s in self.samples if s.name == name), default=None)

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sums of a sample by a label's values, without those that are nothing."""
        sums: Counter[str] = Counter()
        for sample in self.samples:
            if sample.name == name:
                sums[sample.labels[label]] += sample.value  # type: ignore[assignment]
        return {value: float(total) for value, total in sorted(sums.items()) if total}

    def labels(self, name: str) -> Mapping[str, str]:
        """The labels of the first series of a sample; none of none."""
        return next((s.labels for s in self.samples if s.name == name), {})


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An endpoint that could not be read, and why."""

    url: str
    why: str


def read(text: str, url: str, at_s: float) -> Look | Unanswered:
    """A look at what an endpoint said, unless it is not what a worker says."""
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        return Unanswered(url, "says nothing that Prometheus can read")
    look = Look(url, at_s, tuple(sample for family in families for sample in family.samples))
    if not look.labels("loyalty_build_info"):
        return Unanswered(url, "tells of no worker of a pipeline")
    return look


def ask(client: httpx.Client, url: str, at_s: float) -> Look | Unanswered:
    """Look at an endpoint, which has two seconds to answer."""
    try:
        answered = client.get(url, timeout=ANSWER_WITHIN_S)
    except httpx.TimeoutException:
        return Unanswered(url, f"does not answer within {ANSWER_WITHIN_S:g} s")
    except httpx.HTTPError as error:
        return Unanswered(url, f"does not answer ({error})")
    if answered.status_code != httpx.codes.OK:
        return Unanswered(url, f"answers {answered.status_code}")
    return read(answered.text, url, at_s)


@dataclass(slots=True)
class Recent:
    """The looks of the last minute at one endpoint. A process that began anew begins them anew."""

    looks: deque[Look] = field(default_factory=deque)

    def take(self, look: Look) -> None:
        if self.looks and _process(self.looks[-1]) != _process(look):
            self.looks.clear()
        while self.looks and look.at_s - self.looks[0].at_s > LATENCY_OVER_S:
            self.looks.popleft()
        self.looks.append(look)

    def since(self, seconds: float) -> Look | None:
        """The oldest look at most that long before the last one; None when the last is alone."""
        now_s = self.looks[-1].at_s
        return next((look for look in list(self.looks)[:-1] if now_s - look.at_s <= seconds), None)


def _process(look: Look) -> float | None:
    return look.highest("process_start_time_seconds")


@dataclass(frozen=True, slots=True)
class Figures:
    """A worker in a moment. Latencies are seconds, (p50, p99); `inf` is above the last bound of the histogram."""

    url: str
    processor: str
    replica: str
    build: str
    programme: str
    partitions: int
    restoring: int
    facts_per_second: float | None
    lag_records: int
    lag_seconds: float
    since_recorded: tuple[float, float] | None
    since_tick: tuple[float, float] | None
    transactions: int
    aborts: int
    dead_letters: dict[str, int]
    state_bytes: int
    state_free_bytes: int


def figures(now: Look, rate_from: Look | None, latency_from: Look | None) -> Figures:
    """The figures of a look; rates since one before, latencies since another (one without samples: since the start)."""
    build = now.labels("loyalty_build_info")
    letters = now.by("error_class", "loyalty_dead_letters_total")
    return Figures(
        now.url,
        build["processor"],
        build["replica"],
        build["version"],
        f"{build['programme']} {build['programme_version']}",
        round(now.total("loyalty_assigned_partitions")),
        round(now.total("loyalty_restore_remaining_records")),
        rate(now, rate_from, "loyalty_facts_total"),
        round(now.total("loyalty_lag_records")),
        now.highest("loyalty_lag_seconds") or 0.0,
        latency(now, latency_from, "recorded"),
        latency(now, latency_from, "tick"),
        round(now.total("loyalty_transactions_total", result="committed")),
        round(now.total("loyalty_transactions_total", result="aborted")),
        {error_class: round(count) for error_class, count in letters.items()},
        round(now.total("loyalty_state_bytes")),
        round(now.total("loyalty_state_free_bytes")),
    )


def rate(now: Look, before: Look | None, name: str) -> float | None:
    """How much a counter grew, a second."""
    if before is None or now.at_s <= before.at_s:
        return None
    return (now.total(name) - before.total(name)) / (now.at_s - before.at_s)


def latency(now: Look, before: Look | None, since: str) -> tuple[float, float] | None:
    """p50 and p99, in seconds, of what was committed between two looks; None when nothing was."""
    if before is None:
        return None
    name = "loyalty_latency_seconds_bucket"
    bounds = now.by("le", name)  # of all that is measured: the bounds are the same
    buckets = sorted(
        (float(le), now.total(name, since=since, le=le) - before.total(name, since=since, le=le))
        for le in bounds
    )
    half, nearly_all = quantile(buckets, 0.5), quantile(buckets, 0.99)
    return None if half is None or nearly_all is None else (half, nearly_all)


def quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """The value below which that share lies, by straight lines within a bucket, as Prometheus' histogram_quantile.

    `buckets` are (upper bound, how many up to it), rising, the last one without a bound; above the last bound it is
    infinite, for how far above is not known.
    """
    if not buckets or not (rank := share * buckets[-1][1]):
        return None
    below_bound, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return (
                bound
                if bound == inf
                else below_bound + (bound - below_bound) * (rank - below) / (count - below)
            )
        below_bound, below = bound, count
    return None
