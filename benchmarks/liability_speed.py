"""How fast the liability join is, and how much it tells: `.venv/bin/python benchmarks/liability_speed.py [MEMBERS]`.

Two years of simulated members, 10 % of whose facts come late, through the real join with a store in memory; no broker.
`live` commits every 20 entries, as a programme with 40 entries a second does; `replay` every 5,000.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from time import process_time
from typing import Any, cast

from pipelines.domain.facts import Tick
from pipelines.domain.ledger import LedgerEntry
from pipelines.domain.merging import Handover
from pipelines.domain.programme import DAY_MS
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from pipelines.runtime.partition import partition_of
from pipelines.runtime.profile import Profile
from pipelines.runtime.settings import settings
from pipelines.topology import LiabilityJoin, Source
from schemas import catalogue
from schemas.codec import Codec
from state import layout
from state.memory import MemoryStore
from state.rocks import RocksStore

START_MS = 1_704_067_200_000  # 2024-01-01
DAYS = 730
PARTITIONS = 8
CODEC = Codec.offline()


def ledger(members: int) -> list[LedgerEntry]:
    """What the accounts say of them, in the order in which they say it."""
    store, accounts = MemoryStore(), Accounts(load_programme(Path("reference")))
    spoilt = Shares(late=0.1)
    waiting: deque[Any] = deque(a.fact for a in simulate.facts(1, members, DAYS, START_MS, spoilt))
    waiting.append(Tick(START_MS + DAYS * DAY_MS))
    entries: list[LedgerEntry] = []
    while waiting:
        answer = accounts.process(waiting.popleft(), store)
        waiting.extendleft(told for told in answer.results if isinstance(told, Handover))
        entries += [told for told in answer.results if isinstance(told, LedgerEntry)]
    return entries


class Run:
    """All entries through one worker with all partitions; a commit every `every`, and one behind it for the parts."""

    def __init__(self, entries: list[LedgerEntry], every: int) -> None:
        chosen = settings(
            bootstrap_servers="none", schema_registry_url="none", state_dir=".", replica="w0", processor="liability"
        )  # fmt: skip
        self.stores = [MemoryStore() for _ in range(PARTITIONS)]
        self.told: deque[tuple[Any, ...]] = deque()
        self.parts = self.days = self.commits = self.most = 0
        self.join = LiabilityJoin(
            CODEC, chosen, lambda *record: self.told.append(record), Profile(), PARTITIONS
        )
        offsets = [0] * PARTITIONS
        records = [(partition_of(e.member_id.encode(), PARTITIONS), CODEC.encode(e)) for e in entries]
        began = process_time()
        for number, (partition, value) in enumerate(records, 1):
            self._take(catalogue.LEDGER, partition, offsets[partition], value)
            offsets[partition] += 1
            if number % every == 0 or number == len(records):
                self._commit()
        self.seconds = process_time() - began

    def _take(self, topic: str, partition: int, offset: int, value: bytes) -> None:
        self.join(Source(topic, partition, offset, None, value, [], 0), self._store(partition))

    def _store(self, partition: int) -> RocksStore:
        return cast(RocksStore, self.stores[partition])

    def _commit(self) -> None:
        self.join.tell(self._store)
        parts = list(self.told)
        self.told.clear()
        for topic, _, value, _, home in parts:
            self._take(topic, home, 0, value)
        self.join.tell(self._store)
        self.join.tally.forget()
        self.commits += 1
        self.parts += len(parts)
        self.days += len(self.told)
        self.most = max(self.most, len(self.told))
        self.told.clear()


def main() -> None:
    entries = ledger(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
    print(f"{len(entries):,} entries, {PARTITIONS} partitions\n")
    print(f"{'':8}{'entries/s':>12}{'parts/commit':>14}{'days/commit':>13}{'most':>7}")
    for name, every in (("live", 20), ("replay", 5_000)):
        run = Run(entries, every)
        rate, parts, days = len(entries) / run.seconds, run.parts / run.commits, run.days / run.commits
        print(f"{name:8}{rate:12,.0f}{parts:14.1f}{days:13.1f}{run.most:7,}")
    for kind, what in ((layout.MOVED, "a partition's market and day"), (layout.DAY, "a market's day")):
        sizes = sorted(len(v) for store in run.stores for key, v in store.records.items() if key[0] == kind)
        print(f"{what}: {len(sizes):,} records, median {sizes[len(sizes) // 2]} bytes")


if __name__ == "__main__":
    main()
