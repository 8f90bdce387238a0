"""Every bad fact of the corpus gets its error class, its bytes stay as they are, and the worker lives."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema

from pipelines.domain.ledger import Refused
from pipelines.local.endpoints import Endpoints
from schemas import border, catalogue, codec
from schemas.registry import client
from tests.support.bad_facts import TOPICS, BadFact, bad_facts
from tests.support.facts import member, order, tick
from tests.support.pipeline import Pipeline, wait_until

ODD = {
    "a number": ('"long"', "AVRO"),
    "a union": ('["null", "long"]', "AVRO"),
    "JSON Schema": (
        '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}',
        "JSON",
    ),
    "protocol buffers": ('syntax = "proto3"; message Order { string order_id = 1; }', "PROTOBUF"),
}
"""Schemas that a registry may hold, and that no fact is written with."""
DOCS = Path(__file__).parents[2] / "docs/DEAD-LETTERS.md"


def classes_of(module: object) -> set[str]:
    """The error classes that a module's code names."""
    tree = ast.parse(Path(str(getattr(module, "__file__", ""))).read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    named = [call.args[0] for call in calls if call.func.id in ("InvalidFact", "_refuse")]  # type: ignore[attr-defined]
    return {name.value for name in named if isinstance(name, ast.Constant)}


CLASSES = classes_of(codec) | classes_of(border) | set(Refused)


def offline() -> list[BadFact]:
    return bad_facts(dict.fromkeys((*TOPICS, *ODD), 1))


def test_the_corpus_has_every_error_class_and_every_kind_of_fact() -> None:
    corpus = offline()

    assert {bad.error_class for bad in corpus} == CLASSES
    assert {bad.record.topic for bad in corpus} == set(catalogue.INPUTS)
    assert len(corpus) >= 60
    assert len({bad.why for bad in corpus}) == len(corpus)


def test_the_page_has_every_error_class() -> None:
    rows = [line.split("|")[1].strip() for line in DOCS.read_text().splitlines() if line.startswith("| `")]

    assert sorted(rows) == sorted(f"`{error_class}`" for error_class in CLASSES)


@pytest.fixture
def ids(cluster: Endpoints, pipeline: Pipeline) -> dict[str, int]:
    registry = client(cluster.schema_registry_url)
    known = {
        kind: int(registry.get_latest_version(catalogue.subject(topic)).schema_id or 0)
        for kind, topic in TOPICS.items()
    }
    odd = {
        name: registry.register_schema(f"odd-{kind.lower()}-{n}", Schema(text, kind))
        for n, (name, (text, kind)) in enumerate(ODD.items())
    }
    return known | odd


@pytest.mark.broker
def test_each_bad_fact_is_a_dead_letter_of_its_class_byte_for_byte_and_the_worker_lives(
    pipeline: Pipeline, ids: dict[str, int]
) -> None:
    corpus = bad_facts(ids)
    for bad in corpus:
        for record in bad.given:
            pipeline.send_bytes(record.topic, record.key, record.value, record.timestamp_ms)
    worker = pipeline.start(dead_letters_in_a_row_max=len(corpus))
    pipeline.wait_until_caught_up()

    for number, bad in enumerate(corpus):
        case = [("case", str(number).encode())]
        pipeline.send_bytes(bad.record.topic, bad.record.key, bad.record.value, bad.record.timestamp_ms, case)
    pipeline.sender.flush()
    wait_until(lambda: pipeline.lag() == 0 or worker.poll() is not None, "the worker has read all")
    good = order("O1", "2026-03-01T10:00:00Z")
    pipeline.send([member("2026-01-01T00:00:00Z"), good, tick("2026-06-01T00:00:00Z")])
    wait_until(lambda: pipeline.lag() == 0 or worker.poll() is not None, "the worker has read all")

    assert worker.poll() is None, (pipeline.tmp_path / "w0.log").read_text()[-2000:]
    told = pipeline.read(catalogue.DEAD_LETTERS)
    assert [(x["error_class"], x["message"], x["recorded_at"]) for x in told if not x["headers"]] == []
    letters = {letter["headers"][0]["value"]: letter for letter in told}
    found = {bad.why: letters.get(str(n).encode(), {}).get("error_class") for n, bad in enumerate(corpus)}
    assert found == {bad.why: bad.error_class for bad in corpus}
    for number, bad in enumerate(corpus):
        letter = letters[str(number).encode()]
        assert (letter["key"], letter["value"]) == (bad.record.key, bad.record.value), bad.why
        assert letter["recorded_at"] == bad.record.timestamp_ms, bad.why
        assert letter["topic"] == pipeline.topic(bad.record.topic)
    assert len(told) == len(corpus)
    earned = {entry["lot_id"]: entry["points"] for entry in pipeline.read(catalogue.LEDGER)}
    assert earned["order:O1"] == 100
