"""The chart, rendered by the real helm: what it would put on a cluster is what a worker needs, and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
from ruamel.yaml import YAML

from pipelines.cli.main import build
from pipelines.operations.alerts import rule_groups
from pipelines.runtime.settings import PREFIX, Settings
from pipelines.warehouse.settings import PREFIX as WAREHOUSE_PREFIX
from pipelines.warehouse.settings import WarehouseSettings

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy/helm/loyalty"
NEEDED = ("kafka.bootstrapServers=kafka:9092", "schemaRegistryUrl=http://registry:8080")
SINKS = (
    "sinks.warehouse.enabled=true",
    "warehouse.catalogue=http://catalogue:8181",
    "warehouse.location=s3://lake/loyalty",
    "warehouse.s3.endpoint=http://storage:9000",
    "sinks.postgres.enabled=true",
    "warehouse.existingSecret=warehouse",
)
OF_OPERATORS = {"PrometheusRule", "ServiceMonitor"}
"""Kinds that Kubernetes has only where the Prometheus operator brings them; its schemas do not know them."""
SECURE = (
    "secretName=kafka-users",
    "env[0].name=LOYALTY_SECURITY_PROTOCOL,env[0].value=SASL_SSL",
    "pipelines.accounts.env[0].name=LOYALTY_SECURITY_USERNAME,pipelines.accounts.env[0].value=loyalty-accounts",
    "clock.env[0].name=LOYALTY_SECURITY_USERNAME,clock.env[0].value=loyalty-clock",
    "topics.env[0].name=LOYALTY_SECURITY_USERNAME,topics.env[0].value=admin",
)
VARIANTS = {
    "as it comes": (),
    "without monitoring": ("monitoring.enabled=false",),
    "secure": SECURE,
    "with sinks": SINKS,
    "traced": ("env[0].name=OTEL_TRACES_EXPORTER,env[0].value=otlp", "networkPolicy.collectorPorts={4318}"),
}
HELM = "helm is missing: install it (with Go: go install helm.sh/helm/v3/cmd/helm@v3.22.0)"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("helm") or shutil.which("helm", path=str(Path.home() / "go/bin"))
    assert found, HELM
    return subprocess.run([found, *arguments], capture_output=True, text=True, env=os.environ, check=False)


def template(*values: str) -> subprocess.CompletedProcess[str]:
    given = [part for value in values for part in ("--set", value)]
    return helm("template", "shop", str(CHART), "--kube-version", "1.31.0", *given)


def objects(*values: str) -> list[dict[str, Any]]:
    rendered = template(*NEEDED, *values)
    assert rendered.returncode == 0, rendered.stderr
    return [found for found in YAML(typ="safe").load_all(rendered.stdout) if found]


def of_kind(kind: str, *values: str) -> list[dict[str, Any]]:
    return [found for found in objects(*values) if found["kind"] == kind]


def pods(*values: str) -> list[dict[str, Any]]:
    specs = [found["spec"] for found in objects(*values)]
    jobs = [spec.get("jobTemplate", {}).get("spec", spec) for spec in specs]
    return [job["template"] for job in jobs if "template" in job]


def containers(*values: str) -> list[dict[str, Any]]:
    specs = [pod["spec"] for pod in pods(*values)]
    return [each for spec in specs for each in [*spec.get("initContainers", []), *spec["containers"]]]


def test_the_chart_passes_the_linter() -> None:
    given = [part for value in NEEDED for part in ("--set", value)]

    linted = helm("lint", "--strict", "--kube-version", "1.31.0", str(CHART), *given)

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((), "bootstrapServers"),
        ((*NEEDED, "replicas=3"), "replicas"),
        ((*NEEDED, "worker.metricPort=1"), "metricPort"),
        ((*NEEDED, "topics.partitions=0"), "partitions"),
        ((*NEEDED, "pipelines.accounts.replicas=9"), "more workers than the 8 partitions"),
        ((*NEEDED, "sinks.warehouse.enabled=true"), "sinks.warehouse needs warehouse.catalogue"),
        ((*NEEDED, "sinks.postgres.enabled=true"), "sinks.postgres needs warehouse.existingSecret"),
        ((*NEEDED, "warehouse.catalogue=postgresql+psycopg://u:secret@db/lake"), "catalogue"),
        ((*NEEDED, "sinks.warehouse.replicas=2"), "replicas"),
    ],
)
def test_values_that_would_not_run_are_refused(values: tuple[str, ...], told: str) -> None:
    refused = template(*values)

    assert refused.returncode != 0
    assert told in refused.stderr


@pytest.mark.parametrize("version", ["1.27", "1.31", "1.37"])
@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_what_the_chart_renders_is_what_kubernetes_takes(version: str, values: tuple[str, ...]) -> None:
    known = [found for found in objects(*values) if found["kind"] not in OF_OPERATORS]
    assert {found["kind"] for found in known} > {"StatefulSet", "Service", "NetworkPolicy", "Job"}

    for found in known:
        kubernetes_validate.validate(found, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_noticed() -> None:
    stateful = of_kind("StatefulSet")[0]
    stateful["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}

    with pytest.raises(kubernetes_validate.ValidationError, match="readinessProb"):
        kubernetes_validate.validate(stateful, "1.31", strict=True)


def test_each_process_is_somebody_on_a_secure_cluster_and_finds_the_files() -> None:
    for container in containers(*SECURE):
        given = [variable["name"] for variable in container["env"]]
        assert len(given) == len(set(given))
        assert "LOYALTY_SECURITY_PROTOCOL" in given
        assert {"name": "secret", "mountPath": "/etc/loyalty", "readOnly": True} in container["volumeMounts"]
    who = {
        variable["value"]
        for container in containers(*SECURE)
        for variable in container["env"]
        if variable["name"] == "LOYALTY_SECURITY_USERNAME"
    }
    assert who == {"loyalty-accounts", "loyalty-clock", "admin"}


def test_each_container_runs_a_command_that_there_is() -> None:
    loyalty: Any = typer.main.get_command(build())

    for container in containers("topicPrefix=shop-", *SINKS):
        arguments, command = [a.replace("$(POD_NAME)", "shop-accounts-0") for a in container["args"]], loyalty
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context(command.name, arguments)


def test_each_setting_of_a_worker_is_one() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{WAREHOUSE_PREFIX}{name.upper()}" for name in WarehouseSettings.model_fields}
    given = {variable["name"] for container in containers(*SINKS) for variable in container["env"]}

    assert {name for name in given if name.startswith((PREFIX, WAREHOUSE_PREFIX))} <= known


def test_nothing_runs_as_root_or_writes_outside_its_volumes() -> None:
    for pod in pods(*SINKS):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"/tmp", "/var/lib/loyalty"} == {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_image_has_the_user_that_the_chart_runs_as() -> None:
    (user,) = {str(pod["spec"]["securityContext"]["runAsUser"]) for pod in pods(*SINKS)}

    assert f"--uid {user} " in (ROOT / "deploy/Dockerfile").read_text()


def test_a_worker_keeps_its_name_and_its_state_and_has_the_time_to_leave() -> None:
    for stateful in of_kind("StatefulSet"):
        spec = stateful["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        assert "$(POD_NAME)" in container["args"][container["args"].index("--replica") + 1]
        assert spec["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }
        assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["state"]
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
        assert container["livenessProbe"]["httpGet"]["path"] == "/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_each_pipeline_has_a_budget_a_service_and_selectors_that_find_its_pods() -> None:
    labels = {
        s["metadata"]["name"]: s["spec"]["template"]["metadata"]["labels"] for s in of_kind("StatefulSet")
    }
    assert set(labels) == {"shop-accounts", "shop-triggers", "shop-liability"}
    for kind in ("PodDisruptionBudget", "Service"):
        for found in of_kind(kind):
            selector = found["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            assert wanted.items() <= labels[found["metadata"]["name"]].items()


def test_a_sink_runs_alone_and_is_asked_whether_it_lives_and_is_ready() -> None:
    sinks = [d for d in of_kind("Deployment", *SINKS) if not d["metadata"]["name"].endswith("-clock")]

    assert {sink["metadata"]["name"] for sink in sinks} == {"shop-warehouse", "shop-postgres"}
    for sink in sinks:
        assert (sink["spec"]["replicas"], sink["spec"]["strategy"]) == (1, {"type": "Recreate"})
        (container,) = sink["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        port = container["args"][container["args"].index("--metrics-port") + 1]
        assert str(container["ports"][0]["containerPort"]) == port
        (service,) = [
            s for s in of_kind("Service", *SINKS) if s["metadata"]["name"] == sink["metadata"]["name"]
        ]
        assert service["spec"]["selector"].items() <= sink["spec"]["template"]["metadata"]["labels"].items()
        assert service["metadata"]["labels"]["loyalty/job"] == f"loyalty-{container['args'][1]}"


def test_what_is_secret_about_a_warehouse_comes_from_a_secret_alone() -> None:
    secret = {
        f"{WAREHOUSE_PREFIX}{name.upper()}"
        for name, field in WarehouseSettings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    of_sinks = [c for c in containers(*SINKS) if c["name"] in ("sink", "maintain", "verify")]

    assert len(of_sinks) == 4
    for container in of_sinks:
        assert container["envFrom"] == [{"secretRef": {"name": "warehouse"}}]
        assert not secret & {variable["name"] for variable in container["env"]}


def test_the_tables_are_kept_in_order_and_verified_every_day_and_no_two_jobs_meet() -> None:
    jobs = {job["metadata"]["name"]: job["spec"] for job in of_kind("CronJob", *SINKS)}

    assert set(jobs) == {"shop-warehouse-maintain", "shop-warehouse-verify"}
    for spec in jobs.values():
        assert spec["schedule"].split()[2:] == ["*", "*", "*"]
        assert spec["concurrencyPolicy"] == "Forbid"
    assert not of_kind("CronJob", "sinks.postgres.enabled=true", "warehouse.existingSecret=warehouse")


def test_only_sinks_and_their_jobs_reach_the_warehouse() -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind("NetworkPolicy", *SINKS)}
    chosen = policies["shop-warehouse"]["podSelector"]["matchLabels"].items()
    reaching = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in pods(*SINKS)
        if chosen <= pod["metadata"]["labels"].items()
    }

    assert reaching == {"warehouse", "postgres", "warehouse-maintain", "warehouse-verify"}
    ports = {port["port"] for rule in policies["shop-warehouse"]["egress"] for port in rule["ports"]}
    assert {443, 5432} <= ports
    assert 5432 not in {port["port"] for rule in policies["shop"]["egress"] for port in rule["ports"]}
    assert set(policies) - {p["metadata"]["name"] for p in of_kind("NetworkPolicy")} == {"shop-warehouse"}


def test_prometheus_gets_the_rules_and_the_jobs_that_they_speak_of() -> None:
    (rules,) = of_kind("PrometheusRule")
    (monitor,) = of_kind("ServiceMonitor")
    services = of_kind("Service")

    assert rules["spec"] == YAML(typ="safe").load((ROOT / "deploy/monitoring/alerts.yaml").read_text())
    assert len(rules["spec"]["groups"]) == len(rule_groups()["groups"])
    jobs = {service["metadata"]["labels"][monitor["spec"]["jobLabel"]] for service in services}
    assert jobs == {"loyalty-accounts", "loyalty-triggers", "loyalty-liability"}
    with_sinks = {service["metadata"]["labels"]["loyalty/job"] for service in of_kind("Service", *SINKS)}
    assert with_sinks - jobs == {"loyalty-warehouse", "loyalty-postgres"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= services[0]["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == services[0]["spec"]["ports"][0]["name"]


def test_monitoring_can_be_left_out_where_its_operator_is_not() -> None:
    kinds = {found["kind"] for found in objects("monitoring.enabled=false")}

    assert not kinds & {"PrometheusRule", "ServiceMonitor"}


def test_the_version_of_the_chart_is_the_one_of_the_product() -> None:
    chart = YAML(typ="safe").load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert chart["appVersion"] == chart["version"] == version
