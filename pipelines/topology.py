"""The graph: facts and clock, joined by member into one stream over one store; answers out in the same transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial, reduce
from time import perf_counter_ns
from typing import Any, Final, Protocol

import msgspec
import structlog

from pipelines.domain.facts import Engagement, Fact, Member, Order, PointsCommand, Return, Tick
from pipelines.domain.ledger import CommandResult, LedgerEntry, NoBalance, NoProgress, Outcome
from pipelines.domain.liability import LiabilityPart, MarketDay
from pipelines.domain.merging import Handover
from pipelines.domain.triggers.announcing import SuppressedTrigger
from pipelines.failure import Failure
from pipelines.processors import liability
from pipelines.processors.accounts import DUE_MAX, Accounts, Answer, Refusal
from pipelines.processors.triggers import Seen, Triggers, Watched
from pipelines.runtime import metrics
from pipelines.runtime.engine import HardenedApplication
from pipelines.runtime.logs import pseudonym
from pipelines.runtime.partition import partition_of
from pipelines.runtime.profile import Profile
from pipelines.runtime.settings import Settings
from pipelines.runtime.tally import Tally
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.border import check_fact
from schemas.codec import Codec, DeadLetter, InvalidFact, Record, topic_of
from state.rocks import RocksStore
from state.store import Store

log = structlog.get_logger()


class Source(msgspec.Struct, array_like=True, frozen=True):
    """A record as it came: what its dead letter must show, kept with a parked return."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int

    @property
    def whereabouts(self) -> dict[str, str | int | None]:
        """What a log line says of the record, so that it can be found."""
        member = pseudonym(self.key)
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset, "member": member}


_source_bytes: Final = msgspec.msgpack.Encoder().encode
_source_of: Final = msgspec.msgpack.Decoder(Source).decode

OCCURRING: Final = (Order, Return, Engagement, Member, PointsCommand)
"""Inputs that happened in the world; the others are the pipeline's own."""


class Produce(Protocol):
    """Into the open transaction. Without a value a removal; without a partition on the one that the key has."""

    def __call__(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        partition: int | None = None,
        /,
    ) -> None: ...


OpenStore = Callable[[int], Store]
"""The store of a partition, in the open transaction."""


_KEPT_IN: Final = {NoBalance: catalogue.BALANCES, NoProgress: catalogue.TIER_PROGRESS}


class _Join:
    """What every join does with its answers: encode, produce into the open transaction, and count."""

    def __init__(self, codec: Codec, settings: Settings, produce: Produce, profile: Profile) -> None:
        self._codec = codec
        self._prefix = settings.topic_prefix
        self._produce = produce
        self._profile = profile
        self.tally = Tally()

    def _count(
        self, topic: str, outcome: str, source: Source, fact: Seen | Fact | Tick | Handover | LiabilityPart
    ) -> None:
        at_ms = fact.occurred_at_ms if isinstance(fact, OCCURRING) else source.timestamp_ms
        self.tally.fact(topic, outcome, source.partition, at_ms, source.timestamp_ms)

    def _due(self, topic: str, source: Source, tick: Tick, store: Store) -> list[tuple[int, str]]:
        """Whom a tick finds due, counted."""
        due = store.due(tick.at_ms, DUE_MAX)
        self.tally.tick(topic, source.partition, tick.at_ms, [at_ms for at_ms, _ in due])
        return due

    def _send(
        self, record: Record, key: bytes | None, timestamp_ms: int, partition: int | None = None
    ) -> None:
        started = perf_counter_ns()
        value = self._codec.encode(record)
        encoded = perf_counter_ns()
        where = () if partition is None else (partition,)
        self._produce(prefixed(self._prefix, topic_of(record)), key, value, timestamp_ms, *where)
        self._profile.encode += encoded - started
        self._profile.produce += perf_counter_ns() - encoded


class AccountsJoin(_Join):
    """One input record to its answers: decode, check, process, encode, produce. Anything it cannot know, rises."""

    def __init__(
        self, accounts: Accounts, codec: Codec, settings: Settings, produce: Produce, profile: Profile
    ) -> None:
        super().__init__(codec, settings, produce, profile)
        self._accounts = accounts
        self._dead_letters_max = settings.dead_letters_in_a_row_max
        self._dead_in_a_row = 0

    def __call__(self, source: Source, store: Store) -> None:
        """Process one record; a dead letter instead of an answer when it can never be applied."""
        clock = self._profile
        started = perf_counter_ns()
        topic = source.topic.removeprefix(self._prefix)
        try:
            fact = self._codec.decode(topic, source.value)
            check_fact(fact, source.key, source.timestamp_ms)
        except InvalidFact as invalid:
            self._set_aside(source, invalid.error_class, invalid.message)
            self.tally.add(metrics.FACTS, topic, "INVALID")
            return
        decoded = perf_counter_ns()
        if isinstance(fact, Tick):
            answer = self._accounts.serve(self._due(topic, source, fact, store), fact.at_ms, store)
        else:
            answer = self._accounts.process(fact, store, _source_bytes(source))
        processed = perf_counter_ns()
        told_of = _source_of(fact.source) if isinstance(fact, Handover) and fact.source else source
        self._tell(answer, told_of, None if isinstance(fact, Tick) else fact.event_id)
        clock.decode += decoded - started
        clock.rules += processed - decoded
        clock.facts += 1
        if not isinstance(fact, Tick):
            self._count(topic, answer.outcome, source, fact)
            self._count_waiting(answer)

    def _count_waiting(self, answer: Answer) -> None:
        if answer.refolds:
            self.tally.add(metrics.REFOLDS, by=answer.refolds)
        if answer.outcome is Outcome.PARKED:
            self.tally.add(metrics.PARKED, "parked")
        if answer.unparked:
            self.tally.add(metrics.PARKED, "unparked", by=answer.unparked)

    def _tell(self, answer: Answer, source: Source, event_id: str | None) -> None:
        for refusal in answer.refusals:
            self._refuse(refusal, source, event_id)
        if answer.outcome is not Outcome.REFUSED:
            self._dead_in_a_row = 0
        for result in answer.results:
            if isinstance(result, LedgerEntry):
                self.tally.entry(result)
            elif isinstance(result, CommandResult):
                self.tally.command(result)
            key, at_ms = result.member_id.encode(), result.recorded_at_ms
            if isinstance(result, NoBalance | NoProgress):
                self._produce(prefixed(self._prefix, _KEPT_IN[type(result)]), key, None, at_ms)
            else:
                self._send(result, key, at_ms)

    def _refuse(self, refusal: Refusal, at_hand: Source, event_id: str | None) -> None:
        source, of = (at_hand, event_id) if refusal.source is None else (_source_of(refusal.source), None)
        self._set_aside(source, refusal.refused.value, refusal.message, of)

    def _set_aside(self, source: Source, error_class: str, message: str, event_id: str | None = None) -> None:
        letter = DeadLetter(
            source.topic,
            source.partition,
            source.offset,
            source.key,
            source.value,
            tuple(source.headers),
            source.timestamp_ms,
            error_class,
            message,
        )
        self._send(letter, source.key, source.timestamp_ms)
        told = {} if event_id is None else {"event_id": event_id}
        log.warning("dead letter", **source.whereabouts, **told, error_class=error_class)
        self.tally.add(metrics.SET_ASIDE)
        self.tally.add(metrics.DEAD_LETTERS, source.topic.removeprefix(self._prefix), error_class)
        self._dead_in_a_row += 1
        if self._dead_in_a_row >= self._dead_letters_max:
            raise Failure(
                f"{self._dead_in_a_row} records in a row are dead letters, the last {error_class}: {message}",
                "see runbooks/LoyaltyDeadLettersInARow.md: a producer or this build is wrong",
            )


class TriggersJoin(_Join):
    """One input record to what members are told of it. What is no fact the accounts have set aside; here it is passed
    over. What cannot be read of the accounts' own results, rises."""

    def __init__(
        self, triggers: Triggers, codec: Codec, settings: Settings, produce: Produce, profile: Profile
    ) -> None:
        super().__init__(codec, settings, produce, profile)
        self._triggers = triggers

    def __call__(self, source: Source, store: Store) -> None:
        """Process one record."""
        topic = source.topic.removeprefix(self._prefix)
        started = perf_counter_ns()
        seen = self._seen(topic, source)
        decoded = perf_counter_ns()
        if isinstance(seen, Tick):
            told = self._triggers.serve(self._due(topic, source, seen, store), seen.at_ms, store)
        else:
            told = [] if seen is None else self._triggers.process(seen, store)
        self._profile.decode += decoded - started
        self._profile.rules += perf_counter_ns() - decoded
        self._profile.facts += 1
        for one in told:
            reason = one.reason if isinstance(one, SuppressedTrigger) else "SENT"
            self.tally.add(metrics.TRIGGERS, one.kind, reason)
            self._send(one, one.member_id.encode(), one.recorded_at_ms)
        if seen is None:
            self.tally.add(metrics.FACTS, topic, "PASSED_OVER")
        elif not isinstance(seen, Tick):
            self._count(topic, "APPLIED", source, seen)

    def _seen(self, topic: str, source: Source) -> Seen | Tick | None:
        if topic in (catalogue.LEDGER, catalogue.TIERS, catalogue.TIER_PROGRESS):
            if source.value is None:
                return NoProgress((source.key or b"").decode(), source.timestamp_ms)
            said = self._codec.result(topic, source.value)
            assert not isinstance(said, LiabilityPart), topic
            return said
        try:
            fact = self._codec.decode(topic, source.value)
            check_fact(fact, source.key, source.timestamp_ms)
        except InvalidFact:
            return None
        assert isinstance(fact, Watched | Tick), topic
        return fact


class LiabilityJoin(_Join):
    """Ledger entries, and the parts that come of them, to what each market owes. What is told waits for the commit: of
    all that a transaction changes, each part and each day is told once, as it is at its end."""

    def __init__(
        self, codec: Codec, settings: Settings, produce: Produce, profile: Profile, partitions: int
    ) -> None:
        super().__init__(codec, settings, produce, profile)
        self._partitions = partitions
        self._counted: dict[int, set[MarketDay]] = defaultdict(set)
        self._taken: dict[int, set[MarketDay]] = defaultdict(set)

    def __call__(self, source: Source, store: Store) -> None:
        """Take one record in."""
        topic = source.topic.removeprefix(self._prefix)
        started = perf_counter_ns()
        seen = self._codec.result(topic, source.value)
        decoded = perf_counter_ns()
        if isinstance(seen, LiabilityPart):
            changed, waiting = liability.take(seen, store), self._taken
        else:
            assert isinstance(seen, LedgerEntry), topic
            changed, waiting = liability.count(seen, source.offset, store), self._counted
        if changed is not None:
            waiting[source.partition].add(changed)
        self._profile.decode += decoded - started
        self._profile.rules += perf_counter_ns() - decoded
        self._profile.facts += 1
        self._count(topic, "DUPLICATE" if changed is None else "APPLIED", source, seen)

    def tell(self, open_store: OpenStore) -> None:
        """Send what has changed since the last commit. A market's parts go to its home, and its days stay there."""
        for partition, days in self._counted.items():
            for part in liability.parts(days, partition, open_store(partition)):
                home = partition_of(part.market.encode(), self._partitions)
                key = f"{part.market}|{liability.written(part.day)}|{partition}"
                self._send(part, key.encode(), part.recorded_at_ms, home)
        for partition, days in self._taken.items():
            for day in liability.tell(days, open_store(partition)):
                key = f"{day.market}|{liability.written(day.day)}"
                self._send(day, key.encode(), day.recorded_at_ms, partition)
        self._counted.clear()
        self._taken.clear()


def build(
    app: HardenedApplication,
    join: Callable[[Source, Store], None],
    settings: Settings,
    open_store: Callable[[Any], Store] = RocksStore,
) -> None:
    """Read every input of the pipeline as bytes, join them over its one store, and process."""
    pipeline = settings.pipeline
    frames = [
        app.dataframe(
            app.topic(
                prefixed(settings.topic_prefix, name),
                key_deserializer="bytes",
                value_deserializer="bytes",
            )
        )
        for name in pipeline.reads
    ]
    joined: Any = reduce(lambda left, right: left.concat(right), frames)
    joined = joined.__dataframe_clone__(stream=joined.stream, stream_id=pipeline.store)
    joined.register_store()
    app.each(_processing(app, join, pipeline.store, open_store))


def _processing(
    app: HardenedApplication,
    join: Callable[[Source, Store], None],
    store_id: str,
    open_store: Callable[[Any], Store],
) -> Callable[[Any], None]:
    context = app.context

    def store_of(partition: int) -> Store:
        return open_store(context.checkpoint.get_store_transaction(store_id, partition))

    if isinstance(join, LiabilityJoin):
        app.before_each_commit(partial(join.tell, store_of))

    def process(message: Any) -> None:
        source = _source(message)
        try:
            # opened for this record alone: a store kept beyond its partition would keep the database open
            join(source, store_of(source.partition))
        except Exception as error:
            log.error(
                "a record could not be processed",
                **source.whereabouts,
                error=f"{type(error).__name__}: {error}",
            )
            raise

    return process


def _source(message: Any) -> Source:
    return Source(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.headers() or [],
        message.timestamp()[1],
    )
