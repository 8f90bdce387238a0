"""The sinks by name, on the warehouse that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.warehouse.lake import Lake
from pipelines.warehouse.postgres import Postgres
from pipelines.warehouse.settings import WarehouseSettings, warehouse_settings
from pipelines.warehouse.sink import SinkSummary, run_sink
from pipelines.warehouse.target import Target

FOLDER = "warehouse"


def settings_of(home: Path, prefix: str = "") -> WarehouseSettings:
    """The warehouse of the environment, embedded under the stack's home unless it says otherwise; that of a pipeline
    apart is apart as well."""
    return warehouse_settings(home / f"{prefix}{FOLDER}")


def run_named(
    name: str, home: Path, bootstrap: str, registry_url: str, prefix: str, until_caught_up: bool
) -> SinkSummary:
    """Run the sink `warehouse` (Iceberg) or `postgres`."""
    targets: dict[str, Callable[[WarehouseSettings], Target]] = {"warehouse": Lake, "postgres": Postgres}
    return run_sink(
        settings_of(home, prefix),
        targets[name],
        bootstrap,
        registry_url,
        prefix,
        until_caught_up=until_caught_up,
    )
