"""Kafka and the registry as Java processes of this machine, listening on 127.0.0.1 only.

One broker is its own controller; three of them make a real cluster (replication 3, min.insync 2). Each process is
known by pid and creation time, so that only what was started here is ever stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipelines.connection import Security, security
from pipelines.failure import Failure
from pipelines.local import small_disk
from pipelines.local.artefacts import Artefacts
from pipelines.local.endpoints import alive
from pipelines.local.secured import Vault, write_private
from pipelines.local.small_disk import SmallDisk
from pipelines.runtime.signals import handled_by

KAFKA_PORT, CONTROLLER_PORT, SECOND_PORT, REGISTRY_PORT = 19092, 19192, 19292, 18081
CLUSTER_ID = "bG95YWx0eS1zdHJlYW1zMQ"
START_S = 90.0
STOP_S = 30.0
DISK = "disk-"
"""What the process is called, with its broker's number, that keeps the broker's small disk."""
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a Java that runs briefly or does little: half the time to start. Brokers are compiled fully."""

Spawned = dict[str, Any]
"""A process as `stack.json` knows it: name, pid, create_time, port, log."""


def free_port(wanted: int, taken: set[int]) -> int:
    """`wanted`, or the next port on which nobody listens."""
    for port in range(wanted, wanted + 500):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                if port not in taken:
                    taken.add(port)
                    return port
    raise Failure(f"no free port from {wanted} on", "stop what listens there")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM, so that what was started has been written down before anybody hears of them.

    By their handlers: a signal that this thread alone masks is taken by another, and Python then runs its handler here
    all the same. Other threads than the main one are not interrupted anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    try:
        with handled_by(lambda told, _: heard.append(told)):
            yield
    finally:
        for told in heard[:1]:
            signal.raise_signal(told)


def spawn(name: str, command: list[str], home: Path, port: int, env: dict[str, str], cwd: Path) -> Spawned:
    """Start a process that outlives this one; its output goes to `logs/<name>.log`."""
    log = home / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | env,
            cwd=cwd,
            start_new_session=True,
        )
    created = psutil.Process(process.pid).create_time()
    return {"name": name, "pid": process.pid, "create_time": created, "port": port, "log": str(log)}


class SecondDoor(NamedTuple):
    """A second listener of a broker, on `port`; its clients are sent to `advertised`, where something stands before."""

    port: int
    advertised: int


def broker_properties(
    node: int,
    home: Path,
    ports: list[tuple[int, int]],
    vault: Vault | None = None,
    doors: Sequence[SecondDoor] = (),
) -> str:
    """The server.properties of one of `len(ports)` brokers, given each one's (client, controller) port."""
    copies = len(ports)
    client, controller = ports[node - 1]
    voters = ",".join(f"{n}@127.0.0.1:{c}" for n, (_, c) in enumerate(ports, 1))
    settings = {
        "process.roles": "broker,controller",
        "node.id": node,
        "controller.quorum.voters": voters,
        "listeners": f"CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{client}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data_dir(home, node),
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": max(1, copies - 1),
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 8,
        "offsets.retention.minutes": 5_256_000,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": max(1, copies - 1),
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": copies,
        "group.initial.rebalance.delay.ms": 0,
        "unclean.leader.election.enable": "false",
        "log.retention.ms": -1,
    }
    settings |= {} if vault is None else vault.properties()
    if doors:
        door = doors[node - 1]
        settings["listeners"] = f"{settings['listeners']},SECOND://127.0.0.1:{door.port}"
        settings["advertised.listeners"] = (
            f"{settings['advertised.listeners']},SECOND://127.0.0.1:{door.advertised}"
        )
        settings["listener.security.protocol.map"] = (
            f"{settings['listener.security.protocol.map']},SECOND:PLAINTEXT"
        )
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def format_storage(
    artefacts: Artefacts,
    home: Path,
    ports: list[tuple[int, int]],
    vault: Vault | None = None,
    doors: Sequence[SecondDoor] = (),
    disks: Mapping[int, SmallDisk] = MappingProxyType({}),
) -> None:
    """Write every broker's settings, and prepare the storage of those that have none; all at a time."""
    tools = []
    for node in range(1, len(ports) + 1):
        config = home / f"kafka-{node}.properties"
        write_private(config, broker_properties(node, home, ports, vault, doors).encode())
        if not (data_dir(home, node) / "meta.properties").exists():
            command = [*_on(disks.get(node)), *_kafka(artefacts, *QUICK_START)]
            command += ["kafka.tools.StorageTool", "format", "-g"]
            command += ["-t", CLUSTER_ID, "-c", str(config)]
            if vault is not None:
                command = [command[0], f"@{vault.arguments(command[1:])}"]
            tools.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            )
    told = [tool.communicate()[0] for tool in tools]
    if vault is not None:
        vault.forget_arguments()
    failed = [text for tool, text in zip(tools, told, strict=True) if tool.returncode]
    if failed:
        raise Failure(
            f"Kafka's storage under {home} could not be prepared: {failed[0][-400:]}",
            f"is {home} writable, and its disk not full?",
        )


def start_broker(
    artefacts: Artefacts,
    home: Path,
    node: int,
    ports: list[tuple[int, int]],
    disk: SmallDisk | None = None,
) -> Spawned:
    """Start the broker `node`, counted from 1, whose storage is prepared."""
    heap = "512m" if len(ports) == 1 else "256m"
    command = [
        *_on(disk),
        *_kafka(artefacts, f"-Xmx{heap}", f"-Xms{heap}", "-Dlog4j2.level=WARN"),
        "kafka.Kafka",
    ]
    command.append(str(home / f"kafka-{node}.properties"))
    return spawn(f"kafka-{node}", command, home, ports[node - 1][0], {}, home)


def data_dir(home: Path, node: int) -> Path:
    """Where the broker `node` keeps its data."""
    return home / f"kafka-{node}"


def start_disk(home: Path, node: int) -> Spawned:
    """Have a disk of its own, in memory, at the data of the broker `node`, for as long as this process runs."""
    data = data_dir(home, node)
    data.mkdir(parents=True, exist_ok=True)
    return spawn(f"{DISK}{node}", small_disk.keeper(data), home, 0, {}, home)


def _on(disk: SmallDisk | None) -> list[str]:
    return [] if disk is None else disk.inside


def _kafka(artefacts: Artefacts, *options: str) -> list[str]:
    return [str(artefacts.java), *options, "-cp", f"{artefacts.kafka}/*"]


def start_registry(artefacts: Artefacts, home: Path, port: int, vault: Vault | None = None) -> Spawned:
    """Start Apicurio with its schemas in a file under `home`; its second door, for metrics, on any free port."""
    env = {
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "h2",
        "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{home}/registry/schemas",
        "QUARKUS_HTTP_PORT": str(port),
        "QUARKUS_HTTP_HOST": "127.0.0.1",
        "QUARKUS_MANAGEMENT_PORT": "0",
        "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
        "QUARKUS_LOG_LEVEL": "WARN",
        "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
    }
    if vault is not None:
        env |= {"QUARKUS_HTTP_PORT": "0"} | vault.registry_environment(port)
    command = [str(artefacts.java), "-Xmx384m", *QUICK_START, "-jar", "quarkus-run.jar"]
    return spawn("registry", command, home, port, env, artefacts.registry)


def wait_for_kafka(
    bootstrap: str, brokers: int, processes: list[Spawned], known_as: Security | None = None
) -> None:
    """Return when `brokers` of them answer; a Failure with the end of their logs when they do not."""
    admin = AdminClient((known_as or Security.in_the_clear()).kafka(bootstrap) | {"log_level": 0})

    def answers() -> bool:
        with contextlib.suppress(KafkaException):
            return len(admin.list_topics(timeout=2).brokers) >= brokers
        return False

    _wait("Kafka", answers, processes)


def wait_for_registry(url: str, processes: list[Spawned], known_as: Security | None = None) -> None:
    """Return when the registry answers; a Failure with the end of its log when it does not."""
    _wait("the schema registry", lambda: registry_answers(url, known_as), processes)


def registry_answers(url: str, known_as: Security | None = None) -> bool:
    """Whether a Confluent-compatible registry lists its subjects at `url`."""
    trust = (known_as or security()).registry_trust()
    with (
        contextlib.suppress(URLError, OSError, ValueError),
        urlopen(f"{url}/subjects", timeout=2, context=trust) as answer,
    ):
        return bool(answer.status == 200)
    return False


def _wait(what: str, answers: Callable[[], bool], processes: list[Spawned]) -> None:
    deadline = time.monotonic() + START_S
    while not answers():
        dead = [p for p in processes if alive(p) is None]
        if dead or time.monotonic() > deadline:
            logs = [Path(p["log"]) for p in dead or processes]
            ends = "\n".join(f"--- {log.name}\n{_end(log)}" for log in logs)
            happened = "ended while it started" if dead else f"does not answer after {START_S:.0f} s"
            raise Failure(f"{what} {happened}\n{ends}", f"read {logs[0]}; then `loyalty up` again")
        time.sleep(0.1)


def _end(log: Path, lines: int = 12) -> str:
    told = [line for line in log.read_text(errors="replace").splitlines() if not line.startswith("\tat ")]
    return "\n".join(told[-lines:])


def stop(processes: list[Spawned]) -> list[str]:
    """Stop these processes and no others: SIGTERM, and SIGKILL for whoever does not go. The names stopped."""
    running = [(p["name"], found) for p in processes if (found := alive(p)) is not None]
    for _, process in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs([process for _, process in running], timeout=STOP_S)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=STOP_S)
    return [name for name, _ in running]
