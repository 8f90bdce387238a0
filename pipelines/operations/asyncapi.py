"""docs/asyncapi.yaml: every topic as a team that consumes or writes it needs it, in AsyncAPI 3.

Nothing is said here that is not said elsewhere: the schema, the example and the words are those of the topic's folder,
the configuration is the topic catalogue's, and who may read or write follows from the grants.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any, Final

from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from pipelines.grants import ROLES, Grant, user
from pipelines.operations.alerts import as_yaml
from pipelines.operations.contracts import Readme, on_topics, readme, users
from pipelines.topics import PARTITIONS, PIPELINES, Topic, topics
from schemas import catalogue

HEAD: Final = "Written from schemas/ and pipelines/topics.py by `make golden`; a test compares the two."

ABOUT: Final = """Points, tiers and triggers of a loyalty programme, as topics of Apache Kafka.

Operations are the product's own: one for each role and topic that it may read (`receive`) or write (`send`), after \
[Security](SECURITY.md). Another consumer needs READ on its topics and on a group of its own, and sets \
`isolation.level=read_committed`, or it sees what was taken back.

A value is Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then Avro. Each field \
says in `personal` what it tells of a person: [Personal data](PERSONAL-DATA.md). Instants are milliseconds since \
1970, UTC."""

AVRO: Final = "application/vnd.apache.avro"
BINDING: Final = "0.5.0"
"""The version of AsyncAPI's Kafka binding."""

_CLUSTERS: Final = frozenset({"min.insync.replicas"})
"""What depends on how many brokers a cluster has, and not on the topic."""

_FALSE_IN_YAML_1_1: Final = ("no", "off", "n")

_ACTIONS: Final = {"READ": ("receive", "reads"), "WRITE": ("send", "writes")}


def asyncapi_file() -> str:
    """docs/asyncapi.yaml."""
    return as_yaml(_written(document()), HEAD)


def _written(part: Any) -> Any:
    """As people and old parsers read it: paragraphs in lines of their own, and `no` in quotes, which YAML 1.1 reads as
    false."""
    if isinstance(part, dict):
        return {key: _written(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_written(value) for value in part]
    if isinstance(part, str) and "\n" in part and part.replace("\n", "").isprintable():
        return LiteralScalarString(part)
    return DoubleQuotedScalarString(part) if part in _FALSE_IN_YAML_1_1 else part


def document() -> dict[str, Any]:
    """All topics that have a schema; changelogs are the workers' own, and not for others."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Loyalty Streams",
            "version": version("loyalty-streams"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": AVRO,
        "servers": {"cluster": _cluster()},
        "channels": {topic.name: _channel(topic) for topic in topics() if topic.name in catalogue.TOPICS},
        "operations": dict(_operation(role, grant) for role in ROLES for grant in on_topics(role)),
        "components": {"securitySchemes": {"user": {"type": "scramSha512"}}},
    }


def _cluster() -> dict[str, Any]:
    return {
        "host": "{brokers}",
        "protocol": "kafka-secure",
        "description": "SASL_SSL, with SCRAM-SHA-512; a cluster on one's own machine may be in the clear.",
        "variables": {"brokers": {"description": "The bootstrap servers, as operators name them."}},
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }


def _channel(topic: Topic) -> dict[str, Any]:
    page = readme(topic.name)
    told = {"Written by": "written by", "Read by": "for", "Record timestamp": "record timestamp"}
    rows = "\n".join(f"- {word}: {page.rows[row]}" for row, word in told.items())
    message = _message(topic.name, page)
    return {
        "address": topic.name,
        "summary": message["summary"],
        "description": "\n\n".join(part for part in (rows, _from_docs(page.notes)) if part),
        "messages": {message["name"]: message},
        "bindings": {"kafka": _topic_binding(topic)},
        "x-may-write": users("WRITE", topic.name),
        "x-may-read": users("READ", topic.name),
    }


def _from_docs(text: str) -> str:
    """A README's links, as docs/ writes them."""
    return text.replace("](../../docs/", "](").replace("](../../", "](../")


def _topic_binding(topic: Topic) -> dict[str, Any]:
    return {
        "topic": topic.name,
        "partitions": PARTITIONS,
        "topicConfiguration": {
            key: _configured(key, value) for key, value in topic.config.items() if key not in _CLUSTERS
        },
        "bindingVersion": BINDING,
    }


def _configured(key: str, value: str) -> list[str] | int | str:
    """As the binding has it: policies are a list, sizes and times are numbers."""
    if key == "cleanup.policy":
        return value.split(",")
    return int(value) if value.lstrip("-").isdigit() else value


def _message(topic: str, page: Readme) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(catalogue.released(topic))
    number, path = catalogue.versions(topic)[-1]
    return {
        "name": f"{schema['namespace']}.{schema['name']}",
        "summary": schema["doc"],
        "payload": {"schemaFormat": f"{AVRO};version=1.9.0", "schema": schema},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": page.rows["Key"]},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
                "bindingVersion": BINDING,
            }
        },
        "examples": [
            {
                "name": f"v{number}",
                "summary": "Union values stand without the name of their type.",
                "payload": json.loads(path.with_name(f"v{number}.example.json").read_text()),
            }
        ],
        "x-schema-version": number,
        "x-subject": catalogue.subject(topic),
    }


def _operation(role: str, grant: Grant) -> tuple[str, dict[str, Any]]:
    action, does = _ACTIONS[grant.operation]
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{grant.name}"},
        "summary": f"{user(role)} {does} {grant.name}.",
        "tags": [{"name": role}],
    }
    if action == "receive" and role in PIPELINES:
        group = {"type": "string", "enum": [PIPELINES[role].group]}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING}}
    return f"{role}-{does}-{grant.name}", operation
