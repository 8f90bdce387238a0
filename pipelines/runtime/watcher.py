"""Looks at a worker from beside it, every few seconds: lag, restore, state on disk, open transactions.

It runs in a thread of its own and asks the brokers with a client of its own, so that it tells of a worker that hangs.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, Self

import structlog

from pipelines.runtime import metrics, offsets
from pipelines.runtime.engine import HardenedApplication
from pipelines.runtime.offsets import Place
from pipelines.runtime.settings import Settings
from pipelines.runtime.topic_admin import connect
from pipelines.topics import prefixed

SAMPLES_MAX: Final = 1_000
LOOK_S: Final = 3.0
"""How long a look waits for an answer. A worker whose brokers are away ends with its session (30 s, in the chart 45 s):
three looks must have failed before, and been scraped, or nobody is told why it went."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a worker stands: what /ready goes by."""

    partitions: int = 0
    restoring: bool = False
    left_to_restore: int = 0
    lag_seconds: float = 0.0


class Waiting:
    """How long the oldest record of a partition that is not processed has been seen on the broker."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, float]] = deque()

    def seconds(self, end: int, processed: int, now_s: float) -> float:
        """Take in that the log ends at `end` and is processed up to `processed`; both as offsets."""
        ends = self._ends
        if not ends or end > ends[-1][0]:
            since = ends.pop()[1] if len(ends) >= SAMPLES_MAX else now_s
            ends.append((end, since))
        while ends and ends[0][0] <= processed:
            ends.popleft()
        return now_s - ends[0][1] if ends else 0.0


class Looking:
    """Looks again and again, in a thread of its own, until it is closed."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=offsets.TIMEOUT_S)

    def _watch(self) -> None:
        raise NotImplementedError

    def _try(self, otherwise: str, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception as error:  # noqa: BLE001  a look that fails must not be the last
            metrics.UNSEEN.inc()
            log.warning(otherwise, error=f"{type(error).__name__}: {error}")


class Watcher(Looking):
    """Looks at a worker."""

    def __init__(self, app: HardenedApplication, settings: Settings) -> None:
        super().__init__()
        self._app, self._settings = app, settings
        self._admin = connect(settings.bootstrap_servers)
        self._group = offsets.Group(settings.bootstrap_servers, settings.group)
        self._waiting: dict[Place, Waiting] = {}
        self._stable: dict[Place, tuple[int, float]] = {}
        self._labelled: set[tuple[str, str]] = set()
        self.standing = Standing()

    def _watch(self) -> None:
        while not self._ended.wait(self._settings.watch_interval_ms / 1000):
            self._try("lag could not be asked", self.look)

    def look(self) -> None:
        """Look once."""
        metrics.BEAT.set(self._app.beat_s)
        self._look_at_disk()
        looked = self._app.look()
        places = list(looked.processed)
        partitions = {partition for _, partition in places}
        metrics.ASSIGNED.set(len(partitions))
        self._forget_what_went(places)
        for partition in partitions:
            metrics.RESTORE_LEFT.labels(partition).set(looked.left_to_restore.get(partition, 0))
        oldest_s = self._look_at_lag(self._known(looked.processed)) if places else 0.0
        left = sum(looked.left_to_restore.values())
        self.standing = Standing(len(places), looked.restoring, left, oldest_s)
        for topic in self._settings.pipeline.writes if places else ():
            self._look_at_transactions(topic, partitions)

    def _look_at_disk(self) -> None:
        metrics.STATE_BYTES.set(_bytes_under(self._settings.state_dir))
        metrics.STATE_FREE.set(shutil.disk_usage(self._settings.state_dir).free)

    def _look_at_lag(self, processed: Mapping[Place, int]) -> float:
        """Tell the lag of each place; the longest, in seconds."""
        ends, now_s, longest = offsets.ends(self._admin, processed, patience_s=LOOK_S), monotonic(), 0.0
        for place, end in ends.items():
            topic, partition = place[0].removeprefix(self._settings.topic_prefix), place[1]
            seconds = self._waiting.setdefault(place, Waiting()).seconds(end, processed[place], now_s)
            metrics.LAG.labels(topic, partition).set(max(0, end - processed[place]))
            metrics.LAG_SECONDS.labels(topic, partition).set(seconds)
            longest = max(longest, seconds)
        return longest

    def _known(self, processed: Mapping[Place, int]) -> Mapping[Place, int]:
        """A place that was not read from yet is where the group had committed."""
        unread = [place for place, offset in processed.items() if offset < 0]
        if not unread:
            return processed
        committed = self._group.committed(unread, patience_s=LOOK_S)
        first = offsets.begins(self._admin, unread, patience_s=LOOK_S)
        return {**processed, **{place: committed.get(place) or first[place] for place in unread}}

    def _look_at_transactions(self, topic: str, partitions: set[int]) -> None:
        name = prefixed(self._settings.topic_prefix, topic)
        places = [(name, partition) for partition in sorted(partitions)]
        ends = offsets.ends(self._admin, places, patience_s=LOOK_S)
        stable = offsets.ends(self._admin, places, stable=True, patience_s=LOOK_S)
        held = [self._held_s(place, stable[place], ends[place]) for place in places]
        metrics.OPEN_TRANSACTION_S.labels(topic).set(max(held, default=0.0))

    def _held_s(self, place: Place, stable: int, end: int) -> float:
        known, since_s = self._stable.get(place, (-1, 0.0))
        if stable >= end or stable != known:
            since_s = monotonic()
            self._stable[place] = (stable if stable < end else -1, since_s)
        return monotonic() - since_s

    def _forget_what_went(self, places: Iterable[Place]) -> None:
        """Partitions that another worker has now are no longer told of from here."""
        prefix = self._settings.topic_prefix
        now = {(topic.removeprefix(prefix), str(partition)) for topic, partition in places}
        for topic, partition in self._labelled - now:
            metrics.LAG.remove(topic, partition)
            metrics.LAG_SECONDS.remove(topic, partition)
        for partition in {p for _, p in self._labelled} - {p for _, p in now}:
            metrics.RESTORE_LEFT.remove(partition)
            metrics.RECORDED.remove(partition)
            metrics.CLOCK.remove(partition)
        self._labelled = now
        self._waiting = {place: kept for place, kept in self._waiting.items() if place in set(places)}


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118  10 us a file less
            except FileNotFoundError:
                continue
    return total
