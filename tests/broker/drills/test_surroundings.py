"""What stands around a worker is away or full: the brokers, the network, the disk. Called, followed, right again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Final

import pytest

from pipelines.local import small_disk, stack
from pipelines.torture import hindered
from tests.broker.histories import history
from tests.support.drill import Drill, beside, end, schemas_of, stack_of_its_own
from tests.support.pipeline import Pipeline

pytestmark = [pytest.mark.broker, pytest.mark.drill, pytest.mark.timeout(1_200)]

FACTS: Final = history(members=4, orders=3)
AS_IN_THE_CHART: Final[dict[str, Any]] = {"watch_interval_ms": 5_000, "session_timeout_ms": 45_000}
STOPPED: Final = (hindered.LAUNCHER, hindered.Hindrance.RESTORE, "600")


@contextmanager
def filling(disk: Path) -> Iterator[Event]:
    """Something else writes a mebibyte a second to the disk, until told to stop; then its file is removed."""
    file = disk / "not-ours"

    def write(told: Event) -> None:
        with file.open("wb") as out:
            while not told.wait(0.5):
                out.write(bytes(512 << 10))
                out.flush()
        file.unlink()

    with beside(write) as told:
        yield told


def test_a_disk_that_fills_calls_and_is_given_room(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with (
        small_disk.made(folder) as disk,
        Drill(pipeline, tmp_path, times=720, inside=disk.inside, state_dir=folder) as drill,
        filling(disk.seen_from_outside) as enough,
    ):
        drill.inside, drill.state_dir = disk.inside, folder
        pipeline.send(FACTS)
        pipeline.wait_until_caught_up()

        def remove_it() -> None:
            enough.set()
            end(drill.worker)

        drill.recover("LoyaltyStateDiskFilling", by_hand=remove_it, corrected={"9464": str(drill.port)})

        pipeline.send(history(members=4, orders=4))
        pipeline.wait_until_caught_up()
        drill.follow("LoyaltyWorkerDown", "Afterwards")


def test_brokers_that_are_away_call_and_are_started_with_the_workers(tmp_path: Path) -> None:
    home = tmp_path / "own"
    with stack_of_its_own(home) as found:
        codec = schemas_of(found)
        with (
            Pipeline(found, codec, "", tmp_path) as pipeline,
            Drill(pipeline, tmp_path, home=home, times=5, **AS_IN_THE_CHART) as drill,
        ):
            pipeline.send(FACTS)
            pipeline.wait_until_caught_up()

            stack.kill_broker(home, 1)
            drill.recover("LoyaltyBrokersUnreachable", corrected={"9464": str(drill.port)})

            drill.follow("LoyaltyBrokersUnreachable", "Afterwards")


def test_a_restore_that_stops_calls_and_goes_on_elsewhere(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.send(FACTS)
    pipeline.run(replica="worker-0")
    shutil.rmtree(tmp_path / "state")

    with Drill(pipeline, tmp_path, build=STOPPED) as drill:
        drill.recover(
            "LoyaltyRestoreStalled", by_hand=lambda: end(drill.worker), corrected={"9464": str(drill.port)}
        )

        pipeline.send(history(members=4, orders=4))
        pipeline.wait_until_caught_up()
        drill.follow("LoyaltyRestoreStalled", "Afterwards")
