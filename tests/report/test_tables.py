"""The report of the warehouse is the report of the topics: the same figures, the same page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.audit.books import Books
from pipelines.audit.gathering import gather, topic_names
from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.audit.rules import enter_rules
from pipelines.domain.facts import CommandKind
from pipelines.programme_file import load_programme
from pipelines.report.report import write_report
from pipelines.report.summary import Source, Summary, summary
from pipelines.report.tables import books_of
from pipelines.topics import ACCOUNTS, prefixed
from schemas import catalogue
from tests.broker.histories import END, START_MS, history
from tests.cli.test_main import loyalty
from tests.support.facts import DAY_MS, command, order
from tests.support.pipeline import Pipeline
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.broker
REFERENCE = Path("reference")


@pytest.fixture
def warehouse(pipeline: Pipeline) -> Warehouse:
    """Three days of four members, with what a report must not count wrongly: garbage, repetition, an old version, a
    fact that comes too late, a command, and what members were told."""
    facts = history(members=4, orders=3)
    late = order("O-late", START_MS, recorded=START_MS + 100 * DAY_MS, member_id="m-1")
    spend = command("C1", CommandKind.REDEEM, START_MS + 80 * DAY_MS, 50, member_id="m-0", subject_id="R1")
    pipeline.send([*facts, facts[4], facts[2], spend, late])
    pipeline.send_bytes(catalogue.ORDERS, b"m-1", b"no order at all", START_MS + 100 * DAY_MS)
    pipeline.send([END])
    pipeline.run()
    pipeline.run(load_programme(REFERENCE), "t0", processor="triggers")
    made = Warehouse(pipeline)
    made.sink()
    return made


@pytest.fixture
def topics(warehouse: Warehouse) -> Iterator[Books]:
    """What the auditor reads."""
    pipeline = warehouse.pipeline
    with Books() as books:
        enter_rules(books, REFERENCE)
        gather(
            books,
            Topics(pipeline.cluster.bootstrap_servers),
            RegistrySchemas(pipeline.cluster.schema_registry_url),
            topic_names(pipeline.prefix),
            prefixed(pipeline.prefix, ACCOUNTS.group),
            lambda _topic, _count: None,
        )
        yield books


def test_the_warehouse_gives_the_page_that_the_topics_give(
    warehouse: Warehouse, topics: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = summary(topics)
    drawn = write_report(topics, {}, tmp_path / "topics.html", told).read_text()
    monkeypatch.setenv("LOYALTY_WAREHOUSE_HOME", str(warehouse.home))
    file = tmp_path / "warehouse.html"

    assert loyalty("warehouse", "report", file, "--topic-prefix", warehouse.pipeline.prefix) == 0

    with books_of(warehouse.lake, REFERENCE, warehouse.pipeline.prefix) as books:
        assert summary(books) == told
    assert file.read_text() == drawn.replace(Source.TOPICS.value, Source.WAREHOUSE.value) != drawn
    check_it_counts_what_could_be_counted_wrongly(told)


def check_it_counts_what_could_be_counted_wrongly(told: Summary) -> None:
    """Otherwise two pages that count nothing would be equal, too."""
    outcomes = {(row.topic.rpartition("-")[2], row.outcome): row.records for row in told.facts}
    assert outcomes[catalogue.ORDERS, "refused"] == 2
    assert (
        sum(records for (_, outcome), records in outcomes.items() if outcome in ("duplicate", "stale")) == 2
    )
    assert outcomes[catalogue.COMMANDS, "applied"] == 1
    assert told.engagements == 12
    assert told.triggers
    assert (told.issued > 0, told.taken_back > 0, told.active > 0) == (True, True, True)
