"""The pages for operators that are written from the code, so that they cannot say anything else."""

from __future__ import annotations

from typing import Final

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
