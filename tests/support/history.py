"""Runs facts through the accounts processor in memory, and what came out of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.domain.facts import Fact, Tick
from pipelines.domain.ledger import (
    Balance,
    CommandResult,
    LedgerAccount,
    LedgerEntry,
    NoBalance,
    NoProgress,
    Outcome,
    TierChanged,
    TierProgress,
)
from pipelines.domain.merging import Handover
from pipelines.domain.programme import Programme
from pipelines.processors.accounts import Accounts, Refusal
from state.memory import MemoryStore


@dataclass
class History:
    """Everything that a run of facts gave, in order."""

    ledger: list[LedgerEntry] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    tiers: list[TierChanged] = field(default_factory=list)
    progress: list[TierProgress] = field(default_factory=list)
    gone: list[NoBalance | NoProgress] = field(default_factory=list)
    answers: list[CommandResult] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)

    def moved(self) -> list[tuple[str, int]]:
        """The ledger as (reason, points), in order."""
        return [(entry.reason.value, entry.points) for entry in self.ledger]

    def total(self, account: LedgerAccount) -> int:
        """What the ledger says is in an account."""
        gained = sum(e.points for e in self.ledger if e.to_account is account)
        return gained - sum(e.points for e in self.ledger if e.from_account is account)

    def end(self) -> tuple[object, ...]:
        """What every order of arrival must agree on: totals, tier and progress."""
        last = self.balances[-1] if self.balances else None
        progress = self.progress[-1] if self.progress else None
        return (
            None if last is None else last._replace(sequence=0, recorded_at_ms=0),
            None if progress is None else progress._replace(recorded_at_ms=0),
        )


def play(facts: Iterable[Fact | Tick], programme: Programme, into: History | None = None) -> History:
    """Process the facts in this order."""
    history = into or History()
    accounts = Accounts(programme)
    waiting: deque[Fact | Tick | Handover] = deque(facts)
    while waiting:
        fact = waiting.popleft()
        answer = accounts.process(fact, history.store, source=repr(fact).encode())
        history.outcomes[answer.outcome] += 1
        history.refusals += answer.refusals
        for result in answer.results:
            match result:
                case LedgerEntry():
                    history.ledger.append(result)
                case Balance():
                    history.balances.append(result)
                case TierChanged():
                    history.tiers.append(result)
                case TierProgress():
                    history.progress.append(result)
                case CommandResult():
                    history.answers.append(result)
                case NoBalance() | NoProgress():
                    history.gone.append(result)
        waiting.extendleft(reversed([told for told in answer.results if isinstance(told, Handover)]))
    return history
