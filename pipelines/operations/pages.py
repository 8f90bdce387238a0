"""The pages for operators that are written from the code, so that they cannot say anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

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
Most are also *drilled*: a fault brings it about on a real worker, a real Prometheus sees it, an operator who has
nothing but the runbook runs the commands of its fenced blocks, and it is over. *Recovered* is the time from the call
until the alert is over, with no pause to think, in the last `make drills`, and the number by which that drill's windows
are shorter than in operation. It counts the commands, the repair, and the window that must pass before the alert ends,
which is so many times longer in operation.

"""

REFUSALS_HEAD: Final = """
## Refusals

What a worker says when it does not start, or ends. *Recovered*: from the first command of the page to the last.

"""

PROCEDURES_HEAD: Final = """
## Procedures

What is done on purpose, or when something larger than a worker is at fault: [procedures](../runbooks/procedures.md).
*Took*: the page's commands, on little data; a replay or a restore of much takes what [Capacity](CAPACITY.md) says.

"""


class Drilling(NamedTuple):
    """By name, the fault of each drill; and why there is none."""

    alerts: Mapping[str, str]
    refusals: Mapping[str, str]
    procedures: Mapping[str, str]
    without: Mapping[str, str]


Drills = Mapping[str, Mapping[str, Any]]
"""By name, what `make drills` measured."""


def alerts_page(drilling: Drilling, drills: Drills) -> str:
    """docs/ALERTS.md: alerts, refusals and procedures, runbooks and drills, with no gaps."""
    alerts = [
        "| Alert | Severity | Fires when | Runbook | Drilled: what is brought about | Recovered |",
        "|---|---|---|---|---|---|",
        *(_alert_row(alert, _drilled(drilling, alert.name), drills.get(alert.name)) for alert in ALERTS),
    ]
    refusals = ["| Refusal | Drilled: what is brought about | Recovered |", "|---|---|---|"]
    refusals += [
        f"| {_runbook(name)} | {fault} | {_recovered(drills.get(name))} |"
        for name, fault in drilling.refusals.items()
    ]
    procedures = ["| Procedure | Drilled: what is brought about | Took |", "|---|---|---|"]
    procedures += [
        f"| {name} | {fault} | {_recovered(drills.get(name))} |"
        for name, fault in drilling.procedures.items()
    ]
    others = drilling.without.keys() - {alert.name for alert in ALERTS}
    procedures += [f"| {name} | {_drilled(drilling, name)} | – |" for name in sorted(others)]
    parts = (ALERTS_HEAD, alerts, REFUSALS_HEAD, refusals, PROCEDURES_HEAD, procedures)
    return "".join(part if isinstance(part, str) else "\n".join(part) + "\n" for part in parts)


def _alert_row(alert: Alert, fault: str, drill: Mapping[str, Any] | None) -> str:
    expr = alert.expr.replace("|", "\\|")
    told = f"{_runbook(alert.name)} | {fault} | {_recovered(drill)}"
    return f"| {alert.name} | {alert.severity} | `{expr}`, for {alert.lasting} | {told} |"


def _drilled(drilling: Drilling, name: str) -> str:
    return drilling.alerts.get(name) or f"no: {drilling.without[name]}"


def _runbook(name: str) -> str:
    return f"[{name}](../runbooks/{name}.md)"


def _recovered(drill: Mapping[str, Any] | None) -> str:
    if drill is None:
        return "–"
    shorter = f", {drill['times']} times" if drill["times"] != 1 else ""
    return f"{drill['recovered_s']} s on {drill['on']}{shorter}"
