"""What makes a trigger: a condition that is true of a member at an instant, and says all that a message needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch

Figures = tuple[tuple[str, int | str], ...]


def money(name: str, minor: int | None, currency: str | None) -> Figures:
    """An amount and its currency; nothing for a market without money of its own."""
    return () if minor is None or currency is None else ((name, minor), ("currency", currency))


class Condition(NamedTuple):
    """`subject` tells two conditions of one kind apart; `facts` made it true; after `until_ms` it is not any more."""

    subject: str
    facts: tuple[str, ...]
    figures: Figures
    until_ms: int | None = None


class Example(NamedTuple):
    """What a watch shows at an instant: the subjects of which the kind's condition is true then."""

    name: str
    watch: Watch
    at: str
    subjects: tuple[str, ...]


class Kind(Protocol):
    """One file a kind: its condition, when time alone changes it, and examples of both."""

    @property
    def KIND(self) -> TriggerKind: ...

    @property
    def EXAMPLES(self) -> tuple[Example, ...]: ...

    def conditions(self, watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
        """All that is true of the member at `at_ms`."""
        ...

    def instants(self, watch: Watch, rules: TriggerRules) -> Iterable[int]:
        """The instants at which time alone may make a condition true, or false."""
        ...
