"""Grafana's dashboards as code: each panel asks for metrics of the catalogue, and its help is the catalogue's.

`deploy/monitoring/dashboards/*.json` are written from here by `make golden`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from pipelines.operations.slos import OBJECTIVES
from pipelines.runtime.metrics import METRICS

RATE: Final = "$__rate_interval"
WIDE, HIGH, ROW = 12, 8, 24


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: its question, PromQL (`legend: expression`), Grafana's unit, and the metric whose meaning helps."""

    title: str
    queries: dict[str, str]
    unit: str
    metric: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels for one reader."""

    uid: str
    title: str
    reader: str
    panels: tuple[Panel, ...]


def _rate(metric: str, *by: str, where: str = "") -> str:
    return f'sum by ({", ".join(by)}) (rate({metric}{{job=~"$job"{where}}}[{RATE}]))'


def _quantile(q: float, histogram: str, where: str = "") -> str:
    inner = f'sum by (job, le) (rate({histogram}_bucket{{job=~"$job"{where}}}[{RATE}]))'
    return f"histogram_quantile({q}, {inner})"


def _gauge(aggregate: str, metric: str, *by: str) -> str:
    return f'{aggregate} by ({", ".join(by)}) ({metric}{{job=~"$job"}})'


OVERVIEW: Final = Dashboard(
    "loyalty-overview",
    "Loyalty: overview",
    "Is it well?",
    (
        *(
            Panel(
                f"Objective: {objective.name}, share that failed",
                {f"{{{{job}}}} {w}": objective.recorded(w) for w in ("5m", "1h", "6h")},
                "percentunit",
                {
                    "freshness": "loyalty_latency_seconds",
                    "timers": "loyalty_timer_lateness_seconds",
                    "outputs": "loyalty_last_commit_time_seconds",
                }[objective.name],
            )
            for objective in OBJECTIVES
        ),
        Panel("Facts", {"{{job}}": _rate("loyalty_facts_total", "job")}, "ops", "loyalty_facts_total"),
        Panel(
            "Lag", {"{{job}}": _gauge("sum", "loyalty_lag_records", "job")}, "short", "loyalty_lag_records"
        ),
        Panel(
            "Oldest record waits",
            {"{{job}}": _gauge("max", "loyalty_lag_seconds", "job")},
            "s",
            "loyalty_lag_seconds",
        ),
        Panel(
            "Tick to commit",
            {
                f"{{{{job}}}} p{q * 100:g}": _quantile(q, "loyalty_latency_seconds", ',since="tick"')
                for q in (0.5, 0.99)
            },
            "s",
            "loyalty_latency_seconds",
        ),
        Panel(
            "Dead letters",
            {"{{topic}} {{error_class}}": _rate("loyalty_dead_letters_total", "topic", "error_class")},
            "ops",
            "loyalty_dead_letters_total",
        ),
        Panel(
            "Builds and programmes",
            {
                "{{job}} {{version}} {{programme}} {{programme_version}}": (
                    'count by (job, version, programme, programme_version) (loyalty_build_info{job=~"$job"})'
                )
            },
            "short",
            "loyalty_build_info",
        ),
    ),
)

WORKER: Final = Dashboard(
    "loyalty-worker",
    "Loyalty: workers",
    "Which worker, and what does it do?",
    (
        Panel(
            "Facts", {"{{instance}}": _rate("loyalty_facts_total", "instance")}, "ops", "loyalty_facts_total"
        ),
        Panel(
            "Partitions",
            {"{{instance}}": _gauge("max", "loyalty_assigned_partitions", "instance")},
            "short",
            "loyalty_assigned_partitions",
        ),
        Panel(
            "Lag by partition",
            {"{{partition}}": _gauge("sum", "loyalty_lag_records", "partition")},
            "short",
            "loyalty_lag_records",
        ),
        Panel(
            "Transaction, p99",
            {"{{job}}": _quantile(0.99, "loyalty_transaction_seconds")},
            "s",
            "loyalty_transaction_seconds",
        ),
        Panel(
            "Commit, p99",
            {"{{job}}": _quantile(0.99, "loyalty_commit_seconds")},
            "s",
            "loyalty_commit_seconds",
        ),
        Panel(
            "Transactions",
            {"{{result}}": _rate("loyalty_transactions_total", "result")},
            "ops",
            "loyalty_transactions_total",
        ),
        Panel(
            "Open transaction",
            {"{{topic}}": _gauge("max", "loyalty_open_transaction_seconds", "topic")},
            "s",
            "loyalty_open_transaction_seconds",
        ),
        Panel(
            "Rebalances",
            {"{{instance}}": _rate("loyalty_rebalances_total", "instance")},
            "ops",
            "loyalty_rebalances_total",
        ),
        Panel(
            "Left to restore",
            {
                "{{instance}} {{partition}}": _gauge(
                    "sum", "loyalty_restore_remaining_records", "instance", "partition"
                )
            },
            "short",
            "loyalty_restore_remaining_records",
        ),
        Panel(
            "Last restore",
            {"{{instance}}": _gauge("max", "loyalty_restore_seconds", "instance")},
            "s",
            "loyalty_restore_seconds",
        ),
        Panel(
            "State",
            {"{{instance}}": _gauge("max", "loyalty_state_bytes", "instance")},
            "bytes",
            "loyalty_state_bytes",
        ),
        Panel(
            "Free on the disk of the state",
            {"{{instance}}": _gauge("min", "loyalty_state_free_bytes", "instance")},
            "bytes",
            "loyalty_state_free_bytes",
        ),
        Panel(
            "Since records were asked for",
            {"{{instance}}": 'time() - max by (instance) (loyalty_last_poll_time_seconds{job=~"$job"})'},
            "s",
            "loyalty_last_poll_time_seconds",
        ),
        Panel(
            "Brokers not reached",
            {"{{instance}}": _rate("loyalty_watch_failures_total", "instance")},
            "ops",
            "loyalty_watch_failures_total",
        ),
    ),
)

MEMBER: Final = Dashboard(
    "loyalty-member-journey",
    "Loyalty: the member's way",
    "From what members do to what they are told.",
    (
        Panel(
            "What came", {"{{topic}}": _rate("loyalty_facts_total", "topic")}, "ops", "loyalty_facts_total"
        ),
        Panel(
            "What became of it",
            {"{{outcome}}": _rate("loyalty_facts_total", "outcome")},
            "ops",
            "loyalty_facts_total",
        ),
        Panel(
            "From occurred to visible, p50",
            {"{{job}}": _quantile(0.5, "loyalty_latency_seconds", ',since="occurred"')},
            "s",
            "loyalty_latency_seconds",
        ),
        Panel(
            "Returns that wait for their order",
            {"{{change}}": _rate("loyalty_parked_returns_total", "change")},
            "ops",
            "loyalty_parked_returns_total",
        ),
        Panel(
            "Accounts made again",
            {"{{job}}": _rate("loyalty_refolds_total", "job")},
            "ops",
            "loyalty_refolds_total",
        ),
        Panel(
            "Due and done", {"{{job}}": _rate("loyalty_timers_total", "job")}, "ops", "loyalty_timers_total"
        ),
        Panel(
            "Done after its instant, p99",
            {"{{job}}": _quantile(0.99, "loyalty_timer_lateness_seconds")},
            "s",
            "loyalty_timer_lateness_seconds",
        ),
        Panel(
            "Told",
            {"{{kind}}": _rate("loyalty_triggers_total", "kind", where=',outcome="SENT"')},
            "ops",
            "loyalty_triggers_total",
        ),
        Panel(
            "Not told, and why",
            {"{{outcome}}": _rate("loyalty_triggers_total", "outcome", where=',outcome!="SENT"')},
            "ops",
            "loyalty_triggers_total",
        ),
    ),
)

BUSINESS: Final = Dashboard(
    "loyalty-business",
    "Loyalty: points",
    "What is earned, spent and taken back.",
    (
        Panel(
            "Points by reason",
            {"{{reason}}": _rate("loyalty_ledger_points_total", "reason")},
            "short",
            "loyalty_ledger_points_total",
        ),
        Panel(
            "Entries by reason",
            {"{{reason}}": _rate("loyalty_ledger_entries_total", "reason")},
            "ops",
            "loyalty_ledger_entries_total",
        ),
        Panel(
            "Into accounts",
            {"{{account}}": _rate("loyalty_account_points_total", "account", where=',direction="in"')},
            "short",
            "loyalty_account_points_total",
        ),
        Panel(
            "Out of accounts",
            {"{{account}}": _rate("loyalty_account_points_total", "account", where=',direction="out"')},
            "short",
            "loyalty_account_points_total",
        ),
        Panel(
            "Rules that did not apply",
            {"{{reason}}": _rate("loyalty_rules_not_applied_total", "reason")},
            "ops",
            "loyalty_rules_not_applied_total",
        ),
        Panel(
            "Commands",
            {"{{kind}} {{result}}": _rate("loyalty_command_results_total", "kind", "result")},
            "ops",
            "loyalty_command_results_total",
        ),
        Panel(
            "Differences found by verify",
            {"differences": "max(loyalty_verify_differences)"},
            "short",
            "loyalty_verify_differences",
        ),
        Panel(
            "Since verify ended",
            {"age": "time() - max(loyalty_verify_time_seconds)"},
            "s",
            "loyalty_verify_time_seconds",
        ),
    ),
)

WAREHOUSE: Final = Dashboard(
    "loyalty-warehouse",
    "Loyalty: warehouse",
    "Do the analysts see what the topics say?",
    (
        Panel(
            "Rows written, by table",
            {"{{job}} {{table}}": _rate("loyalty_warehouse_rows_total", "job", "table")},
            "ops",
            "loyalty_warehouse_rows_total",
        ),
        Panel(
            "From the record to its row",
            {
                "{{job}} p50": _quantile(0.5, "loyalty_warehouse_freshness_seconds"),
                "{{job}} p99": _quantile(0.99, "loyalty_warehouse_freshness_seconds"),
            },
            "s",
            "loyalty_warehouse_freshness_seconds",
        ),
        Panel(
            "Oldest record waits to be a row",
            {"{{job}} {{table}}": _gauge("max", "loyalty_warehouse_lag_seconds", "job", "table")},
            "s",
            "loyalty_warehouse_lag_seconds",
        ),
        Panel(
            "Records that are no rows yet",
            {"{{job}} {{table}}": _gauge("sum", "loyalty_warehouse_lag_records", "job", "table")},
            "short",
            "loyalty_warehouse_lag_records",
        ),
        Panel(
            "Commit",
            {
                "{{job}} p50": _quantile(0.5, "loyalty_warehouse_commit_seconds"),
                "{{job}} p99": _quantile(0.99, "loyalty_warehouse_commit_seconds"),
            },
            "s",
            "loyalty_warehouse_commit_seconds",
        ),
        Panel(
            "Since rows were made visible",
            {"{{job}}": 'time() - max by (job) (loyalty_warehouse_last_commit_time_seconds{job=~"$job"})'},
            "s",
            "loyalty_warehouse_last_commit_time_seconds",
        ),
        Panel(
            "The warehouse is away",
            {"{{job}}": _rate("loyalty_warehouse_away_total", "job")},
            "ops",
            "loyalty_warehouse_away_total",
        ),
        Panel(
            "Differences found by verify",
            {"{{job}}": _gauge("max", "loyalty_warehouse_verify_differences", "job")},
            "short",
            "loyalty_warehouse_verify_differences",
        ),
        Panel(
            "Since verify ended",
            {"{{job}}": 'time() - max by (job) (loyalty_warehouse_verify_time_seconds{job=~"$job"})'},
            "s",
            "loyalty_warehouse_verify_time_seconds",
        ),
        Panel(
            "Since maintenance ended",
            {"{{job}}": 'time() - max by (job) (loyalty_warehouse_maintained_time_seconds{job=~"$job"})'},
            "s",
            "loyalty_warehouse_maintained_time_seconds",
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, WORKER, MEMBER, BUSINESS, WAREHOUSE)


def dashboard_file(dashboard: Dashboard) -> str:
    """deploy/monitoring/dashboards/<uid>.json."""
    return json.dumps(_as_grafana(dashboard), indent=2) + "\n"


def _as_grafana(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.reader,
        "tags": ["loyalty"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(), _job()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus"}


def _job() -> dict[str, Any]:
    """The pipelines, all at first."""
    return {
        "name": "job",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": "label_values(loyalty_build_info, job)",
        "includeAll": True,
        "allValue": "loyalty-.+",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    metric = METRICS[panel.metric]
    place = {"x": number % 2 * WIDE, "y": number // 2 * HIGH, "w": WIDE, "h": HIGH}
    targets = [
        {"refId": chr(ord("A") + nth), "expr": expr, "legendFormat": legend}
        for nth, (legend, expr) in enumerate(panel.queries.items())
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": f"{metric.meaning} Worry {metric.worry}",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
