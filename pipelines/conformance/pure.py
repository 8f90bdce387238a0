"""Runs vectors on the rules alone, in memory: in the order given, and where it must not matter in every other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice, permutations
from math import factorial
from random import Random

from pipelines.conformance.compare import Results, differences
from pipelines.conformance.vectors import Vector
from pipelines.domain.facts import Fact, PointsCommand, Tick
from pipelines.domain.ledger import Balance, CommandResult, NoBalance
from pipelines.domain.merging import Handover
from pipelines.processors.accounts import Accounts, Result
from pipelines.processors.triggers import Triggers
from state.memory import MemoryStore

ORDERS_MAX = 5_040


def run(vector: Vector, facts: Iterable[Fact | Tick]) -> Results:
    """Process the facts in this order."""
    accounts, store = Accounts(vector.programme), MemoryStore()
    results = Results(outcomes=Counter())
    watcher = _Watcher(vector, results)
    waiting: deque[Fact | Tick | Handover] = deque(facts)
    while waiting:
        fact = waiting.popleft()
        answer = accounts.process(fact, store, b"a parked fact")
        if not isinstance(fact, Tick | Handover) and fact not in vector.members:
            assert results.outcomes is not None
            results.outcomes[answer.outcome.value] += 1
        results.refused += [refusal.refused.value for refusal in answer.refusals]
        waiting.extendleft(reversed([told for told in answer.results if isinstance(told, Handover)]))
        for result in answer.results:
            if not isinstance(result, Handover):
                results.take(result)
        watcher.see(fact, answer.results)
    return results


class _Watcher:
    """Shows the triggers what they read: each fact, what the accounts said of it, and the clock."""

    def __init__(self, vector: Vector, results: Results) -> None:
        self._triggers = Triggers(vector.programme) if vector.looks_at_triggers else None
        self._store, self._results = MemoryStore(), results

    def see(self, fact: Fact | Tick | Handover, results: Iterable[Result]) -> None:
        """By recorded time, as topics are read together: what was due before the fact comes before it."""
        if self._triggers is None:
            return
        for seen in sorted((fact, *results), key=_recorded_ms):
            if not isinstance(seen, Balance | NoBalance | CommandResult | PointsCommand | Handover):
                for told in self._triggers.process(seen, self._store):
                    self._results.take(told)


def _recorded_ms(seen: Fact | Tick | Handover | Result) -> int:
    return seen.at_ms if isinstance(seen, Tick) else seen.recorded_at_ms


def check(vector: Vector, orders_max: int = ORDERS_MAX) -> list[str]:
    """What is wrong with the vector's results; empty when nothing is."""
    straight = run(vector, vector.facts)
    wrong = differences(vector, straight)
    if wrong or not vector.shuffle:
        return wrong
    for order in orders(vector, orders_max):
        shuffled = run(vector, order)
        if shuffled.end() != straight.end():
            names = ", ".join(f.event_id for f in order if not isinstance(f, Tick))
            return [f"in the order {names} it ends in {shuffled.end()}, not {straight.end()}"]
    return []


def orders(vector: Vector, most: int) -> Iterator[tuple[Fact | Tick, ...]]:
    """Every order of arrival, or a seeded sample of so many; the clock runs on at the end of each."""
    facts = (*vector.members, *vector.given)
    clock = vector.facts[len(facts) :]
    if factorial(len(facts)) <= most:
        every: Iterator[tuple[Fact, ...]] = permutations(facts)
    else:
        rnd = Random(vector.name)
        every = islice((tuple(rnd.sample(facts, len(facts))) for _ in range(most)), most)
    for order in every:
        yield (*order, *clock)
