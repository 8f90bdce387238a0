"""Each alert fires on its fault and is silent without; each has its runbook; each speaks of metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipelines.operations.alerts import ALERTS, rule_groups
from pipelines.operations.slos import BURNS, OBJECTIVES
from pipelines.runtime.metrics import METRICS

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy/monitoring/alerts.yaml"
CASES = sorted(RULES.parent.glob("alerts*.test.yaml"))
NAMES = sorted({alert.name for alert in ALERTS})
OTHERS = {"up", "process_start_time_seconds"}


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: install Prometheus (Debian: apt-get install prometheus)"
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, cwd=RULES.parent)


def cases() -> list[dict[str, Any]]:
    """All cases, of both files."""
    return [case for path in CASES for case in YAML(typ="safe").load(path.read_text())["tests"]]


def metrics_of(expr: str) -> set[str]:
    """The metrics that an expression asks for, histograms by their family."""
    found = set(re.findall(r"\b(loyalty_[a-z_]+|up|process_[a-z_]+)\b", expr))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_the_rules_are_rules() -> None:
    checked = promtool("check", "rules", RULES.name)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_on_its_fault_and_is_silent_without() -> None:
    ran = promtool("test", "rules", *(path.name for path in CASES))

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_tested_firing_and_silent(name: str) -> None:
    looks = [look for case in cases() for look in case["alert_rule_test"] if look["alertname"] == name]

    assert any(look["exp_alerts"] for look in looks), "no case in which it fires"
    assert any(not look["exp_alerts"] for look in looks), "no case in which it is silent"


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_runbook_of_its_name(name: str) -> None:
    assert (ROOT / f"runbooks/{name}.md").is_file()


def test_each_severity_of_an_alert_is_tested() -> None:
    fired = {
        (look["alertname"], alert["exp_labels"]["severity"])
        for case in cases()
        for look in case["alert_rule_test"]
        for alert in look["exp_alerts"]
    }

    assert fired >= {(alert.name, alert.severity) for alert in ALERTS}


def test_rules_ask_only_for_metrics_of_the_catalogue_with_labels_that_they_have() -> None:
    for group in rule_groups()["groups"]:
        for rule in group["rules"]:
            for name in metrics_of(rule["expr"]) - OTHERS:
                assert name in METRICS, f"{name} in {rule}"
            for name, label, said in re.findall(
                r'(loyalty_\w+?)(?:_bucket|_count)?\{(\w+)="([^"]+)"', rule["expr"]
            ):
                assert said in METRICS[name].labels[label], (name, label, said)


def test_a_burn_of_the_whole_allowance_in_its_window_is_what_the_severity_says() -> None:
    """2 % of a month's allowance in an hour, 5 % in six, 10 % in three days, as the workbook has it."""
    hours = {"1h": 1, "6h": 6, "3d": 72}

    shares = [burn.rate * hours[burn.long] / (30 * 24) for burn in BURNS]

    assert [round(share, 2) for share in shares] == [0.02, 0.05, 0.10]
    assert all(0 < objective.allowed <= 0.01 for objective in OBJECTIVES)


def test_compose_has_prometheus_scrape_the_ports_that_its_workers_serve() -> None:
    compose = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
    config = YAML(typ="safe").load((RULES.parent / "prometheus.yaml").read_text())

    checked = promtool("check", "config", "prometheus.yaml")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    for scrape in config["scrape_configs"]:
        (target,) = scrape["static_configs"][0]["targets"]
        service, port = target.split(":")
        command = compose["services"][service]["command"]
        assert command[command.index("--metrics-port") + 1] == port
        assert scrape["job_name"] == f"loyalty-{command[1]}"
