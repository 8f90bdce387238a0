"""The peers of the race on the real broker: each does the work, and says what we say.

Faust is compared by the race alone: its sends are slow, and its exactly once does not hold (docs/PERFORMANCE.md).
"""

from __future__ import annotations

import pytest

from benchmarks.peers.answers import Answer
from benchmarks.peers.crash import done
from benchmarks.peers.engines import KAFKA_STREAMS, LOYALTY, PLAIN_QUIX, Engine, Record
from benchmarks.peers.race import recorded
from benchmarks.peers.workload import Workload
from pipelines.local.endpoints import Endpoints
from schemas.codec import Codec

pytestmark = pytest.mark.broker

WORK = Workload(facts=2_000, members=300, seed=11, late=0.1, duplicates=0.05)
"""So few members that many reach tiers, fill their days, and lose a tier with a return."""


@pytest.fixture(scope="module")
def records(codec: Codec) -> list[Record]:
    return recorded(WORK, codec)


@pytest.fixture(scope="module")
def ours(records: list[Record], cluster: Endpoints, codec: Codec) -> Answer:
    return done(LOYALTY, records, cluster, codec, kill=False)[0]


@pytest.mark.parametrize("peer", [KAFKA_STREAMS, PLAIN_QUIX], ids=lambda e: e.name)
def test_a_peer_says_what_we_say(
    peer: Engine, records: list[Record], ours: Answer, cluster: Endpoints, codec: Codec
) -> None:
    assert done(peer, records, cluster, codec, kill=False) == (ours, len(records))
