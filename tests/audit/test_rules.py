"""The auditor reads a programme file with its own eyes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from pipelines.audit.books import Books
from pipelines.audit.rules import _fraction, _ms, enter_rules
from pipelines.failure import Failure


@pytest.mark.parametrize(
    ("text", "value"), [("25 %", "1/4"), ("1/3", "1/3"), ("0.5", "1/2"), ("2", "2"), ("33.3%", "333/1000")]
)
def test_a_bonus_is_an_exact_fraction(text: str, value: str) -> None:
    assert _fraction(text) == Fraction(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-03-01T00:00:00Z", 1_772_323_200_000),
        ("2026-03-01T01:00:00+01:00", 1_772_323_200_000),
        ("2026-03-01", 1_772_323_200_000),
    ],
)
def test_an_instant_has_its_offset_or_is_utc(text: str, value: int) -> None:
    assert _ms(text) == value


@pytest.mark.parametrize("text", ["", "versions: [", "versions: 3", "name: x"])
def test_a_file_that_is_no_programme_is_one_failure(tmp_path: Path, text: str) -> None:
    file = tmp_path / "programme.yaml"
    file.write_text(text)

    with Books() as books, pytest.raises(Failure, match="cannot be read"):
        enter_rules(books, file)


def test_what_members_may_be_told_is_read_with_the_gate() -> None:
    with Books() as books:
        enter_rules(books, Path("reference"))

        assert books.rows("FROM trigger_quiet") == [(22 * 60, 6 * 60)]
        assert books.rows("FROM trigger_cap ORDER BY rank") == [
            (0, 1, 1, None, "push"),
            (1, 1, 7, "POINTS_ACTIVATED", None),
        ]
        assert books.rows("FROM trigger_variant ORDER BY from_weight") == [
            ("nudge-2026q1", "plain", 0, 1),
            ("nudge-2026q1", "shoe", 1, 2),
        ]
        assert books.rows(
            "SELECT kind, lives_ms, holdout_bp FROM trigger_kind WHERE experiment IS NOT NULL"
        ) == [("WIN_BACK_DUE", 168 * 3_600_000, 1_000)]


def test_a_programme_that_tells_nothing_has_no_gate() -> None:
    with Books() as books:
        enter_rules(books, Path("demo"))

        assert books.count("SELECT count(*) FROM trigger_kind") == 0
