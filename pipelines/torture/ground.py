"""What a fault may touch: three brokers, a registry, the workers, the feed and the clock of one torture run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.local.endpoints import Endpoints
from pipelines.torture.feeding import Clock, Feed
from pipelines.torture.servers import Servers
from pipelines.torture.supervisor import Supervisor
from pipelines.torture.wire import Wire


@dataclass(frozen=True, slots=True)
class Ground:
    """All of one run; `home` holds its stack, its workers' state (`state/<processor>/<replica>`) and its logs."""

    home: Path
    endpoints: Endpoints
    servers: Servers
    workers: Supervisor
    feed: Feed
    clock: Clock
    wire: Wire
    wired: str
    """The worker whose every connection to a broker goes over the wire."""
    prefix: str = ""
