"""The event catalogue as a site: a page for every topic, every link resolves, nothing comes from outside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from pipelines.operations.contracts import readme
from pipelines.operations.site import lineage, words
from pipelines.operations.site.pages import files, write_site
from pipelines.topics import PARTITIONS, PIPELINES
from schemas import catalogue, personal
from tests.cli.test_main import loyalty

VOID = {"meta", "link", "input", "br", "hr", "img"}
LOADS = {"src", "srcset", "data", "poster", "action", "background", "formaction", "manifest"}


@dataclass
class Read(HTMLParser):
    """A page as a browser takes it apart. It refuses what is not closed, or closed in another order."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    text: str = ""
    example: str = ""
    rows: list[list[str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(given["href"] or "")
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag in ("link", "image", "use", "script", "iframe", "img"):
            self.loaded += [value or "" for name, value in attrs if name in {"href", *LOADS}]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open[-2:] == ["pre", "code"] and not self.example:
            self.example = data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


SITE = dict(files())


def read(text: str) -> Read:
    page = Read()
    page.feed(text)
    assert page.open == []
    return page


PAGES = {name: read(text) for name, text in SITE.items() if name.endswith(".html")}


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_every_topic_has_a_page_that_the_first_page_leads_to(topic: str) -> None:
    page = PAGES[f"{topic}.html"]

    assert f"{topic}.html" in PAGES["index.html"].links
    assert json.loads(catalogue.released(topic))["doc"].replace("`", "") in page.text
    for part in ("about", "schema", "example", "configuration", "versions"):
        assert part in page.ids


@pytest.mark.parametrize("name", PAGES)
def test_every_link_resolves(name: str) -> None:
    for link in PAGES[name].links:
        assert urlsplit(link).scheme == "", link
        path, _, anchor = unquote(link).partition("#")
        target = str(PurePosixPath(name).parent / path) if path else name
        assert target in SITE, f"{name} leads to {link}"
        if anchor:
            assert PAGES[target].ids.count(anchor) == 1, f"{name} leads to {link}"


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_but_the_sites_own_style(name: str) -> None:
    assert PAGES[name].loaded == ["style.css"]
    assert len(PAGES[name].ids) == len(set(PAGES[name].ids))
    spaces = SITE[name].replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.findall(r"(?:https?:)?//[a-z]", spaces)


def test_the_style_loads_nothing() -> None:
    assert not re.findall(r"url\(|@import|//", SITE["style.css"])


def as_avro(schema: Any, value: Any) -> Any:
    """JSON as Avro wants it: bytes are written as a letter a byte."""
    if isinstance(schema, list):
        return None if value is None else as_avro(next(part for part in schema if part != "null"), value)
    if isinstance(schema, dict) and schema["type"] == "record":
        return {f["name"]: as_avro(f["type"], value[f["name"]]) for f in schema["fields"]}
    if isinstance(schema, dict) and schema["type"] == "array":
        return [as_avro(schema["items"], one) for one in value]
    return value.encode("latin-1") if schema == "bytes" else value


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_the_example_on_the_page_is_a_record_of_the_schema(topic: str) -> None:
    schema = catalogue.parsed(topic)
    record = as_avro(schema, json.loads(PAGES[f"{topic}.html"].example))
    out = BytesIO()

    schemaless_writer(out, parse_schema(schema), record, strict=True)

    assert schemaless_reader(BytesIO(out.getvalue()), parse_schema(schema), None) == record


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_the_schemas_table_has_every_field_with_its_class(topic: str) -> None:
    told = [(row[0].strip(), row[3].strip()) for row in PAGES[f"{topic}.html"].rows if len(row) == 4]
    wanted = [(path.split(".")[-1], said) for path, said in personal.fields(topic)]

    assert [row for row in told if row[1] != "Personal"] == wanted


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_the_contract_on_offer_is_the_released_one(topic: str) -> None:
    for number, path in catalogue.versions(topic):
        assert SITE[f"schemas/{topic}/v{number}.avsc"] == path.read_text()
        assert f"schemas/{topic}/v{number}.avsc" in PAGES[f"{topic}.html"].links


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_a_readme_names_every_pipeline_that_reads_the_topic(topic: str) -> None:
    told = readme(topic).rows["Read by"]
    for stage in lineage.stages():
        if topic in stage.reads:
            assert f"`{stage.name}`" in told, f"schemas/{topic}/README.md: {stage.name} reads it, too"


def test_the_lineage_is_what_pipelines_read_and_write() -> None:
    drawn = lineage.drawing()
    places = {bar.x: bar.name for bar in drawn.bars}
    reads = {(places[x], line.topic) for line in drawn.lines for x in line.reads}
    turns = {(places[line.written or 0], line.topic) for line in drawn.lines if line.turns}
    writes = {(places[line.written], line.topic) for line in drawn.lines if line.written is not None}

    assert reads | turns == {(stage.name, topic) for stage in lineage.stages() for topic in stage.reads}
    assert writes == {(pipeline.name, topic) for pipeline in PIPELINES.values() for topic in pipeline.writes}
    assert [line.topic for line in drawn.lines if line.end < line.start] == []


def test_a_trigger_comes_from_orders_and_an_order_goes_into_triggers() -> None:
    assert catalogue.ORDERS in lineage.upstream(catalogue.TRIGGERS)
    assert catalogue.COMMANDS in lineage.upstream(catalogue.TRIGGERS)
    assert catalogue.TRIGGERS in lineage.downstream(catalogue.ORDERS)
    assert lineage.upstream(catalogue.ORDERS) == ()
    assert catalogue.BALANCES not in lineage.upstream(catalogue.TRIGGERS)


def test_who_may_write_the_ledger_stands_on_its_page() -> None:
    page = SITE[f"{catalogue.LEDGER}.html"]
    writers = re.search(r"Users that may write it</dt><dd>(.*?)</dd>", page)

    assert writers is not None
    assert writers[1] == "<code>loyalty-accounts</code>"
    assert f"<dd>{PARTITIONS}</dd>" in page


def test_error_classes_stand_with_the_dead_letters_and_facts_lead_there() -> None:
    assert "ORDER_FORGOTTEN" in PAGES[f"{catalogue.DEAD_LETTERS}.html"].text
    for topic in catalogue.INPUTS:
        assert f"{catalogue.DEAD_LETTERS}.html#errors" in PAGES[f"{topic}.html"].links


def test_what_the_changelog_tells_consumers_of_a_topic_stands_on_its_page() -> None:
    assert "must not be sent from expires_at on" in PAGES[f"{catalogue.TRIGGERS}.html"].text
    assert "must not be sent from" not in PAGES[f"{catalogue.ORDERS}.html"].text


def test_what_a_version_changes_is_told_field_by_field() -> None:
    def record(*fields: dict[str, Any]) -> dict[str, Any]:
        told = [{"doc": f"What {f['name']} says.", "personal": "no"} | f for f in fields]
        return {"type": "record", "name": "R", "fields": told}

    def enum(*symbols: str) -> dict[str, Any]:
        return {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": symbols}}

    before = record({"name": "points", "type": "int"}, enum("A"), {"name": "gone", "type": "long"})
    after = record(
        {"name": "points", "type": "long"},
        enum("A", "B"),
        {"name": "note", "type": ["null", "string"], "default": None},
    )

    assert list(words.changes(before, after)) == [
        "`points` was int, and is long.",
        "`kind` has new symbols: B.",
        "`note` is new: What note says.",
        "`gone` is no more.",
    ]
    assert list(words.changes(after, after)) == []


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("retention.ms", "-1", "for ever"),
        ("segment.ms", "21600000", "6 hours"),
        ("delete.retention.ms", "604800000", "7 days"),
        ("segment.ms", "1500", "1,500 milliseconds"),
        ("max.message.bytes", "16777216", "16 MiB"),
        ("cleanup.policy", "compact", ""),
    ],
)
def test_a_setting_is_told_in_words(key: str, value: str, told: str) -> None:
    assert words.configured(key, value) == told


def test_the_command_writes_the_site_twice_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert loyalty("schemas", "catalogue", "--out", tmp_path / "site") == 0

    assert f"{len(SITE)} files in" in capsys.readouterr().out
    assert {name: (tmp_path / "site" / name).read_text() for name in SITE} == SITE
    assert write_site(tmp_path / "site") == len(SITE)


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").write_text("a file")

    assert loyalty("schemas", "catalogue", "--out", tmp_path / "site") == 1
    said = capsys.readouterr().err
    assert "cannot be written to" in said
    assert "give a folder" in said
