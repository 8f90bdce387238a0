"""Runs vectors on the rules alone, in memory: in the order given, and where it must not matter in every other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice, permutations
from math import factorial
from random import Random

from pipelines.conformance.compare import Results, differences
from pipelines.conformance.vectors import Vector
from pipelines.domain.facts import Fact, Tick
from pipelines.domain.merging import Handover
from pipelines.processors.accounts import Accounts
from state.memory import MemoryStore

ORDERS_MAX = 5_040


def run(vector: Vector, facts: Iterable[Fact | Tick]) -> Results:
    """Process the facts in this order."""
    accounts, store = Accounts(vector.programme), MemoryStore()
    results = Results(outcomes=Counter())
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
    return results


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
