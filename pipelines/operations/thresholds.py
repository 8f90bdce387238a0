"""What a single look at the workers says is past an alert's threshold; and which alerts a look cannot say.

The thresholds are the alerts' own. An alert also asks that it has lasted, which one look does not know: what is past
its threshold here may be over before anybody is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from pipelines.operations import alerts
from pipelines.operations.looks import Look, Unanswered


@dataclass(frozen=True, slots=True)
class Past:
    """An alert whose threshold is passed, of whom, and by what."""

    alert: str
    who: str
    what: str


SEEN: Final = (
    "LoyaltyWorkerDown",
    "LoyaltyWorkerHangs",
    "LoyaltyCommitsStalled",
    "LoyaltyLagGrowing",
    "LoyaltyHotPartition",
    "LoyaltyTransactionStuck",
    "LoyaltyClockStopped",
    "LoyaltyBuildsDiffer",
)
"""The alerts that are held against a look."""

NOT_SEEN: Final = tuple(dict.fromkeys(alert.name for alert in alerts.ALERTS if alert.name not in SEEN))
"""Those that need minutes or days of looks, or what `loyalty verify` tells, which no worker serves."""


def past(seen: Sequence[Look | Unanswered]) -> tuple[Past, ...]:
    """All that is past its threshold; a job of the alerts is a processor here."""
    looks = [look for look in seen if isinstance(look, Look)]
    down = [Past("LoyaltyWorkerDown", gone.url, gone.why) for gone in seen if isinstance(gone, Unanswered)]
    of_one = [found for look in looks for found in _of_a_worker(look)]
    jobs = dict.fromkeys(_job(look) for look in looks)
    of_all = [found for job in jobs for found in _of_a_job(job, [o for o in looks if _job(o) == job])]
    return (*down, *of_one, *of_all)


def _job(look: Look) -> str:
    return look.labels("loyalty_build_info")["processor"]


def _of_a_worker(look: Look) -> Iterator[Past]:
    who = look.labels("loyalty_build_info")["replica"]
    poll_s = look.highest("loyalty_last_poll_time_seconds")
    if poll_s and look.at_s - poll_s > alerts.SILENT_S:
        yield Past("LoyaltyWorkerHangs", who, f"asked for records {look.at_s - poll_s:,.0f} s ago")
    committed_s, waiting = look.highest("loyalty_last_commit_time_seconds"), look.total("loyalty_lag_records")
    if committed_s is not None and look.at_s - committed_s > alerts.NO_COMMIT_S and waiting:
        when = f"{look.at_s - committed_s:,.0f} s ago" if committed_s else "never"
        yield Past("LoyaltyCommitsStalled", who, f"committed {when}, {waiting:,.0f} records wait")


def _of_a_job(job: str, looks: list[Look]) -> Iterator[Past]:
    lag_s = max((look.highest("loyalty_lag_seconds") or 0.0 for look in looks), default=0.0)
    if lag_s > alerts.LAG_S:
        yield Past("LoyaltyLagGrowing", job, f"a record waits for {lag_s:,.0f} s")
    yield from _hot(job, looks)
    yield from _stuck(job, looks)
    yield from _clock(job, looks)
    builds = {_build(look) for look in looks}
    if len(builds) > 1:
        yield Past("LoyaltyBuildsDiffer", job, ", ".join(sorted(builds)))


def _hot(job: str, looks: Iterable[Look]) -> Iterator[Past]:
    waiting: dict[str, float] = {}
    for sample in (s for look in looks for s in look.samples if s.name == "loyalty_lag_records"):
        partition = sample.labels["partition"]
        waiting[partition] = waiting.get(partition, 0.0) + sample.value
    if not waiting:
        return
    hottest = max(waiting, key=lambda partition: waiting[partition])
    if waiting[hottest] > max(alerts.HOT_RECORDS, alerts.HOT_TIMES * median(waiting.values())):
        yield Past("LoyaltyHotPartition", job, f"{waiting[hottest]:,.0f} records wait in partition {hottest}")


def _stuck(job: str, looks: Iterable[Look]) -> Iterator[Past]:
    name = "loyalty_open_transaction_seconds"
    longest: dict[str, float] = {}
    for sample in (s for look in looks for s in look.samples if s.name == name):
        longest[sample.labels["topic"]] = max(sample.value, longest.get(sample.labels["topic"], 0.0))
    for topic, seconds in longest.items():
        if seconds > alerts.OPEN_TRANSACTION_S:
            yield Past("LoyaltyTransactionStuck", job, f"{topic} is held back for {seconds:,.0f} s")


def _clock(job: str, looks: Iterable[Look]) -> Iterator[Past]:
    since = [
        look.at_s - tick_s for look in looks if (tick_s := look.lowest("loyalty_clock_seconds")) is not None
    ]
    if since and max(since) > alerts.NO_TICK_S:
        yield Past("LoyaltyClockStopped", job, f"the last tick of a partition is {max(since):,.0f} s old")


def _build(look: Look) -> str:
    build = look.labels("loyalty_build_info")
    return f"{build['version']} {build['programme']} {build['programme_version']}"
