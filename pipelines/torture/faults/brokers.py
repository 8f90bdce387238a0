"""Brokers that are killed, paused, started again; leaders that move."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random
from typing import Final

from confluent_kafka import ElectionType

from pipelines.local import small_disk
from pipelines.runtime.topic_admin import connect
from pipelines.torture.fault import Fault, Unmet, wait_for
from pipelines.torture.ground import Ground
from pipelines.torture.servers import BROKERS, ON_SMALL_DISK

NO_ROOM_S: Final = 60.0


@contextlib.contextmanager
def kill(ground: Ground, rnd: Random) -> Iterator[str]:
    broker = rnd.choice(BROKERS)
    ground.servers.kill(broker)
    try:
        yield f"kafka-{broker}"
    finally:
        ground.servers.start(broker)


@contextlib.contextmanager
def restart(ground: Ground, rnd: Random) -> Iterator[str]:
    """A broker leaves in good order, as in an upgrade, and comes back."""
    broker = rnd.choice(BROKERS)
    ground.servers.start(broker)
    yield f"kafka-{broker}"


@contextlib.contextmanager
def pause(ground: Ground, rnd: Random) -> Iterator[str]:
    name = f"kafka-{rnd.choice(BROKERS)}"
    ground.servers.pause(name)
    try:
        yield name
    finally:
        ground.servers.go_on(name)


@contextlib.contextmanager
def move_leaders(ground: Ground, rnd: Random) -> Iterator[str]:
    """Every partition that a broker led is led by another when it has been away; then all go home at once."""
    broker = rnd.choice(BROKERS)
    ground.servers.start(broker)
    admin = connect(ground.endpoints.bootstrap_servers)
    moved = admin.elect_leaders(ElectionType.PREFERRED, None).result()  # with a time-out the client fails
    yield f"{sum(error is None for error in moved.values())} partitions back to kafka-{broker}"


@contextlib.contextmanager
def kill_two(ground: Ground, rnd: Random) -> Iterator[str]:
    two = sorted(rnd.sample(BROKERS, 2))
    for broker in two:
        ground.servers.kill(broker)
    try:
        yield ", ".join(f"kafka-{broker}" for broker in two)
    finally:
        ground.servers.start(*two)


@contextlib.contextmanager
def kill_all(ground: Ground, _: Random) -> Iterator[str]:
    for broker in BROKERS:
        ground.servers.kill(broker)
    try:
        yield "all brokers"
    finally:
        ground.servers.start(*BROKERS)


@contextlib.contextmanager
def disk_full(ground: Ground, _: Random) -> Iterator[str]:
    """A broker's disk has no room, and the broker gives up; it comes back when there is room."""
    if not ground.servers.fill_disk():
        raise Unmet(f"kafka-{ON_SMALL_DISK} has no small disk: this machine makes no user namespaces")
    try:
        if not wait_for(lambda: ground.servers.ended(ON_SMALL_DISK), NO_ROOM_S):
            raise Unmet(f"kafka-{ON_SMALL_DISK} still runs {NO_ROOM_S:.0f} s after its disk was full")
        yield f"kafka-{ON_SMALL_DISK}"
    finally:
        ground.servers.clear_disk()
        ground.servers.start(ON_SMALL_DISK)


GOES_ON: Final = "The other two go on; workers go on, or leave and start again"
WAITS: Final = "Nothing is acknowledged meanwhile; all goes on when the brokers are back"

FAULTS: Final = (
    Fault("F10", "broker-killed", GOES_ON, kill, (3, 7), weight=4),
    Fault("F10", "broker-restarted", GOES_ON, restart, (0, 1), weight=2),
    Fault("F10", "two-brokers-killed", WAITS, kill_two, (2, 5), recovers_s=120, weight=2),
    Fault("F10", "all-brokers-killed", WAITS, kill_all, (2, 6), recovers_s=120, weight=2, alone=True),
    Fault("F11", "broker-paused", GOES_ON, pause, (5, 8), recovers_s=90, weight=2),
    Fault("F11", "broker-paused-long", GOES_ON, pause, (16, 20), recovers_s=90),
    Fault(
        "F19",
        "broker-disk-full",
        GOES_ON,
        disk_full,
        (1, 5),
        recovers_s=180,
        alone=True,
        possible=small_disk.possible,
    ),
    Fault("F12", "leaders-moved", GOES_ON, move_leaders, (0, 1), recovers_s=90, weight=2),
)
