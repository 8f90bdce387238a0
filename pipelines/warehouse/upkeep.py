"""When the tables were last kept in order and verified: told with the tables, so that whoever runs the sink can tell
Prometheus, wherever maintenance and verification run."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from pyiceberg.catalog import Catalog

from pipelines.warehouse.settings import WarehouseSettings

MAINTAINED: Final = "loyalty.maintained-at-ms"
VERIFIED: Final = "loyalty.verified-at-ms"
DIFFERENCES: Final = "loyalty.verify-differences"
"""Properties of the settings' namespace."""


class Upkeep(NamedTuple):
    """Instants, and what the last verification found wrong; None before there was one."""

    maintained_at_ms: int
    verified_at_ms: int
    differences: int | None


def upkeep(catalogue: Catalog, settings: WarehouseSettings) -> Upkeep:
    """What is told; of a warehouse of which nothing is told yet, that it is in order from now on."""
    found = catalogue.load_namespace_properties(settings.namespace)
    if new := {name: _now() for name in (MAINTAINED, VERIFIED) if name not in found}:
        catalogue.update_namespace_properties(settings.namespace, updates=new)
    said = found | new
    differences = said.get(DIFFERENCES)
    return Upkeep(
        int(said[MAINTAINED]), int(said[VERIFIED]), None if differences is None else int(differences)
    )


def tell_maintained(catalogue: Catalog, settings: WarehouseSettings) -> None:
    catalogue.update_namespace_properties(settings.namespace, updates={MAINTAINED: _now()})


def tell_verified(catalogue: Catalog, settings: WarehouseSettings, differences: int) -> None:
    told = {VERIFIED: _now(), DIFFERENCES: str(differences)}
    catalogue.update_namespace_properties(settings.namespace, updates=told)


def _now() -> str:
    return str(round(time.time() * 1000))
