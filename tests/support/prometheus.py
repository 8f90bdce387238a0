"""A real Prometheus that scrapes a test's workers, with the rules of `deploy/monitoring` on a faster clock."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from ruamel.yaml import YAML

from pipelines.operations.alerts import as_yaml, rule_groups
from tests.support.pipeline import wait_until
from tests.support.scrape import free_port

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def faster(groups: Mapping[str, Any], times: int, lower: Mapping[int, int]) -> dict[str, Any]:
    """The rules with every window, and every `for`, so many times shorter; of the thresholds only the given ones are
    `lower`."""
    rules: dict[str, Any] = YAML(typ="safe").load(as_yaml(groups, "faster"))
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = re.sub(
                r"\[(\d+)([smhd])\]", lambda w: f"[{_shorter(*w.groups(), times)}]", rule["expr"]
            )
            for threshold, other in lower.items():
                rule["expr"] = re.sub(rf"> {threshold}\b", f"> {other}", rule["expr"])
            if "for" in rule:
                rule["for"] = _shorter(rule["for"][:-1], rule["for"][-1], times, least=0)
    return rules


def _shorter(number: str, unit: str, times: int, least: int = 5) -> str:
    return f"{max(least, int(number) * SECONDS[unit] // times)}s"


class Prometheus:
    """One server on a port of its own; it ends with the test."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, Sequence[int]],
        times: int,
        lower: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        program = shutil.which("prometheus")
        assert program, "Prometheus is missing: install it (Debian: apt-get install prometheus)"
        folder.mkdir()
        (folder / "rules.yaml").write_text(as_yaml(faster(rule_groups(), times, lower), "faster"))
        (folder / "prometheus.yaml").write_text(as_yaml(_config(targets), "of a test"))
        self.port = free_port()
        options = [f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
        options += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        log = (folder / "log").open("wb")
        self._process = subprocess.Popen([program, *options], stdout=log, stderr=log)

    def __enter__(self) -> Prometheus:
        wait_until(self._ready, "Prometheus is ready")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)

    def _ready(self) -> bool:
        assert self._process.poll() is None, "Prometheus ended"
        try:
            return self._get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def scrapes(self, job: str) -> bool:
        """Somebody of this job was asked, and answered: it takes seconds to begin, and sees no change before."""
        found = self._get(f"/api/v1/query?query=up{{job='{job}'}}").json()["data"]["result"]
        return any(one["value"][1] == "1" for one in found)

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        alerts = self._get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def wait_until_fires(self, name: str, patience_s: float = 120) -> None:
        wait_until(lambda: name in self.firing(), f"{name} fires", patience_s)

    def wait_until_clear(self, name: str, patience_s: float = 120) -> None:
        wait_until(lambda: name not in self.firing(), f"{name} is over", patience_s)


def _config(targets: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
        for job, ports in targets.items()
    ]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": scrapes,
    }
