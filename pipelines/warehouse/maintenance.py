"""Keeps the tables quick and small: few files a day instead of many, no snapshots that nobody reads any more, no files
that a sink wrote and died before it committed them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyarrow.fs import FileSelector, FileType
from pyiceberg import expressions
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import BooleanExpression
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as IcebergTable
from pyiceberg.transforms import MonthTransform

from pipelines.failure import Failure
from pipelines.warehouse.lake import Lake, summary_of
from pipelines.warehouse.tables import MARKET, Table

FILES_AT_ONCE: Final = 400
"""Files read for one commit of a compaction: what is read again when a sink commits in between."""
TRIES: Final = 5
ORPHAN_AFTER: Final = timedelta(days=1)
"""A file that no snapshot knows may still be about to be committed; after so long it is not."""


class Kept(NamedTuple):
    """What maintenance did to a table."""

    table: str
    files_before: int
    files_after: int
    snapshots_expired: int
    files_removed: int


def maintain(lake: Lake, table: Table, keep: timedelta, orphan_after: timedelta = ORPHAN_AFTER) -> Kept:
    """Compact the table, expire snapshots older than `keep`, and remove files that no snapshot knows."""
    found = lake.table(table.name)
    before = len(_files(found))
    compact(lake, table)
    expired = _expire(lake.table(table.name), keep)
    removed = _remove_orphans(lake, lake.table(table.name), orphan_after)
    return Kept(table.name, before, len(_files(lake.table(table.name))), expired, removed)


def _files(table: IcebergTable) -> list[FileScanTask]:
    return list(table.scan().plan_files())


def compact(lake: Lake, table: Table) -> None:
    """One file a day and market where there were several. Rows and offsets stay as they are."""
    for part in _parts(lake.table(table.name), table):
        for _ in range(TRIES):
            try:
                _rewrite(lake.table(table.name), table, part)
                break
            except CommitFailedException:  # a sink committed meanwhile: its rows are to be kept too
                time.sleep(0.2)


def _parts(found: IcebergTable, table: Table) -> Iterator[BooleanExpression]:
    """Conditions that each select days of one market in which files lie crowded, so many as can be read at once."""
    if table.day is None:
        return
    files = Counter(_partition(task) for task in _files(found))
    days_of: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for (day, market), count in files.items():
        if count > 1:
            days_of[market].append(day)
    begin_of = _month if isinstance(found.spec().fields[0].transform, MonthTransform) else _day
    for market, days in sorted(days_of.items()):
        for first, last in _runs(sorted(days), {day: files[day, market] for day in days}):
            yield _between(table.day, begin_of(first), begin_of(last + 1), market)


def _partition(task: FileScanTask) -> tuple[int, tuple[Any, ...]]:
    """The number of the day (or month), and the market where the table has one."""
    values: Any = task.file.partition
    day, *market = values
    return day, tuple(market)


def _runs(days: list[int], files: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Days in a row, of together at most FILES_AT_ONCE files: first and last of each run."""
    first, held = days[0], 0
    for before, day in zip([days[0] - 1, *days], days, strict=False):
        if day != before + 1 or held + files[day] > FILES_AT_ONCE:
            if held:
                yield first, before
            first, held = day, 0
        held += files[day]
    yield first, days[-1]


def _between(name: str, begin: datetime, end: datetime, market: tuple[str, ...]) -> BooleanExpression:
    of: Any = expressions  # its types are those of its parser, not those that it takes
    days: BooleanExpression = of.And(
        of.GreaterThanOrEqual(name, begin.isoformat()), of.LessThan(name, end.isoformat())
    )
    return of.And(days, of.EqualTo(MARKET, market[0])) if market else days


def _day(number: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)


def _month(number: int) -> datetime:
    return datetime(1970 + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _rewrite(found: IcebergTable, table: Table, part: BooleanExpression) -> None:
    rows: pa.Table = found.scan(row_filter=part).to_arrow()
    rows = rows.sort_by([(name, "ascending") for name in table.sorted_by])
    found.overwrite(rows, overwrite_filter=part, snapshot_properties=summary_of(found))


def _expire(found: IcebergTable, keep: timedelta) -> int:
    before = len(found.snapshots())
    old = datetime.now(UTC) - keep
    if any(s.timestamp_ms < old.timestamp() * 1000 for s in found.snapshots()[:-1]):
        found.maintenance.expire_snapshots().older_than(old).commit()
        found.refresh()
    return before - len(found.snapshots())


def _remove_orphans(lake: Lake, found: IcebergTable, orphan_after: timedelta) -> int:
    """Data and metadata files of the table's folder that nothing refers to, if they are old enough."""
    io = found.io
    if not isinstance(io, PyArrowFileIO):
        return 0
    scheme, host, folder = PyArrowFileIO.parse_location(found.location())
    system = io.fs_by_scheme(scheme, host)
    known = {_path(name) for name in _referenced(found)}
    old = datetime.now(UTC) - orphan_after
    files = [f for f in system.get_file_info(FileSelector(folder, recursive=True)) if f.type == FileType.File]
    if _path(found.metadata_location) not in {info.path for info in files}:
        what = f"{folder} does not list the table's own {_path(found.metadata_location)}"
        raise Failure(what, "nothing was removed; see whether the storage lists what was written")
    gone = [info.path for info in files if info.mtime < old and info.path not in known]
    for path in gone:
        system.delete_file(path)
    return len(gone)


def _path(name: str) -> str:
    """As a file system lists it: an absolute path, or bucket and key."""
    return PyArrowFileIO.parse_location(name)[2]


def _referenced(found: IcebergTable) -> Iterator[str]:
    yield found.metadata_location
    yield from (entry.metadata_file for entry in found.metadata.metadata_log)
    for snapshot in found.snapshots():
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(found.io):
            yield manifest.manifest_path
            for entry in manifest.fetch_manifest_entry(found.io, discard_deleted=True):
                yield entry.data_file.file_path
