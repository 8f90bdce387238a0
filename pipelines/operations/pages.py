"""The pages for operators that are written from the code, so that they cannot say anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipelines.operations.alerts import ALERTS, Alert
from pipelines.operations.slos import BURNS, CORRECTNESS, OBJECTIVES, Objective
from pipelines.runtime.metrics import METRICS, Metric

METRICS_HEAD: Final = """# Metrics

Written from `pipelines/runtime/metrics.py` by `make golden`; a test compares the two.

A worker serves them on `--metrics-port`, at `/metrics`, beside `/live` and `/ready`. What counts facts, entries or
points is told when the transaction is committed: what is aborted is not counted, as it is not seen by readers either.
Labels are bounded; those of a partition are there for the partitions that the worker has. Prometheus' own
`process_*` and `python_*` come along.

"""


def metrics_page() -> str:
    """docs/METRICS.md."""
    rows = ["| Metric | Kind | Unit | Labels | Meaning | Worry |", "|---|---|---|---|---|---|"]
    return METRICS_HEAD + "\n".join([*rows, *(_metric_row(metric) for metric in METRICS.values())]) + "\n"


def _metric_row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.labels) or "–"
    return (
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} | {metric.worry} |"
    )


SLO_HEAD: Final = """# Objectives

Written from `pipelines/operations/slos.py` by `make golden`; a test compares the two.

What members and consumers are promised of the pipeline's running, over 28 days. Each has an alert that looks at how
fast the allowance burns, over a long window (is it worth waking somebody?) and a short one (is it still so?).

"""

SLO_BURNS: Final = """
## When the allowance burns

"""

SLO_TAIL: Final = """
## Correctness

{correctness}

## What is not promised

Nothing while a history is replayed with its own ticks: those carry the time of the world, and look old. Silence the
three burn alerts for the job that replays.
"""


def slo_page() -> str:
    """docs/SLO.md."""
    rows = ["| Objective | Promise | Allowed to fail | Measured by | Alert |", "|---|---|---|---|---|"]
    rows += [_objective_row(objective) for objective in OBJECTIVES]
    whys = [f"\n{objective.name}: {objective.why}" for objective in OBJECTIVES]
    burns = ["| Burns at | Over | And over | Is a |", "|---|---|---|---|"]
    burns += [f"| {b.rate:g} times the allowed rate | {b.long} | {b.short} | {b.severity} |" for b in BURNS]
    parts = [SLO_HEAD, "\n".join(rows), "\n", "\n".join(whys), "\n", SLO_BURNS, "\n".join(burns), "\n"]
    return "".join([*parts, SLO_TAIL.format(correctness=CORRECTNESS)])


def _objective_row(objective: Objective) -> str:
    share = f"{objective.allowed * 100:g} %"
    runbook = f"[{objective.alert}](../runbooks/{objective.alert}.md)"
    measured = objective.bad_ratio.replace("$w", "5m").replace("|", "\\|")
    return f"| {objective.name} | {objective.promise} | {share} | `{measured}` | {runbook} |"


ALERTS_HEAD: Final = """# Alerts

Written from `pipelines/operations/alerts.py` by `make golden`; a test compares the two. The rules are in
[`deploy/monitoring/alerts.yaml`](../deploy/monitoring/alerts.yaml); each is tested by promtool, firing and silent.
*Drilled* ones are also brought about on a real worker, seen by a real Prometheus, and gone after the runbook was
followed. *Recovered* is the time from the call until the alert is over, following the runbook with no pause to think,
in the last `make drills`, with the number by which that drill's windows are shorter than in operation. It counts the
commands, the repair, and the window that must pass before the alert ends, which is so many times longer in operation.

"""


def alerts_page(drilled: frozenset[str], drills: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/ALERTS.md: alerts, runbooks and tests in one table, with no gaps."""
    rows = [
        "| Alert | Severity | Fires when | Runbook | Tested by | Recovered |",
        "|---|---|---|---|---|---|",
    ]
    told = (_alert_row(alert, drilled, drills.get(alert.name)) for alert in ALERTS)
    return ALERTS_HEAD + "\n".join([*rows, *told]) + "\n"


def _alert_row(alert: Alert, drilled: frozenset[str], drill: Mapping[str, Any] | None) -> str:
    runbook = f"[{alert.name}](../runbooks/{alert.name}.md)"
    expr = alert.expr.replace("|", "\\|")
    recovered = f"{drill['recovered_s']} s on {drill['on']}, {drill['times']} times" if drill else "–"
    tests = "promtool, drilled" if alert.name in drilled else "promtool"
    return f"| {alert.name} | {alert.severity} | `{expr}`, for {alert.lasting} | {runbook} | {tests} | {recovered} |"
