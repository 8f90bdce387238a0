"""From a fact to what a member is told, on the running stack: `.venv/bin/python benchmarks/trigger_latency.py`.

Both workers run, as processes of their own. Members who agreed to be told get an order of 600.00 each, at the stated
rate, recorded as it is sent; each makes its member a Pacer: TIER_REACHED. A reader under `read_committed` notes when it
has each trigger. Measured is from the call that produces the fact until then; both workers' commits lie between.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from secrets import token_hex

from confluent_kafka import Consumer
from rich.console import Console

from benchmarks.orders import paid_order
from pipelines.cli.bench import forget
from pipelines.domain.facts import Consent, Member, Order, OrderLine
from pipelines.failure import Failure
from pipelines.local.endpoints import endpoints, home_dir
from pipelines.runtime.producers import Sender
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import PARTITIONS, prefixed
from pipelines.worker import Fleet
from schemas import catalogue
from schemas.codec import Codec, topic_of
from schemas.registry import connect

PATIENCE_S = 240.0
NOON = 12


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def where_it_is_noon() -> str:
    """A zone in which nobody sleeps now, so that no quiet hours hold anything."""
    offset = NOON - datetime.now(UTC).hour
    return f"Etc/GMT{-offset:+d}"


def member(member_id: str, at_ms: int) -> Member:
    agreed = (Consent("marketing", at_ms, None),)
    return Member(
        f"sim-{member_id}",
        member_id,
        at_ms,
        at_ms,
        1,
        at_ms,
        "CH",
        where_it_is_noon(),
        None,
        None,
        agreed,
        None,
    )


def order(member_id: str, at_ms: int) -> Order:
    lines = (OrderLine("A", "sku-A", "road", 1, 600_00, 0, eligible=True),)
    ids = f"sim-{member_id}-o", f"{member_id}-o"
    return paid_order(*ids, member_id, at_ms, lines, market="CH", currency="CHF")


class Measure:
    """Sends orders, reads triggers, and remembers when."""

    def __init__(self, bootstrap: str, codec: Codec, prefix: str) -> None:
        self._codec, self._prefix = codec, prefix
        self._sender = Sender(bootstrap, "the facts of a measurement")
        self._reader = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{prefix}reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "enable.auto.commit": False,
            }
        )
        self._reader.subscribe([prefixed(prefix, catalogue.TRIGGERS)])
        self.sent_s: dict[str, float] = {}
        self.took_s: dict[str, float] = {}

    def send(self, fact: Member | Order) -> None:
        if isinstance(fact, Order):
            self.sent_s[fact.member_id] = time.monotonic()
        place = {"key": fact.member_id, "timestamp": fact.recorded_at_ms}
        self._sender.send(prefixed(self._prefix, topic_of(fact)), self._codec.encode(fact), **place)

    def read_until(self, deadline_s: float) -> None:
        """Note what can be read, until then."""
        while (left := deadline_s - time.monotonic()) > 0:
            message = self._reader.poll(min(left, 0.05))
            if message is not None and message.error() is None:
                at = time.monotonic()
                member_id = (message.key() or b"").decode()
                self.took_s.setdefault(member_id, at - self.sent_s[member_id])

    def await_all(self) -> None:
        self._sender.flush()
        deadline = time.monotonic() + PATIENCE_S
        while len(self.took_s) < len(self.sent_s):
            if time.monotonic() > deadline:
                what = (
                    f"{len(self.sent_s) - len(self.took_s)} members were not told within {PATIENCE_S:.0f} s"
                )
                raise Failure(what, "see what the workers said above")
            self.read_until(time.monotonic() + 0.2)

    def order_each(self, members: list[str], rate: float) -> None:
        """An order a member, so many a second, reading on between."""
        begins = time.monotonic()
        for number, member_id in enumerate(members):
            self.send(order(member_id, now_ms()))
            self.read_until(begins + (number + 1) / rate)
        self.await_all()

    def close(self) -> None:
        self._reader.close()


def measure(rate: float, members: int, warm: int) -> list[float]:
    """Seconds from fact to trigger, ascending; the first `warm` members only warm the workers up."""
    found, prefix = endpoints(), f"latency-{token_hex(3)}-"
    partitions = ensure_topics(found.bootstrap_servers, PARTITIONS, prefix)
    state_dir = home_dir() / "latency"
    made = Measure(found.bootstrap_servers, connect(found.schema_registry_url, register=True), prefix)
    names = [f"m-{number}" for number in range(warm + members)]
    apart = ["--topic-prefix", prefix, "--state-dir", str(state_dir)]
    assert partitions == PARTITIONS
    try:
        joined_ms = now_ms()
        for name in names:
            made.send(member(name, joined_ms))
        with (
            Fleet(["run", "accounts", *apart], ["worker-0"]),
            Fleet(["run", "triggers", *apart], ["worker-0"]),
        ):
            made.order_each(names[:warm], rate)
            made.order_each(names[warm:], rate)
    finally:
        made.close()
        forget(found.bootstrap_servers, prefix, state_dir)
    return sorted(made.took_s[name] for name in names[warm:])


def main() -> None:
    parser = argparse.ArgumentParser(description="From a fact to what a member is told.")
    parser.add_argument("--rate", type=float, default=20.0, help="orders a second")
    parser.add_argument("--members", type=int, default=1_000, help="each with one order that is measured")
    parser.add_argument("--warm", type=int, default=40, help="members before them that are not")
    chosen = parser.parse_args()
    took = measure(chosen.rate, chosen.members, chosen.warm)
    console = Console(highlight=False)
    console.print(f"{len(took):,} orders at {chosen.rate:g} a second, from the fact to its trigger, ms:")
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        console.print(f"{name}: {1000 * took[min(len(took) - 1, int(share * len(took)))]:,.0f}")
    console.print(f"greatest: {1000 * took[-1]:,.0f}")


if __name__ == "__main__":
    main()
