"""Thousands of lives of the triggers' cluster: whatever happens to its workers, members are told the same, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipelines.domain.programme import Programme
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger
from pipelines.domain.triggers.rules import TriggerKind
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares, with_ticks
from pipelines.processors.accounts import Refusal
from pipelines.processors.triggers import Triggers
from pipelines.programme_file import load_programme
from state.store import Store
from tests.simulation.cluster import Cluster, Simulation
from tests.support.facts import DAY_MS, ms
from tests.support.history import play
from tests.support.told import watched

PROGRAMME = load_programme(Path("reference"))
START_MS = ms("2026-01-01T00:00:00Z")
SHARES = Shares(late=0.05, duplicate=0.05, stale=0.02, out_of_order=0.02)
DAYS = 150
STEPS = 120


class Answer(NamedTuple):
    results: tuple[Told, ...]
    refusals: tuple[Refusal, ...] = ()


class Telling:
    """The triggers' processor, answering as the cluster expects it."""

    def __init__(self, programme: Programme) -> None:
        self._triggers = Triggers(programme)

    def process(self, seen: Any, store: Store, _source: bytes, /) -> Answer:
        return Answer(tuple(self._triggers.process(seen, store)))


def history(seed: int) -> list[Any]:
    """All that is read of six members' lives: facts, what the accounts said of them, and a tick every ten days."""
    arrivals = list(simulate.facts(seed, 6, DAYS, START_MS, SHARES))
    facts = [a.fact for a in with_ticks(arrivals, 10 * DAY_MS, (DAYS + 20) * DAY_MS)]
    return watched(facts, play(facts, PROGRAMME))


def simulated(seed: int) -> tuple[Cluster, Simulation, Cluster]:
    seen = history(seed)
    calm = Simulation(seen, PROGRAMME, seed, make=Telling).undisturbed()
    storm = Simulation(seen, PROGRAMME, seed, make=Telling)
    return calm, storm, storm.run(STEPS)


def wrong(seed: int) -> list[str]:
    """What is not as it should be, with the way to see it again."""
    calm, storm, stormy = simulated(seed)
    sent = Counter(one.trigger_id for one in stormy.results if isinstance(one, Trigger))
    found = []
    if double := [trigger_id for trigger_id, count in sent.items() if count > 1]:
        found.append(f"these were told twice: {double}")
    if by_member(stormy) != by_member(calm):
        found.append("members were told something else")
    if kept(stormy) != kept(calm):
        found.append("something else is kept of members")
    again = f"again: pytest tests/simulation/test_triggers.py --simulation-seed {seed}"
    return [f"seed {seed}: {'; '.join(found)}\n{again}\n" + "\n".join(storm.script)] if found else []


def by_member(cluster: Cluster) -> dict[str, list[Any]]:
    """All that was told and not told, a member at a time, in the order in which it was."""
    told: dict[str, list[Any]] = {}
    for one in cluster.results:
        told.setdefault(one.member_id, []).append(one)
    return told


def kept(cluster: Cluster) -> list[dict[Any, bytes]]:
    """The state that the changelogs end in."""
    states = []
    for partition in cluster.partitions:
        state: dict[Any, bytes] = {}
        for key, value in partition.changelog:
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        states.append(state)
    return states


def test_whatever_happens_to_workers_members_are_told_the_same_and_once(seeds: range) -> None:
    assert [said for seed in seeds for said in wrong(seed)] == []


def test_the_lives_are_full_of_faults_and_of_triggers() -> None:
    faults: Counter[str] = Counter()
    told: list[Any] = []
    for seed in range(20):
        _, storm, stormy = simulated(seed)
        faults += storm.faults
        told += stormy.results

    assert len(faults) == 8
    assert min(faults.values()) > 5, faults
    sent = {one.kind for one in told if isinstance(one, Trigger)}
    assert sent >= {TriggerKind.POINTS_ACTIVATED, TriggerKind.REVIEW_DUE, TriggerKind.TIER_REACHED}
    reasons = {one.reason.value for one in told if isinstance(one, SuppressedTrigger)}
    assert reasons >= {"NO_CONSENT", "FREQUENCY_CAP", "WITHDRAWN"}


@pytest.mark.parametrize(
    "broken", ["restores nothing", "commits although it was fenced", "drops its outputs"]
)
def test_a_cluster_that_is_broken_is_noticed(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation can fail: three faults that an engine might have."""
    if broken == "restores nothing":
        monkeypatch.setattr("tests.simulation.cluster.Local.catch_up", lambda self, changelog: None)
    elif broken == "commits although it was fenced":
        monkeypatch.setattr("tests.simulation.cluster.Worker.owned", lambda self: list(range(4)))
        monkeypatch.setattr("tests.simulation.cluster.Cluster.commit", _careless)
    else:
        monkeypatch.setattr("tests.simulation.cluster.Simulation._crashes", _half_committed)

    assert any(wrong(seed) for seed in range(10))


def _careless(cluster: Cluster, worker: str, generation: int, transaction: Any) -> None:
    """Anybody may commit anything."""
    partition = cluster.partitions[transaction.place]
    partition.committed = transaction.at
    partition.changelog.extend(transaction.store.changes.items())
    cluster.results += transaction.results


def _half_committed(_: Simulation, worker: Any) -> None:
    """A crash between the offsets with the changelog, and the outputs: the two are not one transaction."""
    for transaction in worker.open.values():
        if worker.cluster.partitions[transaction.place].owner == (worker.name, worker.generation):
            transaction.results = []
            worker.cluster.commit(worker.name, worker.generation, transaction)
    worker.start()
