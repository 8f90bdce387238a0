"""The local stack, three ways: addresses that are given, a Docker engine's containers, or embedded processes.

`stack.json` under the home remembers the ports, which stay the same from one `up` to the next, and each process by
pid and creation time. It is written before anything is waited for, so that `down` also clears up half a start.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipelines.connection import Security, security
from pipelines.failure import Failure
from pipelines.local import embedded, small_disk
from pipelines.local.artefacts import artefacts, cache_dir, recipe
from pipelines.local.endpoints import Endpoints, alive, given_endpoints, read_state, state_file
from pipelines.local.secured import ADMIN, Vault
from pipelines.local.small_disk import SmallDisk

COMPOSE_PARTS = ("kafka", "registry")
DOCKER_PORTS = (9092, 8081)
OWN = ("kafka-*", "registry", "security", "state", "logs", "stack.json")
"""What a wipe deletes from the home, and nothing else."""


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


def up(
    home: Path,
    brokers: int = 1,
    *,
    use_docker: bool = True,
    secure: bool = False,
    advertised: Sequence[int] = (),
    small_disks: Sequence[int] = (),
) -> Endpoints:
    """Have Kafka and the registry answer; what runs already is left as it is. Half a start is taken back.

    Embedded brokers of a new stack can have a second door each, for what stands before it on its `advertised` port;
    `second_doors` has theirs. Those of `small_disks`, counted from 1, keep their data on disks of their own, which last
    until `down`.
    """
    if (given := given_endpoints()) is not None:
        _check(given)
        return given
    home = home.absolute()
    _refuse_sources(home)
    with _one_at_a_time():
        before = read_state(home)
        last = {before.get("way"): before}
        embedded_runs = last.get("embedded", {}).get("up")
        if not secure and not embedded_runs and use_docker and docker_answers():
            return _up_docker(home, last.get("docker", {}))
        return _up_embedded(
            home, brokers, last.get("embedded", {}), secure, advertised=advertised, small_disks=small_disks
        )


def _refuse_sources(home: Path) -> None:
    if (home / ".git").exists() or (home / "pyproject.toml").exists():
        raise Failure(
            f"{home} holds a source tree, and `loyalty down --wipe` deletes `state` in the stack's home",
            f"choose another LOYALTY_HOME, for instance {home / '.loyalty'}",
        )


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Starts on this machine follow one another: two at once would find the same ports free."""
    with (cache_dir() / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _up_embedded(
    home: Path,
    brokers: int,
    before: dict[str, Any],
    secure: bool,
    *,
    advertised: Sequence[int],
    small_disks: Sequence[int],
) -> Endpoints:
    if before.get("brokers", brokers) != brokers:
        raise Failure(
            f"{home} holds a cluster of {before['brokers']}, whose size cannot change to {brokers} in place",
            "run `loyalty down --wipe` first, or choose another LOYALTY_HOME",
        )
    if before and before.get("secure", False) != secure:
        raise Failure(
            f"{home} holds a stack that was made {'without' if secure else 'with'} --secure",
            "run `loyalty down --wipe` first, or choose another LOYALTY_HOME",
        )
    if before.get("up") and all(alive(p) for p in before["processes"]):
        return _wait(home, before)
    embedded.stop(before.get("processes", []))
    pieces = artefacts()
    home.mkdir(parents=True, exist_ok=True)
    state = _plan(brokers, before, secure=secure, advertised=advertised)
    ports, vault = _ports(state), _vault(home, state)
    try:
        if vault is not None:
            vault.fill()
        for node in small_disks:
            with embedded.undisturbed():
                _record(home, state, embedded.start_disk(home, node))
            small_disk.wait_until_there(_disks(home, state)[node])
        embedded.format_storage(pieces, home, ports, vault, _doors(state), _disks(home, state))
        for node in range(1, brokers + 1):
            with embedded.undisturbed():
                disk = _disks(home, state).get(node)
                _record(home, state, embedded.start_broker(pieces, home, node, ports, disk))
        with embedded.undisturbed():
            _record(home, state, embedded.start_registry(pieces, home, state["registry_port"], vault))
        found = _wait(home, state)
        if vault is not None:
            vault.set_passwords(found.bootstrap_servers)
    except BaseException:
        embedded.stop(state["processes"])
        _write(home, state | {"processes": []})
        raise
    _write(home, state | {"up": True})
    return found


def _vault(home: Path, state: dict[str, Any]) -> Vault | None:
    return Vault(home) if state.get("secure") else None


def _plan(
    brokers: int, before: dict[str, Any], *, secure: bool, advertised: Sequence[int] = ()
) -> dict[str, Any]:
    """A stack that does not run yet, on the ports of last time where they are free."""
    taken: set[int] = set()
    first = [[embedded.KAFKA_PORT + n, embedded.CONTROLLER_PORT + n] for n in range(brokers)]
    ports = [[embedded.free_port(port, taken) for port in pair] for pair in before.get("ports", first)]
    registry_port = embedded.free_port(before.get("registry_port", embedded.REGISTRY_PORT), taken)
    doors = [(embedded.free_port(embedded.SECOND_PORT, taken), port) for port in advertised]
    return {
        "way": "embedded",
        "up": False,
        "brokers": brokers,
        "secure": secure,
        "ports": ports,
        "second_doors": doors,
        "registry_port": registry_port,
        "bootstrap_servers": ",".join(f"127.0.0.1:{client}" for client, _ in ports),
        "schema_registry_url": _registry_url(registry_port, secure=secure),
        "processes": [],
    }


def _ports(state: dict[str, Any]) -> list[tuple[int, int]]:
    return [(client, controller) for client, controller in state["ports"]]


def _doors(state: dict[str, Any]) -> list[embedded.SecondDoor]:
    return [embedded.SecondDoor(*door) for door in state.get("second_doors", ())]


def second_doors(home: Path) -> list[int]:
    """The ports of the embedded brokers' second listeners, in order; none when they have none."""
    return [door.port for door in _doors(read_state(home.absolute()))]


def _disks(home: Path, state: dict[str, Any]) -> dict[int, SmallDisk]:
    """By broker, the small disks that are there."""
    keepers = [p for p in state["processes"] if p["name"].startswith(embedded.DISK) and alive(p) is not None]
    numbers = {int(p["name"].removeprefix(embedded.DISK)): p["pid"] for p in keepers}
    return {node: SmallDisk(embedded.data_dir(home, node), pid) for node, pid in numbers.items()}


def disk_of(home: Path, node: int) -> SmallDisk | None:
    """The small disk of a broker; None where it has none of its own."""
    home = home.absolute()
    return _disks(home, read_state(home)).get(node)


def _registry_url(port: int, *, secure: bool = False) -> str:
    return f"http{'s' if secure else ''}://127.0.0.1:{port}/apis/ccompat/v7"


def _wait(home: Path, state: dict[str, Any]) -> Endpoints:
    known_as = _known_as(home, state)
    found = Endpoints(state["bootstrap_servers"], state["schema_registry_url"], state["way"])
    embedded.wait_for_kafka(found.bootstrap_servers, state["brokers"], state["processes"], known_as)
    embedded.wait_for_registry(found.schema_registry_url, state["processes"], known_as)
    return found


def _known_as(home: Path, state: dict[str, Any]) -> Security:
    """Who the stack is to itself: the admin of a secure one."""
    vault = _vault(home, state)
    return Security.in_the_clear() if vault is None else vault.security(ADMIN)


def _record(home: Path, state: dict[str, Any], process: embedded.Spawned) -> None:
    others = [p for p in state["processes"] if p["name"] != process["name"]]
    state["processes"] = [*others, process]
    _write(home, state)


def _write(home: Path, state: dict[str, Any]) -> None:
    path = state_file(home)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(state, indent=1))
    scratch.replace(path)


def docker_answers() -> bool:
    """Whether a Docker engine, not only its client, is there, and can compose."""
    if shutil.which("docker") is None:
        return False
    questions = (["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "compose", "version"])
    with contextlib.suppress(subprocess.TimeoutExpired):
        return all(
            subprocess.run(question, capture_output=True, timeout=10, check=False).returncode == 0
            for question in questions
        )
    return False


def compose_file() -> Path:
    """The compose file: in the wheel beside the other parts' names, or at the root of the source tree."""
    beside = recipe() / "docker-compose.yml"
    return beside if beside.exists() else recipe().parent.parent / "docker-compose.yml"


def _up_docker(home: Path, before: dict[str, Any]) -> Endpoints:
    if before.get("up"):
        ports = before["ports"]
    else:
        taken: set[int] = set()
        ports = [embedded.free_port(port, taken) for port in before.get("ports", DOCKER_PORTS)]
    found = Endpoints(f"127.0.0.1:{ports[0]}", _registry_url(ports[1]), "docker")
    state = {
        "way": "docker",
        "up": True,
        "ports": ports,
        "bootstrap_servers": found.bootstrap_servers,
        "schema_registry_url": found.schema_registry_url,
        "processes": [],
    }
    home.mkdir(parents=True, exist_ok=True)
    _compose(home, ports, "up", "--detach", "--wait", *COMPOSE_PARTS)
    _write(home, state)
    return found


def _compose(home: Path, ports: list[int], *words: str) -> None:
    """Run `docker compose` on the containers of this home, which has its own."""
    project = "loyalty-" + hashlib.sha256(str(home).encode()).hexdigest()[:8]
    command = ["docker", "compose", "-p", project, "-f", str(compose_file()), *words]
    chosen = {"LOYALTY_KAFKA_PORT": str(ports[0]), "LOYALTY_REGISTRY_PORT": str(ports[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | chosen)
    if done.returncode:
        raise Failure(
            f"docker compose {words[0]} failed: {done.stderr[-400:]}",
            f"look at `docker compose -p {project} logs`",
        )


def _check(found: Endpoints) -> None:
    if (error := _kafka_trouble(found.bootstrap_servers, 10, security())) is not None:
        raise Failure(
            f"no Kafka answers at {found.bootstrap_servers}: {error}",
            "start it, or correct KAFKA_BOOTSTRAP_SERVERS, or unset both addresses for a local stack",
        )
    if not embedded.registry_answers(found.schema_registry_url):
        raise Failure(
            f"no schema registry answers at {found.schema_registry_url}",
            "start it, or correct SCHEMA_REGISTRY_URL (Apicurio's ends in /apis/ccompat/v7)",
        )


def _kafka_trouble(bootstrap: str, timeout_s: float, known_as: Security) -> str | None:
    try:
        AdminClient(known_as.kafka(bootstrap) | {"log_level": 0}).list_topics(timeout=timeout_s)
    except KafkaException as error:
        return str(error)
    return None


def down(home: Path, *, wipe: bool = False) -> list[str]:
    """Stop what `up` started; the data stays unless it is to be wiped. The names stopped."""
    home = home.absolute()
    state = read_state(home)
    stopped = embedded.stop(state.get("processes", []))
    if state.get("way") == "docker" and (state["up"] or wipe):
        _compose(home, state["ports"], *(("down", "--volumes") if wipe else ("stop", *COMPOSE_PARTS)))
        stopped += COMPOSE_PARTS
    if state:
        _write(home, state | {"up": False, "processes": []})
    if wipe:
        _refuse_sources(home)
        _wipe(home)
    return stopped


def _wipe(home: Path) -> None:
    for path in (found for pattern in OWN for found in home.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def status(home: Path) -> Status:
    """What is there now."""
    given = given_endpoints()
    state = read_state(home.absolute())
    found = given or Endpoints(
        state.get("bootstrap_servers", ""), state.get("schema_registry_url", ""), state.get("way", "none")
    )
    known_as = security() if given else _known_as(home.absolute(), state)
    parts = tuple(Part(p["name"], p["port"], alive(p) is not None) for p in state.get("processes", []))
    answers = (
        bool(given or state.get("up"))
        and _kafka_trouble(found.bootstrap_servers, 2, known_as) is None
        and embedded.registry_answers(found.schema_registry_url, known_as)
    )
    return Status(
        found.way, found.bootstrap_servers, found.schema_registry_url, answers, () if given else parts
    )


def kill_broker(home: Path, node: int) -> None:
    """SIGKILL an embedded broker, counted from 1, as a fault; return when it is gone."""
    kill_part(home, f"kafka-{node}")


def kill_part(home: Path, name: str) -> None:
    """SIGKILL an embedded process by its name, as a fault; return when it is gone."""
    if (found := _running(home, name)) is not None:
        found.kill()
        found.wait(embedded.STOP_S)


def signal_part(home: Path, name: str, number: signal.Signals) -> None:
    """Send an embedded process a signal, if it runs."""
    if (found := _running(home, name)) is not None:
        found.send_signal(number)


def runs(home: Path, name: str) -> bool:
    """Whether an embedded process runs, by its name."""
    return _running(home, name) is not None


def _running(home: Path, name: str) -> psutil.Process | None:
    there = (alive(p) for p in read_state(home.absolute())["processes"] if p["name"] == name)
    return next((found for found in there if found is not None), None)


def restart_brokers(home: Path, *nodes: int) -> None:
    """Start embedded brokers on their old ports and data, after a SIGTERM where they still run; wait for their answer.

    Several at once: where most of a cluster is down, none of them answers before the others are up.
    """
    home = home.absolute()
    state = read_state(home)
    ports = _ports(state)
    embedded.stop([p for p in state["processes"] if p["name"] in {f"kafka-{node}" for node in nodes}])
    started = []
    for node in nodes:
        with embedded.undisturbed():
            disk = _disks(home, state).get(node)
            started.append(embedded.start_broker(artefacts(), home, node, ports, disk))
            _record(home, state, started[-1])
    for node in nodes:
        address = f"127.0.0.1:{ports[node - 1][0]}"
        embedded.wait_for_kafka(address, 1, started, _known_as(home, state))


def restart_registry(home: Path) -> None:
    """Start the embedded registry on its old port and schemas, after a SIGTERM where it runs; wait for its answer."""
    home = home.absolute()
    state = read_state(home)
    embedded.stop([p for p in state["processes"] if p["name"] == "registry"])
    with embedded.undisturbed():
        started = embedded.start_registry(artefacts(), home, state["registry_port"], _vault(home, state))
        _record(home, state, started)
    embedded.wait_for_registry(state["schema_registry_url"], [started], _known_as(home, state))
