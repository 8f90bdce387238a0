"""What members are told is wrong, late or missing, or a worker refuses to go on: called, followed, and right again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final

import pytest
from confluent_kafka import TopicPartition

from pipelines.domain.facts import Tick
from pipelines.local.artefacts import artefacts
from pipelines.runtime.topic_admin import connect
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import topic_of
from tests.broker.histories import START_MS, history
from tests.support.drill import (
    Drill,
    Operator,
    beside,
    end,
    forget_all_but_inputs,
    forget_group,
    reference_with,
    said,
    textfiles,
)
from tests.support.facts import DAY_MS, line, order
from tests.support.pipeline import PATIENCE_S, Pipeline, wait_until
from tests.support.scrape import free_port

pytestmark = [pytest.mark.broker, pytest.mark.drill, pytest.mark.timeout(1_200)]

FACTS: Final = history(members=4, orders=3)
SESSION_MS: Final = 6_000
"""So long a worker that has left counts as there."""


def test_a_verification_that_is_a_day_old_calls_and_one_that_is_run_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send(FACTS)
    told = tmp_path / "textfiles" / "metrics"
    told.parent.mkdir()
    old = time.time() - 27 * 3_600
    told.write_text(f"loyalty_verify_differences 0\nloyalty_verify_time_seconds {old}\n")

    with (
        textfiles(told.parent) as port,
        Drill(pipeline, tmp_path, others={"node": port}) as drill,
    ):
        pipeline.wait_until_caught_up()
        drill.recover("LoyaltyVerifyStale", corrected={"loyalty_verify.prom": str(told)})

        drill.follow("LoyaltyLedgerDrift", "Afterwards")


def test_points_that_facts_are_not_worth_call_and_a_replay_beside_is_right(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    generous = reference_with(tmp_path, "{points: 1, per_minor: 100}", "{points: 2, per_minor: 100}")
    told = tmp_path / "textfiles" / "metrics"
    told.parent.mkdir()
    prefix = f"{pipeline.prefix}replay-"

    with (
        textfiles(told.parent) as port,
        Drill(pipeline, tmp_path, others={"node": port}, programme=generous) as drill,
    ):
        pipeline.send(FACTS)
        pipeline.wait_until_caught_up()
        drill.run(["verify", "--textfile", str(told)], looking=True)

        def replay() -> None:
            end(drill.worker)
            drill.follow("procedures", "Replay", block=0, corrected={"replay-": prefix})
            copy_the_inputs(pipeline, prefix)
            drill.follow("procedures", "Replay", block=1, corrected={"replay-": prefix})

        drill.recover(
            "LoyaltyLedgerDrift",
            by_hand=replay,
            corrected={
                "MEMBER": "m-1",
                "ENTRY": pipeline.entry_ids()[-1],
                "replay-": prefix,
                "loyalty_verify.prom": str(told),
            },
        )


def copy_the_inputs(pipeline: Pipeline, prefix: str) -> None:
    for fact in FACTS:
        where, value = prefixed(prefix, topic_of(fact)), pipeline.codec.encode(fact)
        pipeline.sender.send(
            where, value, key=fact.member_id.encode(), timestamp=fact.recorded_at_ms, headers=[]
        )
    pipeline.sender.flush()


@contextmanager
def behind(pipeline: Pipeline) -> Iterator[Event]:
    """A clock that ticks each half second, a day each time: what became due since is done hours late."""

    def tick(told: Event) -> None:
        at_ms = START_MS + 31 * DAY_MS
        while not told.wait(0.5):
            pipeline.send([Tick(at_ms)])
            at_ms += DAY_MS

    with beside(tick) as told:
        yield told


def test_what_is_due_is_done_hours_late_and_a_clock_that_ticks_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with Drill(pipeline, tmp_path, times=240) as drill:
        pipeline.send(history(members=6, orders=60))
        pipeline.wait_until_caught_up()
        with behind(pipeline) as enough:
            drill.recover("LoyaltyTimersBurn", patience_s=300, by_hand=enough.set)

        pipeline.wait_until_caught_up()


CROWNS: Final = [
    order(f"K{nth}", START_MS + 10 * DAY_MS + nth, line("A", 750_00), currency="SEK", member_id="m-0")
    for nth in range(30)
]


def test_a_currency_that_nobody_knows_stops_the_worker_and_a_programme_that_does_ends_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    port = free_port()
    worker = pipeline.start("worker-0", dead_letters_in_a_row_max=20)
    pipeline.send([*FACTS, *CROWNS[:10]])
    pipeline.wait_until_caught_up()
    pipeline.send(CROWNS[10:])
    assert worker.wait(PATIENCE_S) == 1
    assert "LoyaltyDeadLettersInARow" in said(pipeline)
    letter = pipeline.read(catalogue.DEAD_LETTERS)[0]
    known = reference_with(tmp_path, "      JPY:", "      SEK: {points: 1, per_minor: 1000}\n      JPY:")

    with Operator(pipeline) as operator:
        operator.answer(
            "LoyaltyDeadLettersInARow",
            corrected={
                "commerce.orders.v1/3/91": f"{letter['topic']}/{letter['partition']}/{letter['offset']}",
                "reference": str(known),
                "9464": str(port),
            },
        )

    told = pipeline.read(catalogue.LEDGER)
    assert {e["lot_id"] for e in told if "K" in e["lot_id"]}


def test_records_that_are_gone_stop_the_worker_and_the_source_sends_them_again(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send(FACTS[: len(FACTS) // 2])
    worker = pipeline.start("worker-0", session_timeout_ms=SESSION_MS)
    pipeline.wait_until_caught_up()
    end(worker)
    pipeline.send(FACTS)
    admin, orders = connect(pipeline.cluster.bootstrap_servers), pipeline.topic(catalogue.ORDERS)
    gone = [TopicPartition(orders, partition, -1) for partition in range(pipeline.partitions)]
    for future in admin.delete_records(gone).values():
        future.result(timeout=15)
    assert pipeline.start("worker-0", session_timeout_ms=SESSION_MS).wait(PATIENCE_S) == 1
    assert "LoyaltyInputGap" in said(pipeline)

    def send_again_and_go_on() -> None:
        pipeline.send(FACTS)
        go_on_from_the_start(pipeline, orders)

    with Operator(pipeline) as operator:
        operator.answer("LoyaltyInputGap", by_hand=send_again_and_go_on, corrected={"9464": str(free_port())})


def go_on_from_the_start(pipeline: Pipeline, topic: str) -> None:
    """With Kafka's own tool, as the page says: once the group has nobody in it."""
    kafka = artefacts()
    places = ",".join(str(partition) for partition in range(pipeline.partitions))
    tool = [str(kafka.java), "-cp", f"{kafka.kafka}/*", CONSUMER_GROUPS]
    tool += ["--bootstrap-server", pipeline.cluster.bootstrap_servers, "--group", pipeline.settings().group]
    tool += ["--reset-offsets", "--to-earliest", "--topic", f"{topic}:{places}", "--execute"]

    def reset() -> bool:
        done = subprocess.run(tool, capture_output=True, text=True, check=False)
        return done.returncode == 0 and "inactive" not in done.stdout + done.stderr

    wait_until(reset, "the group has nobody in it")


CONSUMER_GROUPS: Final = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def test_offsets_that_are_gone_stop_the_worker_and_all_is_made_anew(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send(FACTS)
    worker = pipeline.start("worker-0", session_timeout_ms=SESSION_MS)
    pipeline.wait_until_caught_up()
    end(worker)
    before = pipeline.digest()
    forget_group(pipeline)
    assert pipeline.start("worker-0", session_timeout_ms=SESSION_MS).wait(PATIENCE_S) == 1
    assert "LoyaltyStateWithoutOffsets" in said(pipeline)

    with Operator(pipeline) as operator:
        operator.answer(
            "LoyaltyStateWithoutOffsets",
            by_hand=lambda: forget_all_but_inputs(pipeline),
            corrected={"9464": str(free_port())},
        )

    assert pipeline.digest() == before
