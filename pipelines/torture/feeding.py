"""Facts at a steady rate, good and bad, with a log of what Kafka acknowledged; and the clock that ticks beside."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, Message

from pipelines.domain.facts import Order, OrderStatus, Tick
from pipelines.domain.programme import DAY_MS
from pipelines.failure import Failure
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import HOUR_MS, Shares
from pipelines.feeds.producer import checked
from pipelines.runtime.producers import Sender, fact_producer, produce
from pipelines.runtime.ticks import send_tick
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.codec import Codec, topic_of

START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HISTORY_DAYS: Final = 120
FACTS_A_MEMBER: Final = 10
"""Fewer than simulated members have in so many days, so that the feed does not run dry."""
SETTLE_DAYS: Final = 70
FLUSH_S: Final = 120.0
RECENT: Final = 500
SHARES: Final = Shares(late=0.03, too_late=0.003, duplicate=0.05, stale=0.02, out_of_order=0.1)


UNPLACED: Final = -1
"""The offset of a record whose retry the broker knew already: it says that it has it, and not where."""


class Sent(NamedTuple):
    """A record as Kafka acknowledged it: where it stands, the sum of its key and value, and if it is bad on purpose."""

    topic: str
    partition: int
    offset: int
    digest: str
    bad: bool


class Out(NamedTuple):
    """A record on its way."""

    topic: str
    key: bytes | None
    value: bytes | None
    at_ms: int
    bad: bool


def digest_of(key: bytes | None, value: bytes | None) -> str:
    """What tells two records apart: a sum over key and value, of which either may be missing."""
    parts = [b"-" if part is None else b"+" + len(part).to_bytes(4, "big") + part for part in (key, value)]
    return sha256(b"".join(parts)).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Damage:
    """A way in which a good record becomes a bad one."""

    name: str
    spoil: Callable[[Out, Random], Out]


def _cut(good: Out, rnd: Random) -> Out:
    return good._replace(value=(good.value or b"")[: -rnd.randrange(1, 8)])


def _trailing(good: Out, rnd: Random) -> Out:
    return good._replace(value=(good.value or b"") + rnd.randbytes(rnd.randrange(1, 9)))


def _magic(good: Out, rnd: Random) -> Out:
    return good._replace(value=bytes([rnd.randrange(1, 256)]) + (good.value or b"")[1:])


def _unknown_schema(good: Out, _: Random) -> Out:
    return good._replace(value=b"\0\x7f\xff\xff\xff" + (good.value or b"")[5:])


def _no_key(good: Out, _: Random) -> Out:
    return good._replace(key=None)


def _no_value(good: Out, _: Random) -> Out:
    return good._replace(value=None)


def _other_key(good: Out, _: Random) -> Out:
    return good._replace(key=(good.key or b"") + b"-not")


def _other_time(good: Out, rnd: Random) -> Out:
    return good._replace(at_ms=good.at_ms + rnd.randrange(1, HOUR_MS))


def _noise(good: Out, rnd: Random) -> Out:
    return good._replace(value=rnd.randbytes(rnd.randrange(0, 200)))


DAMAGES: Final = (
    Damage("cut short", _cut),
    Damage("bytes behind the end", _trailing),
    Damage("another first byte", _magic),
    Damage("an unknown schema", _unknown_schema),
    Damage("no key", _no_key),
    Damage("no value", _no_value),
    Damage("another member's key", _other_key),
    Damage("another time than it says", _other_time),
    Damage("noise", _noise),
)


def spoiled(good: Out, rnd: Random) -> Out:
    """A bad record made of a good one; it must become a dead letter."""
    return rnd.choice(DAMAGES).spoil(good, rnd)._replace(bad=True)


class Feed:
    """Sends the simulated history of a seed at a rate, in a thread of its own, until it is stopped."""

    def __init__(
        self,
        bootstrap: str,
        codec: Codec,
        seed: int,
        rate: float,
        members: int,
        log: Path,
        prefix: str = "",
        bad: float = 0.01,
    ) -> None:
        self._codec, self._prefix, self._rate, self._bad = codec, prefix, rate, bad
        self._history = _history(seed, members)
        self._rnd = Random(f"{seed}:feed")
        self._producer = fact_producer(bootstrap)
        self._log = log.open("w", encoding="utf-8")
        self._recent: deque[Out] = deque(maxlen=RECENT)
        self._lock = threading.Lock()
        self._stop, self._go = threading.Event(), threading.Event()
        self._go.set()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._awaited: Counter[int] = Counter()
        self._last_order: Order | None = None
        self._hot: Callable[[int], Order] | None = None
        self._heats = count(1)
        self.now_ms = 0
        self.factor = 1.0
        self.sent: list[Sent] = []
        self.uncertain: list[tuple[str, str]] = []
        """Topic and sum of what was handed over and never acknowledged: it may stand there or not."""
        self.stopped_by: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and return when all that was handed over is acknowledged or given up."""
        self._stop.set()
        self._go.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._producer.flush(FLUSH_S)
        self._log.close()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing meanwhile."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    @contextlib.contextmanager
    def faster(self, factor: float) -> Iterator[None]:
        """Send so many times as much meanwhile."""
        self.factor = factor
        try:
            yield
        finally:
            self.factor = 1.0

    def has_ordered(self) -> bool:
        """Whether anybody has: members enrol before they order."""
        return self._last_order is not None

    @contextlib.contextmanager
    def hot(self) -> Iterator[str]:
        """Have half of all facts be one member's meanwhile: whoever ordered last orders on and on. Who it is."""
        with self._lock:
            order = self._last_order
        if order is None:
            raise Failure("nobody has ordered yet", "feed orders first")
        self._hot = orders_on(order, f"hot-{next(self._heats)}")
        try:
            yield order.member_id
        finally:
            self._hot = None

    def again(self, number: int) -> int:
        """Send the last so many records once more, in the order of before; how many those were."""
        with self._lock:
            some = list(self._recent)[-number:]
        for out in some:
            self.hand_over(out)
        return len(some)

    def bad_ones(self, number: int, rnd: Random) -> int:
        """Send so many bad records in a row, made of the last good ones."""
        with self._lock:
            good = list(self._recent)
        for _ in range(number if good else 0):
            self.hand_over(spoiled(rnd.choice(good), rnd))
        return number if good else 0

    def giant(self, size: int, rnd: Random) -> None:
        """Send a record of so many bytes that is no fact."""
        out = Out(catalogue.ORDERS, b"m-giant", b"\0" + rnd.randbytes(size - 1), self.now_ms, bad=True)
        self.hand_over(out)

    def stands_until_ms(self) -> int:
        """The recorded time until which all that was handed over stands on the topics; 0 before there is any."""
        with self._lock:
            return min([self.now_ms, *(at - 1 for at in self._awaited)])

    def hand_over(self, out: Out) -> None:
        """Hand a record to the producer, which sends it until it is acknowledged."""
        digest = digest_of(out.key, out.value)
        with self._lock:
            self._awaited[out.at_ms] += 1
            self.now_ms = self.now_ms if out.bad else max(self.now_ms, out.at_ms)

        def delivered(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                self._awaited[out.at_ms] -= 1
                if not self._awaited[out.at_ms]:
                    del self._awaited[out.at_ms]
            self._delivered(error, message, digest, bad=out.bad)

        topic = prefixed(self._prefix, out.topic)
        produce(self._producer, topic, out.value, key=out.key, timestamp=out.at_ms, on_delivery=delivered)

    def _delivered(self, error: KafkaError | None, message: Message, digest: str, *, bad: bool) -> None:
        topic = str(message.topic())
        if error is not None:
            self.uncertain.append((topic, digest))
            return
        offset = message.offset()
        sent = Sent(topic, int(message.partition() or 0), UNPLACED if offset is None else offset, digest, bad)
        self.sent.append(sent)
        self._log.write("\t".join(map(str, sent)) + "\n")

    def _run(self) -> None:
        try:
            due = time.monotonic()
            for out in self._outgoing():
                due = max(due + 1 / (self._rate * self.factor), time.monotonic() - 1.0)
                self._stop.wait(max(0.0, due - time.monotonic()))
                if not self._go.is_set():
                    self._go.wait()
                    due = time.monotonic()
                if self._stop.is_set():
                    return
                self.hand_over(out)
                self._producer.poll(0)
            raise Failure("the feed ran dry", "give a lower --rate, or fewer --minutes")
        except Exception as error:  # noqa: BLE001  told to whoever runs the torture
            self.stopped_by = error

    def _outgoing(self) -> Iterator[Out]:
        for arrival in self._history:
            fact: Any = arrival.fact
            good = self._good(fact)
            with self._lock:
                self._recent.append(good)
                if isinstance(fact, Order):
                    self._last_order = fact
            yield good
            if self._rnd.random() < self._bad:
                yield spoiled(good, self._rnd)
            if (orders_on := self._hot) is not None:
                yield self._good(orders_on(self.now_ms))

    def _good(self, fact: Any) -> Out:
        key, value = fact.member_id.encode(), self._codec.encode(fact)
        return Out(topic_of(fact), key, value, fact.recorded_at_ms, bad=False)


def orders_on(order: Order, named: str) -> Callable[[int], Order]:
    """The same order again and again under other ids, paid at the given instant or just behind the one before."""
    numbers, last_ms = count(1), 0

    def next_at(now_ms: int) -> Order:
        nonlocal last_ms
        last_ms = max(now_ms, last_ms + 1)
        order_id = f"{order.order_id}-{named}-{next(numbers)}"
        return order._replace(
            event_id=f"sim-{order_id}@1",
            order_id=order_id,
            version=1,
            status=OrderStatus.PAID,
            occurred_at_ms=last_ms,
            recorded_at_ms=last_ms,
            placed_at_ms=last_ms,
            paid_at_ms=last_ms,
            delivered_at_ms=None,
            cancelled_at_ms=None,
        )

    return next_at


def members_for(rate: float, seconds: float) -> int:
    """How many simulated members have so many facts, with half as many again for bursts."""
    return max(50, round(rate * seconds * 1.5 / FACTS_A_MEMBER))


def _history(seed: int, members: int) -> Iterator[Any]:
    return iter(checked(simulate.facts(seed, members, HISTORY_DAYS, START_MS, SHARES)))


class Clock:
    """Ticks at the feed's own time, once a second; it can be stopped, as a clock that is down.

    It never ticks past a fact that still waits for its broker: a minute here is weeks of members' time, and no clock is
    weeks ahead of what the topics have been told.
    """

    def __init__(self, bootstrap: str, codec: Codec, partitions: int, feed: Feed, prefix: str = "") -> None:
        self._codec, self._partitions, self._feed, self._prefix = codec, partitions, feed, prefix
        self._sender = Sender(bootstrap, "ticks")
        self._stop, self._go = threading.Event(), threading.Event()
        self._go.set()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tick no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """No tick meanwhile."""
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    def settle(self) -> None:
        """Tick on, day by day, until everything pending has become active; and return when it is delivered."""
        for day in range(SETTLE_DAYS + 1):
            self._tick(self._feed.now_ms + day * DAY_MS)
        self._sender.flush()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            if self._go.is_set() and (at_ms := self._feed.stands_until_ms()) > 0:
                self._tick(at_ms)

    def _tick(self, at_ms: int) -> None:
        send_tick(self._sender, self._codec, Tick(at_ms).at_ms, self._partitions, self._prefix)
