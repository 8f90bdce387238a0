"""Which tables are in service is one pointer: whoever follows it sees one set, and two rebuilds do not both win."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.failure import Failure
from pipelines.warehouse.lake import Lake, Replaced
from pipelines.warehouse.rebuilding import SET_OF, drop_before, sets_before, swap, unfinished
from pipelines.warehouse.settings import WarehouseSettings, warehouse_settings
from tests.warehouse.test_lake import TIERS, changes, shape


@pytest.fixture
def settings(tmp_path: Path) -> WarehouseSettings:
    return warehouse_settings(tmp_path)


def beside(lake: Lake, name: str) -> Lake:
    lake.catalogue.create_namespace(name, {SET_OF: "loyalty"})
    return Lake(lake.settings, name)


def test_a_set_that_was_made_stays_out_of_service_until_the_swap(settings: WarehouseSettings) -> None:
    old = Lake(settings)
    new = beside(old, "loyalty__2")
    for lake, last in ((old, 2), (new, 5)):
        lake.fit(shape(TIERS))
        lake.write(TIERS, changes(0, last))
    before = Lake(settings)

    swap(settings, old, new)

    assert (before.namespace, Lake(settings).namespace) == ("loyalty", "loyalty__2")
    assert (before.offsets(TIERS), Lake(settings).offsets(TIERS)) == ({0: 2}, {0: 5})


def test_a_sink_of_the_set_of_before_writes_no_more(settings: WarehouseSettings) -> None:
    old = Lake(settings)
    old.fit(shape(TIERS))
    old.write(TIERS, changes(0, 2))
    swap(settings, old, beside(old, "loyalty__2"))

    with pytest.raises(Replaced, match="has put loyalty__2 into service") as refused:
        old.write(TIERS, changes(2, 4))

    assert refused.value.exit_code == 75
    assert old.offsets(TIERS) == {0: 2}


def test_of_two_rebuilds_the_second_to_end_is_refused(settings: WarehouseSettings) -> None:
    old, late = Lake(settings), Lake(settings)
    swap(settings, old, beside(old, "loyalty__2"))

    with pytest.raises(Failure, match="loyalty__2 was put into service while loyalty__3"):
        swap(settings, late, beside(late, "loyalty__3"))

    assert unfinished(old.catalogue, settings) == ["loyalty__3"]


def test_all_sets_of_before_are_dropped_and_no_others(settings: WarehouseSettings) -> None:
    first = Lake(settings)
    first.catalogue.create_namespace("loyalty__of_somebody_else")
    second = beside(first, "loyalty__2")
    swap(settings, first, second)
    third = beside(first, "loyalty__3")
    swap(settings, Lake(settings), third)
    assert sets_before(first.catalogue, settings) == ["loyalty", "loyalty__2"]
    assert unfinished(first.catalogue, settings) == []

    assert drop_before(settings) == ["loyalty", "loyalty__2"]

    assert sets_before(first.catalogue, settings) == []
    left = {".".join(name) for name in first.catalogue.list_namespaces()}
    assert left == {"loyalty", "loyalty__3", "loyalty__of_somebody_else"}
    assert Lake(settings).namespace == "loyalty__3"
