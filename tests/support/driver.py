"""The join in memory: records in, records out, over a real RocksDB partition and no broker."""

from __future__ import annotations

from typing import Any

from pipelines.domain.facts import Fact, Tick
from pipelines.domain.programme import Programme
from pipelines.processors.accounts import Accounts
from pipelines.processors.triggers import Triggers
from pipelines.runtime.profile import Profile
from pipelines.runtime.settings import settings
from pipelines.topology import AccountsJoin, Source, TriggersJoin
from schemas import catalogue
from schemas.codec import Codec, topic_of
from state.rocks import RocksStore
from tests.support.programmes import reference


class Driver:
    """One worker's join on one partition; `pipe` is a record's way in, `produced` what came out, in order.

    What one account sends another comes in again at once.

    Every record has a transaction of its own, committed behind it, as if the commit interval were nothing.
    """

    def __init__(self, partition: Any, programme: Programme | None = None, **given: Any) -> None:
        chosen = settings(
            bootstrap_servers="none", schema_registry_url="none", state_dir=".", replica="w0", **given
        )
        self.partition = partition
        self.codec = Codec.offline()
        self.produced: list[tuple[str, bytes | None, bytes | None, int]] = []
        self.offsets: dict[str, int] = {}
        self.prefix = chosen.topic_prefix
        self._join = AccountsJoin(
            Accounts(programme or reference()),
            self.codec,
            chosen,
            lambda *record: self.produced.append(record),
            Profile(),
        )
        self.tally = self._join.tally
        self._chosen = chosen

    def watching(self, programme: Programme) -> TriggersJoin:
        """The triggers' join, which produces to where this one does."""
        produce = lambda *record: self.produced.append(record)  # noqa: E731
        return TriggersJoin(Triggers(programme), self.codec, self._chosen, produce, Profile())

    def pipe(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> int:
        """Process one record; its offset."""
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        store = RocksStore(self.partition.begin())
        source = Source(self.prefix + topic, 0, offset, key, value, headers or [], timestamp_ms)
        before = len(self.produced)
        self._join(source, store)
        store._transaction.prepare()
        store._transaction.flush()
        for name, to, handover, at_ms in self.produced[before:]:
            if name == self.prefix + catalogue.HANDOVERS:
                self.pipe(catalogue.HANDOVERS, to, handover, at_ms)
        return offset

    def play(self, facts: list[Fact | Tick]) -> None:
        for fact in facts:
            if isinstance(fact, Tick):
                self.pipe(topic_of(fact), b"clock", self.codec.encode(fact), fact.at_ms)
            else:
                self.pipe(
                    topic_of(fact), fact.member_id.encode(), self.codec.encode(fact), fact.recorded_at_ms
                )

    def on(self, topic: str) -> list[tuple[bytes | None, bytes | None, int]]:
        """(key, value, timestamp) of what was produced to a topic."""
        return [
            (key, value, at_ms) for name, key, value, at_ms in self.produced if name == self.prefix + topic
        ]

    def dead(self) -> list[dict[str, Any]]:
        """The dead letters, decoded."""
        return [self.codec.body(catalogue.DEAD_LETTERS, v) for _, v, _ in self.on(catalogue.DEAD_LETTERS)]
