"""Producers of two builds side by side: what the next one adds is passed over, what a wrong one writes is set aside."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema
from fastavro import parse_schema, schemaless_writer

from pipelines.domain.facts import Order
from pipelines.local.endpoints import KAFKA_VARIABLE, REGISTRY_VARIABLE, Endpoints
from schemas import catalogue
from schemas.codec import Codec
from schemas.registry import COMPATIBILITY, client, register_all
from tests.cli.test_main import loyalty
from tests.support.drill import stack_of_its_own
from tests.support.facts import member, order
from tests.support.history import play
from tests.support.next_build import with_a_field
from tests.support.pipeline import Pipeline
from tests.support.programmes import reference

pytestmark = pytest.mark.broker
JOINED = member("2026-01-01T00:00:00Z")
ORDERS = [order(f"O{n}", f"2026-02-0{n}T10:00:00Z") for n in range(1, 7)]


def without_the_order_id(schema: dict[str, Any]) -> dict[str, Any]:
    renamed = [f | {"name": "number"} if f["name"] == "order_id" else f for f in schema["fields"]]
    return schema | {"fields": renamed}


def written_by(
    pipeline: Pipeline, evolve: Callable[[dict[str, Any]], dict[str, Any]]
) -> Callable[[Order], bytes]:
    """What encodes as a build with another schema does. It has a subject of its own: ids are all that counts."""
    schema = evolve(json.loads(catalogue.released(catalogue.ORDERS)))
    registry = client(pipeline.cluster.schema_registry_url)
    schema_id = registry.register_schema(f"test-{token_hex(4)}-value", Schema(json.dumps(schema), "AVRO"))

    def encode(one: Order) -> bytes:
        body = pipeline.codec.body(catalogue.ORDERS, pipeline.codec.encode(one))
        out = BytesIO()
        out.write(struct.pack(">bI", 0, schema_id))
        schemaless_writer(out, parse_schema(schema), body | {"gift_note": "for you", "number": one.order_id})
        return out.getvalue()

    return encode


def send_by_turns(pipeline: Pipeline, other: Callable[[Order], bytes]) -> None:
    """Every second order is written by the other build."""
    pipeline.send([JOINED])
    for number, one in enumerate(ORDERS):
        value = other(one) if number % 2 else pipeline.codec.encode(one)
        pipeline.send_bytes(catalogue.ORDERS, b"m-1", value, one.recorded_at_ms)


def test_old_and_new_producers_side_by_side_give_the_same_ledger(pipeline: Pipeline) -> None:
    send_by_turns(pipeline, written_by(pipeline, with_a_field))

    pipeline.run()

    assert pipeline.read(catalogue.DEAD_LETTERS) == []
    told = [entry["entry_id"] for entry in pipeline.read(catalogue.LEDGER)]
    assert told == [entry.entry_id for entry in play([JOINED, *ORDERS], reference()).ledger]


def test_what_an_incompatible_schema_wrote_is_set_aside_and_the_rest_earns(pipeline: Pipeline) -> None:
    send_by_turns(pipeline, written_by(pipeline, without_the_order_id))

    pipeline.run()

    assert [letter["error_class"] for letter in pipeline.read(catalogue.DEAD_LETTERS)] == ["UNDECODABLE"] * 3
    told = [entry["entry_id"] for entry in pipeline.read(catalogue.LEDGER)]
    assert told == [entry.entry_id for entry in play([JOINED, *ORDERS[::2]], reference()).ledger]


def test_a_schema_registered_past_us_turns_the_check_red(
    cluster: Endpoints, codec: Codec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KAFKA_VARIABLE, cluster.bootstrap_servers)
    monkeypatch.setenv(REGISTRY_VARIABLE, cluster.schema_registry_url)
    assert loyalty("schemas", "check", "--registry") == 0
    registry, name = client(cluster.schema_registry_url), catalogue.subject(catalogue.REDRIVES)
    schema = json.loads(catalogue.released(catalogue.REDRIVES))
    registry.set_compatibility(name, "NONE")

    wrong = schema | {"fields": [*schema["fields"], {"name": "who", "type": "string"}]}
    registry.register_schema(name, Schema(json.dumps(wrong), "AVRO"))
    try:
        assert loyalty("schemas", "check", "--registry") == 1
        said = " ".join(capfd.readouterr().err.split())
        assert "it cannot read what this build writes: who: is not written, and has no default" in said
        assert f"{name} is NONE in the registry, not FULL_TRANSITIVE" in said
        assert loyalty("schemas", "check") == 0
    finally:
        registry.delete_version(name, max(registry.get_versions(name)))
        registry.set_compatibility(name, COMPATIBILITY)
    assert loyalty("schemas", "check", "--registry") == 0


def test_who_registers_at_the_same_time_gets_the_same_ids_and_no_refusal(tmp_path: Path) -> None:
    with stack_of_its_own(tmp_path / "own") as found, ThreadPoolExecutor(6) as at_once:
        ids = list(at_once.map(register_all, [found.schema_registry_url] * 6))

    assert ids == [ids[0]] * 6
    assert set(ids[0]) == set(catalogue.TOPICS)
