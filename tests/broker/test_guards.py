"""A worker does not start where it would go wrong in silence, and says what to do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

import state
from pipelines.failure import Failure
from pipelines.runtime import guards
from pipelines.runtime.settings import settings
from pipelines.runtime.topic_admin import apply, connect, ensure_topics, make_plan
from pipelines.worker import run_worker
from schemas import catalogue
from tests.broker.histories import history
from tests.support.pipeline import PARTITIONS, Pipeline, wait_until
from tests.support.programmes import reference

pytestmark = pytest.mark.broker


@pytest.fixture
def admin(pipeline: Pipeline) -> AdminClient:
    return connect(pipeline.cluster.bootstrap_servers)


def test_a_changelog_without_offsets_is_refused(pipeline: Pipeline, admin: AdminClient) -> None:
    pipeline.send(history(members=2, orders=1))
    pipeline.run(session_timeout_ms=6_000)
    group = pipeline.settings().group

    def forgotten() -> bool:
        try:
            admin.delete_consumer_groups([group])[group].result(timeout=15)
        except KafkaException:
            return False
        return True

    wait_until(forgotten, "the group's member has timed out and the group is deleted", 30)

    with pytest.raises(Failure, match="no committed offset") as failure:
        pipeline.run()
    assert "LoyaltyStateWithoutOffsets" in failure.value.do


@pytest.mark.parametrize("aborted", [False, True], ids=["open", "aborted"])
def test_what_a_worker_left_of_its_first_transaction_is_no_state(pipeline: Pipeline, aborted: bool) -> None:
    pipeline.send(history(members=2, orders=1))
    chosen = pipeline.settings()
    killed = Producer(
        {
            "bootstrap.servers": chosen.bootstrap_servers,
            "transactional.id": chosen.transactional_id,
            "transaction.timeout.ms": chosen.transaction_timeout_ms,
        }
    )
    killed.init_transactions(30)
    killed.begin_transaction()
    for partition in range(PARTITIONS):
        killed.produce(chosen.changelog, b"\x01", b"member", partition=partition)
    assert killed.flush(30) == 0
    if aborted:
        killed.abort_transaction(30)

    pipeline.run()

    assert pipeline.lag() == 0
    assert pipeline.entry_ids()


def test_a_gap_in_the_input_is_refused(pipeline: Pipeline, admin: AdminClient) -> None:
    pipeline.send(history(members=2, orders=1))
    pipeline.run()
    pipeline.send(history(members=2, orders=6))
    for p in range(PARTITIONS):
        place = TopicPartition(pipeline.topic(catalogue.ORDERS), p, -1)
        admin.delete_records([place])[place].result(timeout=15)

    with pytest.raises(Failure, match=r"records are gone") as failure:
        pipeline.run()
    assert "LoyaltyInputGap" in failure.value.do


def test_missing_topics_are_named(pipeline: Pipeline, admin: AdminClient) -> None:
    chosen = pipeline.settings().model_copy(update={"topic_prefix": "nowhere-"})

    with pytest.raises(Failure, match="topics are missing: nowhere-commerce.orders.v1"):
        guards.check_topics(admin, chosen)


def test_topics_that_somebody_makes_in_this_moment_are_not_taken_for_ours(
    pipeline: Pipeline, admin: AdminClient
) -> None:
    prefix = pipeline.prefix + "race-"
    plan = make_plan(admin, 2, prefix=prefix)
    admin.create_topics([NewTopic(prefix + catalogue.ORDERS, 3)])[prefix + catalogue.ORDERS].result(
        timeout=15
    )

    with pytest.raises(Failure, match="by somebody else"):
        apply(admin, plan)


def test_inputs_that_are_not_co_partitioned_are_refused(pipeline: Pipeline, admin: AdminClient) -> None:
    prefix = pipeline.prefix + "odd-"
    admin.create_topics([NewTopic(prefix + catalogue.ORDERS, 3)])[prefix + catalogue.ORDERS].result(
        timeout=15
    )
    wait_until(lambda: prefix + catalogue.ORDERS in admin.list_topics(timeout=15).topics, "it is shown")
    with pytest.raises(Failure, match="has 3"):
        ensure_topics(pipeline.cluster.bootstrap_servers, 2, prefix)
    admin.create_topics([NewTopic(prefix + catalogue.RETURNS, 2)])[prefix + catalogue.RETURNS].result(
        timeout=15
    )

    wait_until(lambda: prefix + catalogue.RETURNS in admin.list_topics(timeout=15).topics, "it is shown")
    with pytest.raises(Failure, match="not co-partitioned"):
        guards.check_topics(admin, pipeline.settings().model_copy(update={"topic_prefix": prefix}))


def test_a_changelog_configured_otherwise_is_refused_and_put_right(
    pipeline: Pipeline, admin: AdminClient
) -> None:
    entry = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    name = pipeline.settings().changelog
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(timeout=15)
    wait_until(
        lambda: not make_plan(admin, PARTITIONS, prefix=pipeline.prefix).empty,
        "the broker knows of the change",
    )

    with pytest.raises(Failure, match="cleanup.policy=delete, not compact"):
        guards.check_topics(admin, pipeline.settings())
    apply(admin, make_plan(admin, PARTITIONS, prefix=pipeline.prefix))
    assert guards.check_topics(admin, pipeline.settings()) == PARTITIONS
    assert make_plan(admin, PARTITIONS, prefix=pipeline.prefix).empty


def test_no_broker_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.topic_admin.TIMEOUT_S", 1)
    chosen = settings(
        bootstrap_servers="127.0.0.1:1",
        schema_registry_url="http://127.0.0.1:1",
        state_dir=tmp_path,
        replica="w0",
    )

    with pytest.raises(Failure, match="no Kafka answers at 127.0.0.1:1"):
        run_worker(chosen, reference())


def test_a_registry_that_is_away_is_said_so(pipeline: Pipeline) -> None:
    chosen = pipeline.settings().model_copy(update={"schema_registry_url": "http://127.0.0.1:1"})

    with pytest.raises(Failure, match="does not answer"):
        run_worker(chosen, reference())


def test_state_does_not_lie_in_the_source() -> None:
    with pytest.raises(Failure, match="lies in the source package `state`"):
        guards.check_state_dir(Path(state.__file__).parent / "db", 0)


def test_a_state_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Failure, match="cannot be written"):
        guards.check_state_dir(tmp_path / "file" / "state", 0)


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="MiB are needed"):
        guards.check_state_dir(tmp_path, 1 << 60)


def test_two_workers_do_not_share_a_state_directory(tmp_path: Path) -> None:
    with guards.lock_state_dir(tmp_path), pytest.raises(Failure, match=f"worker with pid {os.getpid()}"):
        guards.lock_state_dir(tmp_path)


def test_what_the_broker_refuses_is_told_and_not_lost(pipeline: Pipeline) -> None:
    tomorrow = time.time_ns() // 1_000_000 + 86_400_000
    pipeline.sender.send(pipeline.topic("commerce.orders.v1"), b"x", key=b"m-1", timestamp=tomorrow)

    with pytest.raises(Failure, match="could not be delivered: .*timestamp"):
        pipeline.sender.flush()
