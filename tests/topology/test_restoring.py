"""A batch of the changelog is written as the engine would write it record by record, and nothing else is taken in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quixstreams.state.recovery import RecoveryPartition
from quixstreams.state.rocksdb import RocksDBStorePartition

from pipelines.failure import Failure
from pipelines.runtime import restoring

INPUT = "commerce.orders.v1"
COMMITTED = 100


class Record(NamedTuple):
    """A record of a changelog, as the client gives it."""

    at: int
    of: bytes
    holds: bytes | None
    behind: bytes = b'{"commerce.orders.v1":7}'
    kind: bytes = b"default"

    def key(self) -> bytes:
        return self.of

    def value(self) -> bytes | None:
        return self.holds

    def offset(self) -> int:
        return self.at

    def topic(self) -> str:
        return "changelog"

    def partition(self) -> int:
        return 3

    def headers(self) -> list[tuple[str, bytes]]:
        return [("__column_family__", self.kind), ("__processed_tp_offsets__", self.behind)]


def target(partition: Any) -> RecoveryPartition:
    return RecoveryPartition("changelog", 3, partition, {INPUT: COMMITTED}, lowwater=0, highwater=1_000)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Any]:
    opened = RocksDBStorePartition(str(tmp_path / "db"))
    yield opened
    opened.close()


def kept(partition: Any) -> dict[bytes, bytes]:
    return dict(partition.iter_items(b"", b"\xff"))


def test_the_last_of_each_key_stands_and_what_was_deleted_does_not(partition: Any) -> None:
    restoring.write(target(partition), [Record(5, b"a", b"\x01A"), Record(6, b"b", b"\x01B")])
    restoring.write(target(partition), [Record(7, b"a", b"\x01C"), Record(8, b"b", None)])

    assert kept(partition) == {b"a": b"\x01C"}
    assert partition.get_changelog_offset() == 8


def test_a_record_whose_input_is_not_committed_is_passed_over_and_not_read_again(partition: Any) -> None:
    ahead = b'{"commerce.orders.v1":100}'
    restoring.write(target(partition), [Record(5, b"a", b"\x01A"), Record(6, b"a", b"\x01B", ahead)])

    assert kept(partition) == {b"a": b"\x01A"}
    assert partition.get_changelog_offset() == 6


def test_a_record_that_no_build_writes_is_refused_with_all_of_its_batch(partition: Any) -> None:
    with pytest.raises(Failure, match=r"changelog\[3\] has a record of state at offset 6"):
        restoring.write(
            target(partition), [Record(5, b"a", b"\x01A"), Record(6, b"b", b"\x01B", kind=b"ttl")]
        )

    assert kept(partition) == {}
    assert partition.get_changelog_offset() is None


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b", b"c"]),
            st.sampled_from([b"\x01A", b"\x01B", None]),
            st.sampled_from([7, 99, 100, 101]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_it_is_what_the_engine_does_record_by_record(
    tmp_path_factory: pytest.TempPathFactory, some: list[tuple[bytes, bytes | None, int]]
) -> None:
    records = [
        Record(n, key, value, b'{"commerce.orders.v1":%d}' % processed)
        for n, (key, value, processed) in enumerate(some)
    ]
    home = tmp_path_factory.mktemp("both")
    at_once, one_by_one = (RocksDBStorePartition(str(home / name)) for name in ("ours", "theirs"))
    restoring.write(target(at_once), records)
    theirs = target(one_by_one)
    for record in records:
        theirs.recover_from_changelog_message(record)  # type: ignore[arg-type]

    try:
        assert kept(at_once) == kept(one_by_one)
        assert at_once.get_changelog_offset() == one_by_one.get_changelog_offset()
    finally:
        at_once.close()
        one_by_one.close()
