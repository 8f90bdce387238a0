"""The worker on a real broker: it says what the rules say, once, whatever happens to it."""

from __future__ import annotations

import shutil
import signal
from collections import Counter

import pytest

from pipelines.domain.facts import Tick
from pipelines.failure import Failure
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.topics import ACCOUNT_BYTES_MAX
from schemas import catalogue
from tests.broker.histories import END, START_MS, history
from tests.support.facts import HOUR_MS, line, member, ms, order, refund, run, tick
from tests.support.history import play
from tests.support.pipeline import Pipeline, wait_until
from tests.support.programmes import reference

pytestmark = pytest.mark.broker


def test_the_worker_says_what_the_rules_say(pipeline: Pipeline) -> None:
    facts = history(members=3, orders=4)
    pipeline.send([*facts, END])

    pipeline.run()

    expected = {
        m: play([f for f in [*facts, END] if isinstance(f, Tick) or f.member_id == m], reference())
        for m in ("m-0", "m-1", "m-2")
    }
    told = pipeline.read(catalogue.LEDGER)
    for name, rules in expected.items():
        assert [e["entry_id"] for e in told if e["member_id"] == name] == [e.entry_id for e in rules.ledger]
    last = {record.key: record.value for record in pipeline.records(catalogue.BALANCES)}
    assert last[b"m-0"] == pipeline.codec.encode(expected["m-0"].balances[-1])
    assert {t["tier"] for t in pipeline.read(catalogue.TIERS)} == {"Starter"} | {
        c.tier for h in expected.values() for c in h.tiers
    }


def test_kill_9_three_times_leaves_the_ledger_of_an_undisturbed_run(
    pipeline: Pipeline, cluster: object, codec: object, tmp_path: object
) -> None:
    facts = [*history(members=60, orders=8), END]
    pipeline.send(facts)
    total = pipeline.lag()
    for share in (4, 2, 1.3):
        worker = pipeline.start(poll_timeout_ms=5, partition_buffer_max=50)
        wait_until(lambda share=share: pipeline.lag() < total - total / share / 1.5 + 1, "it is on its way")  # type: ignore[misc]
        worker.kill()
        worker.wait()
    pipeline.run()

    undisturbed = pipeline.another()
    undisturbed.send(facts)
    undisturbed.run()
    assert pipeline.digest() == undisturbed.digest()
    assert max(Counter(pipeline.entry_ids()).values()) == 1


def test_a_deleted_state_directory_is_restored_from_the_changelog(pipeline: Pipeline) -> None:
    facts = history(members=5, orders=6)
    half = len(facts) // 2
    pipeline.send(facts[:half])
    pipeline.run()
    shutil.rmtree(pipeline.tmp_path / "state")

    pipeline.send([*facts[half:], END])
    pipeline.run()

    straight = [
        play([f for f in [*facts, END] if isinstance(f, Tick) or f.member_id == f"m-{n}"], reference())
        for n in range(5)
    ]
    assert sorted(pipeline.entry_ids()) == sorted(e.entry_id for h in straight for e in h.ledger)


def test_sigterm_commits_and_exits_0(pipeline: Pipeline) -> None:
    pipeline.send(history(members=3, orders=3))
    worker = pipeline.start()
    pipeline.wait_until_caught_up()

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=30) == 0
    assert pipeline.lag() == 0
    assert len(set(pipeline.entry_ids())) == len(pipeline.entry_ids()) > 0


def test_a_worker_paused_past_its_session_time_out_doubles_nothing(pipeline: Pipeline) -> None:
    times = {"session_timeout_ms": 6_000, "max_poll_interval_ms": 6_000, "transaction_timeout_ms": 10_000}
    first, second = history(members=4, orders=2), history(members=4, orders=6)
    pipeline.send(first)
    sleeper = pipeline.start("sleeper", **times)
    pipeline.wait_until_caught_up()
    pipeline.send(second[len(first) // 2 :])
    sleeper.send_signal(signal.SIGSTOP)

    pipeline.send(second)
    heir = pipeline.start("heir", **times)
    pipeline.wait_until_caught_up()
    sleeper.send_signal(signal.SIGCONT)

    assert sleeper.wait(timeout=180) != 0
    assert heir.poll() is None
    pipeline.send([END])
    pipeline.wait_until_caught_up()
    ids = pipeline.entry_ids()
    assert len(set(ids)) == len(ids)
    straight = [
        play([f for f in [*second, END] if isinstance(f, Tick) or f.member_id == f"m-{n}"], reference())
        for n in range(4)
    ]
    assert sorted(ids) == sorted(e.entry_id for h in straight for e in h.ledger)


def test_after_a_crash_readers_wait_seconds_and_not_the_transactions_time_out(pipeline: Pipeline) -> None:
    facts = history(members=40, orders=6)
    pipeline.send(facts)
    worker = pipeline.start(commit_interval_ms=1_000, transaction_timeout_ms=60_000)
    wait_until(lambda: pipeline.lag() < len(facts), "something was committed")
    worker.kill()
    worker.wait()

    pipeline.start(commit_interval_ms=100, transaction_timeout_ms=60_000)

    wait_until(lambda: pipeline.lag() == 0, "the next worker took over", patience_s=50)
    assert len(set(pipeline.entry_ids())) == len(pipeline.entry_ids())


def test_what_cannot_be_a_fact_is_set_aside_byte_for_byte_and_the_worker_goes_on(pipeline: Pipeline) -> None:
    good = order("O1", "2026-02-01T10:00:00Z")
    value, at_ms = pipeline.codec.encode(good), good.recorded_at_ms
    pipeline.send([member("2026-01-01T00:00:00Z")])
    pipeline.send_bytes(catalogue.ORDERS, b"m-1", value[:-3], at_ms, [("trace", b"1"), ("empty", None)])
    pipeline.send_bytes(catalogue.ORDERS, None, value, at_ms)
    pipeline.send_bytes(catalogue.ORDERS, b"m-2", value, at_ms)
    pipeline.send_bytes(catalogue.ORDERS, b"m-1", value, at_ms + 1)
    late = order("O2", "2026-01-01T10:00:00Z", recorded="2026-03-01T00:00:00Z")
    lost = refund("R1", "O9", "2026-02-02T10:00:00Z", ("A", 1, 1))
    pipeline.send([late, lost, good, tick("2026-06-01T00:00:00Z")])

    pipeline.run()

    letters = pipeline.read(catalogue.DEAD_LETTERS)
    assert Counter(letter["error_class"] for letter in letters) == {
        "UNDECODABLE": 1,
        "NULL_KEY": 1,
        "KEY_MISMATCH": 1,
        "RECORD_TIME_MISMATCH": 1,
        "LATE": 1,
        "ORDER_UNKNOWN": 1,
    }
    by_class = {letter["error_class"]: letter for letter in letters}
    garbage = by_class["UNDECODABLE"]
    assert (garbage["key"], garbage["value"]) == (b"m-1", value[:-3])
    assert garbage["headers"] == [{"name": "trace", "value": b"1"}, {"name": "empty", "value": None}]
    assert garbage["topic"] == pipeline.topic(catalogue.ORDERS)
    parked = by_class["ORDER_UNKNOWN"]
    assert (parked["topic"], parked["value"]) == (
        pipeline.topic(catalogue.RETURNS),
        pipeline.codec.encode(lost),
    )
    assert [entry["points"] for entry in pipeline.read(catalogue.LEDGER)][:2] == [50, 100]


def test_two_members_on_two_partitions_become_one_however_much_they_did(pipeline: Pipeline) -> None:
    enrolled = member("2026-01-01T00:00:00Z")
    other = enrolled._replace(member_id="m-0", event_id="e-m-0@1")
    far_apart = [
        run(f"E{nth}-{'x' * 110}", ms("2026-01-02T00:00:00Z") + nth * HOUR_MS // 2, 3_000)._replace(
            member_id="m-0"
        )
        for nth in range(4_000)
    ]
    merged = other._replace(
        event_id="e-m-0@2", version=2, merged_into="m-1", recorded_at_ms=ms("2026-07-01T00:00:00Z")
    )
    pipeline.send([enrolled, other, *far_apart, merged._replace(occurred_at_ms=merged.recorded_at_ms)])

    pipeline.run()

    assert len({record.partition for record in pipeline.records(catalogue.MEMBERS)}) == 2
    (handover,) = pipeline.records(catalogue.HANDOVERS)
    assert len(handover.value) > 1 << 20
    last = {told["member_id"]: told for told in pipeline.read(catalogue.BALANCES)}
    days = 4_000 // 48 + 2
    assert last["m-1"]["active"] == 50 + 20 * (days - 1)
    assert last["m-0"]["active"] == 0


def test_too_many_dead_letters_in_a_row_stop_the_worker(pipeline: Pipeline) -> None:
    for _ in range(5):
        pipeline.send_bytes(catalogue.ORDERS, b"m-1", b"garbage", START_MS)

    with pytest.raises(Failure, match="5 records in a row are dead letters"):
        pipeline.run(dead_letters_in_a_row_max=5)

    assert pipeline.lag() > 0, "the one too many is not set aside"
    assert len(pipeline.read(catalogue.DEAD_LETTERS)) + pipeline.lag() == 5


def test_the_store_and_its_changelog_keep_their_names(pipeline: Pipeline) -> None:
    pipeline.send([member("2026-01-01T00:00:00Z"), order("O1", "2026-02-01T10:00:00Z", line("A", 1_00))])

    pipeline.run()

    found = [p.name for p in (pipeline.tmp_path / "state/w0").rglob("accounts-v1")]
    assert found, "the store is no longer called accounts-v1: a running pipeline would start from nothing"
    changelog = f"changelog__{pipeline.prefix}loyalty-accounts-v1--accounts-v1--default"
    assert changelog in pipeline.topics()


def test_a_result_that_the_broker_refuses_commits_nothing(pipeline: Pipeline) -> None:
    """Results are produced without a report each: it is the commit that must fail."""
    facts = [*history(members=2, orders=2), END]
    pipeline.send(facts[:2])
    worker = pipeline.start()
    pipeline.wait_until_caught_up()
    told = len(pipeline.records(catalogue.BALANCES))
    pipeline.configure(catalogue.LEDGER, "max.message.bytes", "100")

    pipeline.send(facts[2:])

    assert worker.wait(timeout=60) == EXIT_FENCED
    assert pipeline.lag() > 0
    assert len(pipeline.records(catalogue.BALANCES)) == told
    pipeline.configure(catalogue.LEDGER, "max.message.bytes", str(ACCOUNT_BYTES_MAX))
    pipeline.run()
    alone = [
        play([f for f in facts if isinstance(f, Tick) or f.member_id == m], reference())
        for m in ("m-0", "m-1")
    ]
    assert sorted(pipeline.entry_ids()) == sorted(e.entry_id for h in alone for e in h.ledger)
