"""Where a worker's time goes, in nanoseconds by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any, cast

from pipelines.runtime.engine import HardenedApplication
from state.rocks import RocksStore
from state.store import Store


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


def timed_store(transaction: Any, profile: Profile) -> Store:
    """A store that adds the time spent in it to a profile."""
    timed = SimpleNamespace()
    store = RocksStore(transaction)
    for name in ("get", "put", "delete", "of_member", "schedule", "unschedule", "due"):
        setattr(timed, name, _counted(getattr(store, name), profile, "state"))
    return cast("Store", timed)


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
