"""A real Kafka and registry for all tests that need them: those given, or a stack of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from pipelines.local import embedded, stack
from pipelines.local.endpoints import Endpoints
from schemas.codec import Codec
from schemas.registry import connect
from tests.support.pipeline import Pipeline

PORTS_APART = 1000
KILL_S = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-rewrite", action="store_true", help="write the golden histories anew")
    parser.addoption("--simulation-seed", type=int, help="live through this one seed of the simulation again")
    parser.addoption("--simulation-seeds", type=int, default=1_000, help="seeds of the simulation")
    parser.addoption("--kills", type=int, default=4, help="how often a sink is killed during the load")
    parser.addoption(
        "--orders-max", type=int, default=120, help="orders of arrival tried of a shuffled vector"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Each of several processes has ports of its own: those of a broker that a test killed look free to all others."""
    name = getattr(config, "workerinput", {}).get("workerid", "")
    if name:
        apart = PORTS_APART * (1 + int(name.removeprefix("gw")))
        for port in ("KAFKA_PORT", "CONTROLLER_PORT", "SECOND_PORT", "REGISTRY_PORT"):
            setattr(embedded, port, getattr(embedded, port) + apart)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who kills a sink more often has more time for it."""
    for item in (one for one in items if one.get_closest_marker("kills") is not None):
        item.add_marker(pytest.mark.timeout(KILL_S * (6 + config.getoption("--kills"))))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Kafka and the registry, up for the whole session. It never skips: without them the tests fail."""
    home = tmp_path_factory.mktemp("stack")
    yield stack.up(home)
    stack.down(home, wipe=True)


@pytest.fixture(scope="session")
def codec(cluster: Endpoints) -> Codec:
    return connect(cluster.schema_registry_url, register=True)


@pytest.fixture
def pipeline(cluster: Endpoints, codec: Codec, tmp_path: Path) -> Iterator[Pipeline]:
    """A whole pipeline, topics and group under a prefix of its own."""
    with Pipeline(cluster, codec, f"test-{token_hex(4)}-", tmp_path) as made:
        yield made
