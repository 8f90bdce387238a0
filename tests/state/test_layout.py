"""Every byte layout that was ever written stays readable; a newer one is refused."""

from pathlib import Path

import pytest

from pipelines.domain.facts import CommandKind, PointsCommand
from pipelines.failure import Failure
from pipelines.processors.triggers import Triggers
from pipelines.programme_file import load_programme
from state import layout
from state.memory import MemoryStore
from tests.support.facts import command, member, order, refund, run
from tests.support.history import play
from tests.support.owed import FEBRUARY, Owed
from tests.support.programmes import reference

EXAMPLES = Path(layout.__file__).parent / "examples"
READERS = {
    "account": layout.account_of,
    "order": layout.order_of,
    "group": layout.group_of_bytes,
    "engagement": layout.ref_of,
    "lot": layout.lot_of,
    "spending": layout.spending_of,
    "command": layout.answered_of,
    "watch": layout.watch_of,
    "watched": layout.watched_of,
    "moved": layout.moved_of,
    "day": layout.day_of,
    "counted": layout.counted_of,
}


def written() -> dict[str, bytes]:
    facts = [
        member("2026-01-01T00:00:00Z"),
        order("O1", "2026-02-01T10:00:00Z"),
        refund("R1", "O1", "2026-02-03T10:00:00Z", ("A", 1, 40_00)),
        refund("R2", "O9", "2026-02-04T10:00:00Z", ("A", 1, 40_00)),
        run("E1", "2026-02-02T10:00:00Z", 6_400),
        command("C1", CommandKind.RESERVE, "2026-02-05T10:00:00Z", 20),
    ]
    records = play(facts, reference()).store.records
    seen, triggers = MemoryStore(), Triggers(load_programme(Path("reference")))
    for result in sorted((*facts, *play(facts, reference()).ledger), key=lambda x: x.recorded_at_ms):
        if not isinstance(result, PointsCommand):
            triggers.process(result, seen)
    owed = Owed(1).play(FEBRUARY).stores[0].records
    return {
        "moved": owed[layout.MOVED, "CH", "2026-03-01"],
        "day": owed[layout.DAY, "CH", "2026-03-01"],
        "counted": owed[layout.COUNTED, "", ""],
        "watch": seen.records[layout.WATCH, "m-1", ""],
        "watched": seen.records[layout.WATCHED, "m-1", "E1"],
        "account": records[layout.ACCOUNT, "m-1", ""],
        "order": records[layout.ORDER, "m-1", "O1"],
        "group": records[layout.GROUP, "m-1", "RUN:2026-02-02"],
        "engagement": records[layout.ENGAGEMENT, "m-1", "E1"],
        "lot": records[layout.LOT, "m-1", "engagement:E1"],
        "spending": records[layout.SPENDING, "m-1", "C1"],
        "command": records[layout.COMMAND, "m-1", "C1"],
    }


@pytest.mark.parametrize("kind", READERS)
def test_this_build_writes_what_the_example_of_its_layout_shows(kind: str) -> None:
    example = EXAMPLES / f"{layout.LAYOUT}.{kind}.bin"

    assert written()[kind] == example.read_bytes(), "a new layout needs a new number and a new example"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.bin")), ids=lambda p: p.name)
def test_every_layout_ever_written_is_read(path: Path) -> None:
    assert READERS[path.name.split(".")[1]](path.read_bytes())


@pytest.mark.parametrize("kind", READERS)
def test_what_is_read_is_written_again_byte_for_byte(kind: str) -> None:
    writers = {
        "account": layout.account_bytes,
        "order": layout.order_bytes,
        "group": layout.group_bytes,
        "engagement": layout.ref_bytes,
        "lot": layout.lot_bytes,
        "spending": layout.spending_bytes,
        "command": layout.answered_bytes,
        "watch": layout.watch_bytes,
        "watched": layout.watched_bytes,
        "moved": layout.moved_bytes,
        "day": layout.day_bytes,
        "counted": layout.counted_bytes,
    }
    value = written()[kind]

    assert writers[kind](READERS[kind](value)) == value  # type: ignore[operator]


def test_a_newer_layout_is_refused_with_what_to_do() -> None:
    with pytest.raises(Failure, match="layout 2") as failure:
        layout.account_of(bytes([2]) + b"x")

    assert "roll forward" in failure.value.do
    assert "runbooks/procedures.md" in failure.value.do
    assert "delete the state directory" not in failure.value.do, "the changelog has the newer layout too"
