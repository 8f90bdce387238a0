"""The alerts: each with its rule, and with a runbook of the same name.

`deploy/monitoring/alerts.yaml` is written from here by `make golden`; promtool tests each rule, and a real Prometheus
some of them on real workers with real faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from pipelines.operations.slos import BURNS, OBJECTIVES, WINDOWS, Objective

RUNBOOKS: Final = "runbooks"
EVERY: Final = "30s"


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that calls somebody. `summary` is what they read first; it may name labels as `{{ $labels.x }}`."""

    name: str
    expr: str
    lasting: str
    severity: str
    summary: str


SILENT_S: Final = 120
NO_COMMIT_S: Final = 60
LAG_S: Final = 120
HOT_RECORDS: Final = 1000
HOT_TIMES: Final = 10
OPEN_TRANSACTION_S: Final = 60
NO_TICK_S: Final = 60
SINK_LAG_S: Final = 900
"""The thresholds that can be held against a single look: `loyalty top` does so (`thresholds.py`)."""

OUTPUTS_DOWN: Final = (
    f"(time() - max by (job) (loyalty_last_commit_time_seconds) > bool {NO_COMMIT_S}) "
    "* (sum by (job) (loyalty_lag_records) > bool 0)"
)

_WHERE: Final = "{{ $labels.job }}"
_WHO: Final = "{{ $labels.instance }}"


def _burn_alerts(objective: Objective) -> Iterator[Alert]:
    for severity in ("page", "ticket"):
        terms = [
            f"({objective.recorded(burn.long)} > {burn.rate:g} * {objective.allowed:g} "
            f"and {objective.recorded(burn.short)} > {burn.rate:g} * {objective.allowed:g})"
            for burn in BURNS
            if burn.severity == severity
        ]
        told = f"{_WHERE}: too often not so: {objective.promise}"
        yield Alert(objective.alert, " or ".join(terms), "2m", severity, told)


ALERTS: Final = (
    *(alert for objective in OBJECTIVES for alert in _burn_alerts(objective)),
    Alert(
        "LoyaltyWorkerDown",
        'up{job=~"loyalty-.+"} == 0',
        "1m",
        "page",
        f"{_WHO} of {_WHERE} does not answer.",
    ),
    Alert(
        "LoyaltyWorkerRestarts",
        'changes(process_start_time_seconds{job=~"loyalty-.+"}[15m]) > 3',
        "0m",
        "page",
        f"{_WHO} of {_WHERE} has started {{{{ $value }}}} times in a quarter of an hour.",
    ),
    Alert(
        "LoyaltyWorkerHangs",
        f"time() - (loyalty_last_poll_time_seconds > 0) > {SILENT_S}",
        "1m",
        "page",
        f"{_WHO} of {_WHERE} has not asked for records for two minutes.",
    ),
    Alert(
        "LoyaltyCommitsStalled",
        f"(time() - loyalty_last_commit_time_seconds > {NO_COMMIT_S}) and on (job, instance) "
        "(sum by (job, instance) (loyalty_lag_records) > 0)",
        "2m",
        "page",
        f"Records wait, and {_WHO} of {_WHERE} commits nothing.",
    ),
    Alert(
        "LoyaltyLagGrowing",
        f"max by (job) (loyalty_lag_seconds) > {LAG_S}",
        "10m",
        "page",
        f"A record of {_WHERE} has waited for {{{{ $value | humanizeDuration }}}}.",
    ),
    Alert(
        "LoyaltyHotPartition",
        f"max by (job) (sum by (job, partition) (loyalty_lag_records)) > {HOT_RECORDS} and "
        "max by (job) (sum by (job, partition) (loyalty_lag_records)) > "
        f"{HOT_TIMES} * quantile by (job) (0.5, sum by (job, partition) (loyalty_lag_records))",
        "10m",
        "ticket",
        f"One partition of {_WHERE} has ten times the lag of the others.",
    ),
    Alert(
        "LoyaltyTransactionStuck",
        f"max by (job, topic) (loyalty_open_transaction_seconds) > {OPEN_TRANSACTION_S}",
        "0m",
        "page",
        "Readers of {{ $labels.topic }} are held back by a transaction that nobody ends.",
    ),
    Alert(
        "LoyaltyRebalanceStorm",
        "sum by (job) (increase(loyalty_rebalances_total[10m])) "
        "> 6 * count by (job) (loyalty_assigned_partitions)",
        "0m",
        "page",
        f"The workers of {_WHERE} are given partitions again and again.",
    ),
    Alert(
        "LoyaltyRestoreStalled",
        "loyalty_restore_remaining_records > 0 and changes(loyalty_restore_remaining_records[5m]) == 0",
        "2m",
        "page",
        f"{_WHO} of {_WHERE} no longer restores partition {{{{ $labels.partition }}}}.",
    ),
    Alert(
        "LoyaltyStateDiskFilling",
        "predict_linear(loyalty_state_free_bytes[6h], 4 * 3600) < 0",
        "10m",
        "page",
        f"The disk of {_WHO} of {_WHERE} will be full within four hours.",
    ),
    Alert(
        "LoyaltyStateDiskFilling",
        "predict_linear(loyalty_state_free_bytes[6h], 24 * 3600) < 0",
        "30m",
        "ticket",
        f"The disk of {_WHO} of {_WHERE} will be full within a day.",
    ),
    Alert(
        "LoyaltyDeadLetters",
        "sum by (job) (increase(loyalty_set_aside_total[15m])) > 5 and "
        "sum by (job) (rate(loyalty_set_aside_total[15m])) "
        "> 0.001 * sum by (job) (rate(loyalty_facts_total[15m]))",
        "0m",
        "ticket",
        f"More than one in a thousand records of {_WHERE} is set aside.",
    ),
    Alert(
        "LoyaltyClockStopped",
        f"time() - min by (job) (loyalty_clock_seconds) > {NO_TICK_S}",
        "1m",
        "page",
        f"No tick has reached a partition of {_WHERE} for a minute: what is due does not happen.",
    ),
    Alert(
        "LoyaltyBrokersUnreachable",
        "increase(loyalty_watch_failures_total[5m]) > 2",
        "1m",
        "page",
        f"{_WHO} of {_WHERE} cannot ask the brokers.",
    ),
    Alert(
        "LoyaltyBuildsDiffer",
        "count by (job) (count by (job, version, programme, programme_version) (loyalty_build_info)) > 1",
        "1h",
        "ticket",
        f"The workers of {_WHERE} do not run the same build and programme.",
    ),
    Alert(
        "LoyaltyLedgerDrift",
        "loyalty_verify_differences > 0",
        "0m",
        "page",
        "`loyalty verify` found {{ $value }} differences: the ledger is not what the facts are worth.",
    ),
    Alert(
        "LoyaltyVerifyStale",
        "time() - loyalty_verify_time_seconds > 26 * 3600",
        "0m",
        "ticket",
        "`loyalty verify` has not ended for more than a day.",
    ),
    Alert(
        "LoyaltySinkBehind",
        f"max by (job) (loyalty_warehouse_lag_seconds) > {SINK_LAG_S}",
        "5m",
        "ticket",
        f"A record has waited for {{{{ $value | humanizeDuration }}}} to become a row of {_WHERE}.",
    ),
    Alert(
        "LoyaltyWarehouseDrift",
        "max by (job) (loyalty_warehouse_verify_differences) > 0",
        "0m",
        "ticket",
        "`loyalty warehouse verify` found {{ $value }} differences: the tables are not what the topics say.",
    ),
    Alert(
        "LoyaltyWarehouseVerifyStale",
        "time() - max by (job) (loyalty_warehouse_verify_time_seconds) > 26 * 3600",
        "0m",
        "ticket",
        "`loyalty warehouse verify --record` has not ended for more than a day.",
    ),
    Alert(
        "LoyaltyWarehouseMaintenanceStale",
        "time() - max by (job) (loyalty_warehouse_maintained_time_seconds) > 26 * 3600",
        "0m",
        "ticket",
        "`loyalty warehouse maintain` has not ended for more than a day.",
    ),
)


def rule_groups() -> dict[str, Any]:
    """All rules, as Prometheus and a PrometheusRule of Kubernetes take them."""
    down = {"record": "loyalty:outputs_down:bool", "expr": OUTPUTS_DOWN}
    shares = [
        {"record": objective.recorded(window), "expr": objective.bad_ratio.replace("$w", window)}
        for objective in OBJECTIVES
        for window in WINDOWS
    ]
    groups = [
        {"name": "loyalty-objectives", "interval": EVERY, "rules": [down, *shares]},
        {"name": "loyalty-alerts", "interval": EVERY, "rules": [_rule(alert) for alert in ALERTS]},
    ]
    return {"groups": groups}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": f"{RUNBOOKS}/{alert.name}.md"},
    }


def as_yaml(what: Any, head: str) -> str:
    """A file that was written, with a comment that says from where."""
    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = StringIO()
    yaml.dump(what, text)
    return f"# {head}\n{text.getvalue()}"


def alerts_file() -> str:
    """deploy/monitoring/alerts.yaml."""
    return as_yaml(rule_groups(), "Written from pipelines/operations/alerts.py by `make golden`.")
