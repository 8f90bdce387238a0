"""The two engines against each other: random lives through the pipeline's rules, and all their points anew in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.audit.books import Books
from pipelines.audit.derivation import problem_of
from pipelines.audit.rules import enter_rules
from pipelines.audit.verification import findings, recompute
from pipelines.domain.facts import Tick
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares
from pipelines.programme_file import ALONG, load_programme
from schemas import catalogue
from schemas.codec import Codec
from tests.audit.entries import enter_facts, enter_history
from tests.support.facts import DAY_MS, ms
from tests.support.history import History, play

START = ms("2025-01-01T00:00:00Z")
SPOILT = Shares(late=0.05, too_late=0, duplicate=0.02, stale=0.02, out_of_order=0.01)


def lives(programme: Path, cut_ms: int) -> tuple[list[Any], History]:
    """What forty members' sources had told by an instant, and what the rules made of it."""
    told = simulate.facts(7, 40, 400, START, SPOILT)
    facts = [*(a.fact for a in told if a.at_ms < cut_ms), Tick(cut_ms)]
    return facts, play(facts, load_programme(programme))


@pytest.mark.parametrize("days", [75, 200, 371, 399, 500, 900])
@pytest.mark.parametrize("lapse", ["{months: 12, end_of: month}", "{months: 2, end_of: day}", "never"])
def test_ledger_and_recomputation_agree_at_any_cut(days: int, lapse: str, tmp_path: Path) -> None:
    reference = (ALONG / "reference.yaml").read_text()
    programme = tmp_path / "programme.yaml"
    programme.write_text(reference.replace("{months: 12, end_of: month}", lapse))
    facts, history = lives(programme, START + days * DAY_MS)

    with Books() as books:
        enter_rules(books, programme)
        enter_facts(books, facts)
        enter_history(books, history)
        recompute(books)
        wrong = {f.check: f.first for f in findings(books) if f.wrong}

    assert history.ledger
    assert wrong == {}


def test_each_entry_follows_from_its_own_derivation() -> None:
    _, history = lives(Path("reference"), START + 900 * DAY_MS)
    codec = Codec.offline()
    told = [codec.body(catalogue.LEDGER, codec.encode(entry)) for entry in history.ledger]

    assert {entry["reason"] for entry in told} >= {"BASE", "ACTIVATION", "EXPIRY", "RETURN", "ACTIVITY"}
    assert {entry["entry_id"]: problem for entry in told if (problem := problem_of(entry))} == {}
