"""Pages and files that are written from the code say what the code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.operations.alerts import ALERTS, alerts_file
from pipelines.operations.asyncapi import asyncapi_file
from pipelines.operations.capacity import MEASURED, Figures, capacity_page
from pipelines.operations.dashboards import DASHBOARDS, dashboard_file
from pipelines.operations.pages import Drilling, alerts_page, metrics_page, slo_page
from pipelines.operations.site.pages import picture
from tests.operations import drilled

ROOT = Path(__file__).parent.parent.parent


def drills() -> dict[str, Any]:
    """What `make drills` has measured."""
    found: dict[str, Any] = json.loads((ROOT / "docs/drills.json").read_text())
    return found


def drilling() -> Drilling:
    """What is drilled, and what is not."""
    return Drilling(drilled.ALERTS, drilled.REFUSALS, drilled.PROCEDURES, drilled.NOT_DRILLED)


WRITTEN: dict[str, Callable[[], str]] = {
    "docs/asyncapi.yaml": asyncapi_file,
    "docs/pictures/lineage.svg": picture,
    "docs/METRICS.md": metrics_page,
    "docs/SLO.md": slo_page,
    "docs/CAPACITY.md": lambda: capacity_page(Figures.model_validate_json(MEASURED.read_text())),
    "docs/ALERTS.md": lambda: alerts_page(drilling(), drills()),
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


def test_a_recovery_is_measured_of_what_is_drilled_and_of_nothing_else() -> None:
    assert drills().keys() <= drilled.FAULTS.keys()


def test_each_alert_refusal_and_procedure_is_drilled_or_it_is_said_why_not() -> None:
    pages = {page.stem for page in (ROOT / "runbooks").glob("Loyalty*.md")}

    told = drilled.FAULTS.keys() | drilled.NOT_DRILLED.keys()
    assert told == pages | set(drilled.procedures())
    assert {alert.name for alert in ALERTS} <= drilled.ALERTS.keys() | drilled.NOT_DRILLED.keys()
