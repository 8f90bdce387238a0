"""The AsyncAPI document is one by the standard's own schema, and says what the catalogue, schemas and grants say."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from pipelines.grants import ROLES, grants
from pipelines.topics import PARTITIONS, topics
from schemas import catalogue

DOCS = Path(__file__).parents[2] / "docs"
STANDARD = Draft7Validator(json.loads((Path(__file__).parent / "asyncapi/3.0.0.json").read_text()))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The file as others read it."""
    read: dict[str, Any] = YAML(typ="safe").load(DOCS / "asyncapi.yaml")
    return read


def message(document: dict[str, Any], topic: str) -> dict[str, Any]:
    [only] = document["channels"][topic]["messages"].values()
    return only


def test_the_document_is_valid_by_the_official_schema(document: dict[str, Any]) -> None:
    assert [error.message for error in STANDARD.iter_errors(document)] == []


def test_a_parser_of_yaml_1_1_reads_the_same(document: dict[str, Any]) -> None:
    old = YAML(typ="safe", pure=True)
    old.version = (1, 1)

    assert old.load(DOCS / "asyncapi.yaml") == document


@pytest.mark.parametrize(
    "path",
    [
        ("channels", catalogue.LEDGER, "bindings", "kafka", "partitions"),
        ("channels", catalogue.BALANCES, "bindings", "kafka", "topicConfiguration", "cleanup.policy"),
        ("operations", "accounts-reads-commerce.orders.v1", "action"),
        ("servers", "cluster", "protocol"),
        ("info", "version"),
    ],
    ids=".".join,
)
def test_the_official_schema_sees_a_wrong_value(document: dict[str, Any], path: tuple[str, ...]) -> None:
    broken = copy.deepcopy(document)
    *parents, last = path
    place = broken
    for name in parents:
        place = place[name]
    place[last] = 0

    assert not STANDARD.is_valid(broken)


def test_the_official_schema_sees_a_field_that_is_not_avro(document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    message(broken, catalogue.ORDERS)["payload"]["schema"]["fields"][0]["type"] = {"type": "enum"}

    assert not STANDARD.is_valid(broken)


def test_every_topic_is_a_channel_as_configured(document: dict[str, Any]) -> None:
    assert list(document["channels"]) == list(catalogue.TOPICS)
    for topic in topics()[: len(catalogue.TOPICS)]:
        binding = document["channels"][topic.name]["bindings"]["kafka"]
        told = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in binding["topicConfiguration"].items()
        }

        assert binding["partitions"] == PARTITIONS
        assert told == {key: value for key, value in topic.config.items() if key != "min.insync.replicas"}


@pytest.mark.parametrize("topic", catalogue.TOPICS)
def test_a_message_is_the_released_schema_with_its_example(document: dict[str, Any], topic: str) -> None:
    told = message(document, topic)
    [example] = told["examples"]
    number, path = catalogue.versions(topic)[-1]

    assert told["payload"]["schema"] == json.loads(path.read_text())
    assert told["x-schema-version"] == number
    assert example["payload"] == json.loads(path.with_name(f"{path.stem}.example.json").read_text())


def test_who_may_read_and_write_is_what_is_granted(document: dict[str, Any]) -> None:
    actions = {"receive": "READ", "send": "WRITE"}
    told = {
        (op["tags"][0]["name"], actions[op["action"]], op["channel"]["$ref"].removeprefix("#/channels/"))
        for op in document["operations"].values()
    }
    granted = {
        (role, grant.operation, grant.name)
        for role in ROLES
        for grant in grants(role)
        if grant.name in catalogue.TOPICS and grant.operation in ("READ", "WRITE")
    }

    assert told == granted
    for topic, channel in document["channels"].items():
        for key, operation in (("x-may-read", "READ"), ("x-may-write", "WRITE")):
            wanted = {f"loyalty-{role}" for role, *may in granted if may == [operation, topic]}
            assert set(channel[key]) == wanted, (topic, key)


def test_nobody_but_the_accounts_writes_the_ledger_and_the_shop_does_not_read_it(
    document: dict[str, Any],
) -> None:
    ledger = document["channels"][catalogue.LEDGER]

    assert ledger["x-may-write"] == ["loyalty-accounts"]
    assert "loyalty-sources" not in ledger["x-may-read"]


def test_every_page_that_the_document_points_to_is_there() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", re.sub(r"\s+", " ", (DOCS / "asyncapi.yaml").read_text())))

    assert linked
    assert [link for link in linked if not (DOCS / link).is_file()] == []
