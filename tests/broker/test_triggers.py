"""The triggers' worker on a real broker: it tells what the rules say, once, whatever happens to it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.domain.facts import Member
from pipelines.failure import Failure
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.programme_file import load_programme
from schemas import catalogue
from tests.cli.test_main import loyalty
from tests.support.facts import DAY_MS, ms
from tests.support.pipeline import Pipeline, wait_until

pytestmark = pytest.mark.broker
REFERENCE = load_programme(Path("reference"))


def lived(pipeline: Pipeline) -> None:
    """Sixty members' year, with the accounts' results of it.

    Without merges: when one account's records reach another's is the brokers' affair, and no two runs agree on it.
    """
    arrivals = simulate.facts(5, 60, 365, ms("2025-01-01T00:00:00Z"))
    facts = [arrival.fact for arrival in with_ticks(arrivals, 30 * DAY_MS, 60 * DAY_MS)]
    pipeline.send([fact for fact in facts if not (isinstance(fact, Member) and fact.merged_into)])
    pipeline.run(REFERENCE)


def killed_twice(pipeline: Pipeline, processor: str) -> None:
    """Run a worker of a pipeline to the end of its input, killed (kill -9) twice on its way."""
    total = pipeline.lag(processor)
    for share in (0.7, 0.3):
        worker = pipeline.start("k0", processor, poll_timeout_ms=5, partition_buffer_max=50)
        wait_until(lambda share=share: pipeline.lag(processor) < total * share, "it is on its way")  # type: ignore[misc]
        worker.kill()
        worker.wait()
    pipeline.run(REFERENCE, "k0", processor=processor)


def told(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    found = [one for topic in catalogue.TOLD for one in pipeline.read(topic)]
    return sorted((one["trigger_id"], one["recorded_at"], one.get("reason", "SENT")) for one in found)


def test_kill_9_in_the_middle_tells_nobody_twice_and_nothing_else(pipeline: Pipeline) -> None:
    lived(pipeline)
    killed_twice(pipeline, "triggers")

    killed = told(pipeline)
    sent = Counter(trigger_id for trigger_id, _, reason in killed if reason == "SENT")
    assert len(sent) > 100
    assert max(sent.values()) == 1

    again = pipeline.another()
    lived(again)
    again.run(REFERENCE, "t0", processor="triggers")
    assert told(again) == killed


def test_a_brands_year_is_told_and_the_auditor_finds_nothing_wrong(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three hundred members: the short version of benchmarks/simulated_year.py, through the broker."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", pipeline.cluster.bootstrap_servers)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", pipeline.cluster.schema_registry_url)
    apart, page = ("--topic-prefix", pipeline.prefix), pipeline.tmp_path / "year.html"
    assert loyalty("feed", "simulate", "--members", 300, *apart) == 0
    pipeline.run(REFERENCE)
    pipeline.run(REFERENCE, "t0", processor="triggers")
    capsys.readouterr()

    assert loyalty("verify", "--json", "--report", page, *apart) == 0

    report = json.loads(capsys.readouterr().out)
    looked_at = {check["check"]: check["looked_at"] for check in report["checks"]}
    assert looked_at["trigger-ids"] > 3_000
    assert all(looked_at[check] for check in looked_at if check.startswith("trigger-"))
    assert looked_at["suppressions"] > 1_000
    assert "The auditor’s verdict: nothing is wrong" in page.read_text()

    assert loyalty("experiments", "report", "--json", *apart) == 0
    (experiment,) = json.loads(capsys.readouterr().out)
    assert [arm["arm"] for arm in experiment["arms"]] == ["holdout", "plain", "shoe"]
    assert sum(arm["members"] for arm in experiment["arms"]) > 50
    assert experiment["sizes_mismatched"] is False
    assert {one["verdict"] for one in experiment["uplifts"]} == {"NOT_SEEN"}
    assert loyalty("experiments", "report", *apart) == 0
    assert "no difference is seen" in capsys.readouterr().out

    sent = pipeline.records(catalogue.TRIGGERS)[0]
    pipeline.send_bytes(catalogue.TRIGGERS, sent.key, sent.value, sent.timestamp_ms)
    pipeline.sender.flush()
    assert loyalty("verify", *apart) == 1
    assert "trigger-ids: " in capsys.readouterr().out


def test_the_store_and_its_changelog_keep_their_names(pipeline: Pipeline) -> None:
    lived(pipeline)

    pipeline.run(REFERENCE, "t0", processor="triggers")

    found = [p.name for p in (pipeline.tmp_path / "state/t0").rglob("triggers-v1")]
    assert found, "the store is no longer called triggers-v1: everybody would be told everything again"
    changelog = f"changelog__{pipeline.prefix}loyalty-triggers-v1--triggers-v1--default"
    assert changelog in pipeline.topics()


def test_a_programme_that_tells_nothing_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(Failure, match="tells members nothing"):
        pipeline.run(load_programme(Path("demo")), "t0", processor="triggers")
