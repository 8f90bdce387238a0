"""What a worker tells Prometheus: one catalogue, each metric with its unit, what it means and when to worry.

Labels are bounded: each names its values, or is a partition. Never a member, an order, an offset or a message.
`docs/METRICS.md` is written from this page, and so are the dashboards' and the alerts' checks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Final

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from pipelines.domain.facts import CommandKind
from pipelines.domain.ledger import CommandRefusal, CommandStatus, LedgerAccount, Outcome, Reason, Refused
from pipelines.domain.triggers.gate import Suppression
from pipelines.domain.triggers.rules import TriggerKind
from pipelines.topics import PIPELINES
from schemas import catalogue

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each counter, that nobody reads


@dataclass(frozen=True, slots=True)
class Metric:
    """A line of the catalogue. `labels` gives each label's values; an empty one is a partition's number."""

    name: str
    kind: str
    unit: str
    meaning: str
    worry: str
    labels: dict[str, tuple[str, ...]]

    @property
    def series_max(self) -> int:
        """How many series a worker has of it at most, a partition."""
        series = 1
        for values in self.labels.values():
            series *= len(values) or 1
        return series


METRICS: Final[dict[str, Metric]] = {}
"""The catalogue, in the order of the page."""

PARTITION: Final[tuple[str, ...]] = ()
ANY_ONE: Final = ("",)
"""A label that has one value as long as a worker runs."""

_OUTCOMES: Final = (*Outcome, "INVALID", "PASSED_OVER")
_INPUTS: Final = tuple(dict.fromkeys((*catalogue.INPUTS, *catalogue.WATCHED, catalogue.LIABILITY_PARTS)))
_OUTPUTS: Final = (catalogue.HANDOVERS, *catalogue.OUTPUTS, *catalogue.TOLD, *catalogue.OWED)
_ERROR_CLASSES: Final = (
    "ADJUST_UNEXPLAINED", "BAD_BIRTHDAY", "BAD_CURRENCY", "BAD_ID", "BAD_MAGIC", "BAD_MARKET",
    "BAD_MILESTONE_ORDER", "BAD_VERSION", "BAD_ZONE", "BEFORE_1970", "DISCOUNT_EXCEEDS_GROSS",
    "DUPLICATE_LINE", "FROM_THE_FUTURE", "KEY_MISMATCH", "MERGED_INTO_ITSELF", "NEGATIVE_MEASURE",
    "NEGATIVE_MONEY", "NEGATIVE_QUANTITY", "NO_LINES", "NO_POINTS", "NO_SUBJECT", "NULL_KEY",
    "NULL_VALUE", "POINTS_NOT_WANTED", "RECORD_TIME_MISMATCH", "STATUS_WITHOUT_MILESTONE",
    "TOO_LARGE", "TRAILING_BYTES", "TRUNCATED", "UNDECODABLE", "UNKNOWN_ENUM", "UNKNOWN_SCHEMA",
    "WRONG_SCHEMA",
)  # fmt: skip
"""What the border and the codec call what is no fact; a test holds this to them."""

WHY_NOT: Final = (
    "BELOW_ITS_AMOUNT", "CAP_REACHED", "DELETED", "GRANTED_ONCE_ALREADY", "NOT_ENROLLED_THEN",
    "NOT_VERIFIED", "NO_BONUS_AT_THIS_TIER", "NO_LINE_OF_ITS_CATEGORY", "NO_RULE_THEN",
    "OTHER_CURRENCY", "OUTSIDE_ITS_TIME",
)  # fmt: skip
"""What a derivation says of rules that gave nothing; a test holds this to the rules."""

SINKS: Final = ("iceberg", "postgres")
SINK_PROCESSORS: Final = ("warehouse", "postgres")
"""What `loyalty run` calls them."""
LAKES: Final = ("iceberg",)
"""The sinks whose tables want maintenance, and are verified."""
SINK_TABLES: Final = (
    "orders", "returns", "engagements", "members", "commands", "ledger", "balances", "balances_history",
    "tiers", "tier_progress", "tier_progress_history", "triggers", "suppressed_triggers",
    "command_results", "dead_letters",
)  # fmt: skip
"""Of the warehouse; a test holds this to it."""

_LATENCY_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0)
_LATENESS_S: Final = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0)
_TRANSACTION_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 60.0)


def _listed(
    kind: str, name: str, unit: str, meaning: str, worry: str, labels: dict[str, tuple[str, ...]]
) -> str:
    """Enter a metric into the catalogue; its help text."""
    METRICS[name] = Metric(name, kind, unit, meaning, worry, labels)
    return f"{meaning} Worry {worry}"


def _counter(name: str, unit: str, meaning: str, worry: str, **labels: tuple[str, ...]) -> Counter:
    return Counter(name, _listed("counter", name, unit, meaning, worry, labels), list(labels))


def _gauge(
    name: str,
    unit: str,
    meaning: str,
    worry: str,
    registry: CollectorRegistry = REGISTRY,
    **labels: tuple[str, ...],
) -> Gauge:
    told = _listed("gauge", name, unit, meaning, worry, labels)
    return Gauge(name, told, list(labels), registry=registry)


def _histogram(
    name: str, unit: str, meaning: str, worry: str, bounds: tuple[float, ...], **labels: tuple[str, ...]
) -> Histogram:
    told = _listed("histogram", name, unit, meaning, worry, labels)
    return Histogram(name, told, list(labels), buckets=bounds)


class BulkHistogram(Collector):
    """A histogram that takes the many values of a transaction at once: about a sixth of what single ones cost.

    Each value of its label is there from the first on, with nothing, so that the rate of the first ones can be taken.
    """

    def __init__(
        self,
        name: str,
        told: str,
        label: str,
        values: tuple[str, ...],
        bounds: tuple[float, ...],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._told, self._label, self._bounds = name, told, label, bounds
        self._counts = {value: [0] * (len(bounds) + 1) for value in values}
        self._sums = dict.fromkeys(values, 0.0)
        self._lock = Lock()
        registry.register(self)

    def observe(self, label: str, values: Iterable[float]) -> None:
        """Count values of one label."""
        with self._lock:
            counts, total = self._counts[label], self._sums[label]
            for value in values:
                counts[bisect_left(self._bounds, value)] += 1
                total += value
            self._sums[label] = total

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(self._name, self._told, labels=[self._label])

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What there is, as Prometheus wants it: each bucket with all below it."""
        family = HistogramMetricFamily(self._name, self._told, labels=[self._label])
        with self._lock:
            for label, counts in self._counts.items():
                running, buckets = 0, []
                for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                    running += count
                    buckets.append((bound, running))
                family.add_metric([label], buckets, self._sums[label])
        yield family


def _bulk(
    name: str, unit: str, meaning: str, worry: str, bounds: tuple[float, ...], **labels: tuple[str, ...]
) -> BulkHistogram:
    ((label, values),) = labels.items()
    told = _listed("histogram", name, unit, meaning, worry, labels)
    return BulkHistogram(name, told, label, values, bounds, REGISTRY)


FACTS: Final = _counter(
    "loyalty_facts_total",
    "records",
    "Inputs committed, by topic and outcome. PASSED_OVER: no fact, which the triggers leave to the accounts.",
    "when REFUSED or INVALID grow, or when nothing grows.",
    topic=_INPUTS,
    outcome=_OUTCOMES,
)
LATENCY: Final = _bulk(
    "loyalty_latency_seconds",
    "seconds",
    "From an instant to the commit that shows its results: since the fact `occurred`; since it was `recorded`, which "
    "is the time the broker keeps; since the clock's `tick`, which is made at its instant and so shows the "
    "pipeline's own share, in a replay of old facts too. When a record reached the broker is not kept (its time is "
    "the source's); how long one waits there is `loyalty_lag_seconds`.",
    "when less than 99 % of `tick` are below 2 s; `recorded` also holds what sources and replays waited.",
    _LATENCY_S,
    since=("occurred", "recorded", "tick"),
)
LAG: Final = _gauge(
    "loyalty_lag_records",
    "records",
    "Records of a partition that are not processed yet. Ends of transactions count until they have been read.",
    "when it grows for ten minutes.",
    topic=_INPUTS,
    partition=PARTITION,
)
LAG_SECONDS: Final = _gauge(
    "loyalty_lag_seconds",
    "seconds",
    "How long the oldest record that is not processed has been on the broker, as far as this worker has seen.",
    "above 120 s.",
    topic=_INPUTS,
    partition=PARTITION,
)
RECORDED: Final = _gauge(
    "loyalty_recorded_time_seconds",
    "seconds since 1970",
    "Recorded time of the last input committed, by partition.",
    "when it lags behind the world or stands still.",
    partition=PARTITION,
)
CLOCK: Final = _gauge(
    "loyalty_clock_seconds",
    "seconds since 1970",
    "Instant of the last tick committed, by partition.",
    "when it is a minute old: what is due does not happen.",
    partition=PARTITION,
)
ENTRIES: Final = _counter(
    "loyalty_ledger_entries_total",
    "entries",
    "Ledger entries committed, by reason: what each rule gave and took.",
    "when a reason stops or jumps.",
    reason=tuple(Reason),
)
POINTS: Final = _counter(
    "loyalty_ledger_points_total",
    "points",
    "Points moved, by reason.",
    "when a reason jumps against its week.",
    reason=tuple(Reason),
)
ACCOUNT_POINTS: Final = _counter(
    "loyalty_account_points_total",
    "points",
    "Points moved into and out of each ledger account.",
    "when DEBT or WRITTEN_OFF take in more than returns explain.",
    account=tuple(LedgerAccount),
    direction=("in", "out"),
)
NOT_GIVEN: Final = _counter(
    "loyalty_rules_not_applied_total",
    "times",
    "Rules that did not apply or were cut, by the reason in the derivations of the entries committed.",
    "when CAP_REACHED or DELETED jump: somebody may try to earn what was not done.",
    reason=WHY_NOT,
)
COMMANDS: Final = _counter(
    "loyalty_command_results_total",
    "answers",
    "Commands answered, by kind and result: ACCEPTED, or why not.",
    "when refusals are a large share: a shop shows balances that are not so.",
    kind=tuple(CommandKind),
    result=(CommandStatus.ACCEPTED, *CommandRefusal),
)
TRIGGERS: Final = _counter(
    "loyalty_triggers_total",
    "triggers",
    "Triggers by kind and by what the gate said: SENT, or the reason.",
    "when a kind stops.",
    kind=tuple(TriggerKind),
    outcome=("SENT", *Suppression),
)
TIMERS: Final = _counter(
    "loyalty_timers_total",
    "timers",
    "Members that a tick found due.",
    "when it stays at 5,000 a tick: the ticks do not keep up.",
)
TIMER_LATENESS: Final = _bulk(
    "loyalty_timer_lateness_seconds",
    "seconds",
    "From the instant at which something was due to the tick that did it.",
    "above a minute while the clock ticks each second. What is said is the same, only later.",
    _LATENESS_S,
    by=("tick",),
)
PARKED: Final = _counter(
    "loyalty_parked_returns_total",
    "returns",
    "Returns that began to wait for their order, and that stopped waiting.",
    "when more begin than stop for days: orders are missing.",
    change=("parked", "unparked"),
)
REFOLDS: Final = _counter(
    "loyalty_refolds_total",
    "times",
    "Accounts made again from all facts kept, because one came behind the frontier.",
    "when it is a tenth of the facts: a source sends late, and each costs far more than one in order.",
)
SET_ASIDE: Final = _counter(
    "loyalty_set_aside_total",
    "records",
    "Records set aside, whatever they are: there from the first on, so that their rate can be taken.",
    "above one in a thousand facts.",
)
DEAD_LETTERS: Final = _counter(
    "loyalty_dead_letters_total",
    "records",
    "Records set aside, by topic and error class.",
    "at any steady rate: a producer is wrong.",
    topic=_INPUTS,
    error_class=(*_ERROR_CLASSES, *Refused),
)
TRANSACTIONS: Final = _counter(
    "loyalty_transactions_total",
    "transactions",
    "Kafka transactions by how they ended; `empty` ones held nothing, and were closed.",
    "at any `aborted`: the worker stops behind it, and what it held is processed again.",
    result=("committed", "aborted", "empty"),
)
TRANSACTION_S: Final = _histogram(
    "loyalty_transaction_seconds",
    "seconds",
    "From the beginning of a transaction to its commit.",
    "above half of `transaction.timeout.ms` (15 s): the broker will fence the worker.",
    _TRANSACTION_S,
)
COMMIT_S: Final = _histogram(
    "loyalty_commit_seconds",
    "seconds",
    "The commit alone, without what went before.",
    "above 1 s: brokers or the network are slow.",
    _TRANSACTION_S,
)
LAST_COMMIT: Final = _gauge(
    "loyalty_last_commit_time_seconds",
    "seconds since 1970",
    "When this worker last committed something.",
    "when it is a minute old while records wait.",
)
OPEN_TRANSACTION_S: Final = _gauge(
    "loyalty_open_transaction_seconds",
    "seconds",
    "How long the oldest open transaction holds readers of an output back, the worst partition of this worker.",
    "above a minute: a writer died without a successor that has its transactional id.",
    topic=_OUTPUTS,
)
REBALANCES: Final = _counter(
    "loyalty_rebalances_total",
    "times",
    "How often this worker was given partitions.",
    "at more than six in ten minutes: members come and go, and nothing is processed meanwhile.",
)
ASSIGNED: Final = _gauge(
    "loyalty_assigned_partitions",
    "partitions",
    "Partitions of the members' state that this worker has.",
    "at 0 for longer than a rebalance takes.",
)
RESTORE_LEFT: Final = _gauge(
    "loyalty_restore_remaining_records",
    "records",
    "Records of the changelog that are still to be written to the state before processing goes on.",
    "when it stands still for two minutes.",
    partition=PARTITION,
)
RESTORE_S: Final = _gauge(
    "loyalty_restore_seconds",
    "seconds",
    "How long the last restore took.",
    "above ten minutes.",
)
STATE_BYTES: Final = _gauge(
    "loyalty_state_bytes",
    "bytes",
    "What the worker's state takes on disk.",
    "when it grows faster than members do.",
)
STATE_FREE: Final = _gauge(
    "loyalty_state_free_bytes",
    "bytes",
    "What is free on the disk of the state.",
    "when it will be full within a day. State can be deleted: the changelog restores it.",
)
BEAT: Final = _gauge(
    "loyalty_last_poll_time_seconds",
    "seconds since 1970",
    "When the worker last asked for records: what /live looks at.",
    "when it is a minute old: the worker hangs.",
)
UNSEEN: Final = _counter(
    "loyalty_watch_failures_total",
    "times",
    "How often lag could not be asked, and the lag shown is an old one.",
    "when it grows: the brokers do not answer.",
)
VERIFIED: Final = CollectorRegistry()
"""What `loyalty verify --textfile` tells, for the node exporter to pass on; no worker serves it."""

DIFFERENCES: Final = _gauge(
    "loyalty_verify_differences",
    "differences",
    "What the last `loyalty verify` found wrong, all checks together.",
    "at any: the ledger is not what the facts are worth.",
    VERIFIED,
)
VERIFIED_AT: Final = _gauge(
    "loyalty_verify_time_seconds",
    "seconds since 1970",
    "When `loyalty verify` last ended.",
    "when it is a day old.",
    VERIFIED,
)
SINK_ROWS: Final = _counter(
    "loyalty_warehouse_rows_total",
    "rows",
    "Rows that a warehouse's sink has written.",
    "when it stands still and records come in.",
    sink=SINKS,
    table=SINK_TABLES,
)
SINK_COMMIT_S: Final = _histogram(
    "loyalty_warehouse_commit_seconds",
    "seconds",
    "How long a sink's commit of a table took, waiting for the warehouse included.",
    "above the commit interval.",
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
    sink=SINKS,
    table=SINK_TABLES,
)
SINK_FRESHNESS_S: Final = _histogram(
    "loyalty_warehouse_freshness_seconds",
    "seconds",
    "From a record's time to its row's being visible, of the oldest row of each commit.",
    "above a few minutes.",
    (1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0),
    sink=SINKS,
    table=SINK_TABLES,
)
SINK_LAG: Final = _gauge(
    "loyalty_warehouse_lag_records",
    "records",
    "Committed records of a table's topic that are no visible rows yet.",
    "when it grows for ten minutes.",
    sink=SINKS,
    table=SINK_TABLES,
)
SINK_LAG_S: Final = _gauge(
    "loyalty_warehouse_lag_seconds",
    "seconds",
    "How long the oldest record that is no visible row yet has been on the broker, as far as this sink has seen.",
    "above a quarter of an hour.",
    sink=SINKS,
    table=SINK_TABLES,
)
SINK_AWAY: Final = _counter(
    "loyalty_warehouse_away_total",
    "times",
    "How often the warehouse did not take a commit, or did not say whether it did; the sink asks it again.",
    "when it grows: the warehouse is away, or refuses.",
    sink=SINKS,
)
SINK_COMMITTED: Final = _gauge(
    "loyalty_warehouse_last_commit_time_seconds",
    "seconds since 1970",
    "When a sink last made rows visible.",
    "when it stands still and records come in.",
    sink=SINKS,
)
MAINTAINED: Final = _gauge(
    "loyalty_warehouse_maintained_time_seconds",
    "seconds since 1970",
    "When `loyalty warehouse maintain` last ended, or the warehouse was made.",
    "when it is a day old: files grow many, and old snapshots keep what should be gone.",
    sink=LAKES,
)
LAKE_VERIFIED: Final = _gauge(
    "loyalty_warehouse_verify_time_seconds",
    "seconds since 1970",
    "When `loyalty warehouse verify --record` last ended, or the warehouse was made.",
    "when it is a day old.",
    sink=LAKES,
)
LAKE_DIFFERENCES: Final = _gauge(
    "loyalty_warehouse_verify_differences",
    "differences",
    "What the last `loyalty warehouse verify --record` found wrong: rows missing and extra, and what checks found.",
    "at any: the warehouse is not what the topics say.",
    sink=LAKES,
)
BUILD: Final = _gauge(
    "loyalty_build_info",
    "1",
    "Which build runs which processor with which programme.",
    "when workers of one pipeline differ for longer than a roll-out takes.",
    version=ANY_ONE,
    processor=(*PIPELINES, *SINK_PROCESSORS),
    replica=ANY_ONE,
    programme=ANY_ONE,
    programme_version=ANY_ONE,
)
