"""The catalogue of metrics is whole, bounded and on its page; what is counted is what was committed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from quixstreams.state.rocksdb import RocksDBStorePartition

from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares, with_ticks
from pipelines.programme_file import load_programme
from pipelines.runtime import metrics
from pipelines.runtime.metrics import METRICS
from pipelines.runtime.tally import Tally, count_transactions
from pipelines.runtime.watcher import Waiting
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.postgres import Postgres
from pipelines.warehouse.tables import ICEBERG, POSTGRES
from schemas import catalogue
from tests.support.driver import Driver
from tests.support.facts import DAY_MS, line, member, ms, order, refund, tick

ROOT = Path(__file__).parent.parent.parent
NOON = ms("2026-03-01T12:00:00Z")
SPOILT = Shares(late=0.05, too_late=0.01, duplicate=0.05, stale=0.05, out_of_order=0.05)


def value(name: str, **labels: str) -> float:
    """What the metric says now; 0 when it was never counted."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def series() -> dict[str, list[dict[str, str]]]:
    """The labels of every series there is now, by metric; a histogram's buckets are one."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name.startswith("loyalty_") and not sample.name.endswith(
                ("_created", "_sum", "_count")
            ):
                labels = {name: v for name, v in sample.labels.items() if name != "le"}
                name = sample.name.removesuffix("_bucket")
                if labels not in found.setdefault(name, []):
                    found[name].append(labels)
    return found


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_a_metric_is_named_and_explained_as_the_house_does(metric: metrics.Metric) -> None:
    assert re.fullmatch(r"loyalty_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_seconds") == (metric.unit in ("seconds", "seconds since 1970"))
    assert metric.meaning.endswith(".")
    assert re.match(r"(when|above|at|below) .*\.$", metric.worry), metric.worry


def test_a_metric_has_at_most_some_hundred_series_a_partition() -> None:
    assert max(metric.series_max for metric in METRICS.values()) <= 700
    assert sum(metric.series_max for metric in METRICS.values()) < 1_500


def test_labels_take_the_values_of_the_catalogue_and_no_other(partition: Any) -> None:
    driver = Driver(partition, load_programme(Path("reference")))
    arrivals = simulate.facts(5, 40, 400, NOON, SPOILT)
    driver.play([arrival.fact for arrival in with_ticks(arrivals, DAY_MS, 70 * DAY_MS)])
    driver.pipe(catalogue.ORDERS, b"m-1", b"garbage", NOON)
    driver.tally.publish(0.0)

    for name, found in series().items():
        assert name in METRICS, f"{name} is not in the catalogue"
        partitions = len({labels.get("partition") for labels in found})
        one_worker = {tuple(sorted(_of_one_worker(name, labels).items())) for labels in found}
        assert len(one_worker) <= METRICS[name].series_max * partitions, name
        for labels in found:
            for label, said in labels.items():
                allowed = METRICS[name].labels[label]
                bounded = said in allowed or allowed == metrics.ANY_ONE or (not allowed and said.isdigit())
                assert bounded, f"{name}: {label}={said}"


def _of_one_worker(name: str, labels: dict[str, str]) -> dict[str, str]:
    """Without what tells workers apart: other tests have had theirs in this process."""
    return {n: v for n, v in labels.items() if METRICS[name].labels[n] != metrics.ANY_ONE}


def test_other_members_make_no_series_more(tmp_path: Path) -> None:
    counts = []
    for whose in ("a-", "b-"):
        opened = RocksDBStorePartition(str(tmp_path / whose))
        driver = Driver(opened, load_programme(Path("reference")))
        for arrival in simulate.facts(5, 20, 150, NOON, SPOILT):
            driver.play([arrival.fact._replace(member_id=whose + arrival.fact.member_id)])
        driver.tally.publish(0.0)
        opened.close()
        counts.append(sum(len(found) for found in series().values()))

    first, second = counts
    assert second == first > 20


@pytest.mark.parametrize(
    ("files", "pattern", "words"),
    [
        (("schemas/border.py",), r'_refuse\(\s*"([A-Z_0-9]+)"', "loyalty_dead_letters_total error_class"),
        (("schemas/codec.py",), r'InvalidFact\(\s*"([A-Z_0-9]+)"', "loyalty_dead_letters_total error_class"),
        (
            ("pipelines/domain/rating.py", "pipelines/domain/engagements.py", "pipelines/domain/accrual.py"),
            r'(?:WhyNot|_nothing)\(.*"([A-Z_]{4,})"\)',
            "loyalty_rules_not_applied_total reason",
        ),
    ],
)
def test_the_words_of_the_code_are_the_words_of_the_labels(
    files: tuple[str, ...], pattern: str, words: str
) -> None:
    name, label = words.split()
    said = {word for file in files for word in re.findall(pattern, (ROOT / file).read_text())}

    assert len(said) > 4
    assert said <= set(METRICS[name].labels[label])


def test_a_sinks_tables_and_names_are_those_of_the_warehouse() -> None:
    assert {*(table.name for table in (*ICEBERG, *POSTGRES))} == set(metrics.SINK_TABLES)
    assert (Lake.name, Postgres.name) == metrics.SINKS


def test_what_is_counted_is_told_when_the_transaction_commits_and_forgotten_when_it_aborts() -> None:
    class Producer:
        """The engine's producer, as far as transactions go."""

        def begin_transaction(self) -> None: ...
        def commit_transaction(self, offsets: object) -> None: ...
        def abort_transaction(self, timeout: float) -> None: ...

    producer, tally = Producer(), Tally()
    count_transactions(producer, tally)
    before = {r: value("loyalty_transactions_total", result=r) for r in ("committed", "aborted", "empty")}
    refolds = value("loyalty_refolds_total")

    for end in ("abort", "commit", "close"):
        producer.begin_transaction()
        if end != "close":
            tally.add(metrics.REFOLDS, by=3)
        if end == "commit":
            producer.commit_transaction([])
        else:
            producer.abort_transaction(5)

    assert value("loyalty_refolds_total") == refolds + 3
    after = {r: value("loyalty_transactions_total", result=r) - before[r] for r in before}
    assert after == {"committed": 1, "aborted": 1, "empty": 1}


def test_latency_is_from_when_it_happened_was_recorded_and_from_the_tick(partition: Any) -> None:
    driver = Driver(partition)
    before = {s: value("loyalty_latency_seconds_count", since=s) for s in ("occurred", "recorded", "tick")}
    sums = {s: value("loyalty_latency_seconds_sum", since=s) for s in before}

    late = order("O1", NOON - 60_000, recorded=NOON)
    driver.play([member(NOON - DAY_MS), late, tick(NOON + 1_000)])
    driver.tally.publish((NOON + 2_000) / 1_000)

    assert value("loyalty_latency_seconds_count", since="recorded") == before["recorded"] + 2
    assert value("loyalty_latency_seconds_count", since="tick") == before["tick"] + 1
    assert value("loyalty_latency_seconds_sum", since="recorded") - sums["recorded"] == 86_402 + 2
    assert value("loyalty_latency_seconds_sum", since="occurred") - sums["occurred"] == 86_402 + 62
    assert value("loyalty_latency_seconds_sum", since="tick") - sums["tick"] == 1


def test_a_histogram_has_its_series_before_anything_came_so_that_the_first_can_be_rated() -> None:
    registry = CollectorRegistry()
    late = metrics.BulkHistogram("late_seconds", "How late.", "by", ("tick", "fact"), (1.0,), registry)
    counted = [registry.get_sample_value("late_seconds_count", {"by": by}) for by in ("tick", "fact")]
    assert counted == [0, 0]

    late.observe("tick", [0.5, 2.0])

    assert registry.get_sample_value("late_seconds_bucket", {"by": "tick", "le": "1.0"}) == 1
    assert registry.get_sample_value("late_seconds_count", {"by": "tick"}) == 2


def test_points_by_account_close_as_the_ledger_does(partition: Any) -> None:
    accounts = METRICS["loyalty_account_points_total"].labels["account"]

    def moved(direction: str) -> float:
        return sum(value("loyalty_account_points_total", account=a, direction=direction) for a in accounts)

    before = (
        moved("in"),
        moved("out"),
        value("loyalty_account_points_total", account="PENDING", direction="in"),
    )
    driver = Driver(partition)
    driver.play([member(NOON - DAY_MS), order("O1", NOON, line("A", 100_00))])
    driver.tally.publish(0.0)

    assert moved("in") - before[0] == moved("out") - before[1] == 50 + 100
    assert value("loyalty_account_points_total", account="PENDING", direction="in") - before[2] == 100


def test_timers_and_their_lateness_parked_returns_and_refolds_are_counted(partition: Any) -> None:
    names = ("loyalty_timers_total", "loyalty_refolds_total", "loyalty_timer_lateness_seconds_sum")
    labels: dict[str, dict[str, str]] = {names[2]: {"by": "tick"}}
    before = {name: value(name, **labels.get(name, {})) for name in names}
    parked = {c: value("loyalty_parked_returns_total", change=c) for c in ("parked", "unparked")}

    driver = Driver(partition)
    driver.play(
        [
            member(NOON - 100 * DAY_MS),
            order("O2", NOON, line("A", 100_00)),
            refund("R1", "O1", NOON + DAY_MS, ("A", 1, 50_00)),
            order("O1", NOON - DAY_MS, line("A", 100_00), recorded=NOON + 2 * DAY_MS),
            tick(NOON + 60 * DAY_MS + 90_000),
        ]
    )
    driver.tally.publish(0.0)

    now = {name: value(name, **labels.get(name, {})) - before[name] for name in names}
    assert now == {names[0]: 1, names[1]: 1, names[2]: 90}
    assert {c: value("loyalty_parked_returns_total", change=c) - parked[c] for c in parked} == {
        "parked": 1,
        "unparked": 1,
    }


def test_the_oldest_record_waits_since_it_was_first_seen() -> None:
    waiting = Waiting()

    assert waiting.seconds(end=10, processed=10, now_s=0.0) == 0.0
    assert waiting.seconds(end=15, processed=10, now_s=5.0) == 0.0
    assert waiting.seconds(end=20, processed=12, now_s=10.0) == 5.0
    assert waiting.seconds(end=20, processed=16, now_s=15.0) == 5.0
    assert waiting.seconds(end=20, processed=20, now_s=20.0) == 0.0
