"""What must hold before a worker starts. Each guard refuses with what happened and what to do.

They stand where the engine would go on in silence: on an empty state beside a full changelog, past a gap in its
input, or on a directory that another worker owns.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, TypeVar

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

import pipelines
from pipelines.failure import Failure
from pipelines.runtime.settings import Settings
from pipelines.runtime.topic_admin import connect, make_plan
from pipelines.topics import prefixed
from schemas import catalogue

Answered = TypeVar("Answered")
TIMEOUT_S: Final = 15.0
_PASSING: Final = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
}
RESET: Final = "see runbooks/LoyaltyStateWithoutOffsets.md: state, changelog and offsets are reset together"


def check_all(settings: Settings) -> IO[str]:
    """Run every guard; the lock on the state directory is held as long as the returned file stays open."""
    check_state_dir(settings.state_dir, settings.state_free_bytes_min)
    lock = lock_state_dir(settings.state_dir)
    admin = connect(settings.bootstrap_servers)
    partitions = check_topics(admin, settings)
    check_offsets(settings, partitions)
    return lock


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
        raise Failure(
            what, "make room or mount a larger volume; state can be deleted, the changelog restores it"
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
    """All topics are there, co-partitioned and configured as the catalogue says; how many partitions they have."""
    found = admin.list_topics(timeout=TIMEOUT_S).topics
    names = [prefixed(settings.topic_prefix, t) for t in settings.pipeline.reads]
    counts = {name: len(found[name].partitions) for name in names if name in found}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise Failure(
            f"the inputs are not co-partitioned: {told}", "every input needs the same number of partitions"
        )
    partitions = next(iter(counts.values()), 0)
    plan = make_plan(admin, partitions or 1, prefix=settings.topic_prefix)
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


def check_offsets(settings: Settings, partitions: int) -> None:
    """The changelog and the committed offsets belong together, and nothing between them and now was deleted.

    Without committed offsets the engine would skip the whole changelog and begin with an empty state: every fact
    would count again.
    """
    consumer = offsets_reader(settings)
    try:
        for partition in range(partitions):
            _check_partition(consumer, settings, partition)
    except KafkaException as error:
        raise Failure(
            f"offsets cannot be read: {error.args[0].str()}", "check the cluster, then start again"
        ) from error
    finally:
        consumer.close()


def offsets_reader(settings: Settings) -> Consumer:
    """A consumer that only asks for the group's offsets.

    It reads uncommitted: what a crashed worker left open would else hold the answer back until its transaction
    times out, and the worker that would abort it could not start.
    """
    return Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": settings.group,
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
        }
    )


def _check_partition(consumer: Consumer, settings: Settings, partition: int) -> None:
    inputs = [
        TopicPartition(prefixed(settings.topic_prefix, topic), partition) for topic in settings.pipeline.reads
    ]
    committed = {tp.topic: tp.offset for tp in _committed(consumer, inputs)}
    low, high = _watermarks(consumer, settings.changelog, partition)
    if high > low and all(offset == OFFSET_INVALID for offset in committed.values()):
        what = (
            f"partition {partition} has state ({settings.changelog} holds {high - low} records) "
            f"but group {settings.group} has no committed offset"
        )
        raise Failure(what, RESET)
    for topic, offset in committed.items():
        _check_gap(consumer, topic, partition, offset)


def _check_gap(consumer: Consumer, topic: str, partition: int, offset: int) -> None:
    low, high = _watermarks(consumer, topic, partition)
    if offset != OFFSET_INVALID and offset < low:
        what = f"{topic}[{partition}] begins at offset {low}, the group is at {offset}: {low - offset} records are gone"
        raise Failure(what, "see runbooks/LoyaltyInputGap.md; never skip them")
    if offset != OFFSET_INVALID and offset > high:
        what = (
            f"{topic}[{partition}] ends at offset {high}, the group is at {offset}: the topic was made anew"
        )
        raise Failure(what, RESET)


def _patiently(ask: Callable[[], Answered]) -> Answered:
    """The answer; a coordinator or leader that is still loading, moving or new is asked again, for a while."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _committed(consumer: Consumer, inputs: list[TopicPartition]) -> list[TopicPartition]:
    found: list[TopicPartition] = _patiently(lambda: consumer.committed(inputs, timeout=TIMEOUT_S))
    return found


def _watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    place = TopicPartition(topic, partition)
    low, high = _patiently(lambda: consumer.get_watermark_offsets(place, timeout=TIMEOUT_S))
    return int(low), int(high)


def lag(consumer: Consumer, settings: Settings, partitions: int) -> Mapping[str, int]:
    """How many offsets of the input are not committed yet, by topic; none where only transactions' ends stand there."""
    inputs = [
        TopicPartition(prefixed(settings.topic_prefix, topic), partition)
        for topic in settings.pipeline.reads
        for partition in range(partitions)
    ]
    transactional = {prefixed(settings.topic_prefix, t) for t in (catalogue.HANDOVERS, *catalogue.OUTPUTS)}
    left: dict[str, int] = {}
    for tp in _committed(consumer, inputs):
        low, high = _watermarks(consumer, tp.topic, tp.partition)
        done = low if tp.offset == OFFSET_INVALID else tp.offset
        ahead = max(0, high - done)
        if ahead and tp.topic in transactional and not _holds_a_record(settings, tp, done, high):
            ahead = 0
        left[tp.topic] = left.get(tp.topic, 0) + ahead
    return left


def _holds_a_record(settings: Settings, tp: TopicPartition, first: int, high: int) -> bool:
    """Whether anything stands there for whoever reads committed, or is in an open transaction.

    A transaction's end has an offset, and is no record. One record is enough to know: what else waits is not read.
    """
    reader = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": f"{settings.group}-lag",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        if _watermarks(reader, tp.topic, tp.partition)[1] < high:
            return True
        reader.assign([TopicPartition(tp.topic, tp.partition, first)])
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if (record := reader.poll(1.0)) is not None:
                return record.error() is None
        return True
    finally:
        reader.close()
