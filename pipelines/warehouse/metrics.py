"""What a sink counts, in the words of the one catalogue of metrics."""

from __future__ import annotations

import time

from pipelines.runtime.metrics import SINK_COMMIT_S, SINK_COMMITTED, SINK_FRESHNESS_S, SINK_ROWS


def committed(sink: str, table: str, rows: int, started: float, oldest_ms: int) -> None:
    """A commit of `rows` rows is visible; it was begun at `started`, by the monotonic clock."""
    SINK_ROWS.labels(sink, table).inc(rows)
    SINK_COMMIT_S.labels(sink, table).observe(time.monotonic() - started)
    SINK_FRESHNESS_S.labels(sink, table).observe(max(0.0, time.time() - oldest_ms / 1000))
    SINK_COMMITTED.labels(sink).set_to_current_time()
