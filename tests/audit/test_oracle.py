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


def written(at: Path, changes: dict[str, str]) -> Path:
    """The reference programme with other words in it, as a file."""
    text = (ALONG / "reference.yaml").read_text()
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    programme = at / "programme.yaml"
    programme.write_text(text)
    return programme


def two_versions() -> str:
    """The reference's only version, and from July 2025 on one with lower thresholds and no expiry."""
    text = (ALONG / "reference.yaml").read_text()
    first = text[text.index("  - version:") :]
    second = first.replace('"2026-1"', '"next"').replace("2020-01-01", "2025-07-01").replace("1500,", "900,")
    return first + second.replace("threshold: 500", "threshold: 350").replace(
        "{months: 12, end_of: month}", "never"
    )


REFERENCE = (ALONG / "reference.yaml").read_text()
PROGRAMMES = {
    "reference": {},
    "expiry of two months": {"{months: 12, end_of: month}": "{months: 2, end_of: day}"},
    "no expiry": {"{months: 12, end_of: month}": "never"},
    "three months' window": {
        "kind: rolling, months: 12": "kind: rolling, months: 3",
        "grace_days: 60": "grace_days: 10",
    },
    "calendar year": {"{kind: rolling, months: 12}": "{kind: calendar_year}"},
    "membership year": {"{kind: rolling, months: 12}": "{kind: anniversary}", "levels: 1": "levels: 2"},
    "no downgrade": {
        "{kind: rolling, months: 12}": "{kind: rolling, months: 2}",
        "{grace_days: 60, levels: 1}": "never",
    },
    "two versions": {
        "kind: rolling, months: 12": "kind: rolling, months: 2",
        REFERENCE[REFERENCE.index("  - version:") :]: two_versions(),
    },
}


@pytest.mark.parametrize("days", [75, 200, 371, 399, 500, 900])
@pytest.mark.parametrize("changes", PROGRAMMES.values(), ids=PROGRAMMES)
def test_ledger_and_recomputation_agree_at_any_cut(
    days: int, changes: dict[str, str], tmp_path: Path
) -> None:
    programme = written(tmp_path, changes)
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
