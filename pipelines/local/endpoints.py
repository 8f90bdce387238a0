"""Where Kafka and the schema registry are: from the environment, or from the local stack that `loyalty up` started."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipelines.connection import security
from pipelines.failure import Failure

KAFKA_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
REGISTRY_VARIABLE = "SCHEMA_REGISTRY_URL"
HOME_VARIABLE = "LOYALTY_HOME"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses, and the way they came about: `given`, `docker` or `embedded`."""

    bootstrap_servers: str
    schema_registry_url: str
    way: str


def home_dir() -> Path:
    """Where the local stack keeps its data: LOYALTY_HOME, else `.loyalty` in the current directory."""
    return Path(os.environ.get(HOME_VARIABLE) or ".loyalty").absolute()


def given_endpoints() -> Endpoints | None:
    """The addresses in the environment; None when neither is set, a Failure when only one is."""
    kafka, registry = os.environ.get(KAFKA_VARIABLE), os.environ.get(REGISTRY_VARIABLE)
    if bool(kafka) != bool(registry):
        missing = REGISTRY_VARIABLE if kafka else KAFKA_VARIABLE
        raise Failure(f"{missing} is not set, though its sister is", f"set {missing} as well, or unset both")
    return Endpoints(kafka, registry, "given") if kafka and registry else None


def state_file(home: Path) -> Path:
    return home / "stack.json"


def read_state(home: Path) -> dict[str, Any]:
    """What `up` wrote down, empty when there is nothing."""
    path = state_file(home)
    if not path.exists():
        return {}
    try:
        state: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise Failure(f"{path} cannot be read: {error}", f"remove {path} and run `loyalty up`") from error
    return state


def alive(process: dict[str, Any]) -> psutil.Process | None:
    """The recorded process if it still is that one, by pid and creation time."""
    try:
        found = psutil.Process(process["pid"])
        same = abs(found.create_time() - process["create_time"]) < 1.0
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def endpoints(home: Path | None = None) -> Endpoints:
    """Where to connect; a Failure with what to do when no stack is there."""
    if (given := given_endpoints()) is not None:
        return given
    home = home or home_dir()
    state = read_state(home)
    dead = [p["name"] for p in state.get("processes", []) if alive(p) is None]
    if not state.get("up") or dead:
        why = f"{', '.join(dead)} died" if dead and state.get("up") else "it was not started"
        raise Failure(f"the local stack of {home} does not run: {why}", "run `loyalty up`")
    if state.get("secure") and security().protocol == "PLAINTEXT":
        env = home / "security" / "admin.env"
        raise Failure(
            f"the local stack of {home} is secure, and who you are is not said",
            f"`set -a; . {env}; set +a`, or the file of another user beside it",
        )
    return Endpoints(state["bootstrap_servers"], state["schema_registry_url"], state["way"])
