"""The engine's hardening, setting by setting: each of these fails when the setting is taken away."""

from __future__ import annotations

from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from quixstreams.internal_consumer.buffering import InternalConsumerBuffer

from pipelines import worker
from pipelines.failure import Failure
from pipelines.runtime import engine, signals
from pipelines.runtime.settings import Settings, settings


def chosen(tmp_path: Path, **given: Any) -> Settings:
    return settings(
        bootstrap_servers="127.0.0.1:1",
        schema_registry_url="http://127.0.0.1:1",
        state_dir=tmp_path / "state",
        replica="w7",
        **given,
    )


@pytest.fixture
def app(tmp_path: Path) -> engine.HardenedApplication:
    return engine.application(chosen(tmp_path))


def test_exactly_once_from_the_earliest_offset(app: Any) -> None:
    config = app.config

    assert config.exactly_once
    assert config.auto_offset_reset == "earliest"
    assert config.auto_create_topics is False
    assert config.auto_recover_from_source_offset_out_of_range is False


def test_it_commits_twice_a_second_and_polls_without_waiting(app: Any) -> None:
    assert app.config.commit_interval == 0.5
    assert app.config.consumer_poll_timeout == 0.02


def test_ids_are_stable_across_restarts(app: Any) -> None:
    assert app.config.producer_extra_config["transactional.id"] == "loyalty-accounts-v1-w7"
    assert app.config.producer_extra_config["transaction.timeout.ms"] == 15_000
    assert app.config.consumer_extra_config["group.instance.id"] == "w7"


def test_who_asked_for_an_end_longer_than_a_request_waits_may_have_asked_twice(app: Any) -> None:
    assert app.config.producer_extra_config["socket.timeout.ms"] == app.asks_again_s * 1000 == 15_000


def test_state_lies_where_it_was_told(app: Any, tmp_path: Path) -> None:
    assert Path(app.config.state_dir) == tmp_path / "state"


def test_the_first_failure_is_told_when_the_abort_behind_it_fails_too(
    app: engine.HardenedApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refused abort is the client's own, raised in C: it has no context that would lead back to the failure."""
    failure = Failure("100 dead letters in a row", "look at the dead letters")
    uninitialised = Producer({"bootstrap.servers": "127.0.0.1:1", "transactional.id": "w7", "log_level": 0})

    def abort(*_: object) -> None:
        uninitialised.abort_transaction(0.1)

    def fail(**_: object) -> None:
        raise failure

    monkeypatch.setattr(app.producer, "abort_transaction", abort)
    monkeypatch.setattr(app, "_run_sources", fail)

    with pytest.raises(Failure) as told:
        worker._run(app, chosen(tmp_path))

    assert told.value is failure
    assert isinstance(told.value.__cause__, KafkaException)


def test_losing_the_partitions_aborts_and_exits(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(app._producer, "abort_transaction", lambda timeout: done.append(("abort", timeout)))
    monkeypatch.setattr(signals.os, "_exit", lambda code: done.append(("exit", code)))

    app._on_lost(None, [])

    assert done == [("abort", engine.ABORT_S), ("exit", engine.EXIT_FENCED)]


def test_a_transaction_that_cannot_be_aborted_still_ends_the_worker(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    def fenced(timeout: float) -> None:
        raise RuntimeError("fenced")

    monkeypatch.setattr(app._producer, "abort_transaction", fenced)
    monkeypatch.setattr(signals.os, "_exit", codes.append)

    app._on_lost(None, [])

    assert codes == [engine.EXIT_FENCED]


def test_a_transaction_that_does_not_end_ends_the_worker(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's call never returned: offsets waited for a coordinator that was gone, for ten minutes."""
    left: Queue[int] = Queue()
    monkeypatch.setattr(signals.os, "_exit", left.put)
    monkeypatch.setattr(engine, "ABORT_S", 0.0)
    app.asks_again_s = 0.05

    def hangs() -> None:
        assert left.get(timeout=30) == engine.EXIT_FENCED

    with pytest.raises(engine.EndInDoubt):
        app._asked_once(hangs)()

    app._asked_once(lambda: None)()
    assert left.empty()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"commit_interval_ms": 5_000}, "less than or equal to 1000"),
        ({"session_timeout_ms": 400_000}, "less than or equal to 300000"),
        (
            {"session_timeout_ms": 300_000, "max_poll_interval_ms": 10_000},
            "must not exceed max_poll_interval_ms",
        ),
    ],
)
def test_times_that_would_break_exactly_once_are_refused(
    tmp_path: Path, given: dict[str, int], told: str
) -> None:
    with pytest.raises(Failure, match=told):
        chosen(tmp_path, **given)


def test_a_setting_that_nobody_knows_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_WORKER_COMIT_INTERVAL_MS", "100")

    with pytest.raises(Failure, match="COMIT_INTERVAL_MS") as failure:
        chosen(tmp_path)
    assert "LOYALTY_WORKER_COMMIT_INTERVAL_MS" in failure.value.do


def test_settings_come_from_the_environment_and_the_command_line_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOYALTY_WORKER_COMMIT_INTERVAL_MS", "100")

    assert chosen(tmp_path).commit_interval_ms == 100
    assert chosen(tmp_path, commit_interval_ms=200).commit_interval_ms == 200


class Queued:
    """The client below a producer: what it was given, and who wants to know how each record fared."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Any, bool]] = []
        self.full = 0

    def produce(self, topic: str, value: Any, key: Any, partition: int, callback: Any, *_: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.records.append((topic, value, callback is not None))

    def poll(self, timeout: float = 0) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return 0


@pytest.fixture
def producer(app: engine.HardenedApplication) -> tuple[Any, Queued]:
    queued = Queued()
    app.producer._producer._inner_producer = queued
    return app.producer, queued


def test_only_the_last_record_of_a_changelog_partition_reports_its_offset(
    producer: tuple[Any, Queued],
) -> None:
    sending, queued = producer
    sending.send("ledger", b"m-1", b"entry", 5)
    for value in (b"1", b"2"):
        sending.produce("changelog", key=b"k", value=value, headers={}, partition=3)
    sending.produce("changelog", key=b"k", value=b"x", headers={}, partition=4)

    sending.flush()

    assert queued.records == [
        ("ledger", b"entry", False),
        ("changelog", b"1", False),
        ("changelog", b"2", True),
        ("changelog", b"x", True),
    ]


def test_an_abort_leaves_nothing_to_be_sent_with_the_next_transaction(producer: tuple[Any, Queued]) -> None:
    sending, queued = producer
    sending.produce("changelog", key=b"k", value=b"1", headers={}, partition=3)

    sending.abort_transaction(1)
    sending.flush()

    assert queued.records == []


def test_a_full_queue_is_waited_for(producer: tuple[Any, Queued]) -> None:
    sending, queued = producer
    queued.full = 2

    sending.send("ledger", b"m-1", b"entry", 5)

    assert queued.records == [("ledger", b"entry", False)]


class Message(NamedTuple):
    """As much of a client's message as the buffer looks at."""

    of: str
    at_ms: int
    number: int

    def topic(self) -> str:
        return self.of

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return (1, self.at_ms)


def buffered(topics: list[tuple[list[int], bool]]) -> InternalConsumerBuffer:
    """A buffer with messages of these instants by topic, each idle behind its last one or not."""
    buffer = InternalConsumerBuffer()
    names = [f"t{n}" for n in range(len(topics))]
    buffer.assign_partitions([TopicPartition(name, 0) for name in names])
    messages = [
        Message(name, at, n)
        for name, (given, _) in zip(names, topics, strict=True)
        for n, at in enumerate(given)
    ]
    ends = {(name, 0): len(given) + (not idle) for name, (given, idle) in zip(names, topics, strict=True)}
    buffer.feed(messages, ends)  # type: ignore[arg-type]
    return buffer


@given(st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=5), st.booleans()), min_size=1, max_size=4))
def test_messages_come_in_the_buffers_own_order_and_wait_as_it_waits(
    topics: list[tuple[list[int], bool]],
) -> None:
    asked = buffered(topics)

    assert list(engine.in_order(buffered(topics))) == list(iter(asked.pop, None))
