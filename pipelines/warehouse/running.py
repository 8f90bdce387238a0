"""The sinks by name, on the warehouse that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path

from pipelines.runtime import metrics
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.postgres import Postgres
from pipelines.warehouse.settings import WarehouseSettings, warehouse_settings
from pipelines.warehouse.sink import Sink, SinkSummary, run_sink
from pipelines.warehouse.target import Target
from pipelines.warehouse.watching import watched

FOLDER = "warehouse"


def settings_of(home: Path, prefix: str = "") -> WarehouseSettings:
    """The warehouse of the environment, embedded under the stack's home unless it says otherwise; that of a pipeline
    apart is apart as well."""
    return warehouse_settings(home / f"{prefix}{FOLDER}")


def run_named(
    name: str,
    home: Path,
    bootstrap: str,
    registry_url: str,
    prefix: str,
    until_caught_up: bool,
    metrics_port: int | None = None,
) -> SinkSummary:
    """Run the sink `warehouse` (Iceberg) or `postgres`, watched when a port is given."""
    targets: dict[str, Callable[[WarehouseSettings], Target]] = {"warehouse": Lake, "postgres": Postgres}
    chosen = settings_of(home, prefix)
    metrics.BUILD.labels(version("loyalty-streams"), name, name, "", "").set(1)

    def beside(sink: Sink) -> AbstractContextManager[None]:
        return nullcontext() if metrics_port is None else watched(sink, chosen, bootstrap, metrics_port)

    return run_sink(
        chosen,
        targets[name],
        bootstrap,
        registry_url,
        prefix,
        until_caught_up=until_caught_up,
        beside=beside,
    )
