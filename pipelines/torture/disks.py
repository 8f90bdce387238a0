"""What the workers' databases hold, read without the pipeline: a sum of each partition's keys and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rocksdict import AccessType, Options, Rdict

from pipelines.torture.oracle import content_digest


def held(state: Path, store: str) -> dict[int, list[str]]:
    """Of every partition, the sums of the databases that are there under `state`; all workers must have ended.

    A partition that has moved has left one behind at each worker that had it.
    """
    found: dict[int, list[str]] = {}
    for current in sorted(state.rglob(f"{store}/*/CURRENT")):
        folder = current.parent
        database = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
        try:
            items: list[tuple[Any, Any]] = list(database.items())
        finally:
            database.close()
        found.setdefault(int(folder.name), []).append(content_digest(items))
    return found
