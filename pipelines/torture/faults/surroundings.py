"""The registry, the clock, and the group's offsets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from pipelines.runtime import offsets
from pipelines.runtime.topic_admin import connect
from pipelines.topics import PARTITIONS, PIPELINES, prefixed
from pipelines.torture.fault import Fault, Strike, Unmet, wait_for
from pipelines.torture.ground import Ground
from pipelines.torture.servers import REGISTRY

REFUSED_S: Final = 45.0
ADMIN_S: Final = 30.0


def _without_registry(away: Callable[[Ground], None], back: Callable[[Ground], None]) -> Strike:
    """Who runs has its schemas; a worker that starts meanwhile has none."""

    @contextlib.contextmanager
    def strike(ground: Ground, rnd: Random) -> Iterator[str]:
        away(ground)
        replica = rnd.choice(ground.workers.replicas())
        try:
            with ground.workers.held(replica):
                pass
            yield f"registry, and {replica} starts without it"
        finally:
            back(ground)

    return strike


registry_killed: Final = _without_registry(
    lambda ground: ground.servers.kill_registry(), lambda ground: ground.servers.start_registry()
)
registry_silent: Final = _without_registry(
    lambda ground: ground.servers.pause(REGISTRY), lambda ground: ground.servers.go_on(REGISTRY)
)
"""A black hole: it takes connections and never answers."""


@contextlib.contextmanager
def clock_down(ground: Ground, _: Random) -> Iterator[str]:
    with ground.clock.stopped():
        yield "the clock"


@contextlib.contextmanager
def group_deleted(ground: Ground, _: Random) -> Iterator[str]:
    """The group's offsets are gone: no worker may start on its state. They are put back as they were."""
    replicas = ground.workers.replicas("accounts")
    pipeline, bootstrap = PIPELINES["accounts"], ground.endpoints.bootstrap_servers
    name = prefixed(ground.prefix, pipeline.group)
    admin = connect(bootstrap)
    places = pipeline.inputs(ground.prefix, PARTITIONS)
    with ground.workers.held(*replicas):
        _wait_until_empty(admin, name)
        before = offsets.Group(bootstrap, name).committed(places)
        for future in admin.delete_consumer_groups([name], request_timeout=ADMIN_S).values():
            future.result()
    mark = time.monotonic()
    try:
        refused = wait_for(lambda: _all_left(ground, replicas, mark), REFUSED_S)
        yield name
    finally:
        with ground.workers.held(*replicas):
            _wait_until_empty(admin, name)
            back = [TopicPartition(*place, at) for place, at in before.items() if at is not None]
            asked = admin.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(name, back)], request_timeout=ADMIN_S
            )
            for answer in asked.values():
                answer.result()
    if not refused:
        raise Unmet("not every worker refused to start without its offsets")


def _all_left(ground: Ground, replicas: Sequence[str], since_s: float) -> bool:
    left = {e.replica for e in list(ground.workers.exits) if e.at_s > since_s and e.code > 0}
    return set(replicas) <= left


def _wait_until_empty(admin: AdminClient, group: str) -> None:
    def empty() -> bool:
        asked = admin.describe_consumer_groups([group], request_timeout=ADMIN_S)
        return not asked[group].result().members

    if not wait_for(empty, REFUSED_S):
        raise Unmet(f"group {group} still has members")


KNOWN: Final = (
    "Who runs goes on with the schemas it has; who starts waits or is started again; nothing is skipped"
)

FAULTS: Final = (
    Fault("F38", "registry-killed", KNOWN, registry_killed, (4, 8), weight=2, alone=True),
    Fault("F38", "registry-silent", KNOWN, registry_silent, (4, 8), weight=2, alone=True),
    Fault(
        "F35", "clock-down", "What is due waits, and happens at its own instant", clock_down, (4, 8), weight=2
    ),
    Fault(
        "F22",
        "offsets-lost",
        "Every worker refuses to start, and says what to do",
        group_deleted,
        (0, 1),
        recovers_s=90,
        alone=True,
    ),
)
