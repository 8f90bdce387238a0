"""What a sink counts. Labels are bounded: the sink and the table."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import Counter, Histogram

_LABELS: Final = ["sink", "table"]
ROWS: Final = Counter(
    "loyalty_warehouse_rows_total", "Rows written. Worry when it stands still and facts come in.", _LABELS
)
COMMIT: Final = Histogram(
    "loyalty_warehouse_commit_seconds",
    "How long a commit took, waiting for the warehouse included. Worry above the commit interval.",
    _LABELS,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
FRESHNESS: Final = Histogram(
    "loyalty_warehouse_freshness_seconds",
    "From the record's time to its row's being visible, of the oldest row of each commit. Worry above a few minutes.",
    _LABELS,
    buckets=(1, 2.5, 5, 10, 15, 30, 60, 120, 300, 900, 3_600),
)


def committed(sink: str, table: str, rows: int, started: float, oldest_ms: int) -> None:
    """A commit of `rows` rows is visible; it was begun at `started`, by the monotonic clock."""
    ROWS.labels(sink, table).inc(rows)
    COMMIT.labels(sink, table).observe(time.monotonic() - started)
    FRESHNESS.labels(sink, table).observe(max(0.0, time.time() - oldest_ms / 1000))
