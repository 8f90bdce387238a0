"""What a sink writes to: a warehouse that keeps, with the rows of each table, how far its topic has been read.

Rows and offsets become visible together or not at all. So a sink that dies at any point is followed by one that reads
on from where the rows end; and one that slept while another went on finds other offsets than it left, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from pipelines.failure import Failure
from pipelines.runtime.engine import EXIT_FENCED
from pipelines.warehouse.columns import Shape
from pipelines.warehouse.tables import Table

Offsets = Mapping[int, int]
"""The next offset to read, by partition; a partition of which nothing has been read is not in it."""


class Away(Exception):
    """The warehouse did not take a commit, or did not say whether it did: look at its offsets, then try again."""


class Fenced(Failure):
    """Somebody else writes these tables."""

    def __init__(self, table: str, mine: Offsets, found: Offsets) -> None:
        super().__init__(
            f"{table} is at {dict(found)}, this sink left it at {dict(mine)}: another sink writes it",
            "let one sink a warehouse run; then start it again: nothing was lost or doubled",
            EXIT_FENCED,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be written to a table at once, and from where to where its topic was read for it.

    `gone` are the members whose row of a current table is taken back; they are not among the rows.
    """

    rows: pa.Table
    base: Offsets
    upto: Offsets
    gone: frozenset[str] = frozenset()


class Target(Protocol):
    """A warehouse."""

    name: str
    tables: tuple[Table, ...]

    def fit(self, shape: Shape) -> None:
        """Have the table there, with every column of the shape; columns that it has besides stay, and may be null."""
        ...

    def offsets(self, table: Table) -> Offsets: ...

    def write(self, table: Table, batch: Batch) -> None:
        """All of it or nothing; raises Fenced when the table is not at `batch.base`, Away when it cannot tell."""
        ...

    def prefers_ms(self, table: Table) -> int:
        """How long rows of this table may wait for others."""
        ...


def same(one: Offsets, other: Offsets) -> bool:
    return dict(one) == dict(other)


def decoded(value: Mapping[str, Any]) -> dict[int, int]:
    """Offsets as they are kept in JSON."""
    return {int(partition): int(offset) for partition, offset in value.items()}
