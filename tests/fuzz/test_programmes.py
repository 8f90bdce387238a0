"""Any text at all for a programme's file: a programme, or a Failure that names the file and the line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.failure import Failure
from pipelines.programme_file import ALONG, load_programme, parse_programme
from tests.support.facts import member, order, refund, run, tick
from tests.support.history import play

FACTS = [
    member("2026-01-01T00:00:00Z"),
    order("O1", "2026-03-01T10:00:00Z"),
    run("E1", "2026-03-02T10:00:00Z", 5_000),
    refund("R1", "O1", "2026-03-03T10:00:00Z", ("A", 1, 50_00)),
    tick("2028-01-01T00:00:00Z"),
]
LINES = (ALONG / "reference.yaml").read_text().splitlines()
WORDS = sorted(set(re.findall(r"[\w.%:/-]+", "\n".join(LINES))))
ODD = [
    "",
    "0",
    "-1",
    "1e9",
    "0x10",
    "1/0",
    "1/3",
    "25 %",
    "-5 %",
    "9" * 40,
    "~",
    "never",
    "[]",
    "{}",
    "&a",
    "*a",
    "!x",
    ".nan",
]
ODD += [
    "2026-13-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "25:00",
    "Mars/Olympus",
    "'",
    '"',
    "\t",
    "\0",
    "é",
]


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """The reference programme with some lines lost, doubled, moved, or with other words in them."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case 2:
                lines[at] = "  " * draw(st.integers(0, 3)) + lines[at].lstrip()
            case _:
                lines[at] = with_another_word(draw, lines[at])
    return "\n".join(lines)


def with_another_word(draw: st.DrawFn, line: str) -> str:
    words = list(re.finditer(r"[\w.%/-]+", line))
    other = draw(st.one_of(st.sampled_from(ODD), st.sampled_from(WORDS), st.text(max_size=4)))
    if not words:
        return other
    word = draw(st.sampled_from(words))
    return line[: word.start()] + other + line[word.end() :]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        spoilt(),
        spoilt(),
        spoilt(),
        st.text(max_size=80),
        st.lists(st.sampled_from(ODD), max_size=6).map("\n".join),
    )
)
def test_a_programme_is_loaded_or_its_line_is_named(text: str) -> None:
    try:
        programme = parse_programme(text, "mine.yaml")
    except Failure as failure:
        told = failure
    else:
        assert play(FACTS, programme).balances
        return
    assert re.match(r"mine\.yaml:\d+: ", told.what), told.what
    assert told.do


def test_a_file_that_is_no_text_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xff\xfe\x00name: x")

    with pytest.raises(Failure, match="mine.yaml"):
        load_programme(file)
