"""The embedded stack, for real: what it keeps, where it listens, and what a Ctrl-C or a lost broker leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from pipelines.failure import Failure
from pipelines.local import embedded, stack
from pipelines.local.artefacts import artefacts
from pipelines.local.endpoints import Endpoints, endpoints, read_state
from pipelines.runtime.offsets import ends
from pipelines.runtime.topic_admin import connect, ensure_topics, make_plan
from pipelines.topics import topics as catalogued

pytestmark = pytest.mark.broker


def create_topic(at: Endpoints, name: str, copies: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": at.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, copies)])[name].result(timeout=30)


def topics(at: Endpoints) -> set[str]:
    return set(AdminClient({"bootstrap.servers": at.bootstrap_servers}).list_topics(timeout=30).topics)


def produce(at: Endpoints, topic: str) -> None:
    """One record, acknowledged by every copy in sync."""
    refused: list[object] = []
    producer = Producer({"bootstrap.servers": at.bootstrap_servers, "acks": "all"})
    producer.produce(topic, b"8", on_delivery=lambda error, _: refused.append(error) if error else None)
    assert producer.flush(60) == 0
    assert not refused


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def javas_of(home: Path) -> list[psutil.Process]:
    """Every process that names the home, or works in it."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if "java" in " ".join((process.info["cmdline"] or [])[:1])
        and str(home) in f"{process.info['cmdline']} {process.info['environ']}"
    ]


def test_down_and_up_again_keep_topics_schemas_and_ports(home: Path) -> None:
    before = stack.up(home, use_docker=False)
    create_topic(before, "orders")
    SchemaRegistryClient({"url": before.schema_registry_url}).register_schema(
        "orders-value", Schema('"string"', "AVRO")
    )
    assert stack.up(home, use_docker=False) == before == endpoints(home)
    assert stack.status(home).answers

    assert stack.down(home) == ["kafka-1", "registry"]
    with pytest.raises(Failure, match="does not run"):
        endpoints(home)
    after = stack.up(home, use_docker=False)

    assert after == before
    assert "orders" in topics(after)
    assert SchemaRegistryClient({"url": after.schema_registry_url}).get_subjects() == ["orders-value"]


def test_a_second_stack_takes_other_ports_and_down_stops_one_of_them(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with socket.create_server(("127.0.0.1", embedded.free_port(embedded.KAFKA_PORT, set()))) as taken:
        try:
            first, second = (stack.up(at, use_docker=False) for at in (home, other))

            addresses = {first.bootstrap_servers, second.bootstrap_servers}
            assert len(addresses) == 2
            assert f"127.0.0.1:{taken.getsockname()[1]}" not in addresses
            stack.down(home)
            assert not stack.status(home).answers
            assert stack.status(other).answers
        finally:
            stack.down(other)


def _hears_ctrl_c() -> None:
    """As in a terminal: what a shell starts in the background ignores Ctrl-C, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupt_waits_for_what_is_being_written_down_also_beside_other_threads() -> None:
    """Another thread takes the signal that the main one holds back, and the main one would act on it all the same."""
    over, written = threading.Event(), []

    def interrupted() -> None:
        with embedded.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            written.append("the process that was started")

    beside = threading.Thread(target=over.wait)
    beside.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert written
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()
        beside.join()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_up_that_is_interrupted_leaves_nothing_half_started(home: Path, sign: signal.Signals) -> None:
    artefacts()
    command = [sys.executable, "-m", "pipelines.cli.main", "up"]
    with subprocess.Popen(
        command,
        env=os.environ | {"LOYALTY_HOME": str(home), "DOCKER_HOST": "unix:///nowhere"},
        preexec_fn=_hears_ctrl_c,
    ) as starting:
        until(lambda: read_state(home).get("processes"))
        starting.send_signal(sign)

    assert starting.returncode != 0
    assert javas_of(home) == []
    assert read_state(home)["processes"] == []


def test_a_stack_that_cannot_start_shows_the_end_of_its_log(home: Path) -> None:
    (home / "kafka-1").mkdir(parents=True)
    (home / "kafka-1/meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n")

    with pytest.raises(Failure, match=r"(?s)ended while it started.*kafka-1\.log.*[Nn]ode.?[Ii]d.*7"):
        stack.up(home, use_docker=False)
    assert javas_of(home) == []


def test_three_brokers_go_on_while_one_is_lost(home: Path) -> None:
    at = stack.up(home, brokers=3, use_docker=False)
    create_topic(at, "ledger", copies=3)
    ensure_topics(at.bootstrap_servers, 1)
    admin = connect(at.bootstrap_servers)
    places = [(topic.name, 0) for topic in catalogued(replication=3)]

    def all_brokers_know_the_topics() -> bool:
        try:
            return set(ends(admin, places).values()) == {0}
        except KafkaException:
            return False

    until(all_brokers_know_the_topics)

    stack.kill_broker(home, 2)
    produce(at, "ledger")
    assert make_plan(connect(at.bootstrap_servers), 1).empty, "a broker that is away asks for no fewer copies"
    assert [part.name for part in stack.status(home).parts if not part.running] == ["kafka-2"]
    assert set(ends(admin, places).values()) == {0}, "leaders have moved, and are found"
    stack.restart_brokers(home, 2)
    stack.kill_broker(home, 1)
    stack.restart_brokers(home, 1)
    assert set(ends(admin, places).values()) == {0}, "leaders have moved again"

    assert all(part.running for part in stack.status(home).parts)
    produce(at, "ledger")
