"""What the members of each experiment did, read from the books by the hash that assigns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import numpy as np

from pipelines.audit.books import Books
from pipelines.experiments.comparison import Arm

HERE: Final = files("pipelines.experiments")
DAY_MS: Final = 86_400_000
BUCKETS: Final = 10_000
HOLDOUT: Final = "holdout"
TOPICS: Final = (
    "dead_letter",
    "fact_order",
    "fact_return",
    "fact_member",
    "tick",
    "sent_trigger",
    "suppressed_trigger",
)
"""The tables of the books that must be filled."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment's arms; `too_new` members crossed less than `days` before the topics' end, and are in none."""

    name: str
    kinds: tuple[str, ...]
    days: int
    holdout: Arm
    variants: tuple[Arm, ...]
    too_new: int


def experiments(books: Books, days: int) -> list[Experiment]:
    """Every experiment of the programme, with what its members did within so many days of crossing."""
    books.run("80_told.sql")
    books.database.execute(f"SET VARIABLE window_ms = {days * DAY_MS}::BIGINT")
    books.database.execute((HERE / "outcomes.sql").read_text())
    names = books.rows(
        "SELECT experiment, list(kind ORDER BY rank), any_value(holdout_bp) FROM trigger_kind "
        "WHERE experiment IS NOT NULL GROUP BY experiment ORDER BY experiment"
    )
    return [_experiment(books, name, tuple(kinds), holdout_bp, days) for name, kinds, holdout_bp in names]


def _experiment(books: Books, name: str, kinds: tuple[str, ...], holdout_bp: int, days: int) -> Experiment:
    held = holdout_bp / BUCKETS
    too_new = "SELECT count(*) FROM subject WHERE NOT followed AND experiment = ?"
    ((waiting,),) = books.database.execute(too_new, [name]).fetchall()
    variants = tuple(_arm(books, name, arm, (1 - held) * share) for arm, share in _variants(books, name))
    return Experiment(name, kinds, days, _arm(books, name, HOLDOUT, held), variants, int(waiting))


def _variants(books: Books, name: str) -> Iterator[tuple[str, float]]:
    """Each variant and its share of those who are not held out; `told` when there is one wording only."""
    query = (
        "SELECT name, from_weight, to_weight FROM trigger_variant WHERE experiment = ? ORDER BY from_weight"
    )
    found = books.database.execute(query, [name]).fetchall()
    for variant, begins, ends in found or [("told", 0, 1)]:
        yield variant, (ends - begins) / (found[-1][2] if found else 1)


def _arm(books: Books, experiment: str, arm: str, weight: float) -> Arm:
    query = "SELECT orders, net, sent FROM outcome WHERE experiment = ? AND arm = ? ORDER BY member_id"
    rows = np.array(books.database.execute(query, [experiment, arm]).fetchall(), dtype=float).reshape(-1, 3)
    return Arm(arm, weight, rows[:, 0], rows[:, 1], int(rows[:, 2].sum()))
