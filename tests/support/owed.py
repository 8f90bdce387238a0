"""The liability pipeline in memory: partitions with a store each, parts on their way, and the days as last told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.domain.ledger import Derivation, LedgerAccount, LedgerEntry, Reason
from pipelines.domain.liability import LiabilityDay, LiabilityPart, MarketDay
from pipelines.processors import liability
from pipelines.runtime.partition import partition_of
from state.memory import MemoryStore
from tests.support.facts import ms

NOTHING = Derivation("agent", (), (), (), 0, 0, ())


def entry(
    at: str, points: int, move: str, market: str = "CH", member_id: str = "m-1", **given: Any
) -> LedgerEntry:
    """`points` along `move`, such as `issued pending`, counting from `at`; recorded then too unless it came late."""
    source, target = (LedgerAccount(name.upper()) for name in move.split())
    recorded = ms(given.pop("recorded", at))
    return LedgerEntry(
        f"{member_id}/{at}/{move}", "t", member_id, 1, "welcome", points, source, target, Reason.AGENT,
        ms(at), recorded, (), "rule", "2026-1", "Starter", market, 0, 0, NOTHING,
    )  # fmt: skip


FEBRUARY = [
    entry("2026-02-01T10:00:00Z", 200, "issued active"),
    entry("2026-02-01T11:00:00Z", 481, "issued pending", member_id="m-2"),
    entry("2026-02-01T12:00:00Z", 100, "issued active", "DE", "m-3"),
    entry("2026-02-28T23:59:59.999Z", 481, "pending active", member_id="m-2"),
    entry("2026-03-01T00:00:00Z", 150, "active redeemed"),
    entry("2026-03-01T00:00:00Z", 30, "active expired"),
    entry("2026-03-01T10:00:00Z", 324, "active clawed_back", member_id="m-2"),
    entry("2026-03-01T11:00:00Z", 10, "active adjusted", "DE", "m-3"),
]
"""Two markets, three days, as a clerk would write them down."""


class Owed:
    """All partitions of a pipeline. What is sent waits until `commit`, and parts until `arrive`."""

    def __init__(self, partitions: int = 2) -> None:
        self.stores = [MemoryStore() for _ in range(partitions)]
        self.offsets = [0] * partitions
        self.changed: list[set[MarketDay]] = [set() for _ in range(partitions)]
        self.parts: list[LiabilityPart] = []
        self.told: list[LiabilityDay] = []

    def count(self, told: LedgerEntry) -> None:
        """The ledger's next entry, on its member's partition."""
        partition = partition_of(told.member_id.encode(), len(self.stores))
        at = liability.count(told, self.offsets[partition], self.stores[partition])
        assert at is not None
        self.offsets[partition] += 1
        self.changed[partition].add(at)

    def commit(self) -> None:
        """Send the parts of what has changed."""
        for partition, days in enumerate(self.changed):
            self.parts += liability.parts(days, partition, self.stores[partition])
            days.clear()

    def arrive(self, parts: Iterable[LiabilityPart]) -> None:
        """Parts come to their markets' homes, and what they change is told."""
        changed: list[set[MarketDay]] = [set() for _ in self.stores]
        for part in parts:
            home = partition_of(part.market.encode(), len(self.stores))
            if (at := liability.take(part, self.stores[home])) is not None:
                changed[home].add(at)
        for home, days in enumerate(changed):
            self.told += liability.tell(days, self.stores[home])

    def play(self, entries: Iterable[LedgerEntry]) -> Owed:
        """Each entry in a transaction of its own."""
        for told in entries:
            self.count(told)
            self.commit()
            self.arrive(self.parts)
            self.parts.clear()
        return self

    def days(self) -> dict[tuple[str, str], LiabilityDay]:
        """Each day as it was last told."""
        return {(day.market, liability.written(day.day)): day for day in self.told}
