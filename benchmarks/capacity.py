"""What the model of `loyalty capacity` is fed with: `.venv/bin/python benchmarks/capacity.py [MEMBERS [DAYS]]`.

On the running embedded stack (`make up`). Simulated members live their days on topics of their own, one worker
processes all of it, then restores the same state from its changelog. Writes pipelines/operations/capacity.json, for
`make golden`.
"""

from __future__ import annotations

import logging
import resource
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex
from typing import Any

import structlog

from pipelines.audit.reading import Topics
from pipelines.cli.bench import START_MS, forget
from pipelines.cli.run import worker_settings
from pipelines.domain.programme import DAY_MS
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.feeds.producer import feed
from pipelines.local.endpoints import endpoints, home_dir
from pipelines.operations.capacity import MEASURED, Figures
from pipelines.programme_file import load_programme
from pipelines.runtime import metrics
from pipelines.runtime.producers import Sender
from pipelines.runtime.ticks import send_tick
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import ACCOUNTS, PARTITIONS, topics
from pipelines.worker import run_worker
from schemas.registry import connect

SEED = 1


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 365
    prefix, state = f"capacity-{token_hex(3)}-", home_dir() / "capacity"
    bootstrap = endpoints().bootstrap_servers
    try:
        apart(fill, members, days, prefix)
        worked = apart(work, prefix, state)
        state_bytes = sum(f.stat().st_size for f in state.rglob("*") if f.suffix in (".sst", ".log"))
        shutil.rmtree(state)
        written, live = changelog(bootstrap, prefix)
        restored_s = apart(restore, prefix, state)
        figures = Figures(
            members=members,
            days=days,
            state_bytes=state_bytes,
            changelog_records=written,
            live_records=live,
            restored_records_per_s=round(written / restored_s, 1),
            broker_bytes=on_broker(prefix),
            **worked,
        )
    finally:
        forget(bootstrap, prefix, state)
    MEASURED.write_text(figures.model_dump_json(indent=2) + "\n")
    print(MEASURED.read_text())


def apart(measure: Any, *given: Any) -> Any:
    """Run it in a process of its own, whose processor time and memory are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(measure, *given).result()


def fill(members: int, days: int, prefix: str) -> None:
    found = endpoints()
    partitions = ensure_topics(found.bootstrap_servers, PARTITIONS, prefix)
    codec = connect(found.schema_registry_url, register=True)
    arrivals = with_ticks(simulate.facts(SEED, members, days, START_MS), DAY_MS, 70 * DAY_MS)
    feed(arrivals, found.bootstrap_servers, codec, partitions, prefix, lambda _: None)


def work(prefix: str, state: Path) -> dict[str, float]:
    """Process all of it; start-up, a few seconds of CPU, is in the figure."""
    _quiet()
    before = resource.getrusage(resource.RUSAGE_SELF)
    facts = run_worker(settings(prefix, state), load_programme(Path("reference")), until_caught_up=True).facts
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "facts": facts,
        "cpu_s_per_million_facts": round(cpu / facts * 1e6, 1),
        "rss_mb": round(after.ru_maxrss / 1024, 1),
    }


def restore(prefix: str, state: Path) -> float:
    """Seconds that a worker without state takes to have it again; a tick more, for with nothing to do it would go."""
    _quiet()
    found = endpoints()
    sender = Sender(found.bootstrap_servers, "a tick")
    send_tick(sender, connect(found.schema_registry_url), START_MS, PARTITIONS, prefix)
    sender.flush()
    run_worker(settings(prefix, state), load_programme(Path("reference")), until_caught_up=True)
    (restores,) = metrics.RESTORE_S.collect()
    (took,) = restores.samples
    return took.value


def changelog(bootstrap: str, prefix: str) -> tuple[int, int]:
    """Records written so far, and those that a compaction would leave."""
    written, last = 0, {}

    def seen(records: Any) -> None:
        nonlocal written
        written += len(records)
        last.update({(record.partition, record.key): record.value is not None for record in records})

    Topics(bootstrap).read(ACCOUNTS.changelog(prefix), seen)
    return written, sum(last.values())


def on_broker(prefix: str) -> dict[str, int]:
    """Bytes of the log's segments, by topic."""
    names = {topic.name: topic.name.removeprefix(prefix) for topic in topics(prefix)}
    names[ACCOUNTS.changelog(prefix)] = "changelog"
    sizes = {}
    for topic, name in sorted(names.items(), key=lambda both: both[1]):
        logs = (home_dir() / "kafka-1").glob(f"{topic}-*/*.log")
        if size := sum(log.stat().st_size for log in logs):
            sizes[name] = size
    return sizes


def settings(prefix: str, state: Path) -> Any:
    return worker_settings("capacity", state, prefix)


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    main()
