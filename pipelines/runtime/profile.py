"""Where a worker's time goes, in nanoseconds by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from typing import Any

from pipelines.runtime.engine import HardenedApplication
from state.rocks import RocksStore


@dataclass(slots=True)
class Profile:
    """`rules` holds `state`; the other parts do not overlap. `poll` includes waiting for input."""

    poll: int = 0
    decode: int = 0
    rules: int = 0
    state: int = 0
    encode: int = 0
    produce: int = 0
    commit: int = 0
    facts: int = 0

    def parts(self) -> dict[str, int]:
        """Nanoseconds by part, none counted twice."""
        parts = {name: value for name, value in asdict(self).items() if name != "facts"}
        parts["rules"] -= parts["state"]
        return parts


class TimedStore(RocksStore):
    """A store that adds the time spent in it to a profile."""

    __slots__ = ("_profile",)

    def __init__(self, transaction: Any, profile: Profile) -> None:
        super().__init__(transaction)
        self._profile = profile

    def _timed(self, work: Callable[[], Any]) -> Any:
        started = perf_counter_ns()
        try:
            return work()
        finally:
            self._profile.state += perf_counter_ns() - started

    def get(self, kind: bytes, member_id: str, name: str = "") -> Any:
        return self._timed(lambda: super(TimedStore, self).get(kind, member_id, name))

    def put(self, kind: bytes, member_id: str, name: str, value: bytes) -> None:
        self._timed(lambda: super(TimedStore, self).put(kind, member_id, name, value))

    def delete(self, kind: bytes, member_id: str, name: str = "") -> None:
        self._timed(lambda: super(TimedStore, self).delete(kind, member_id, name))

    def of_member(self, kind: bytes, member_id: str) -> Any:
        return self._timed(lambda: super(TimedStore, self).of_member(kind, member_id))

    def schedule(self, at_ms: int, member_id: str) -> None:
        self._timed(lambda: super(TimedStore, self).schedule(at_ms, member_id))

    def unschedule(self, at_ms: int, member_id: str) -> None:
        self._timed(lambda: super(TimedStore, self).unschedule(at_ms, member_id))

    def due(self, until_ms: int, limit: int) -> Any:
        return self._timed(lambda: super(TimedStore, self).due(until_ms, limit))


def watch_engine(app: HardenedApplication, profile: Profile) -> None:
    """Have the engine's own poll and commit counted as well."""
    consumer: Any = app.consumer
    context = app.context
    consumer._feed_buffer = _counted(consumer._feed_buffer, profile, "poll")
    context.commit_checkpoint = _counted(context.commit_checkpoint, profile, "commit")


def _counted(work: Callable[..., Any], profile: Profile, part: str) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter_ns()
        try:
            return work(*args, **kwargs)
        finally:
            setattr(profile, part, getattr(profile, part) + perf_counter_ns() - started)

    return counted
