"""What counting costs: facts a second of an in-memory join, two source trees taking turns in one run.

`python benchmarks/counting.py BEFORE AFTER [ROUNDS]`: each is a checkout with its own `.venv`. Ratios of one run only:
the machine may be shared, and a single timing says little.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ONE_ROUND = """
import sys, tempfile, time
from pathlib import Path
from quixstreams.state.rocksdb import RocksDBStorePartition
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.programme_file import load_programme
from tests.support.driver import Driver
from schemas.codec import topic_of
from state.rocks import RocksStore
from pipelines.topology import Source
from pipelines.domain.facts import Tick
DAY = 86_400_000
with tempfile.TemporaryDirectory() as folder:
    partition = RocksDBStorePartition(folder + "/db")
    driver = Driver(partition, load_programme(Path("reference")))
    facts = [a.fact for a in with_ticks(simulate.exactly(1, 500, 6_000, 1_704_067_200_000), DAY, 70 * DAY)]
    records = []
    for n, f in enumerate(facts):
        key = b"tick" if isinstance(f, Tick) else f.member_id.encode()
        at = f.at_ms if isinstance(f, Tick) else f.recorded_at_ms
        records.append(Source(topic_of(f), 0, n, key, driver.codec.encode(f), [], at))
    begun = time.process_time()
    for start in range(0, len(records), 1_000):
        transaction = partition.begin()
        for source in records[start : start + 1_000]:
            driver._join(source, RocksStore(transaction))
        if hasattr(driver._join, "tally"):
            driver._join.tally.publish(time.time())
        transaction.prepare()
        transaction.flush()
    print(len(records) / (time.process_time() - begun))
    partition.close()
"""


def facts_per_second(tree: Path) -> float:
    ran = subprocess.run(
        [tree / ".venv/bin/python", "-c", ONE_ROUND], cwd=tree, capture_output=True, text=True, check=True
    )
    return float(ran.stdout.split()[-1])


def main() -> None:
    before, after = (Path(argument).absolute() for argument in sys.argv[1:3])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    ratios = []
    for nth in range(rounds):
        pair = (before, after) if nth % 2 == 0 else (after, before)
        measured = {tree: facts_per_second(tree) for tree in pair}
        ratios.append(measured[after] / measured[before])
        print(f"{measured[before]:,.0f}/s before, {measured[after]:,.0f}/s after, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} of {rounds} rounds")


if __name__ == "__main__":
    main()
