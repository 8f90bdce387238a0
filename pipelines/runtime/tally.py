"""What the open transaction counts: plain numbers, told to Prometheus when it commits and forgotten when it aborts.

So a metric counts what is true for everybody, like the records themselves; and the way of a fact has no label to look
up and no lock to take.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from time import perf_counter, time
from typing import Any

from prometheus_client import Counter

from pipelines.domain.ledger import CommandResult, LedgerEntry
from pipelines.runtime import metrics


class Tally:
    """Counts of one transaction after the other."""

    def __init__(self) -> None:
        self._children: dict[tuple[Any, ...], Counter] = {}
        self.forget()

    def forget(self) -> None:
        """The transaction is over: nothing is counted any more."""
        self._counts: dict[tuple[Any, ...], int] = defaultdict(int)
        self._occurred_ms: list[int] = []
        self._recorded_ms: list[int] = []
        self._ticks_ms: list[int] = []
        self._lateness_ms: list[int] = []
        self._now_ms: dict[int, int] = {}
        self._clock_ms: dict[int, int] = {}

    @property
    def empty(self) -> bool:
        return not self._counts

    def add(self, metric: Counter, *labels: str, by: int = 1) -> None:
        """Count something."""
        self._counts[metric, *labels] += by

    def fact(
        self, topic: str, outcome: str, partition: int, occurred_at_ms: int, recorded_at_ms: int
    ) -> None:
        """Count an input that is none of the clock's."""
        self._counts[metrics.FACTS, topic, outcome] += 1
        self._occurred_ms.append(occurred_at_ms)
        self._recorded_ms.append(recorded_at_ms)
        self._now_ms[partition] = recorded_at_ms

    def tick(self, topic: str, partition: int, at_ms: int, due_ms: list[int]) -> None:
        """Count a tick, and the timers it found due."""
        self._counts[metrics.FACTS, topic, "APPLIED"] += 1
        self._now_ms[partition] = self._clock_ms[partition] = at_ms
        self._ticks_ms.append(at_ms)
        if due_ms:
            self._counts[(metrics.TIMERS,)] += len(due_ms)
            self._lateness_ms += [at_ms - due for due in due_ms]

    def entry(self, entry: LedgerEntry) -> None:
        """Count an entry and the points it moves."""
        counts, points = self._counts, entry.points
        counts[metrics.ENTRIES, entry.reason] += 1
        counts[metrics.POINTS, entry.reason] += points
        counts[metrics.ACCOUNT_POINTS, entry.from_account, "out"] += points
        counts[metrics.ACCOUNT_POINTS, entry.to_account, "in"] += points
        for why_not in entry.derivation.why_not:
            counts[metrics.NOT_GIVEN, why_not.reason] += 1

    def command(self, result: CommandResult) -> None:
        """Count an answer."""
        self._counts[metrics.COMMANDS, result.kind, result.refusal or result.status] += 1

    def publish(self, at_s: float) -> None:
        """The transaction was committed at this instant of the wall clock: tell Prometheus, and begin anew."""
        for key, count in self._counts.items():
            (self._children.get(key) or self._child(key)).inc(count)
        for since, started in (
            ("occurred", self._occurred_ms),
            ("recorded", self._recorded_ms),
            ("tick", self._ticks_ms),
        ):
            if started:
                metrics.LATENCY.observe(since, [at_s - at_ms / 1000 for at_ms in started])
        if self._lateness_ms:
            metrics.TIMER_LATENESS.observe("tick", [late_ms / 1000 for late_ms in self._lateness_ms])
        for gauge, values in ((metrics.RECORDED, self._now_ms), (metrics.CLOCK, self._clock_ms)):
            for partition, at_ms in values.items():
                gauge.labels(partition).set(at_ms / 1000)
        metrics.LAST_COMMIT.set(at_s)
        self.forget()

    def _child(self, key: tuple[Any, ...]) -> Counter:
        metric, *labels = key
        child: Counter = metric.labels(*labels) if labels else metric
        self._children[key] = child
        return child


def count_transactions(producer: Any, tally: Tally) -> None:
    """Have each transaction of the engine's producer timed, counted by its end, and its tally told or forgotten."""
    begin, commit, abort = producer.begin_transaction, producer.commit_transaction, producer.abort_transaction
    begun = perf_counter()

    def begin_transaction(*given: Any, **more: Any) -> None:
        nonlocal begun
        begin(*given, **more)
        begun = perf_counter()

    def commit_transaction(*given: Any, **more: Any) -> None:
        started = perf_counter()
        commit(*given, **more)
        ended = perf_counter()
        metrics.COMMIT_S.observe(ended - started)
        metrics.TRANSACTION_S.observe(ended - begun)
        metrics.TRANSACTIONS.labels("committed").inc()
        tally.publish(time())

    producer.begin_transaction = begin_transaction
    producer.commit_transaction = commit_transaction
    producer.abort_transaction = _counted_abort(abort, tally)


def _counted_abort(abort: Callable[..., None], tally: Tally) -> Callable[..., None]:
    def abort_transaction(*given: Any, **more: Any) -> None:
        metrics.TRANSACTIONS.labels("empty" if tally.empty else "aborted").inc()
        tally.forget()
        abort(*given, **more)

    return abort_transaction
