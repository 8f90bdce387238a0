"""The page of reliability names every fault of the matrix, the faults that there are, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.torture.faults import ALL
from pipelines.torture.page import BEGIN, END

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/RELIABILITY.md").read_text()
ROWS = dict(re.findall(r"^\| (F\d+) \| (.*) \|$", TEXT.split("## The fault matrix")[1], re.MULTILINE))


def test_every_row_of_the_matrix_is_there() -> None:
    assert list(ROWS) == [f"F{number}" for number in range(1, 46)]


def test_every_fault_stands_in_its_row() -> None:
    assert not [fault.name for fault in ALL if f"`{fault.name}`" not in ROWS[fault.number]]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", TEXT))

    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_run_has_its_place() -> None:
    assert TEXT.count(BEGIN) == TEXT.count(END) == 1
