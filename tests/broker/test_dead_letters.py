"""Dead letters are listed, shown and redriven; each record once, whatever happens in between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from pipelines.audit.reading import Topics
from pipelines.dead_letters.letters import DeadLetters
from pipelines.dead_letters.redrive import HEADER, redrive
from pipelines.domain.programme import Rate
from pipelines.failure import Failure
from pipelines.grants import REDRIVER
from schemas import catalogue
from tests.broker.histories import END, START_MS, history
from tests.cli.test_main import loyalty
from tests.support.facts import DAY_MS, line, member, order
from tests.support.pipeline import PARTITIONS, Pipeline, wait_until
from tests.support.programmes import REFERENCE_VERSION, reference

pytestmark = pytest.mark.broker

WITH_SEK = reference(rates=dict(REFERENCE_VERSION.rates) | {"SEK": Rate("SEK", 1, 1000)})
CROWNS = order("K1", START_MS + DAY_MS, line("A", 750_00), currency="SEK", member_id="m-0")
NEXT = order("K2", START_MS + 2 * DAY_MS, line("A", 90_00), member_id="m-0")


@pytest.fixture
def apart(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", pipeline.cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", pipeline.cluster.schema_registry_url)
    return "--topic-prefix", pipeline.prefix


@pytest.fixture
def with_sek(tmp_path: Path) -> Path:
    """The reference programme's file, with a rate for Swedish crowns."""
    text = (Path(__file__).parents[2] / "pipelines/programmes/reference.yaml").read_text()
    file = tmp_path / "with-sek.yaml"
    file.write_text(text.replace("      JPY:", "      SEK: {points: 1, per_minor: 1000}\n      JPY:"))
    return file


def set_aside(pipeline: Pipeline) -> None:
    """Five dead letters of four classes: two damaged, one in crowns, one late, one of nobody."""
    value, at_ms = pipeline.codec.encode(NEXT), NEXT.recorded_at_ms
    pipeline.send([member(START_MS)._replace(member_id="m-0", event_id="e-m-0")])
    pipeline.send_bytes(catalogue.ORDERS, b"m-0", value[:-3], at_ms, [("trace", b"1"), ("empty", None)])
    pipeline.send_bytes(catalogue.RETURNS, b"m-0", b"{}", at_ms)
    pipeline.send_bytes(catalogue.ORDERS, None, value, at_ms)
    late = order("K0", START_MS - 60 * DAY_MS, recorded=START_MS + 3 * DAY_MS, member_id="m-0")
    crowns = pipeline.codec.encode(CROWNS)
    pipeline.send_bytes(
        catalogue.ORDERS, b"m-0", crowns, CROWNS.recorded_at_ms, [("trace", b"2"), ("none", None)]
    )
    pipeline.send([late, NEXT])
    pipeline.run()


def place(pipeline: Pipeline, error_class: str) -> str:
    letters = pipeline.read(catalogue.DEAD_LETTERS)
    found = next(letter for letter in letters if letter["error_class"] == error_class)
    return f"{found['topic']}/{found['partition']}/{found['offset']}"


def message_at(pipeline: Pipeline, topic: str, partition: int, offset: int) -> Message:
    consumer = Consumer({"bootstrap.servers": pipeline.cluster.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(pipeline.topic(topic), partition, offset)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.error() is None
    return message


def standing(pipeline: Pipeline) -> dict[str, Any]:
    """What each member has in the end, and where each lot's points are.

    Points given and taken back again are not counted: which road the ledger took depends on when it knew.
    """
    given = {"ISSUED": "GRANTED", "CLAWED_BACK": "GRANTED"}
    told: dict[str, Any] = {}
    for topic in (catalogue.BALANCES, catalogue.TIER_PROGRESS):
        for one in pipeline.read(topic):
            kept = {name: value for name, value in one.items() if name not in ("sequence", "recorded_at")}
            told[f"{topic} {one['member_id']}"] = kept
    for entry in pipeline.read(catalogue.LEDGER):
        for account, sign in ((entry["from_account"], -1), (entry["to_account"], 1)):
            name = f"{entry['lot_id']} {given.get(account, account)}"
            told[name] = told.get(name, 0) + sign * entry["points"]
    return {name: value for name, value in told.items() if value != 0}


def test_they_are_listed_by_class_topic_and_time_and_shown_whole(
    pipeline: Pipeline, apart: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(pipeline)
    capsys.readouterr()

    def listed(*options: object) -> list[dict[str, Any]]:
        assert loyalty("dead-letters", "list", "--json", *options, *apart) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["dead_letters"]
        return found

    assert sorted(letter["error_class"] for letter in listed()) == [
        "LATE",
        "NULL_KEY",
        "TRUNCATED",
        "UNDECODABLE",
        "UNKNOWN_CURRENCY",
    ]
    assert [x["error_class"] for x in listed("--class", "LATE", "--class", "NULL_KEY")] == [
        "NULL_KEY",
        "LATE",
    ]
    assert [x["topic"] for x in listed("--topic", catalogue.RETURNS)] == [pipeline.topic(catalogue.RETURNS)]
    assert [x["error_class"] for x in listed("--since", "2026-02-04T00:00:00Z")] == ["LATE"]
    assert [x["error_class"] for x in listed("--until", "2026-02-03T00:00:00Z")] == ["UNKNOWN_CURRENCY"]
    assert listed("--class", "NOSUCH") == []

    assert loyalty("dead-letters", "list", *apart) == 0
    assert "5 dead letters" in capsys.readouterr().out
    assert loyalty("dead-letters", "show", place(pipeline, "UNDECODABLE"), *apart) == 0
    shown = capsys.readouterr().out
    assert "header trace b'1'" in shown
    assert "header empty None" in shown
    assert "it would be refused again, UNDECODABLE" in shown
    assert loyalty("dead-letters", "show", "commerce.orders.v1/0/999", *apart) == 1
    assert "no dead letter of commerce.orders.v1/0/999" in capsys.readouterr().err
    assert loyalty("dead-letters", "list", "--since", "yesterday", *apart) == 2


def test_a_redrive_is_told_first_then_done_once_byte_for_byte(
    pipeline: Pipeline, apart: tuple[str, str], with_sek: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(pipeline)
    capsys.readouterr()
    crowns = place(pipeline, "UNKNOWN_CURRENCY")
    topic, partition, offset = crowns.rsplit("/", 2)
    end = Topics(pipeline.cluster.bootstrap_servers).read(topic, lambda _: None).records

    def told(*options: object) -> dict[str, Any]:
        command = ("dead-letters", "redrive", "--json", "--programme", with_sek)
        assert loyalty(*command, *options, *apart) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    dry = told()
    assert (dry["dry_run"], dry["redriven"], dry["to_redrive"]) == (True, 0, [crowns])
    stays = {one["class"] for one in dry["refused_again"]}
    assert stays == {"LATE", "NULL_KEY", "TRUNCATED", "UNDECODABLE"}
    assert Topics(pipeline.cluster.bootstrap_servers).read(topic, lambda _: None).records == end
    assert pipeline.records(catalogue.REDRIVES) == []

    assert told("--yes", "--class", "UNKNOWN_CURRENCY")["redriven"] == 1
    again = told("--yes")
    assert (again["redriven"], again["redriven_before"]) == (0, [crowns])

    (note,) = pipeline.read(catalogue.REDRIVES)
    assert (note["topic"], note["partition"], note["offset"]) == (topic, int(partition), int(offset))
    first = message_at(pipeline, catalogue.ORDERS, int(partition), int(offset))
    (again_at,) = (
        record.offset
        for record in pipeline.records(catalogue.ORDERS)
        if record.value == first.value() and record.offset > int(offset)
    )
    sent = message_at(pipeline, catalogue.ORDERS, int(partition), again_at)
    assert (sent.key(), sent.value(), sent.timestamp()) == (first.key(), first.value(), first.timestamp())
    assert sent.headers() == [*first.headers(), (HEADER, crowns.encode())]

    pipeline.run(WITH_SEK)
    assert pipeline.lag() == 0
    assert [e["points"] for e in pipeline.read(catalogue.LEDGER) if e["lot_id"].endswith("K1")] == [75]
    assert loyalty("verify", "--programme", with_sek, *apart) == 0
    capsys.readouterr()
    assert loyalty("dead-letters", "show", crowns, *apart) == 0
    assert "Redriven " in capsys.readouterr().out


def test_what_is_of_an_erased_member_is_not_sent_again(
    pipeline: Pipeline, apart: tuple[str, str], with_sek: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(pipeline)
    erasure = member(START_MS, version=2)._replace(member_id="m-0", event_id="erasure", erased_at_ms=START_MS)
    pipeline.send([erasure])
    capsys.readouterr()

    command = ("dead-letters", "redrive", "--yes", "--json", "--programme", with_sek)
    assert loyalty(*command, *apart) == 0

    done = json.loads(capsys.readouterr().out)
    assert done["redriven"] == 0
    assert {one["class"] for one in done["refused_again"]} == {"MEMBER_ERASED", "NULL_KEY"}


def test_a_redriven_fact_ends_in_the_ledger_of_one_that_was_right_the_first_time(pipeline: Pipeline) -> None:
    facts = [CROWNS if f.event_id == "e-O0-2@1" else f for f in history(members=2, orders=6)]
    facts = sorted([*facts, NEXT], key=lambda fact: fact.recorded_at_ms)
    right = Pipeline(
        pipeline.cluster, pipeline.codec, pipeline.prefix + "right-", pipeline.tmp_path / "right"
    )
    right.send([*facts, END])
    right.run(WITH_SEK)

    pipeline.send(facts)
    pipeline.run()
    letters = DeadLetters(Topics(pipeline.cluster.bootstrap_servers), pipeline.codec, pipeline.prefix).read()
    assert [letter.error_class for letter in letters] == ["UNKNOWN_CURRENCY"]
    assert redriven(pipeline, letters) == len(letters)
    pipeline.send([END])
    pipeline.run(WITH_SEK)

    assert standing(pipeline) == standing(right)


def redriven(pipeline: Pipeline, letters: Any) -> int:
    return redrive(pipeline.cluster.bootstrap_servers, pipeline.codec, pipeline.prefix, letters, END.at_ms)


KILLED = """
import os, signal, sys
from confluent_kafka import Producer
from pipelines.audit.reading import Topics
from pipelines.dead_letters import redrive
from pipelines.dead_letters.letters import DeadLetters
from schemas.registry import connect

bootstrap, registry, prefix, commits = sys.argv[1:]

class Killed(Producer):
    commits = int(commits)
    def commit_transaction(self, *given):
        if not self.commits:
            self.flush(30)
            os.kill(os.getpid(), signal.SIGKILL)
        self.commits -= 1
        super().commit_transaction(*given)

redrive.Producer = Killed
redrive.TOGETHER = 3
codec = connect(registry)
letters = DeadLetters(Topics(bootstrap), codec, prefix).read()
redrive.redrive(bootstrap, codec, prefix, letters, 1)
"""


def test_killed_between_sending_and_committing_the_next_run_sends_the_rest_and_nothing_twice(
    pipeline: Pipeline,
) -> None:
    for nth in range(10):
        crowns = CROWNS._replace(order_id=f"K{nth}", event_id=f"e-K{nth}", member_id=f"m-{nth}")
        pipeline.send([member(START_MS)._replace(member_id=f"m-{nth}", event_id=f"e-m-{nth}"), crowns])
    pipeline.run()
    cluster = pipeline.cluster
    for commits in ("1", "2"):
        script = [sys.executable, "-c", KILLED, cluster.bootstrap_servers, cluster.schema_registry_url]
        killed = subprocess.run([*script, pipeline.prefix, commits], check=False)
        assert killed.returncode == -signal.SIGKILL

    letters = DeadLetters(Topics(cluster.bootstrap_servers), pipeline.codec, pipeline.prefix).read()
    assert len(letters) == 10
    assert redriven(pipeline, letters) == 10 - 3 - 6
    assert redriven(pipeline, letters) == 0

    sent = [record.value for record in pipeline.records(catalogue.ORDERS)]
    assert len(sent) == 20
    assert len(set(sent)) == 10
    assert len(pipeline.records(catalogue.REDRIVES)) == 10
    pipeline.run(WITH_SEK)
    assert pipeline.lag() == 0
    assert sorted(pipeline.entry_ids()) == sorted(set(pipeline.entry_ids()))


def test_of_two_redrives_at_once_the_first_is_fenced_and_sends_nothing(pipeline: Pipeline) -> None:
    set_aside(pipeline)
    letters = DeadLetters(Topics(pipeline.cluster.bootstrap_servers), pipeline.codec, pipeline.prefix).read()
    before = len(pipeline.records(catalogue.ORDERS))

    class Overtaken(Producer):
        def commit_transaction(self, *given: Any) -> None:
            if other:
                other.pop()
                assert redriven(pipeline, letters) == 5
            super().commit_transaction(*given)

    other = [True]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.dead_letters.redrive.Producer", Overtaken)
        with pytest.raises(Failure, match="run it again"):
            redriven(pipeline, letters)

    assert len(pipeline.records(catalogue.REDRIVES)) == 5
    assert len(pipeline.records(catalogue.ORDERS)) == before + 4


def test_what_a_source_aborted_is_no_backlog(pipeline: Pipeline) -> None:
    pipeline.send([member(START_MS)])
    pipeline.run()
    producer = Producer(
        {
            "bootstrap.servers": pipeline.cluster.bootstrap_servers,
            "transactional.id": pipeline.prefix + REDRIVER,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(pipeline.topic(catalogue.ORDERS), b"x", partition=partition)
    producer.flush(30)
    assert pipeline.lag() > 0, "it is still open: nobody knows whether it is a record"

    producer.abort_transaction(30)

    wait_until(lambda: pipeline.lag() == 0, "the brokers have written that it is aborted")
