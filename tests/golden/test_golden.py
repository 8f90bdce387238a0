"""Golden histories: every entry of a few whole lives, as text that a diff can be read of.

`make golden` writes them anew: read the diff, and say in the commit whose points change, and why.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pipelines.domain.facts import Fact, Tick
from pipelines.feeds import completejourney, simulate
from pipelines.feeds.arrivals import Arrival, with_ticks
from pipelines.programme_file import load_programme
from tests.support.facts import DAY_MS, ms
from tests.support.history import History, play

HERE = Path(__file__).parent
SIMULATED = list(simulate.facts(seed=11, members=12, days=120, start_ms=ms("2026-01-01T00:00:00Z")))
BASKETS = list(completejourney.facts(seed=3, households=2))


def told(arrivals: list[Arrival], programme: str) -> str:
    """Each member's ledger, tier changes and last balance, a line each."""
    everything = [arrival.fact for arrival in with_ticks(arrivals, DAY_MS, 70 * DAY_MS)]
    ticks = [fact for fact in everything if isinstance(fact, Tick)]
    lives: dict[str, list[Fact | Tick]] = defaultdict(list)
    members = {fact.member_id for fact in everything if not isinstance(fact, Tick)}
    for fact in everything:
        for member_id in members if isinstance(fact, Tick) else (fact.member_id,):
            lives[member_id].append(fact)
    assert ticks
    rules = load_programme(Path(programme))
    return "".join(_life(member_id, play(lives[member_id], rules)) for member_id in sorted(lives))


def _life(member_id: str, history: History) -> str:
    lines = [
        f"{e.entry_id} {e.points} {e.from_account}>{e.to_account} {e.effective_at_ms} {e.tier_at_event}"
        for e in history.ledger
    ]
    lines += [f"{c.kind} {c.tier} {c.qualifying_points} {c.effective_at_ms}" for c in history.tiers]
    lines += [f"refused {r.refused}" for r in history.refusals]
    balance = history.balances[-1]
    return "\n".join([f"# {member_id}: active {balance.active}, pending {balance.pending}", *lines, "", ""])


@pytest.mark.parametrize(
    ("name", "arrivals", "programme"),
    [("simulated-brand", SIMULATED, "reference"), ("real-baskets", BASKETS, "demo")],
)
def test_the_golden_history_is_as_it_was(
    name: str, arrivals: list[Arrival], programme: str, request: pytest.FixtureRequest
) -> None:
    path = HERE / f"{name}.txt"
    now = told(arrivals, programme)
    if request.config.getoption("--golden-rewrite"):
        path.write_text(now)

    assert now == path.read_text()
