"""Pages and files that are written from the code say what the code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.operations.alerts import alerts_file
from pipelines.operations.asyncapi import asyncapi_file
from pipelines.operations.capacity import MEASURED, Figures, capacity_page
from pipelines.operations.dashboards import DASHBOARDS, dashboard_file
from pipelines.operations.pages import alerts_page, metrics_page, slo_page
from pipelines.operations.site.pages import picture
from tests.operations.drilled import DRILLED

ROOT = Path(__file__).parent.parent.parent


def drills() -> dict[str, Any]:
    """What `make drills` has measured."""
    found: dict[str, Any] = json.loads((ROOT / "docs/drills.json").read_text())
    return found


WRITTEN: dict[str, Callable[[], str]] = {
    "docs/asyncapi.yaml": asyncapi_file,
    "docs/pictures/lineage.svg": picture,
    "docs/METRICS.md": metrics_page,
    "docs/SLO.md": slo_page,
    "docs/CAPACITY.md": lambda: capacity_page(Figures.model_validate_json(MEASURED.read_text())),
    "docs/ALERTS.md": lambda: alerts_page(DRILLED, drills()),
    "deploy/monitoring/alerts.yaml": alerts_file,
    "deploy/helm/loyalty/files/alerts.yaml": alerts_file,
}
WRITTEN |= {
    f"deploy/monitoring/dashboards/{dashboard.uid}.json": partial(dashboard_file, dashboard)
    for dashboard in DASHBOARDS
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_written_file_is_as_the_code_writes_it(name: str, request: pytest.FixtureRequest) -> None:
    path, wanted = ROOT / name, WRITTEN[name]()
    if request.config.getoption("--golden-rewrite"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted)

    assert path.read_text() == wanted, f"{name} is old: run `make golden`, then read the diff"


def test_each_drilled_alert_has_a_measured_recovery_and_no_other_has() -> None:
    assert drills().keys() == DRILLED
