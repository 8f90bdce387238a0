"""From facts to an audited ledger by commands alone, as a user goes; and the vectors, through Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.conformance.through_kafka import check_all
from pipelines.conformance.vectors import load_vectors
from pipelines.local.endpoints import Endpoints
from tests.cli.test_main import loyalty
from tests.support.pipeline import Pipeline, wait_until

pytestmark = pytest.mark.broker


@pytest.fixture
def prefix(cluster: Endpoints, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", cluster.schema_registry_url)
    return pipeline.prefix


def test_a_small_brand_from_feed_to_explain(
    pipeline: Pipeline, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = ("--topic-prefix", prefix)
    assert loyalty("feed", "simulate", "--members", 40, "--days", 200, *apart) == 0
    assert "facts sent" in capsys.readouterr().out
    pipeline.run()
    capsys.readouterr()

    assert loyalty("verify", "--derivations", "--json", *apart) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["clean"] is True
    assert report["figures"]["ledger entries"] > 100

    assert loyalty("member", "m-000003", "--json", *apart) == 0
    told = json.loads(capsys.readouterr().out)
    entry = told["entries"][-1]["entry_id"]
    assert loyalty("explain", entry, *apart) == 0
    assert entry.split("/")[1].split(":")[0] in capsys.readouterr().out

    assert loyalty("member", "m-000003", "--at", "2025-03-01T00:00:00Z", "--json", *apart) == 0
    past = json.loads(capsys.readouterr().out)
    assert len(past["entries"]) < len(told["entries"])
    assert loyalty("member", "m-000003", "--known-at", "2025-03-01T00:00:00Z", *apart) == 0
    assert "as known 1 March 2025" in capsys.readouterr().out
    assert loyalty("member", "m-000003", "--at", "yesterday", *apart) == 2
    assert "is no instant" in capsys.readouterr().err

    assert loyalty("member", "nobody", *apart) == 1
    assert "nobody" in capsys.readouterr().err
    assert loyalty("topics", "plan", "--partitions", 2, *apart) == 0
    assert "as the catalogue says" in capsys.readouterr().out


def test_a_ledger_that_is_not_right_fails_the_audit(
    pipeline: Pipeline, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loyalty("feed", "simulate", "--members", 5, "--days", 100, "--topic-prefix", prefix) == 0
    pipeline.run()
    forged = pipeline.records("loyalty.ledger.v1")[0]
    pipeline.send_bytes("loyalty.ledger.v1", forged.key, forged.value, forged.timestamp_ms)
    pipeline.sender.flush()

    assert loyalty("verify", "--topic-prefix", prefix) == 1
    assert "wrong" in capsys.readouterr().out.lower()


def test_a_ctrl_c_in_the_middle_leaves_a_worker_that_goes_on(pipeline: Pipeline, prefix: str) -> None:
    assert loyalty("feed", "simulate", "--members", 40, "--days", 200, "--topic-prefix", prefix) == 0
    total = pipeline.lag()
    worker = pipeline.start(partition_buffer_max=50)
    wait_until(lambda: pipeline.lag() < total, "it began")
    worker.send_signal(2)

    assert worker.wait(30) == 0
    pipeline.run()
    assert loyalty("verify", "--topic-prefix", prefix) == 0


@pytest.mark.parametrize(
    "path", ["4-earning.yaml", "5-giving-back.yaml", "6-tiers.yaml", "6-merging.yaml", "7-triggers.yaml"]
)
def test_the_vectors_hold_through_kafka(cluster: Endpoints, path: str, tmp_path: Path) -> None:
    vectors = load_vectors(Path(__file__).parent.parent / "vectors" / path)

    wrong = check_all(vectors, cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path)

    assert {name: told for name, told in wrong.items() if told} == {}
    assert len(wrong) == len(vectors)
