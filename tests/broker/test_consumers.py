"""The consumers of docs/consumers against a real broker and registry: what each promises in its first lines."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from secrets import token_hex

import pytest
from confluent_kafka import Producer

from pipelines.domain.ledger import Balance
from pipelines.domain.triggers.announcing import SuppressedTrigger, Trigger
from pipelines.domain.triggers.gate import Suppression
from schemas import catalogue
from schemas.codec import topic_of
from tests.support.consumers import (
    LONG_AGO_MS,
    NOW_MS,
    Running,
    Service,
    balance,
    command,
    send,
    service,
    trigger,
)
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.broker
SENDERS = ["python", "java"]
MORE_THAN_A_FETCH = 700
"""Of 4 KB each, no two alike, for that would compress: of a partition clients fetch 1 MiB, and go on with another."""


def abort(pipeline: Pipeline, one: Trigger | Balance) -> None:
    """Write a record in a transaction that is taken back."""
    producer = Producer(
        {
            "bootstrap.servers": pipeline.cluster.bootstrap_servers,
            "transactional.id": f"{pipeline.prefix}x",
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(pipeline.topic(topic_of(one)), pipeline.codec.encode(one), one.member_id.encode())
    assert producer.flush(30) == 0
    producer.abort_transaction(30)


def sent(to: Service) -> list[str]:
    return [one.key or "" for one in to.taken()]


@pytest.mark.parametrize("language", SENDERS)
def test_a_trigger_is_sent_once_and_not_when_it_is_expired_withdrawn_or_was_aborted(
    pipeline: Pipeline, language: str
) -> None:
    first, gone, late = trigger("first"), trigger("gone"), trigger("late", expires_at_ms=LONG_AGO_MS)
    send(pipeline, gone, late, first, first, trigger("second", "m-2"))
    others = (
        trigger(f"other-{n}")._replace(figures=(("note", token_hex(2_000)),))
        for n in range(MORE_THAN_A_FETCH)
    )
    send(pipeline, *(SuppressedTrigger(*one, Suppression.HOLDOUT) for one in others))
    send(pipeline, SuppressedTrigger(*gone, Suppression.WITHDRAWN))
    abort(pipeline, trigger("aborted"))
    send(pipeline, trigger("third"), trigger("fourth", "m-2"))

    with service() as gateway:
        running = Running(pipeline, language, gateway)
        running.wait_until_taken(gateway, 4)
        send(pipeline, first, trigger("fifth"))
        running.wait_until_taken(gateway, 5)
        assert running.leave() == 0

        assert sorted(sent(gateway)) == ["fifth", "first", "fourth", "second", "third"]
        assert json.loads(gateway.asked[0].body) == {
            "member_id": "m-1",
            "kind": "STREAK_REACHED",
            "channel": "push",
            "variant": "warm",
            "figures": {"weeks": 4, "sku": "A"},
        } | ({"member_id": "m-2"} if gateway.asked[0].key in ("second", "fourth") else {})

        send(pipeline, trigger("sixth"))
        again = Running(pipeline, language, gateway, seen="fresh")
        again.wait_until_taken(gateway, 6)
        assert again.leave() == 0
        assert sent(gateway)[5:] == ["sixth"], "what was committed came again"


@pytest.mark.parametrize("language", SENDERS)
def test_kill_9_while_the_gateway_is_away_loses_nothing_and_repeats_only_under_the_same_key(
    pipeline: Pipeline, language: str
) -> None:
    send(pipeline, *(trigger(f"t{n}") for n in range(6)))

    with service() as gateway:
        gateway.answers = [200, 200, 503]
        killed = Running(pipeline, language, gateway)
        killed.wait_until(lambda: len(gateway.asked) >= 3, "the gateway was away")
        killed.kill()
        again = Running(pipeline, language, gateway)
        again.wait_until(lambda: "t5" in sent(gateway), "all sent")
        assert again.leave() == 0

        once = list(dict.fromkeys(sent(gateway)))
        assert once == [f"t{n}" for n in range(6)]
        assert len(sent(gateway)) - len(once) <= 1, "only what was not noted yet may come again"


@pytest.mark.parametrize("language", SENDERS)
def test_a_second_worker_shares_the_work_then_has_it_all_and_nothing_is_sent_twice(
    pipeline: Pipeline, language: str
) -> None:
    asked = [trigger("t0")]
    send(pipeline, *asked)

    def another_is_sent_by(worker: Running) -> bool:
        asked.append(trigger(f"t{len(asked)}", f"m-{len(asked)}"))
        send(pipeline, asked[-1])
        return "is sent" in worker.said()

    with service() as gateway:
        first = Running(pipeline, language, gateway, seen="first")
        first.wait_until_taken(gateway, 1)
        second = Running(pipeline, language, gateway, seen="second")
        second.wait_until(lambda: another_is_sent_by(second), "the second has a share")
        assert first.leave() == 0
        send(pipeline, *(trigger(f"last-{n}", f"m-{n}") for n in range(8)))
        second.wait_until_taken(gateway, len(asked) + 8)
        assert second.leave() == 0

        wanted = [one.trigger_id for one in asked] + [f"last-{n}" for n in range(8)]
        assert sorted(sent(gateway)) == sorted(wanted)


def test_a_balance_is_told_in_order_once_and_deleted_when_there_is_none_any_more(pipeline: Pipeline) -> None:
    send(pipeline, balance("m-1", 1), balance("m-2", 1), balance("m-1", 2), balance("m-1", 1))
    abort(pipeline, balance("m-1", 9))
    pipeline.send_bytes(catalogue.BALANCES, b"m-2", None, NOW_MS)
    pipeline.sender.flush()

    with service() as shown:
        running = Running(pipeline, "typescript", shown)
        running.wait_until_taken(shown, 4)
        send(pipeline, balance("m-1", 2), balance("m-1", 3))
        running.wait_until_taken(shown, 5)
        assert running.leave() == 0

        told = [(one.method, json.loads(one.body or b"{}").get("active")) for one in shown.taken()]
        by_path = {
            path: [what for what, one in zip(told, shown.taken(), strict=True) if one.path == path]
            for path in ("/told/m-1", "/told/m-2")
        }
        assert by_path == {
            "/told/m-1": [("PUT", 1), ("PUT", 2), ("PUT", 3)],
            "/told/m-2": [("PUT", 1), ("DELETE", None)],
        }

        send(pipeline, balance("m-1", 4))
        again = Running(pipeline, "typescript", shown, seen="fresh")
        again.wait_until_taken(shown, 6)
        assert again.leave() == 0
        assert [json.loads(one.body)["active"] for one in shown.taken()[5:]] == [4]


def test_kill_9_while_the_service_is_away_never_shows_an_older_balance_again(pipeline: Pipeline) -> None:
    send(pipeline, *(balance("m-1", n) for n in range(1, 7)))

    with service() as shown:
        shown.answers = [200, 200, 503]
        killed = Running(pipeline, "typescript", shown)
        killed.wait_until(lambda: len(shown.asked) >= 3, "the service was away")
        killed.kill()
        again = Running(pipeline, "typescript", shown)
        again.wait_until(lambda: b'"active":6' in shown.asked[-1].body, "all told")
        assert again.leave() == 0

        told = [json.loads(one.body)["active"] for one in shown.taken()]
        assert told == sorted(told)
        assert sorted(set(told)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("language", "topic"),
    [("python", catalogue.TRIGGERS), ("java", catalogue.TRIGGERS), ("typescript", catalogue.BALANCES)],
)
def test_what_cannot_be_read_ends_the_consumer_with_its_place(
    pipeline: Pipeline, language: str, topic: str
) -> None:
    pipeline.send_bytes(topic, b"m-1", b"{}", LONG_AGO_MS)
    pipeline.sender.flush()

    with service() as to:
        running = Running(pipeline, language, to)

        assert running.process.wait(120) == 1
        said = running.said()
        assert f"{pipeline.topic(topic)}/" in said
        assert "/0 cannot be read" in said
        assert to.asked == []


@pytest.mark.parametrize("language", ["python", "java", "typescript"])
def test_a_setting_that_is_missing_is_named(tmp_path: Path, language: str) -> None:
    done = subprocess.run(
        command(language),
        env={"PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "is not set" in done.stderr
