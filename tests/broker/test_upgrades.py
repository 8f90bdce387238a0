"""A build that writes a newer layout of state comes, goes, and comes back; no point is lost or doubled by it."""

from __future__ import annotations

import shutil

import pytest

from pipelines.failure import Failure
from schemas import catalogue
from state import layout
from tests.support.facts import member, order
from tests.support.history import play
from tests.support.next_build import NEXT_LAYOUT, raise_layout
from tests.support.pipeline import Pipeline
from tests.support.programmes import reference

pytestmark = pytest.mark.broker
HISTORY = [
    [member("2026-01-01T00:00:00Z"), order("O1", "2026-02-01T10:00:00Z")],
    [order("O2", "2026-02-02T10:00:00Z")],
    [order("O3", "2026-02-03T10:00:00Z"), order("O1", "2026-02-04T10:00:00Z", version=2)],
]
"""What comes while this build runs, while the next one does, and when this one is back."""


def test_a_newer_layout_stops_this_build_until_the_newer_build_is_back(pipeline: Pipeline) -> None:
    pipeline.send(HISTORY[0])
    pipeline.run()
    with pytest.MonkeyPatch.context() as patch:
        raise_layout(patch.setattr)
        pipeline.send(HISTORY[1])
        pipeline.run()
    before = pipeline.read(catalogue.LEDGER)
    pipeline.send(HISTORY[2])

    with pytest.raises(
        Failure, match=f"state has layout {NEXT_LAYOUT}, this build reads up to {layout.LAYOUT}"
    ):
        pipeline.run()
    shutil.rmtree(pipeline.tmp_path / "state")
    with pytest.raises(Failure, match=f"state has layout {NEXT_LAYOUT}"):
        pipeline.run()
    assert pipeline.read(catalogue.LEDGER) == before

    with pytest.MonkeyPatch.context() as patch:
        raise_layout(patch.setattr)
        pipeline.run()
    told = [entry["entry_id"] for entry in pipeline.read(catalogue.LEDGER)]
    undisturbed = play([fact for part in HISTORY for fact in part], reference()).ledger
    assert told == [entry.entry_id for entry in undisturbed]
    assert len(before) < len(told)
