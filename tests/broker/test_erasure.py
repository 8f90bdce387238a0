"""`loyalty erase` on a real broker: what it says was removed was, and nothing of the member comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from pipelines.audit.reading import Record, Topics
from pipelines.domain.facts import CommandKind, Fact
from pipelines.privacy.receipt import receipt
from pipelines.programme_file import load_programme
from pipelines.runtime.topic_admin import connect
from pipelines.topics import PIPELINES
from schemas import catalogue
from tests.cli.test_main import loyalty
from tests.support.facts import command, line, member, order, run
from tests.support.pipeline import PARTITIONS, Pipeline, wait_until

pytestmark = pytest.mark.broker
REFERENCE = load_programme(Path("reference"))
MINE, OTHER, STRANGER = "m-1", "m-2", "m-3"
AT_ONCE = {"segment.ms": "1000", "max.compaction.lag.ms": "1000", "min.cleanable.dirty.ratio": "0.01"}


def of(member_id: str, *facts: Any) -> list[Fact]:
    return [
        fact._replace(member_id=member_id, event_id=f"{member_id}-{n}-{fact.event_id}")
        for n, fact in enumerate(facts)
    ]


def lived(pipeline: Pipeline) -> None:
    """Two ids of one person, and a stranger, with something of every kind."""
    enrolled = member("2025-01-01T00:00:00Z")
    merged = member("2025-01-01T00:00:00Z", version=2, recorded="2025-03-06T10:00:00Z")
    merged = merged._replace(merged_into=MINE)
    pipeline.send(
        [
            *of(OTHER, enrolled, order("O2", "2025-03-01T10:00:00Z", line("A", 40_00))),
            *of(STRANGER, enrolled, order("O3", "2025-03-02T10:00:00Z", line("A", 50_00))),
            *of(
                MINE,
                enrolled,
                order("O1", "2025-03-03T10:00:00Z", line("UNMISTAKABLE", 600_00)),
                run("E1", "2025-03-04T10:00:00Z", 6_000),
                command("C1", CommandKind.RESERVE, "2025-03-05T10:00:00Z", 10),
            ),
            *of(OTHER, merged),
        ]
    )
    worked_on(pipeline)


def worked_on(pipeline: Pipeline) -> None:
    pipeline.run(REFERENCE)
    pipeline.run(REFERENCE, "t0", processor="triggers")


def erase(pipeline: Pipeline, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": pipeline.cluster.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": pipeline.cluster.schema_registry_url,
    }
    command_line = [sys.executable, "-m", "pipelines.cli.main", "erase", "--topic-prefix", pipeline.prefix]
    return subprocess.run(
        [*command_line, *arguments],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def erased(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The receipts, while both workers run."""
    for replica, processor in (("w0", "accounts"), ("t0", "triggers")):
        pipeline.start(replica, processor)
    done = erase(pipeline, MINE, "--yes", "--json", "--within", "150")
    assert done.returncode == 0, done.stderr
    for worker in pipeline.workers:
        worker.terminate()
        worker.wait()
    receipts: list[dict[str, Any]] = json.loads(done.stdout)
    return receipts


def test_a_receipt_names_a_removal_for_every_key_that_a_compacted_topic_had(pipeline: Pipeline) -> None:
    lived(pipeline)

    receipts = erased(pipeline)

    assert [one["member_id"] for one in receipts] == [MINE, OTHER]
    mine = receipts[0]
    assert mine["complete"]
    assert {place["what"] for place in mine["removed"]} >= {
        "balances",
        "tier-progress",
        "order",
        "lot",
        "spending",
    }
    assert [place["what"] for place in mine["ended"]] == ["account", "watch, or timer"]
    for place in mine["removed"]:
        assert _value_at(pipeline, place) == [None], place
    assert mine["history"][pipeline.topic(catalogue.ORDERS)] == 1

    again = erase(pipeline, MINE, "--json")
    assert json.loads(again.stdout) == receipts
    assert len(pipeline.records(catalogue.MEMBERS)) == 6


def _value_at(pipeline: Pipeline, place: dict[str, Any]) -> list[bytes | None]:
    at = place["partition"], place["offset"]
    return [r.value for r in _raw(pipeline, place["topic"]) if (r.partition, r.offset) == at]


def _raw(pipeline: Pipeline, topic: str) -> list[Record]:
    found: list[Record] = []
    Topics(pipeline.cluster.bootstrap_servers).read(topic, found.extend)
    return found


def test_a_statement_says_that_the_member_was_erased(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(pipeline)
    erased(pipeline)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", pipeline.cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", pipeline.cluster.schema_registry_url)
    capsys.readouterr()

    assert loyalty("member", MINE, "--topic-prefix", pipeline.prefix) == 0

    assert "Erased: nothing is kept" in capsys.readouterr().out


def test_a_full_replay_does_not_bring_the_member_back(pipeline: Pipeline) -> None:
    lived(pipeline)
    erased(pipeline)

    again = pipeline.another()
    records = [(topic, record) for topic in catalogue.FACTS for record in pipeline.records(topic)]
    for topic, record in sorted(records, key=lambda pair: pair[1].timestamp_ms):
        again.send_bytes(topic, record.key, record.value, record.timestamp_ms)
    worked_on(again)

    for member_id in (MINE, OTHER):
        assert receipt(Topics(again.cluster.bootstrap_servers), again.prefix, member_id).complete


@pytest.mark.timeout(600)  # the brokers' cleaner wakes up every 15 s
def test_after_compaction_nothing_that_was_kept_of_the_member_can_be_read(pipeline: Pipeline) -> None:
    lived(pipeline)
    topics = [
        *(pipeline.topic(name) for name in (catalogue.BALANCES, catalogue.TIER_PROGRESS)),
        *(each.changelog(pipeline.prefix) for each in PIPELINES.values()),
    ]
    assert _with_value(pipeline, topics, b"UNMISTAKABLE")
    erased(pipeline)

    _compact_at_once(pipeline, topics)
    wait_until(lambda: not _with_value(pipeline, topics, b"UNMISTAKABLE"), "the brokers have compacted", 120)
    there = [record for topic in topics for record in _raw(pipeline, topic)]
    standing = {record.key for record in there if record.value and _is_of(record.key)}
    assert standing == {b"a|m-1|", b"a|m-2|", b"t|m-1|", b"t|m-2|"}


def _is_of(key: bytes | None) -> bool:
    return key in (b"m-1", b"m-2") or b"|m-1|" in (key or b"") or b"|m-2|" in (key or b"")


def _compact_at_once(pipeline: Pipeline, topics: list[str]) -> None:
    """Let segments be old after a second, and write to each: a broker never compacts the one that it is writing."""
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in AT_ONCE.items()
            ],
        )
        for topic in topics
    ]
    admin = connect(pipeline.cluster.bootstrap_servers)
    for future in admin.incremental_alter_configs(resources).values():
        future.result()
    for _ in range(2):
        time.sleep(1.5)
        for topic in topics:
            for partition in range(PARTITIONS):
                pipeline.sender.send(topic, b"of nobody", key=b"nobody", partition=partition)
        pipeline.sender.flush()


def _with_value(pipeline: Pipeline, topics: list[str], text: bytes) -> bool:
    return any(text in (record.value or b"") for topic in topics for record in _raw(pipeline, topic))


def test_without_workers_it_says_what_waits_and_writes_nothing_twice(pipeline: Pipeline) -> None:
    lived(pipeline)

    for _ in range(2):
        done = erase(pipeline, MINE, "--yes", "--within", "1")
        assert done.returncode == 1
        assert "is not within 1 s" in done.stderr
        assert "loyalty run accounts" in done.stderr
    assert len(pipeline.records(catalogue.MEMBERS)) == 6


def test_who_is_not_known_and_what_is_not_confirmed_is_not_erased(pipeline: Pipeline) -> None:
    lived(pipeline)

    unknown, unconfirmed = erase(pipeline, "nobody", "--yes"), erase(pipeline, MINE)

    assert (unknown.returncode, unconfirmed.returncode) == (1, 1)
    assert "there is no member nobody" in unknown.stderr
    assert "whether to erase m-1, m-2 was not confirmed" in unconfirmed.stderr
    assert len(pipeline.records(catalogue.MEMBERS)) == 4
