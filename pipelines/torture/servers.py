"""The brokers and the registry of a torture run, each of which can be killed, paused and started alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from pipelines.local import stack

BROKERS: Final = (1, 2, 3)
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
