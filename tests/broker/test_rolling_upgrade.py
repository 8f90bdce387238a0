"""Two builds side by side: workers are replaced one after the other, and back, while facts come; no entry is lost or
doubled by it. What cannot work together says so and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

import pytest

from pipelines.audit.reading import Record, Topics
from pipelines.domain.facts import Member
from pipelines.local.endpoints import KAFKA_VARIABLE, REGISTRY_VARIABLE
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.topics import ACCOUNTS
from schemas import catalogue
from schemas.registry import client
from state import layout
from tests.broker.histories import END, START_MS, history
from tests.support.facts import DAY_MS, member
from tests.support.history import play
from tests.support.next_build import NEXT_LAYOUT, SAYING
from tests.support.pipeline import PATIENCE_S, THIS_BUILD, Pipeline, wait_until
from tests.support.programmes import reference

pytestmark = pytest.mark.broker
NEXT: Final = ("tests.support.next_build",)
HAS_PARTITIONS: Final = '"event": "partitions assigned"'
TWINS: Final = ("m-0", "m-1")
"""On a partition each."""


class Roll:
    """Two workers on a stream of facts, each replaced in its turn by another build's."""

    def __init__(self, pipeline: Pipeline, facts: Sequence[Any], parts: int) -> None:
        self._pipeline, self._sent = pipeline, list[Any]()
        size = -(-len(facts) // parts)
        self._parts = iter([facts[at : at + size] for at in range(0, len(facts), size)])
        self._workers = {replica: pipeline.start(replica) for replica in ("w0", "w1")}
        for replica in self._workers:
            self._await_partitions(replica, 1)
        self.settle()

    def come(self, facts: Sequence[Any] | None = None) -> None:
        """Facts come, the next part of all unless others are given."""
        chosen = next(self._parts) if facts is None else facts
        self._sent += chosen
        self._pipeline.send(chosen)

    def settle(self, facts: Sequence[Any] | None = None) -> None:
        """They come, and are processed, by whatever builds work now."""
        self.come(facts)
        self._pipeline.wait_until_caught_up()

    def replace(self, replica: str, build: Sequence[str]) -> None:
        """As an orderly roll does it: SIGTERM, and the other build under the same name, while facts come."""
        self.come()
        self.stop(replica)
        self.come()
        self.start(replica, build)
        self.settle()

    def stop(self, replica: str) -> None:
        self._workers[replica].send_signal(signal.SIGTERM)
        assert self._workers[replica].wait(PATIENCE_S) in (0, EXIT_FENCED), self._said(replica)[-2_000:]

    def start(self, replica: str, build: Sequence[str]) -> None:
        """And wait until it has partitions."""
        before = self._said(replica).count(HAS_PARTITIONS)
        self._workers[replica] = self._pipeline.start(replica, build=build)
        self._await_partitions(replica, before + 1)

    def _await_partitions(self, replica: str, times: int) -> None:
        wait_until(lambda: self._said(replica).count(HAS_PARTITIONS) >= times, f"{replica} has partitions")

    def refused(self, replica: str) -> tuple[int, str]:
        """The exit code of a worker that ends by itself, and all that its builds said."""
        return self._workers[replica].wait(PATIENCE_S), self._said(replica)

    def _said(self, replica: str) -> str:
        return " ".join((self._pipeline.tmp_path / f"{replica}.log").read_text().split())

    def end(self) -> None:
        """Each entry is there once, and together they move what an undisturbed run moves, lot by lot.

        Not under the same ids: a worker that is new to a partition may be sent a return before its order, which then
        is worth less from the start.
        """
        for part in self._parts:
            self.come(part)
        self.settle([END])
        undisturbed = play(self._sent, reference()).ledger
        assert len(undisturbed) > 100
        ids = self._pipeline.entry_ids()
        assert len(set(ids)) == len(ids)
        assert moved(self._pipeline.read(catalogue.LEDGER)) == moved(e._asdict() for e in undisturbed)


def moved(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, ...], int]:
    """What came into each account of each lot of a member, less what went; what came back counts as never issued."""
    net: Counter[tuple[str, ...]] = Counter()
    for entry in entries:
        for account, points in (("to_account", entry["points"]), ("from_account", -entry["points"])):
            name = str(entry[account])
            name = "ISSUED" if name == "CLAWED_BACK" else name
            net[entry["member_id"], entry["lot_id"], name] += points
    return {place: points for place, points in net.items() if points}


@pytest.fixture
def schemas_of_both(pipeline: Pipeline) -> Iterator[tuple[str, ...]]:
    """The next build's schemas are registered, as a release does before its workers; what starts such a worker."""
    build = (*NEXT, "schemas")
    addresses = {
        KAFKA_VARIABLE: pipeline.cluster.bootstrap_servers,
        REGISTRY_VARIABLE: pipeline.cluster.schema_registry_url,
    }
    command = [sys.executable, "-m", *build, "schemas", "register"]
    subprocess.run(command, env=os.environ | addresses, check=True, timeout=60)
    yield build
    registry = client(pipeline.cluster.schema_registry_url)
    for name in map(catalogue.subject, SAYING):
        registry.delete_version(name, max(registry.get_versions(name)))


def test_a_build_that_says_more_comes_and_goes_worker_by_worker(
    pipeline: Pipeline, schemas_of_both: tuple[str, ...]
) -> None:
    roll = Roll(pipeline, [f for f in history(9, 5) if f.member_id not in TWINS], parts=13)
    roll.settle([twin(who, 1, None) for who in TWINS])

    roll.replace("w0", schemas_of_both)
    roll.settle([twin("m-1", 2, "m-0")])
    roll.settle([twin("m-1", 3, None)])
    roll.replace("w1", schemas_of_both)
    roll.replace("w1", THIS_BUILD)
    roll.replace("w0", THIS_BUILD)

    roll.end()
    assert len({schema for _, schema in said_by(pipeline, catalogue.HANDOVERS)}) == 2, (
        "each to the other build"
    )
    entries = said_by(pipeline, catalogue.LEDGER)
    schemas = {schema for _, schema in entries}
    assert len(schemas) == 2
    assert entries == set(product((0, 1), schemas)), "both builds worked on both partitions"


def twin(who: str, version: int, merged_into: str | None) -> Member:
    at_ms = START_MS + version * 10 * DAY_MS
    told = member(START_MS, version, at_ms, merged_into=merged_into)
    return told._replace(member_id=who, event_id=f"e-{who}@{version}")


def said_by(pipeline: Pipeline, topic: str) -> set[tuple[int, bytes]]:
    """Partitions, and the schemas' ids of what was written there: a build's are its own."""
    return {(record.partition, record.value[1:5]) for record in pipeline.records(topic)}


def test_a_build_that_raised_the_layout_comes_worker_by_worker_and_the_one_before_is_refused(
    pipeline: Pipeline,
) -> None:
    next_build = (*NEXT, "layout")
    roll = Roll(pipeline, history(6, 6), parts=10)
    roll.replace("w0", next_build)
    assert layouts(pipeline) >= {(0, NEXT_LAYOUT), (1, layout.LAYOUT)}
    roll.replace("w1", next_build)

    roll.stop("w0")
    roll.start("w0", THIS_BUILD)
    roll.come()

    code, said = roll.refused("w0")
    assert code == 1
    assert f"error: state has layout {NEXT_LAYOUT}, this build reads up to {layout.LAYOUT}" in said
    assert "do: roll forward to the build that wrote it" in said
    roll.start("w0", next_build)
    roll.end()


def layouts(pipeline: Pipeline) -> set[tuple[int, int]]:
    """Partitions of the state, and the layouts that were written there."""
    records: list[Record] = []
    Topics(pipeline.cluster.bootstrap_servers).read(ACCOUNTS.changelog(pipeline.prefix), records.extend)
    return {
        (record.partition, record.value[0]) for record in records if record.value and record.key[:1] != b"t"
    }
