"""A real worker on a real broker answers for itself: metrics, alive, ready."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time

import httpx
import pytest

from pipelines.failure import Failure
from pipelines.runtime.health import liveness, readiness
from pipelines.runtime.metrics import METRICS
from pipelines.runtime.watcher import Standing
from pipelines.torture import hindered
from schemas import catalogue
from tests.broker.histories import END, history
from tests.support.pipeline import Pipeline, wait_until
from tests.support.scrape import free_port, scrape

pytestmark = pytest.mark.broker

WATCHED = {"watch_interval_ms": 200}


def answer(port: int, path: str) -> tuple[int, dict[str, object]]:
    answered = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5)
    return answered.status_code, json.loads(answered.text)


def ready(port: int) -> bool:
    try:
        return answer(port, "/ready")[0] == 200
    except httpx.TransportError:
        return False


def start(pipeline: Pipeline, replica: str = "w0", processor: str = "accounts", **given: object) -> int:
    """Start a worker and wait until it is ready; its port."""
    port = free_port()
    pipeline.start(replica, processor, metrics_port=port, **WATCHED, **given)
    wait_until(lambda: ready(port), "the worker is ready")
    return port


def test_a_worker_is_alive_and_ready_and_tells_what_it_committed(pipeline: Pipeline) -> None:
    facts = history(members=3, orders=3)
    pipeline.send(facts)
    pipeline.send_bytes(catalogue.ORDERS, b"m-1", b"garbage", END.at_ms)
    port = start(pipeline)
    pipeline.send([END])
    pipeline.wait_until_caught_up()

    assert answer(port, "/live") == (200, {"live": True, "because": []})
    assert answer(port, "/ready") == (200, {"ready": True, "because": []})
    assert answer(port, "/elsewhere")[0] == 404
    wait_until(lambda: scrape(port).total("loyalty_lag_records") == 0, "the lag is nothing")
    told = scrape(port)
    assert told.names <= set(METRICS)
    facts_told = told.total("loyalty_facts_total")
    assert facts_told == len(facts) + 1 + 2, "the facts, the garbage, and a tick a partition"
    assert told.total("loyalty_ledger_entries_total") == len(pipeline.entry_ids())
    assert told.total("loyalty_dead_letters_total", error_class="BAD_MAGIC") == 1
    assert told.total("loyalty_transactions_total", result="committed") >= 1
    assert told.total("loyalty_assigned_partitions") == 2
    assert told.total("loyalty_rebalances_total") >= 1
    assert told.total("loyalty_state_bytes") > 10_000
    assert told.total("loyalty_build_info", processor="accounts", replica="w0", programme="reference") == 1
    assert told.total("loyalty_latency_seconds_count", since="tick") == 2
    assert told.total("loyalty_clock_seconds", partition="1") == END.at_ms / 1000


def test_the_triggers_tell_of_themselves_and_their_lag_ends_behind_ends_of_transactions(
    pipeline: Pipeline,
) -> None:
    pipeline.send([*history(members=3, orders=3), END])
    pipeline.run()
    port = start(pipeline, "t0", "triggers")

    wait_until(lambda: pipeline.lag("triggers") == 0, "the triggers have caught up")

    wait_until(lambda: scrape(port).total("loyalty_lag_records") == 0, "the lag is nothing")
    assert scrape(port).total("loyalty_triggers_total") > 0
    assert scrape(port).total("loyalty_facts_total", topic=catalogue.LEDGER) > 0


def test_a_worker_that_restores_is_alive_not_ready_and_says_how_much_is_left(pipeline: Pipeline) -> None:
    facts = history(members=40, orders=8)
    pipeline.send(facts)
    pipeline.run()
    shutil.rmtree(pipeline.tmp_path / "state")

    port = free_port()
    pipeline.start(metrics_port=port, watch_interval_ms=100)
    answers: list[tuple[int, dict[str, object]]] = []

    def restored() -> bool:
        if _live(port):
            answers.append(answer(port, "/ready"))
        return bool(answers) and answers[-1][0] == 200

    wait_until(restored, "the state is restored")

    told = scrape(port)
    assert told.total("loyalty_restore_seconds") > 0
    assert answers[0][0] == 503, "not ready before"
    assert told.total("loyalty_restore_remaining_records") == 0


def test_a_restore_that_hangs_says_what_is_left_though_all_of_it_is_read(pipeline: Pipeline) -> None:
    pipeline.send(history(members=4, orders=3))
    pipeline.run()
    shutil.rmtree(pipeline.tmp_path / "state")

    port = free_port()
    stopped = (hindered.LAUNCHER, hindered.Hindrance.RESTORE, "600")
    pipeline.start(metrics_port=port, watch_interval_ms=100, build=stopped)
    wait_until(lambda: _live(port) and _left(port) > 0, "it restores")
    time.sleep(2)

    assert _left(port) > 0


def test_a_spare_worker_is_alive_and_not_ready(pipeline: Pipeline) -> None:
    for replica in ("w0", "w1"):
        start(pipeline, replica)
    port = free_port()
    pipeline.start("w2", metrics_port=port, **WATCHED)

    wait_until(lambda: _live(port), "the third worker answers")

    assert answer(port, "/ready") == (503, {"ready": False, "because": ["no partitions are assigned"]})


def _left(port: int) -> float:
    return scrape(port).total("loyalty_restore_remaining_records")


def _live(port: int) -> bool:
    try:
        return answer(port, "/live")[0] == 200
    except httpx.TransportError:
        return False


def test_records_that_wait_for_a_frozen_worker_are_told_by_the_next_and_it_is_not_ready_until_it_has_them(
    pipeline: Pipeline,
) -> None:
    port = start(pipeline)
    worker = pipeline.workers[-1]
    worker.send_signal(signal.SIGSTOP)
    pipeline.send([*history(members=3, orders=3), END])

    assert pipeline.lag() > 0
    worker.send_signal(signal.SIGCONT)

    pipeline.wait_until_caught_up()
    wait_until(lambda: scrape(port).total("loyalty_lag_records") == 0, "the lag is nothing")
    assert ready(port)


def test_a_port_that_is_taken_is_said_so(pipeline: Pipeline) -> None:
    refused = pytest.raises(Failure, match="metrics cannot be served on 127.0.0.1:")
    with socket.create_server(("127.0.0.1", 0)) as taken, refused as failure:
        pipeline.run(metrics_port=taken.getsockname()[1])
    assert "--metrics-port" in failure.value.do


def test_alive_is_a_worker_that_asks_for_records() -> None:
    assert liveness(beat_s=100.0, now_s=399.0, limit_s=300.0).yes
    silent = liveness(beat_s=100.0, now_s=500.0, limit_s=300.0)
    assert not silent.yes
    assert silent.because == ("records were last asked for 400 s ago; 300 s are allowed",)


def test_ready_is_assigned_restored_and_not_far_behind() -> None:
    assert readiness(Standing(14, False, 0, 299.0), 300).yes
    assert readiness(Standing(), 300).because == ("no partitions are assigned",)
    assert readiness(Standing(14, True, 1_200, 0.0), 300).because == (
        "state is being restored, 1200 records are left",
    )
    assert readiness(Standing(14, False, 0, 301.0), 300).because == (
        "a record waits for 301 s; 300 s are allowed",
    )
