"""Keys land where Kafka's own partitioner puts them."""

from __future__ import annotations

import pytest

from pipelines.runtime.partition import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_numbers_of_kafka_s_own_tests(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % (1 << 32)


def test_a_partition_is_within_their_number() -> None:
    assert {partition_of(f"m-{n}".encode(), 8) for n in range(100)} == set(range(8))
