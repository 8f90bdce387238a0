"""Facts through accounts and triggers in memory, member by member as topics are read together: what is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.domain.facts import Fact, PointsCommand, Tick
from pipelines.domain.ledger import NoProgress
from pipelines.domain.programme import Programme
from pipelines.domain.triggers.announcing import Told
from pipelines.processors.triggers import Triggers
from state.memory import MemoryStore
from tests.support.history import History, play


def at_ms(seen: Any) -> int:
    return int(seen.at_ms if isinstance(seen, Tick) else seen.recorded_at_ms)


def watched(facts: Iterable[Fact | Tick], history: History) -> list[Any]:
    """All that the triggers read: facts and what the accounts said of them, by recorded time."""
    read = [fact for fact in facts if not isinstance(fact, PointsCommand)]
    gone = [one for one in history.gone if isinstance(one, NoProgress)]
    said = (*history.ledger, *history.tiers, *history.progress, *gone)
    return sorted((*read, *said), key=at_ms)


def tell(facts: Iterable[Fact | Tick], programme: Programme) -> tuple[History, list[Told]]:
    """What the accounts and the triggers make of facts in their order of arrival."""
    given = list(facts)
    history = play(given, programme)
    triggers, store = Triggers(programme), MemoryStore()
    return history, [one for seen in watched(given, history) for one in triggers.process(seen, store)]
