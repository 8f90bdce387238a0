"""A secure cluster's users: being one of them for a while, and what each may not do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from pipelines.connection import PREFIX, kafka_client
from pipelines.local.secured import Vault


def settings_of(vault: Vault, name: str) -> dict[str, str]:
    """The settings with which a process is that user."""
    lines = (vault.folder / f"{name}.env").read_text().splitlines()
    return {key: value.strip("'") for key, _, value in (line.partition("=") for line in lines)}


@contextmanager
def being(home: Path, name: str) -> Iterator[None]:
    """Every client that is made here, and every process started, is that user."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in [variable for variable in os.environ if variable.startswith(PREFIX)]:
            patch.delenv(variable)
        for variable, value in settings_of(Vault(home), name).items():
            patch.setenv(variable, value)
        yield


def refusal_of_writing(bootstrap: str, topic: str) -> str:
    """With what Kafka refuses a record, or nothing."""
    said: list[Any] = []
    producer = Producer({**kafka_client(bootstrap), "log_level": 0})
    producer.produce(topic, b"x", key=b"x", on_delivery=lambda error, _: said.append(error))
    assert producer.flush(30) == 0
    return said[0].name() if said[0] is not None else ""


def refusal_of_reading(bootstrap: str, topic: str, group: str) -> str:
    """With what Kafka refuses to hand out records, or nothing; all partitions have one."""
    consumer = Consumer(
        {**kafka_client(bootstrap), "group.id": group, "enable.partition.eof": True, "log_level": 0}
    )
    try:
        unseen = consumer.list_topics(topic, timeout=30).topics[topic].error
        if unseen is not None:
            return str(unseen.name())
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(30)
        assert message is not None
        error = message.error()
        return error.name() if error is not None and error.name() != "_PARTITION_EOF" else ""
    finally:
        consumer.close()


def refusal_of_joining(bootstrap: str, topic: str, group: str) -> str:
    """With what Kafka refuses a member of a group, or nothing."""
    consumer = Consumer({**kafka_client(bootstrap), "group.id": group, "log_level": 0})
    assigned: list[Any] = []
    consumer.subscribe([topic], on_assign=lambda _, places: assigned.extend(places))
    try:
        for _ in range(60):
            message = consumer.poll(0.5)
            if message is not None and message.error() is not None:
                return str(message.error().name())
            if assigned:
                return ""
        raise AssertionError("neither assigned nor refused")
    finally:
        consumer.close()


def refusal_of_beginning(bootstrap: str, transactional_id: str) -> str:
    """With what Kafka refuses a transactional id, or nothing."""
    producer = Producer({**kafka_client(bootstrap), "transactional.id": transactional_id, "log_level": 0})
    try:
        producer.init_transactions(30)
    except KafkaException as error:
        return str(error.args[0].name())
    return ""
