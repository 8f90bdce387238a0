"""The schema registry: bounded in time, asked once an id, and never a reason to skip a record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from pipelines.connection import security
from pipelines.failure import Failure
from schemas import catalogue
from schemas.codec import Codec
from schemas.compatibility import breaks

TIMEOUT_S: Final = 5
TRIES: Final = 6
PAUSE_S: Final = 0.5
NOT_FOUND: Final = 404
COMPATIBILITY: Final = "FULL_TRANSITIVE"


def client(url: str) -> SchemaRegistryClient:
    return SchemaRegistryClient(security().registry(url) | {"timeout": TIMEOUT_S, "max.retries": 2})


def register_all(url: str) -> dict[str, int]:
    """Register this build's schemas, each subject FULL_TRANSITIVE; the ids by topic. No harm when done before."""
    registry = client(url)
    return {topic: _register(registry, url, topic) for topic in catalogue.TOPICS}


def _register(registry: SchemaRegistryClient, url: str, topic: str) -> int:
    name = catalogue.subject(topic)
    try:
        schema_id = registry.register_schema(name, Schema(catalogue.released(topic), "AVRO"))
        _keep_compatible(registry, name)
        return int(schema_id)
    except SchemaRegistryError as error:
        raise Failure(
            f"the registry refuses the schema of {topic}: {error.error_message}",
            "add a new version that is compatible with all before it: `loyalty schemas check`",
        ) from error
    except Exception as error:
        raise _away(url, error) from error


def _keep_compatible(registry: SchemaRegistryClient, name: str) -> None:
    """Two who register at once: the registry may refuse the second what the first has set meanwhile."""
    try:
        registry.set_compatibility(name, COMPATIBILITY)
    except SchemaRegistryError:
        if registry.get_compatibility(name) != COMPATIBILITY:
            raise


def strangers(url: str) -> list[str]:
    """What was registered beside this build and breaks it: schemas that do not read each other, subjects left open."""
    registry = client(url)
    try:
        return [problem for topic in catalogue.TOPICS for problem in _strangers(registry, topic)]
    except Exception as error:
        raise _away(url, error) from error


def _strangers(registry: SchemaRegistryClient, topic: str) -> Iterator[str]:
    name = catalogue.subject(topic)
    try:
        numbers = registry.get_versions(name)
    except SchemaRegistryError as error:
        if error.http_status_code != NOT_FOUND:
            raise
        yield f"{name} is not registered: run `loyalty schemas register`"
        return
    ours = json.loads(catalogue.released(topic))
    for number in numbers:
        theirs = json.loads(str(registry.get_version(name, number).schema.schema_str))
        for said in _quarrel(ours, theirs):
            yield f"{name} has version {number} in the registry: {said}"
    if (level := registry.get_compatibility(name)) != COMPATIBILITY:
        yield f"{name} is {level} in the registry, not {COMPATIBILITY}: run `loyalty schemas register`"


def _quarrel(ours: Any, theirs: Any) -> Iterator[str]:
    for said in breaks(reader=ours, writer=theirs):
        yield f"this build cannot read what it writes: {said}"
    for said in breaks(reader=theirs, writer=ours):
        yield f"it cannot read what this build writes: {said}"


def _away(url: str, error: Exception) -> Failure:
    return Failure(
        f"the schema registry at {url} does not answer: {error}", "start it (`loyalty up`), then again"
    )


def connect(url: str, *, register: bool = False) -> Codec:
    """A codec with the registered ids of this build's schemas, all looked up now."""
    if register:
        return Codec(register_all(url), _Fetching(url))
    registry = client(url)
    ids: dict[str, int] = {}
    for topic in catalogue.TOPICS:
        schema = Schema(catalogue.released(topic), "AVRO")
        try:
            ids[topic] = int(registry.lookup_schema(catalogue.subject(topic), schema).schema_id or 0)
        except SchemaRegistryError as error:
            message = f"the schema of {topic} is not registered at {url}: {error.error_message}"
            raise Failure(message, "run `loyalty schemas register`") from error
        except Exception as error:
            raise _away(url, error) from error
    return Codec(ids, _Fetching(url))


class _Fetching:
    def __init__(self, url: str) -> None:
        self.url = url
        self.registry = client(url)

    def __call__(self, schema_id: int) -> str:
        """The text of a schema; LookupError when the registry has none, a Failure when it stays away."""
        for attempt in range(TRIES):
            try:
                return str(self.registry.get_schema(schema_id).schema_str)
            except SchemaRegistryError as error:
                if error.http_status_code == NOT_FOUND:
                    raise LookupError(schema_id) from error
                last: Exception = error
            except Exception as error:  # noqa: BLE001  the client lets transport errors of several libraries through
                last = error
            time.sleep(PAUSE_S * 2**attempt)
        raise _away(self.url, last)
