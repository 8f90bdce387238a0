"""A cluster in memory, and workers on it that crash, sleep, come and go: everything decided by one seed.

Theory of operation. A partition has its input (all topics that the pipeline reads, aligned by recorded time, as the
engine aligns them; and what accounts send each other), a changelog, and an offset a group. A worker reads, processes
into a staged copy of its store, and commits: offsets, outputs, handovers and changelog at once or not at all. Only
whoever the group has given a partition to may commit it; a worker that slept through that is fenced, and starts
again. Its local store is written behind the commit, so a crash in between leaves a copy that is behind its changelog;
a copy of a partition that went away stays where it was, and is caught up when the partition comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, Protocol

from pipelines.domain.facts import Fact, Tick
from pipelines.domain.merging import Handover
from pipelines.domain.programme import Programme
from pipelines.domain.triggers.announcing import Told
from pipelines.processors.accounts import Accounts, Refusal, Result
from pipelines.processors.triggers import Seen
from pipelines.runtime.partition import partition_of
from state.memory import MemoryStore
from state.store import Store

Given = Fact | Seen | Tick
Input = Given | Handover
Output = Result | Told
Key = tuple[Any, ...]
Change = tuple[Key, bytes | None]


class Answered(Protocol):
    """What a processor makes of one input."""

    @property
    def results(self) -> tuple[Output, ...]: ...

    @property
    def refusals(self) -> tuple[Refusal, ...]: ...


class Processor(Protocol):
    """A pipeline's rules over a store, as a worker runs them."""

    def process(self, fact: Any, store: Store, source: bytes, /) -> Answered: ...


Make = Callable[[Programme], Processor]
"""A new process begins with a new one: what it kept in memory is gone."""


class Fenced(Exception):
    """A commit of a partition that is somebody else's by now."""


class Staged(MemoryStore):
    """A store that notes what is written, as the engine's transaction does for the changelog."""

    def __init__(self, local: Local) -> None:
        super().__init__()
        self.changes: dict[Key, bytes | None] = {}
        for key, value in local.data.items():
            self._enter(key, value)

    def _enter(self, key: Key, value: bytes) -> None:
        if len(key) == 2:
            super().schedule(*key)
        else:
            super().put(key[0], key[1], key[2], value)

    def put(self, kind: bytes, member_id: str, name: str, value: bytes) -> None:
        super().put(kind, member_id, name, value)
        self.changes[kind, member_id, name] = value

    def delete(self, kind: bytes, member_id: str, name: str = "") -> None:
        super().delete(kind, member_id, name)
        self.changes[kind, member_id, name] = None

    def schedule(self, at_ms: int, member_id: str) -> None:
        super().schedule(at_ms, member_id)
        self.changes[at_ms, member_id] = b"\x01"

    def unschedule(self, at_ms: int, member_id: str) -> None:
        super().unschedule(at_ms, member_id)
        self.changes[at_ms, member_id] = None


@dataclass
class Local:
    """A worker's copy of a partition's state on its disk, and up to where of the changelog it is."""

    data: dict[Key, bytes] = field(default_factory=dict)
    position: int = 0

    def catch_up(self, changelog: list[Change]) -> None:
        """Restore: apply what the changelog has beyond the copy."""
        for key, value in changelog[self.position :]:
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self.position = len(changelog)


@dataclass
class Partition:
    """What the brokers keep of one partition; `owner` is the worker and generation that may commit."""

    facts: list[Given] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    changelog: list[Change] = field(default_factory=list)
    committed: tuple[int, int] = (0, 0)
    owner: tuple[str, int] | None = None


@dataclass
class Open:
    """A worker's transaction on one partition: read up to here, and what came of it."""

    place: int
    local: Local
    store: Staged
    at: tuple[int, int]
    results: list[Output] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class Cluster:
    """Partitions, one group, and everything that was committed to the outputs."""

    def __init__(self, facts: Iterable[Given], partitions: int, apart_ms: float) -> None:
        self.apart_ms = apart_ms
        self.partitions = [Partition() for _ in range(partitions)]
        self.results: list[Output] = []
        self.refusals: list[Refusal] = []
        self.generation = 0
        self.last_ms = 0
        for fact in facts:
            self.last_ms = max(self.last_ms, _recorded_ms(fact))
            for place in range(partitions) if isinstance(fact, Tick) else [self.place(fact.member_id)]:
                self.partitions[place].facts.append(fact)

    def place(self, member_id: str) -> int:
        return partition_of(member_id.encode(), len(self.partitions))

    def commit(self, worker: str, generation: int, transaction: Open) -> None:
        """All of it at once, if the partition is still this worker's."""
        partition = self.partitions[transaction.place]
        if partition.owner != (worker, generation):
            raise Fenced(worker)
        partition.committed = transaction.at
        partition.changelog.extend(transaction.store.changes.items())
        self.refusals += transaction.refusals
        for result in transaction.results:
            if isinstance(result, Handover):
                self.partitions[self.place(result.member_id)].handovers.append(result)
            else:
                self.results.append(result)

    def assign(self, workers: list[str], rnd: Random) -> None:
        """Deal the partitions out anew; whoever held one before may not commit it any more."""
        self.generation += 1
        for partition in self.partitions:
            partition.owner = (rnd.choice(workers), self.generation)

    def reach_ms(self) -> float:
        """Up to where partitions may be read now: no further than `apart_ms` before the one that is furthest behind."""
        heads = [_next(p, p.committed) for p in self.partitions]
        return min((_recorded_ms(head[0]) for head in heads if head is not None), default=0) + self.apart_ms

    @property
    def done(self) -> bool:
        return all(p.committed == (len(p.facts), len(p.handovers)) for p in self.partitions)


class Worker:
    """One process: what it has on disk outlives a crash, what it has in memory does not."""

    def __init__(self, name: str, cluster: Cluster, programme: Programme, make: Make) -> None:
        self.name, self.cluster, self.programme, self.make = name, cluster, programme, make
        self.disk: dict[int, Local] = {}
        self.start()

    def start(self) -> None:
        """A new process on the same disk."""
        self.processor = self.make(self.programme)
        self.generation = self.cluster.generation
        self.open: dict[int, Open] = {}

    def owned(self) -> list[int]:
        """The partitions that this worker believes to be its own."""
        held = (self.name, self.generation)
        return [n for n, p in enumerate(self.cluster.partitions) if p.owner == held] or list(self.open)

    def _opened(self, place: int) -> Open:
        if place not in self.open:
            partition = self.cluster.partitions[place]
            local = self.disk.setdefault(place, Local())
            local.catch_up(partition.changelog)
            self.open[place] = Open(place, local, Staged(local), partition.committed)
        return self.open[place]

    def process(self, place: int, at_most: int) -> int:
        """Read and process some of a partition; how many records there were."""
        transaction = self._opened(place)
        partition = self.cluster.partitions[place]
        done, reach_ms = 0, self.cluster.reach_ms()
        while done < at_most and (record := _next(partition, transaction.at)) is not None:
            if _recorded_ms(record[0]) > reach_ms:
                break
            fact, transaction.at = record
            answer = self.processor.process(fact, transaction.store, b"where it stood")
            transaction.results += answer.results
            transaction.refusals += answer.refusals
            done += 1
        return done

    def commit(self, flushed: bool = True) -> None:
        """Commit everything open. Without `flushed` the process dies before its disk knows."""
        for transaction in list(self.open.values()):
            self.cluster.commit(self.name, self.generation, transaction)
            if flushed:
                transaction.local.catch_up(self.cluster.partitions[transaction.place].changelog)
        self.open = {}


def _next(partition: Partition, at: tuple[int, int]) -> tuple[Input, tuple[int, int]] | None:
    """The record with the lower timestamp of the two heads; a handover before a fact of its millisecond."""
    fact = partition.facts[at[0]] if at[0] < len(partition.facts) else None
    sent = partition.handovers[at[1]] if at[1] < len(partition.handovers) else None
    if sent is not None and (fact is None or sent.recorded_at_ms <= _recorded_ms(fact)):
        return sent, (at[0], at[1] + 1)
    return None if fact is None else (fact, (at[0] + 1, at[1]))


def _recorded_ms(fact: Input) -> int:
    return fact.at_ms if isinstance(fact, Tick) else fact.recorded_at_ms


class Simulation:
    """Some workers on a cluster, and a seed that decides what happens to them; `script` says what did."""

    def __init__(
        self,
        facts: Iterable[Given],
        programme: Programme,
        seed: int,
        apart_ms: float = inf,
        partitions: int = 4,
        workers: int = 2,
        make: Make = Accounts,
    ) -> None:
        self.rnd = Random(seed)
        self.cluster = Cluster(facts, partitions, apart_ms)
        self.workers = [Worker(f"w{n}", self.cluster, programme, make) for n in range(workers)]
        self.script: list[str] = []
        self.faults: Counter[str] = Counter()
        self._deal()

    def _deal(self) -> None:
        """A rebalance in which everybody takes part: what is open is dropped, as after a revocation without commit."""
        self.cluster.assign([worker.name for worker in self.workers], self.rnd)
        for worker in self.workers:
            worker.start()

    def undisturbed(self) -> Cluster:
        """Nothing happens but work; and the clock goes on a little when all has been said."""
        self._work()
        for partition in self.cluster.partitions:
            partition.facts.append(Tick(self.cluster.last_ms + 1))
        self._work()
        return self.cluster

    def _work(self) -> None:
        while not self.cluster.done:
            for worker in self.workers:
                for place in worker.owned():
                    worker.process(place, 20)
                worker.commit()

    def run(self, steps: int) -> Cluster:
        """So many steps of work and faults, then only work."""
        for _ in range(steps):
            worker = self.rnd.choice(self.workers)
            what = self.rnd.choices(*zip(*_STEPS, strict=True))[0]
            self.script.append(f"{worker.name} {what}")
            self.faults[what] += 1
            getattr(self, f"_{what}")(worker)
        self.script.append("a rebalance, and only work from here on")
        self._deal()
        return self.undisturbed()

    def _works(self, worker: Worker) -> None:
        if owned := worker.owned():
            worker.process(self.rnd.choice(owned), self.rnd.randrange(1, 12))

    def _commits(self, worker: Worker) -> None:
        try:
            worker.commit()
        except Fenced:
            self.faults["was fenced"] += 1
            worker.start()

    def _crashes(self, worker: Worker) -> None:
        worker.start()

    def _crashes_behind_its_commit(self, worker: Worker) -> None:
        try:
            worker.commit(flushed=False)
        except Fenced:
            self.faults["was fenced"] += 1
        worker.start()

    def _loses_its_disk(self, worker: Worker) -> None:
        worker.disk = {}
        worker.start()

    def _joins_or_leaves(self, worker: Worker) -> None:
        """The others commit and hand over in good order."""
        for each in self.workers:
            self._commits(each)
        self._deal()

    def _sleeps_while_others_take_over(self, worker: Worker) -> None:
        """Its partitions are dealt to the others; it knows nothing of it, and will try to commit what it has open."""
        others = [each for each in self.workers if each is not worker]
        for each in others:
            self._commits(each)
        self.cluster.assign([each.name for each in others], self.rnd)
        for each in others:
            each.start()


_STEPS = [
    ("works", 60),
    ("commits", 18),
    ("crashes", 6),
    ("crashes_behind_its_commit", 5),
    ("loses_its_disk", 2),
    ("joins_or_leaves", 4),
    ("sleeps_while_others_take_over", 5),
]


def told(cluster: Cluster, kind: type) -> Iterator[Any]:
    """Everything of a kind that was committed, in order."""
    return (result for result in cluster.results if isinstance(result, kind))
