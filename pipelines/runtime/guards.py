"""What must hold before a worker starts. Each guard refuses with what happened and what to do.

They stand where the engine would go on in silence: on an empty state beside a full changelog, past a gap in its
input, or on a directory that another worker owns.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

import pipelines
from pipelines.failure import Failure
from pipelines.runtime import offsets
from pipelines.runtime.access import check_access
from pipelines.runtime.settings import Settings
from pipelines.runtime.topic_admin import connect, make_plan
from pipelines.topics import prefixed

TIMEOUT_S: Final = 15.0
MAKE_ROOM: Final = "make room or mount a larger volume"
RESET: Final = "see runbooks/LoyaltyStateWithoutOffsets.md: state, changelog and offsets are reset together"


@contextmanager
def checked(settings: Settings) -> Iterator[int]:
    """Run every guard, and hold the lock on the state directory meanwhile; how many partitions each input has."""
    check_state_dir(settings.state_dir, settings.state_free_bytes_min)
    with lock_state_dir(settings.state_dir):
        admin = connect(settings.bootstrap_servers)
        check_access(admin, settings)
        partitions = check_topics(admin, settings)
        check_offsets(admin, settings, partitions)
        yield partitions


def check_state_dir(state_dir: Path, free_bytes_min: int) -> None:
    """The directory is writable, has room, and lies outside the source."""
    source = Path(pipelines.__file__).parent.parent.resolve()
    for package in ("pipelines", "schemas", "state"):
        if state_dir.resolve().is_relative_to(source / package):
            what = f"the state directory {state_dir} lies in the source package `{package}`"
            raise Failure(what, "choose a directory outside: a build would ship the database")
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        probe = state_dir / f".probe-{os.getpid()}"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        what = f"the state directory {state_dir} cannot be written: {error.strerror}"
        raise Failure(what, "mount it writable for this user, or give another --state-dir") from error
    free = shutil.disk_usage(state_dir).free
    if free < free_bytes_min:
        what = f"the disk of {state_dir} has {free >> 20} MiB left, {free_bytes_min >> 20} MiB are needed"
        raise Failure(what, f"{MAKE_ROOM}; state can be deleted, the changelog restores it")


def disk_full(error: BaseException, state_dir: Path) -> Failure | None:
    """What a worker is told whose disk became full while it worked; None when the error is any other.

    RocksDB tells it in words alone, as a plain Exception. The transaction is committed before the state is written,
    so that what the disk lacks is in the changelog.
    """
    if os.strerror(errno.ENOSPC) not in str(error):
        return None
    what = f"the disk of {state_dir} became full: {error}"
    return Failure(
        what, f"{MAKE_ROOM}, then start the worker again; what it could not write is in the changelog"
    )


def lock_state_dir(state_dir: Path) -> IO[str]:
    """Own the directory until the file is closed; two workers in one directory would corrupt each other."""
    lock = (state_dir / ".lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        what = f"the state directory {state_dir} is in use by the worker with pid {owner}"
        raise Failure(what, "stop that worker, or give this one its own --replica and --state-dir") from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def check_topics(admin: AdminClient, settings: Settings) -> int:
    """The pipeline's topics are there, co-partitioned and as the catalogue says; how many partitions they have."""
    found = admin.list_topics(timeout=TIMEOUT_S).topics
    names = [prefixed(settings.topic_prefix, t) for t in settings.pipeline.reads]
    counts = {name: len(found[name].partitions) for name in names if name in found}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise Failure(
            f"the inputs are not co-partitioned: {told}", "every input needs the same number of partitions"
        )
    partitions = next(iter(counts.values()), 0)
    own = settings.pipeline.topics(settings.topic_prefix)
    plan = make_plan(admin, partitions or 1, prefix=settings.topic_prefix, only=own)
    if plan.create:
        missing = ", ".join(topic.name for topic in plan.create)
        raise Failure(f"topics are missing: {missing}", "run `loyalty topics apply`")
    wrong = [f"{s.topic} has {s.name}={s.found}, not {s.wanted}" for s in plan.alter]
    if plan.wrong_partitions or wrong:
        told = "; ".join([*wrong, *(f"{n} has {c} partitions" for n, c in plan.wrong_partitions)])
        raise Failure(
            f"topics are not as the catalogue says: {told}", "run `loyalty topics plan`, then `apply`"
        )
    return partitions


def check_offsets(admin: AdminClient, settings: Settings, partitions: int) -> None:
    """The changelog and the committed offsets belong together, and nothing between them and now was deleted.

    Without committed offsets the engine would skip the whole changelog and begin with an empty state: every fact
    would count again. What a worker that was killed in the very first transaction left in a changelog is no state: it
    was never committed.
    """
    topics = [prefixed(settings.topic_prefix, topic) for topic in settings.pipeline.reads]
    inputs = settings.pipeline.inputs(settings.topic_prefix, partitions)
    changelogs = [(settings.changelog, partition) for partition in range(partitions)]
    try:
        committed = offsets.Group(settings.bootstrap_servers, settings.group).committed(inputs)
        low = offsets.begins(admin, inputs + changelogs)
        high = offsets.ends(admin, inputs + changelogs)
        fresh = {n for n in range(partitions) if all(committed[topic, n] is None for topic in topics)}
        filled = [place for place in changelogs if place[1] in fresh and high[place] > low[place]]
        orphaned = [place for place in filled if offsets.shows_a_record(settings, place, low[place])]
    except KafkaException as error:
        raise Failure(
            f"offsets cannot be read: {error.args[0].str()}", "check the cluster, then start again"
        ) from error
    for place in orphaned:
        what = (
            f"partition {place[1]} has state ({settings.changelog} holds {high[place] - low[place]} records) "
            f"but group {settings.group} has no committed offset"
        )
        raise Failure(what, RESET)
    for place, offset in committed.items():
        if offset is not None:
            _check_gap(*place, offset, low[place], high[place])


def _check_gap(topic: str, partition: int, offset: int, low: int, high: int) -> None:
    if offset < low:
        what = f"{topic}[{partition}] begins at offset {low}, the group is at {offset}: {low - offset} records are gone"
        raise Failure(what, "see runbooks/LoyaltyInputGap.md; never skip them")
    if offset > high:
        what = (
            f"{topic}[{partition}] ends at offset {high}, the group is at {offset}: the topic was made anew"
        )
        raise Failure(what, RESET)
