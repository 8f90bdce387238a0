"""A worker that cannot open the state of its partitions ends, says why, and can be started again."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from pipelines.runtime.engine import EXIT_FENCED
from schemas import catalogue
from tests.support.facts import member, order
from tests.support.history import play
from tests.support.pipeline import PARTITIONS, PATIENCE_S, Pipeline
from tests.support.programmes import reference

pytestmark = pytest.mark.broker


def test_state_that_cannot_be_opened_ends_the_worker_and_nothing_is_lost(pipeline: Pipeline) -> None:
    facts = [
        member("2026-01-01T00:00:00Z"),
        *(order(f"O{n}", f"2026-02-{n:02}T10:00:00Z") for n in range(1, 29)),
    ]
    pipeline.send(facts[:2])
    worker = pipeline.start()
    pipeline.wait_until_caught_up()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    _put_files_where_state_belongs(pipeline.tmp_path / "state")
    pipeline.send(facts[2:])

    worker = pipeline.start()

    assert worker.wait(timeout=PATIENCE_S) == EXIT_FENCED
    said = (pipeline.tmp_path / "w0.log").read_text()
    assert "partitions could not be taken or given back: " in said, said
    shutil.rmtree(pipeline.tmp_path / "state")
    pipeline.run()
    told = [entry["entry_id"] for entry in pipeline.read(catalogue.LEDGER)]
    assert told == [entry.entry_id for entry in play(facts, reference()).ledger]


def _put_files_where_state_belongs(state: Path) -> None:
    store = next(state.rglob("accounts-v1/0")).parent
    for partition in range(PARTITIONS):
        shutil.rmtree(store / str(partition))
        (store / str(partition)).touch()
