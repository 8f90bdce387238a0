"""The page of reliability names every fault of the matrix, the faults that there are, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import build
from pipelines.torture.faults import ALL
from pipelines.torture.matrix import MATRIX, where
from pipelines.torture.page import BEGIN, END, MATRIX_BEGIN, MATRIX_END, with_matrix

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/RELIABILITY.md"
TEXT = PAGE.read_text()


def test_every_row_of_the_matrix_is_there_once() -> None:
    assert [row.number for row in MATRIX] == [f"F{number}" for number in range(1, 46)]


def test_every_row_is_struck_in_a_run_or_says_why_not_and_which_test_shows_it() -> None:
    assert not [row.number for row in MATRIX if not row.struck and not (row.why and row.tests)]


def test_every_fault_stands_in_its_row_and_no_row_names_another() -> None:
    rows = {row.number: row for row in MATRIX}
    names = {fault.name for fault in ALL}

    assert not [fault.name for fault in ALL if f"`{fault.name}`" not in where(rows[fault.number])]
    assert not [name for row in MATRIX for name in row.besides if name not in names]


def test_the_page_has_the_matrix(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--golden-rewrite"):
        PAGE.write_text(with_matrix(TEXT))

    assert PAGE.read_text() == with_matrix(TEXT), (
        "it is old: run this test with --golden-rewrite, read the diff"
    )


def test_the_list_of_the_command_leaves_no_row_out() -> None:
    told = CliRunner().invoke(build(), ["torture", "--list"], env={"COLUMNS": "200"})

    assert told.exit_code == 0
    assert set(re.findall(r"\bF\d+\b", told.stdout)) == {row.number for row in MATRIX}
    assert not [fault.name for fault in ALL if fault.name not in told.stdout]


def test_every_test_that_is_named_exists() -> None:
    named = {test for row in MATRIX for test in row.tests} | set(re.findall(r"`(tests/[^`]+)`", TEXT))

    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_run_and_the_matrix_have_their_places() -> None:
    assert TEXT.count(BEGIN) == TEXT.count(END) == 1
    assert TEXT.count(MATRIX_BEGIN) == TEXT.count(MATRIX_END) == 1
