"""Where a group stands in its inputs, and where those begin and end: asked of all partitions at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from pipelines.connection import kafka_client
from pipelines.runtime.settings import Settings

Answered = TypeVar("Answered")
Place = tuple[str, int]
"""Topic and partition."""

TIMEOUT_S: Final = 15.0
LEADER_S: Final = 5.0
"""For one answer of a partition's leader: one that has just died is replaced within about ten seconds."""
PATIENCE_S: Final = 30.0
MOVED: Final = {
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._NOENT,
}
"""What an admin client says of leaders that have moved, and goes on to say: it asks for none anew by itself."""
_PASSING: Final = MOVED | {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
}


def _patiently(
    ask: Callable[[], Answered], passing: Collection[int] = _PASSING, patience_s: float = PATIENCE_S
) -> Answered:
    """The answer; a coordinator or leader that is still loading, moving or new is asked again, for a while."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Group:
    """Reads how far a group has come, without joining it.

    With a consumer: the admin client of librdkafka 2.12.2 ends the process when the group's coordinator is new, loading
    or has moved (`rd_kafka_handle_OffsetFetch` asks a consumer group that an admin client does not have).
    """

    def __init__(self, bootstrap: str, name: str) -> None:
        self._reader = Consumer(
            {
                **kafka_client(bootstrap),
                "group.id": name,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "log_level": 2,
            }
        )

    def committed(
        self, places: Iterable[Place], *, patience_s: float = PATIENCE_S
    ) -> dict[Place, int | None]:
        """The group's offset in each place, or None.

        What a crashed worker left open does not hold the answer back: the worker that is to abort it must know.
        """
        wanted = [TopicPartition(*place) for place in places]
        within_s = min(TIMEOUT_S, patience_s)
        found = _patiently(lambda: self._reader.committed(wanted, timeout=within_s), patience_s=patience_s)
        return {(tp.topic, tp.partition): None if tp.offset == OFFSET_INVALID else tp.offset for tp in found}


def _answered(found: dict[Place, int]) -> dict[Place, int]:
    """The offsets, unless one is none: so the client answers, and gives no error, for a leader that is away."""
    if any(offset < 0 for offset in found.values()):
        raise KafkaException(KafkaError(KafkaError._NOENT, "the leader of a partition does not answer"))
    return found


def listed(
    admin: AdminClient,
    places: Iterable[Place],
    spec: OffsetSpec,
    *,
    passing: Collection[int] = _PASSING,
    patience_s: float = PATIENCE_S,
    **given: Any,
) -> dict[Place, int]:
    """What the leaders say; those that have moved are looked for, and errors that are `passing` asked again."""
    wanted = {TopicPartition(*place): spec for place in places}

    def ask() -> dict[Place, int]:
        within_s = min(LEADER_S, patience_s)
        futures = admin.list_offsets(wanted, request_timeout=within_s, **given) if wanted else {}
        try:
            found = {(tp.topic, tp.partition): future.result().offset for tp, future in futures.items()}
            return _answered(found)
        except KafkaException as error:
            if error.args[0].code() in MOVED:
                admin.list_topics(timeout=min(TIMEOUT_S, patience_s))
            raise

    return _patiently(ask, passing, patience_s)


def begins(
    admin: AdminClient, places: Iterable[Place], *, patience_s: float = PATIENCE_S
) -> dict[Place, int]:
    """The first offset that is still there."""
    return listed(admin, places, OffsetSpec.earliest(), patience_s=patience_s)


def ends(
    admin: AdminClient, places: Iterable[Place], *, stable: bool = False, patience_s: float = PATIENCE_S
) -> dict[Place, int]:
    """One more than the last offset; when `stable`, than the last one before any open transaction."""
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    return listed(admin, places, OffsetSpec.latest(), patience_s=patience_s, isolation_level=level)


def shows_a_record(settings: Settings, place: Place, first: int) -> bool:
    """Whether anything stands there, from `first` on, for whoever reads committed.

    What was aborted does not, nor what is in an open transaction. Where the brokers do not say in time: yes.
    """
    return _shown(settings, place, first) is not False


def _shown(settings: Settings, place: Place, first: int) -> bool | None:
    """The same; None where the brokers do not say in time."""
    reader = Consumer(
        {
            **kafka_client(settings.bootstrap_servers),
            "group.id": settings.group,  # never joined: the one that this client may use
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        reader.assign([TopicPartition(*place, first)])
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if (record := reader.poll(1.0)) is None:
                continue
            error = record.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            return error is None
        return None
    finally:
        reader.close()


class Backlog:
    """What a pipeline has not committed yet of its inputs. Made once, asked often: an answer is three requests."""

    def __init__(self, admin: AdminClient, settings: Settings, partitions: int) -> None:
        self._admin = admin
        self._group = Group(settings.bootstrap_servers, settings.group)
        self._settings = settings
        self._places = settings.pipeline.inputs(settings.topic_prefix, partitions)
        self._known: dict[tuple[Place, int, int], bool] = {}

    def records(self) -> Mapping[str, int]:
        """Offsets still to be committed, by topic.

        The end of a transaction has an offset, and is no record; a redrive, or a source of its own choice, leaves them
        on topics of facts as well. Such are counted while records are left, and are nothing once they are all that
        is left.
        """
        done = self._group.committed(self._places)
        first = begins(self._admin, [place for place in self._places if done.get(place) is None])
        end = ends(self._admin, self._places)
        ahead = {place: (done.get(place) or first.get(place, 0), end[place]) for place in self._places}
        behind = {place: last - at for place, (at, last) in ahead.items() if last > at}
        if not self._any_record(behind, ahead):
            behind = {}
        left = dict.fromkeys((topic for topic, _ in self._places), 0)
        for (topic, _), count in behind.items():
            left[topic] += count
        return left

    def total(self) -> int:
        """Offsets still to be committed."""
        return sum(self.records().values())

    def _any_record(self, behind: Mapping[Place, int], ahead: Mapping[Place, tuple[int, int]]) -> bool:
        longest_first = sorted(behind, key=lambda place: -behind[place])
        return any(self._holds_a_record(place, *ahead[place]) for place in longest_first)

    def _holds_a_record(self, place: Place, first: int, end: int) -> bool:
        """Whether anything stands there for whoever reads committed, or is in an open transaction.

        One record is enough to know: what else waits is not read.
        """
        if ends(self._admin, [place], stable=True)[place] < end:
            return True
        asked = (place, first, end)
        if asked not in self._known:
            shown = _shown(self._settings, place, first)
            if shown is None:  # perhaps: to be asked again
                return True
            self._known[asked] = shown
        return self._known[asked]
