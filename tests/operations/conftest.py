"""A real RocksDB partition for what is counted and logged on the way through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quixstreams.state.rocksdb import RocksDBStorePartition


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Any]:
    opened = RocksDBStorePartition(str(tmp_path / "db"))
    yield opened
    opened.close()
