"""The brokers and the registry of a torture run, each of which can be killed, paused and started alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from pipelines.local import stack

BROKERS: Final = (1, 2, 3)
ON_SMALL_DISK: Final = 3
"""The broker that has a disk of its own, where this machine lets it."""
REGISTRY: Final = "registry"


class Servers:
    """Three brokers, numbered from 1, and the registry, of the stack under `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._paused: set[str] = set()

    def kill(self, broker: int) -> None:
        """SIGKILL, and return when it is gone."""
        stack.kill_broker(self._home, broker)

    def start(self, *brokers: int) -> None:
        """Start them on their old ports and data, after a SIGTERM where they still run, and wait until they answer."""
        stack.restart_brokers(self._home, *brokers)

    def kill_registry(self) -> None:
        """SIGKILL the registry."""
        stack.kill_part(self._home, REGISTRY)

    def start_registry(self) -> None:
        """Start it with its old schemas, and wait until it answers."""
        stack.restart_registry(self._home)

    def fill_disk(self) -> bool:
        """Leave the broker on the small disk no room; whether there is such a disk."""
        disk = stack.disk_of(self._home, ON_SMALL_DISK)
        if disk is not None:
            disk.fill()
        return disk is not None

    def clear_disk(self) -> None:
        """Give it its room again."""
        disk = stack.disk_of(self._home, ON_SMALL_DISK)
        if disk is not None:
            disk.clear()

    def ended(self, broker: int) -> bool:
        """Whether its process has ended."""
        return not stack.runs(self._home, f"kafka-{broker}")

    def pause(self, name: str) -> None:
        """SIGSTOP a part, `kafka-2` or `registry`, as a long garbage collection or a frozen machine would."""
        self._paused.add(name)
        stack.signal_part(self._home, name, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """SIGCONT it."""
        stack.signal_part(self._home, name, signal.SIGCONT)
        self._paused.discard(name)

    def heal(self) -> None:
        """Let all that is paused go on."""
        for name in tuple(self._paused):
            self.go_on(name)
