"""How many bytes a member takes in state, by years of history: the curve `accounts` of `benchmarks/scale.py`.

Simulated members under the reference programme, on the pure rules; sizes are of the stored values, without keys and
without what RocksDB adds or compresses.
"""

from __future__ import annotations

from collections import defaultdict, deque
from pathlib import Path
from typing import Any

from pipelines.domain.facts import Tick
from pipelines.domain.merging import Handover
from pipelines.domain.programme import DAY_MS
from pipelines.feeds import simulate
from pipelines.processors.accounts import Accounts
from pipelines.programme_file import load_programme
from state import layout
from state.memory import MemoryStore

START_MS = 1_735_689_600_000  # 2025-01-01
KINDS = {
    layout.ACCOUNT: "account",
    layout.ORDER: "orders",
    layout.LOT: "lots",
    layout.ENGAGEMENT: "engagements",
    layout.GROUP: "groups",
    layout.SPENDING: "spendings",
    layout.COMMAND: "commands",
    layout.PARKED: "parked",
    layout.OWNER: "owners",
}


def sizes(members: int, years: int) -> dict[str, list[int]]:
    """Bytes by kind of record, one number a member; `all` is their sum."""
    store, accounts = MemoryStore(), Accounts(load_programme(Path("reference")))
    days = 365 * years
    waiting: deque[Any] = deque(arrival.fact for arrival in simulate.facts(1, members, days, START_MS))
    waiting.append(Tick(START_MS + days * DAY_MS))
    while waiting:
        answer = accounts.process(waiting.popleft(), store)
        waiting.extendleft(told for told in answer.results if isinstance(told, Handover))
    by_member: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (kind, member_id, _), value in store.records.items():
        by_member[member_id][KINDS[kind]] += len(value)
        by_member[member_id]["all"] += len(value)
    names = [*KINDS.values(), "all"]
    return {name: sorted(one[name] for one in by_member.values()) for name in names}
