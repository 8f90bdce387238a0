"""State directories that are lost, and RocksDB files that are damaged."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from pipelines.torture.fault import Fault, Strike
from pipelines.torture.ground import Ground


@contextlib.contextmanager
def lost(ground: Ground, rnd: Random) -> Iterator[str]:
    replica = rnd.choice(ground.workers.replicas())
    with ground.workers.held(replica):
        shutil.rmtree(ground.workers.state_dir(replica), ignore_errors=True)
        yield replica


@contextlib.contextmanager
def all_lost(ground: Ground, _: Random) -> Iterator[str]:
    replicas = ground.workers.replicas()
    with ground.workers.held(*replicas):
        for replica in replicas:
            shutil.rmtree(ground.workers.state_dir(replica), ignore_errors=True)
        yield "all workers"


def _cut(file: Path, rnd: Random) -> str:
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.truncate(rnd.randrange(size) if size else 0)
    return "cut short"


def _flip(file: Path, rnd: Random) -> str:
    content = bytearray(file.read_bytes())
    for _ in range(16 if content else 0):
        content[rnd.randrange(len(content))] ^= rnd.randrange(1, 256)
    file.write_bytes(bytes(content))
    return "16 bytes changed"


def _noise(file: Path, rnd: Random) -> str:
    file.write_bytes(rnd.randbytes(64))
    return "noise"


def _delete(file: Path, _: Random) -> str:
    file.unlink()
    return "deleted"


def damaged(pattern: str, *ways: Callable[[Path, Random], str]) -> Strike:
    """Damage a file of a killed worker's databases; the largest of its kind, where there are several."""

    @contextlib.contextmanager
    def strike(ground: Ground, rnd: Random) -> Iterator[str]:
        replica = rnd.choice(ground.workers.replicas("accounts"))
        with ground.workers.held(replica):
            folder = ground.workers.state_dir(replica)
            files = sorted(folder.rglob(pattern), key=lambda file: (-file.stat().st_size, str(file)))
            if not files:
                yield f"{replica} has no {pattern}: only killed"
                return
            file = rnd.choice(files[:4])
            how = rnd.choice(ways)(file, rnd)
            yield f"{replica} {file.parent.name}/{file.name}: {how}"

    return strike


REBUILT: Final = "It is found at the latest when it is opened, thrown away, and rebuilt from the changelog"

FAULTS: Final = (
    Fault("F15", "state-lost", "Rebuilt from the changelog", lost, (0, 1), weight=3),
    Fault("F15", "all-state-lost", "Rebuilt from the changelog", all_lost, (0, 1)),
    Fault("F16", "sst-damaged", REBUILT, damaged("*.sst", _cut, _flip), (0, 1), weight=2),
    Fault("F16", "manifest-damaged", REBUILT, damaged("MANIFEST-*", _cut, _flip), (0, 1), weight=2),
    Fault("F16", "current-damaged", REBUILT, damaged("CURRENT", _noise, _delete), (0, 1), weight=2),
    Fault("F16", "wal-damaged", REBUILT, damaged("*.log", _cut, _flip), (0, 1), weight=2),
)
