"""Looks at a sink from beside it, every few seconds: how far behind its tables are, and when they were looked after.

In a thread of its own, with clients of its own, so that it tells of a sink that waits for its warehouse, or hangs.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pipelines.runtime import metrics, offsets
from pipelines.runtime.health import Answered, Health, answering, liveness
from pipelines.runtime.offsets import Place
from pipelines.runtime.topic_admin import connect
from pipelines.runtime.watcher import Looking, Waiting
from pipelines.warehouse.lake import Lake, open_catalogue
from pipelines.warehouse.settings import WarehouseSettings
from pipelines.warehouse.sink import Sink
from pipelines.warehouse.upkeep import Upkeep, upkeep

UPKEEP_S: Final = 60.0


class SinkWatcher(Looking):
    """Looks at a sink."""

    def __init__(self, sink: Sink, settings: WarehouseSettings, bootstrap: str) -> None:
        super().__init__()
        self._sink, self._settings = sink, settings
        self._admin = connect(bootstrap)
        self._waiting: dict[tuple[str, Place], Waiting] = defaultdict(Waiting)
        self._upkeep_at = 0.0
        self.lag_seconds: float | None = None
        """How long the oldest record waits that is no row yet; None before the first look."""

    def _watch(self) -> None:
        while True:
            self._try("lag could not be asked", self.look)
            if self._sink.target_name in metrics.LAKES and time.monotonic() >= self._upkeep_at:
                self._upkeep_at = time.monotonic() + UPKEEP_S
                self._try("the catalogue could not be asked", self.look_at_upkeep)
            if self._ended.wait(self._settings.watch_interval_ms / 1000):
                return

    def look(self) -> None:
        """How far behind each table is."""
        metrics.BEAT.set(self._sink.beat_s)
        visible = self._sink.visible()
        ends = offsets.ends(self._admin, {place for _, place in visible}, stable=True)
        behind: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for (table, place), at in visible.items():
            seconds = self._waiting[table, place].seconds(ends[place], at, time.monotonic())
            behind[table].append((max(0, ends[place] - at), seconds))
        self._tell(behind)

    def _tell(self, behind: Mapping[str, list[tuple[int, float]]]) -> None:
        for table, found in behind.items():
            records, seconds = zip(*found, strict=True)
            metrics.SINK_LAG.labels(self._sink.target_name, table).set(sum(records))
            metrics.SINK_LAG_S.labels(self._sink.target_name, table).set(max(seconds))
        self.lag_seconds = max((s for found in behind.values() for _, s in found), default=0.0)

    def look_at_upkeep(self) -> None:
        """When the tables were last kept in order and verified."""
        told: Upkeep = upkeep(open_catalogue(self._settings), self._settings)
        metrics.MAINTAINED.labels(Lake.name).set(told.maintained_at_ms / 1000)
        metrics.LAKE_VERIFIED.labels(Lake.name).set(told.verified_at_ms / 1000)
        if told.differences is not None:
            metrics.LAKE_DIFFERENCES.labels(Lake.name).set(told.differences)


def sink_readiness(away: str | None, lag_seconds: float | None, lag_seconds_max: int) -> Answered:
    """Whether the warehouse takes what the sink has, and is not further behind than that."""
    because = []
    if away is not None:
        because.append(f"the warehouse is away: {away}")
    if lag_seconds is None:
        because.append("it is not known yet how far behind the tables are")
    elif lag_seconds > lag_seconds_max:
        because.append(f"a record waits for {lag_seconds:.0f} s; {lag_seconds_max} s are allowed")
    return Answered(not because, tuple(because))


@contextmanager
def watched(sink: Sink, settings: WarehouseSettings, bootstrap: str, port: int) -> Iterator[None]:
    """Watch the sink and answer for it until it ends."""
    with SinkWatcher(sink, settings, bootstrap) as watcher:
        health = Health(
            lambda: liveness(sink.beat_s, time.time(), settings.silence_seconds_max),
            lambda: sink_readiness(sink.away, watcher.lag_seconds, settings.ready_lag_seconds_max),
        )
        with answering(health, settings.metrics_host, port):
            yield
