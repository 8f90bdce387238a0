"""A disk of a process's own: it fills up as a real one does, and has room again."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.failure import Failure
from pipelines.local import small_disk
from pipelines.local.small_disk import SmallDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    with small_disk.made(path) as made:
        yield made


def test_a_full_disk_takes_no_byte_and_keeps_what_stands_on_it(disk: SmallDisk) -> None:
    kept = disk.seen_from_outside / "kept"
    kept.write_bytes(b"8" * 10_000)

    disk.fill()

    with pytest.raises(OSError, match="No space") as full:
        (disk.seen_from_outside / "more").write_bytes(b"8")
    assert full.value.errno == errno.ENOSPC
    assert kept.read_bytes() == b"8" * 10_000
    disk.clear()
    (disk.seen_from_outside / "more").write_bytes(b"8")


def test_an_empty_disk_can_be_full_too(disk: SmallDisk) -> None:
    disk.fill()

    with pytest.raises(OSError, match="No space"):
        (disk.seen_from_outside / "more").write_bytes(b"8" * 10_000)


def test_only_who_is_let_in_sees_it(disk: SmallDisk) -> None:
    subprocess.run([*disk.inside, "touch", str(disk.path / "within")], check=True)

    assert (disk.seen_from_outside / "within").exists()
    assert not list(disk.path.iterdir())


def test_it_is_gone_with_its_context(tmp_path: Path) -> None:
    with small_disk.made(tmp_path) as disk:
        pass

    assert not disk.seen_from_outside.exists()


def test_a_disk_without_a_keeper_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(small_disk, "MOUNTED_S", 0.1)

    with pytest.raises(Failure, match="no small disk"):
        small_disk.wait_until_there(SmallDisk(tmp_path, ended.pid))
