"""Each panel of each dashboard asks something that Prometheus understands, about metrics and labels there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.operations.alerts import as_yaml, rule_groups
from pipelines.operations.dashboards import DASHBOARDS, RATE, Dashboard, Panel, dashboard_file
from pipelines.runtime.metrics import METRICS
from tests.operations.test_alerts import metrics_of, promtool

PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
RECORDED = {
    rule["record"] for group in rule_groups()["groups"] for rule in group["rules"] if "record" in rule
}
TARGET = {"job", "instance", "le"}
UNITS = {
    "s": {"seconds", "seconds since 1970"},
    "bytes": {"bytes"},
    "percentunit": {"seconds", "seconds since 1970"},
}


def named(value: object) -> str:
    return getattr(value, "uid", None) or getattr(value, "title", "")


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=named)
def test_a_panel_asks_for_metrics_and_labels_of_the_catalogue(dashboard: Dashboard, panel: Panel) -> None:
    assert panel.metric in METRICS
    for legend, expr in panel.queries.items():
        if expr in RECORDED:
            continue
        asked = metrics_of(expr)
        assert asked == {panel.metric}, dashboard.uid
        labels = set(METRICS[panel.metric].labels) | TARGET
        grouped = {name.strip() for by in re.findall(r"by \(([^)]*)\)", expr) for name in by.split(",")}
        assert grouped <= labels
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= grouped
        for label, said in re.findall(r'(\w+)!?="([^"$]+)"', expr):
            assert said in METRICS[panel.metric].labels[label]


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=named)
def test_a_panels_unit_is_its_metrics(dashboard: Dashboard, panel: Panel) -> None:
    if panel.unit in UNITS:
        assert METRICS[panel.metric].unit in UNITS[panel.unit], dashboard.uid


def test_prometheus_understands_each_query(tmp_path: Path) -> None:
    queries = [expr for _, panel in PANELS for expr in panel.queries.values()]
    known = [expr.replace(RATE, "5m").replace("$job", "loyalty-.+") for expr in queries]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(known)]
    file = tmp_path / "panels.yaml"
    file.write_text(as_yaml({"groups": [{"name": "panels", "rules": rules}]}, "of a test"))

    checked = promtool("check", "rules", file)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(rules) >= 40


def test_each_metric_of_the_catalogue_is_on_a_dashboard_but_for_those_that_say_why() -> None:
    elsewhere = {
        "loyalty_set_aside_total": "the dead letters by class say more",
        "loyalty_recorded_time_seconds": "the latency says more",
        "loyalty_clock_seconds": "has an alert",
    }

    assert set(METRICS) - {panel.metric for _, panel in PANELS} == set(elsewhere)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=named)
def test_a_dashboard_is_one_page_of_panels_that_do_not_overlap(dashboard: Dashboard) -> None:
    written = json.loads(dashboard_file(dashboard))

    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in written["panels"]]
    assert len(set(places)) == len(places) == len(dashboard.panels)
    assert len({p["id"] for p in written["panels"]}) == len(places)
    assert all(p["description"] and p["targets"] for p in written["panels"])
