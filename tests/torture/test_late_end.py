"""An end of a transaction that comes late, on a real broker: whoever got no answer begins no other transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.local import stack
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.torture.wire import END_TRANSACTION, Wire
from schemas import catalogue
from schemas.registry import connect
from tests.broker.histories import END, history
from tests.support.pipeline import Pipeline, wait_until

pytestmark = pytest.mark.broker


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(1)
    yield wire
    wire.close()


@pytest.fixture
def wired(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline on a broker of its own, all clients of which go over the wire."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "stack"
    try:
        found = stack.up(home, use_docker=False, advertised=wire.ports)
        wire.lead_to(stack.second_doors(home))
        through = replace(found, bootstrap_servers=wire.bootstrap_servers)
        codec = connect(found.schema_registry_url, register=True)
        with Pipeline(through, codec, "late-", tmp_path) as pipeline:
            yield pipeline
    finally:
        stack.down(home, wipe=True)


def test_an_end_that_comes_behind_its_own_repetition_ends_no_later_transaction(
    wire: Wire, wired: Pipeline
) -> None:
    facts = [*history(members=40, orders=8), END]
    half = len(facts) // 2
    wired.send(facts[:half])
    with wire.holding(END_TRANSACTION, most=1) as held:
        worker = wired.start(transaction_timeout_ms=5_000)
        wait_until(lambda: held.passed > 0, "the worker asks again")
        wired.send(facts[half:])

        assert worker.wait(timeout=90) == EXIT_FENCED, (
            "it may have been ended twice: nothing more under this epoch"
        )

    assert "may have been ended twice" in (wired.tmp_path / "w0.log").read_text()
    wired.start()
    wired.wait_until_caught_up()
    undisturbed = wired.another()
    undisturbed.send(facts)
    undisturbed.run()
    assert wired.digest() == undisturbed.digest()
    assert max(Counter(wired.entry_ids()).values()) == 1
    assert not wired.records(catalogue.DEAD_LETTERS)
