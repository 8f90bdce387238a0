"""Where the stack is found, whom `down` stops, what `up` refuses: what needs no Kafka to be known."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pipelines.cli.main import build
from pipelines.failure import Failure
from pipelines.local import embedded, stack
from pipelines.local.artefacts import compare, recipe
from pipelines.local.endpoints import KAFKA_VARIABLE, REGISTRY_VARIABLE, endpoints

NOBODY = "127.0.0.1:1"


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A process that we did not start."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()


def write_state(home: Path, **state: object) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "stack.json").write_text(json.dumps(state))


def test_without_a_stack_the_next_step_is_named(home: Path) -> None:
    with pytest.raises(Failure) as refusal:
        endpoints(home)

    assert refusal.value.do == "run `loyalty up`"


def test_given_addresses_come_before_the_local_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KAFKA_VARIABLE, NOBODY)
    monkeypatch.setenv(REGISTRY_VARIABLE, f"http://{NOBODY}")

    assert endpoints(home) == stack.Endpoints(NOBODY, f"http://{NOBODY}", "given")
    assert not stack.status(home).answers


def test_one_given_address_without_the_other_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KAFKA_VARIABLE, NOBODY)

    with pytest.raises(Failure, match=REGISTRY_VARIABLE):
        stack.up(home)


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        assert embedded.free_port(taken, set()) > taken


def test_a_port_is_promised_once() -> None:
    promised: set[int] = set()

    assert embedded.free_port(20_000, promised) != embedded.free_port(20_000, promised)


def test_down_leaves_a_stranger_alone_that_got_the_pid_of_ours(home: Path, stranger: psutil.Process) -> None:
    ours = {"name": "kafka-1", "pid": stranger.pid, "create_time": stranger.create_time() - 60, "port": 1}
    write_state(home, way="embedded", up=True, processes=[ours])

    assert stack.down(home) == []
    assert stranger.is_running()


def test_down_twice_stops_nothing_twice(home: Path) -> None:
    assert stack.down(home) == []
    assert stack.down(home) == []


def test_a_wipe_keeps_what_is_not_of_the_stack(home: Path) -> None:
    write_state(home, way="embedded", up=False, processes=[])
    (home / "kafka-1").mkdir()
    (home / "letters.txt").write_text("dear Anna")

    stack.down(home, wipe=True)

    assert [path.name for path in home.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize("sign", [".git", "pyproject.toml"])
def test_a_source_tree_is_no_home(home: Path, sign: str) -> None:
    (home / sign).mkdir(parents=True)

    with pytest.raises(Failure, match="source tree"):
        stack.up(home)


def test_a_cluster_keeps_its_size(home: Path) -> None:
    write_state(home, way="embedded", up=False, brokers=1, processes=[])

    with pytest.raises(Failure, match="whose size cannot change to 3") as refusal:
        stack.up(home, brokers=3, use_docker=False)
    assert "--wipe" in refusal.value.do


def test_three_brokers_keep_three_copies_and_write_to_two(tmp_path: Path) -> None:
    settings = embedded.broker_properties(2, tmp_path, [(1, 4), (2, 5), (3, 6)]).splitlines()

    assert "default.replication.factor=3" in settings
    assert "min.insync.replicas=2" in settings
    assert "transaction.state.log.min.isr=2" in settings
    assert "advertised.listeners=CLIENT://127.0.0.1:2" in settings


def test_a_second_door_of_a_broker_sends_its_clients_to_what_stands_before_it(tmp_path: Path) -> None:
    doors = [embedded.SecondDoor(7, 17), embedded.SecondDoor(8, 18)]

    settings = embedded.broker_properties(2, tmp_path, [(1, 4), (2, 5)], doors=doors).splitlines()

    assert "listeners=CLIENT://127.0.0.1:2,CONTROLLER://127.0.0.1:5,SECOND://127.0.0.1:8" in settings
    assert "advertised.listeners=CLIENT://127.0.0.1:2,SECOND://127.0.0.1:18" in settings
    assert "inter.broker.listener.name=CLIENT" in settings, "brokers do not use it among themselves"


def test_status_tells_scripts_that_nothing_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_HOME", str(home))

    answer = CliRunner().invoke(build(), ["status", "--json"])

    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["answers"] is False


def test_two_brokers_are_not_offered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYALTY_HOME", str(home))

    answer = CliRunner().invoke(build(), ["up", "--brokers", "2"])

    assert isinstance(answer.exception, Failure)
    assert not home.exists()


def test_a_fetched_file_must_be_the_one_that_was_named(tmp_path: Path) -> None:
    good, bad, extra = (tmp_path / name for name in ("good.jar", "bad.jar", "extra.jar"))
    for path in (good, bad, extra):
        path.write_text(path.name)
    sums = tmp_path / "sums"
    sums.write_text(
        "".join(f"{hashlib.sha256(p.name.encode()).hexdigest()}  {p.name}\n" for p in (good, bad))
    )

    compare([good, bad], sums)
    with pytest.raises(Failure, match=r"bad\.jar is not.*of nothing"):
        compare([good], sums)
    with pytest.raises(Failure, match=r"extra\.jar is not.*no such file"):
        compare([good, bad, extra], sums)
    bad.write_text("another")
    with pytest.raises(Failure, match=r"bad\.jar is not"):
        compare([good, bad], sums)


def test_every_image_and_every_jar_is_of_one_kafka() -> None:
    services = YAML(typ="safe").load(stack.compose_file())["services"]
    sums = (recipe() / "artifacts.sha256").read_text()

    image, version = services["kafka"]["image"].split(":")
    assert (image, f"kafka-server-{version}.jar" in sums) == ("apache/kafka", True)
    image, version = services["registry"]["image"].split(":")
    assert (image, f"apicurio-registry-app-{version}-all" in sums) == ("apicurio/apicurio-registry", True)
    assert {"workers", "clock"} < services.keys()


DOCKER = """#!/bin/sh
echo "$@ kafka=$LOYALTY_KAFKA_PORT" >> "$(dirname "$0")/asked"
"""


def test_a_docker_engine_that_answers_is_used_and_keeps_its_ports(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")

    first, second = stack.up(home), stack.up(home)
    stopped = stack.down(home, wipe=True)

    assert first == second
    assert first.way == "docker"
    assert stopped == ["kafka", "registry"]
    asked = [line for line in (docker.parent / "asked").read_text().splitlines() if " -f " in line]
    port = first.bootstrap_servers.split(":")[1]
    ends = [line.split("docker-compose.yml ")[1] for line in asked]
    assert ends == [
        f"up --detach --wait kafka registry kafka={port}",
        f"up --detach --wait kafka registry kafka={port}",
        f"down --volumes kafka={port}",
    ]
