"""The report: one file, nothing fetched, and its numbers those of the ledger."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from pipelines.audit.books import Books
from pipelines.audit.rules import enter_rules
from pipelines.audit.verification import gate_findings
from pipelines.domain.ledger import LedgerAccount
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.programme_file import load_programme
from pipelines.report.charts import months
from pipelines.report.report import charts, write_report
from pipelines.report.summary import Origin, Source, Summary, print_summary, summary
from tests.audit.entries import enter_facts, enter_history, enter_programme, enter_told
from tests.support.facts import DAY_MS, ms
from tests.support.history import History, play
from tests.support.told import tell


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Books, Summary, History]]:
    arrivals = simulate.facts(3, 30, 200, ms("2026-01-01T00:00:00Z"))
    facts = [arrival.fact for arrival in with_ticks(arrivals, DAY_MS, 70 * DAY_MS)]
    history = play(facts, load_programme(Path("reference")))
    with Books() as books:
        enter_programme(books)
        enter_facts(books, facts)
        enter_history(books, history)
        yield books, summary(books, facts_per_second=1234.5, seconds=6.0), history


class Page(HTMLParser):
    """What a page says, and all that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v or "" for n, v in attrs if n in ("src", "href") and not (v or "").startswith("#")]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_the_numbers_are_the_ledgers(told: tuple[Books, Summary, History]) -> None:
    _, found, history = told

    assert found.issued == sum(e.points for e in history.ledger if e.from_account is LedgerAccount.ISSUED)
    assert found.taken_back == sum(
        e.points for e in history.ledger if e.to_account is LedgerAccount.CLAWED_BACK
    )
    assert found.active == history.total(LedgerAccount.ACTIVE)
    assert found.pending == history.total(LedgerAccount.PENDING)
    assert found.ledger_entries == len(history.ledger)
    assert (found.members, found.origin) == (30, Origin.SIMULATED)
    assert sum(row.members for row in found.tier_members) == 30


def test_the_page_stands_alone_and_says_them(told: tuple[Books, Summary, History], tmp_path: Path) -> None:
    books, found, _ = told

    text = write_report(books, {"facts": "42", "<b>": "&"}, tmp_path / "deep" / "r.html", found).read_text()

    page = Page(text)
    said = " ".join(page.said)
    assert page.fetched == []
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org)", text)
    assert f"{found.issued:,}".replace(",", "\N{THIN SPACE}") in said or f"{found.issued:,}" in said
    assert "<b>" in said and "<b>" not in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        ET.fromstring(re.sub(r"&(?!amp|lt|gt|quot|#)\w+;", " ", drawing))


def test_the_table_says_them(told: tuple[Books, Summary, History]) -> None:
    console = Console(record=True, width=120, file=StringIO())

    print_summary(told[1], console)

    text = console.export_text()
    for word in ("BASE", "Starter", "order", f"{told[1].issued:,}"):
        assert word in text


@pytest.fixture(scope="module")
def announced() -> Iterator[tuple[Books, list[Told]]]:
    """A brand's 300 days with what its members were told."""
    arrivals = simulate.facts(3, 40, 300, ms("2025-06-01T00:00:00Z"))
    facts = [arrival.fact for arrival in with_ticks(arrivals, DAY_MS, 70 * DAY_MS)]
    history, told = tell(facts, load_programme(Path("reference")))
    with Books() as books:
        enter_rules(books, Path("reference"))
        enter_facts(books, facts)
        enter_history(books, history)
        enter_told(books, told)
        yield books, told


def test_what_members_were_told_is_counted_by_kind_and_reason(announced: tuple[Books, list[Told]]) -> None:
    books, told = announced

    counted = {row.kind: row for row in summary(books).triggers}

    sent = Counter(one.kind.value for one in told if isinstance(one, Trigger))
    kept = Counter((o.kind.value, o.reason.value) for o in told if isinstance(o, SuppressedTrigger))
    assert {kind: row.sent for kind, row in counted.items() if row.sent} == dict(sent)
    for kind, row in counted.items():
        assert row.no_consent == kept[kind, "NO_CONSENT"]
        assert row.frequency_cap == kept[kind, "FREQUENCY_CAP"]
        assert row.withdrawn == kept[kind, "WITHDRAWN"]
        assert row.holdout == kept[kind, "HOLDOUT"]
        assert row.no_longer_true == kept[kind, "NO_LONGER_TRUE"]


def test_the_page_shows_them_by_week_with_the_auditors_verdict(
    announced: tuple[Books, list[Told]], tmp_path: Path
) -> None:
    books, told = announced
    found = gate_findings(books)

    text = write_report(books, {}, tmp_path / "r.html", audited=found, source=Source.MEMORY).read_text()

    said = " ".join(Page(text).said)
    assert len(re.findall(r"<svg", text)) == 8
    assert "The auditor’s verdict: nothing is wrong" in said
    assert all(finding.promise in said for finding in found)
    assert "without Kafka" in said and "All went through Kafka" not in said
    for chart in charts(books, Origin.SIMULATED)[-2:]:
        shown = sum(sum(series.values) for series in chart.series)
        wanted = Trigger if chart.key == "sent" else SuppressedTrigger
        assert shown == sum(isinstance(one, wanted) for one in told)


def test_a_verdict_that_is_not_clean_says_so(announced: tuple[Books, list[Told]], tmp_path: Path) -> None:
    books, _ = announced
    wrong = [finding._replace(wrong=3) for finding in gate_findings(books)[:1]] + gate_findings(books)[1:]

    text = write_report(books, {}, tmp_path / "r.html", audited=wrong).read_text()

    assert "The auditor’s verdict: 1 of 9 checks failed" in text


def test_no_records_make_no_report_fail(tmp_path: Path) -> None:
    with Books() as books:
        enter_programme(books)
        nothing = summary(books)
        text = write_report(books, {}, tmp_path / "r.html", nothing).read_text()

    assert nothing.issued == 0
    assert "<svg" in text or "no " in text.lower()


def test_a_year_stands_for_its_january_and_with_the_first_month_where_there_is_none():
    def labels(first: date, weeks: int) -> list[str]:
        return [tick.label for tick in months([first + timedelta(days=7 * n) for n in range(weeks)])]

    assert labels(date(2016, 10, 31), 20) == ["Nov", "Dec", "2017", "Feb", "Mar"]
    assert labels(date(2026, 2, 23), 14) == ["Mar 2026", "Apr", "May"]
    assert labels(date(2026, 1, 1), 10) == ["2026", "Feb", "Mar"]
