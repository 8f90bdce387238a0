"""The local stack, three ways: addresses that are given, a Docker engine's containers, or embedded processes."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipelines.failure import Failure
from pipelines.local import embedded
from pipelines.local.artefacts import artefacts
from pipelines.local.endpoints import Endpoints, alive, given_endpoints, read_state, state_file

COMPOSE_FILE = Path(__file__).parent.parent.parent / "docker-compose.yml"
COMPOSE_PARTS = ("kafka", "registry")


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the stack, by name."""

    name: str
    port: int
    running: bool


@dataclass(frozen=True, slots=True)
class Status:
    """What runs, where, and which way; `answers` says whether both Kafka and the registry do."""

    way: str
    bootstrap_servers: str
    schema_registry_url: str
    answers: bool
    parts: tuple[Part, ...]


def up(home: Path, brokers: int = 1, *, use_docker: bool = True) -> Endpoints:
    """Have Kafka and the registry answer; nothing is done when they do. Half a start is taken back."""
    if (given := given_endpoints()) is not None:
        _check(given)
        return given
    home = home.absolute()
    state = read_state(home)
    if state.get("up") and all(alive(p) for p in state["processes"]):
        if state["way"] == "embedded" and state["brokers"] != brokers:
            what = f"the stack of {home} runs with {state['brokers']} broker(s), not {brokers}"
            raise Failure(what, "run `loyalty down --wipe` first: a cluster cannot change its size in place")
        return Endpoints(state["bootstrap_servers"], state["schema_registry_url"], state["way"])
    if use_docker and docker_answers() and COMPOSE_FILE.exists():
        return _up_docker(home)
    return _up_embedded(home, brokers, state)


def _up_embedded(home: Path, brokers: int, before: dict[str, Any]) -> Endpoints:
    if before.get("brokers", brokers) != brokers:
        what = f"{home} holds the data of {before['brokers']} broker(s), not of {brokers}"
        raise Failure(what, "run `loyalty down --wipe` first, or choose another LOYALTY_HOME")
    embedded.stop(before.get("processes", []))
    pieces = artefacts()
    home.mkdir(parents=True, exist_ok=True)
    taken: set[int] = set()
    wanted = before.get("ports") or [
        [embedded.KAFKA_PORT + n, embedded.CONTROLLER_PORT + n] for n in range(brokers)
    ]
    ports = [(embedded.free_port(c, taken), embedded.free_port(q, taken)) for c, q in wanted]
    registry_port = embedded.free_port(before.get("registry_port") or embedded.REGISTRY_PORT, taken)
    bootstrap = ",".join(f"127.0.0.1:{client}" for client, _ in ports)
    url = f"http://127.0.0.1:{registry_port}/apis/ccompat/v7"
    state: dict[str, Any] = {
        "way": "embedded",
        "up": False,
        "brokers": brokers,
        "ports": ports,
        "registry_port": registry_port,
        "bootstrap_servers": bootstrap,
        "schema_registry_url": url,
        "processes": [],
    }
    try:
        for node in range(1, brokers + 1):
            heap = 640 if brokers == 1 else 384
            state["processes"].append(embedded.start_broker(pieces, home, node, ports, heap))
            _write(home, state)
        state["processes"].append(embedded.start_registry(pieces, home, registry_port))
        _write(home, state)
        embedded.wait_for_kafka(bootstrap, brokers, state["processes"])
        embedded.wait_for_registry(url, state["processes"])
    except BaseException:
        embedded.stop(state["processes"])
        _write(home, state | {"processes": []})
        raise
    _write(home, state | {"up": True})
    return Endpoints(bootstrap, url, "embedded")


def _write(home: Path, state: dict[str, Any]) -> None:
    path = state_file(home)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(state, indent=1))
    scratch.replace(path)


def docker_answers() -> bool:
    """Whether a Docker engine, not only its client, is there."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0


def _up_docker(home: Path) -> Endpoints:
    _compose("up", "--detach", "--wait", *COMPOSE_PARTS)
    found = Endpoints("127.0.0.1:9092", "http://127.0.0.1:8081/apis/ccompat/v7", "docker")
    home.mkdir(parents=True, exist_ok=True)
    state = {
        "way": "docker",
        "up": True,
        "bootstrap_servers": found.bootstrap_servers,
        "schema_registry_url": found.schema_registry_url,
        "processes": [],
    }
    _write(home, state)
    return found


def _compose(*words: str) -> None:
    command = ["docker", "compose", "-f", str(COMPOSE_FILE), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(
            f"docker compose {words[0]} failed: {done.stderr[-400:]}", "look at `docker compose logs`"
        )


def _check(found: Endpoints) -> None:
    admin = AdminClient({"bootstrap.servers": found.bootstrap_servers, "log_level": 0})
    try:
        admin.list_topics(timeout=10)
    except KafkaException as error:
        raise Failure(
            f"no Kafka at {found.bootstrap_servers}: {error}", "check KAFKA_BOOTSTRAP_SERVERS"
        ) from error
    if not embedded.registry_answers(found.schema_registry_url):
        raise Failure(f"no registry at {found.schema_registry_url}", "check SCHEMA_REGISTRY_URL")


def down(home: Path, *, wipe: bool = False) -> list[str]:
    """Stop what `up` started; the data stays unless it is to be wiped. The names stopped."""
    home = home.absolute()
    state = read_state(home)
    stopped: list[str] = []
    if state.get("way") == "docker" and state.get("up"):
        _compose("stop", *COMPOSE_PARTS)
        stopped = list(COMPOSE_PARTS)
    stopped += embedded.stop(state.get("processes", []))
    if state:
        _write(home, state | {"up": False, "processes": []})
    if wipe and state:
        for path in (
            *home.glob("kafka-*"),
            home / "registry",
            home / "state",
            home / "logs",
            state_file(home),
        ):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return stopped


def status(home: Path) -> Status:
    """What is there now."""
    given = given_endpoints()
    state = read_state(home.absolute())
    found = given or Endpoints(
        state.get("bootstrap_servers", ""), state.get("schema_registry_url", ""), state.get("way", "none")
    )
    parts = tuple(Part(p["name"], p["port"], alive(p) is not None) for p in state.get("processes", []))
    return Status(
        found.way, found.bootstrap_servers, found.schema_registry_url, _answers(found), () if given else parts
    )


def _answers(found: Endpoints) -> bool:
    if not found.bootstrap_servers:
        return False
    try:
        AdminClient({"bootstrap.servers": found.bootstrap_servers, "log_level": 0}).list_topics(timeout=2)
    except KafkaException:
        return False
    return embedded.registry_answers(found.schema_registry_url)


def kill_broker(home: Path, node: int) -> None:
    """SIGKILL an embedded broker, as a fault."""
    for process in read_state(home.absolute())["processes"]:
        if process["name"] == f"kafka-{node}" and (found := alive(process)) is not None:
            found.kill()
            found.wait(embedded.STOP_S)


def start_broker_again(home: Path, node: int) -> None:
    """Start an embedded broker that is down, on its old port and data, and wait until it answers."""
    home = home.absolute()
    state = read_state(home)
    ports = [(client, controller) for client, controller in state["ports"]]
    started = embedded.start_broker(artefacts(), home, node, ports, 640 if len(ports) == 1 else 384)
    processes = [p for p in state["processes"] if p["name"] != started["name"]]
    _write(home, state | {"processes": [*processes, started]})
    embedded.wait_for_kafka(f"127.0.0.1:{ports[node - 1][0]}", 1, [started])
