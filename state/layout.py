"""The bytes of an account: one layout number, then MessagePack arrays.

The layout number is the first byte of every value, and is neither 0x00 nor 0xFF: a value that began with either
could be taken for a timestamp by the engine's own bookkeeping when state is restored. Each layout keeps an example
under `state/examples/` for ever, and every later build reads it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pipelines.domain.account import Account, Membership, ParkedUntil
from pipelines.domain.engagements import EngagementRecord, EngagementRef
from pipelines.domain.liability import Movements, Through
from pipelines.domain.lots import Activation, Calendar, Lot
from pipelines.domain.orders import OrderRecord
from pipelines.domain.spending import Answered, Spending
from pipelines.domain.standing import Standing, TierSpan
from pipelines.domain.triggers.watch import Watch, WatchedEngagement
from pipelines.failure import Failure

LAYOUT: Final = 1
_PREFIX: Final = bytes([LAYOUT])

ACCOUNT: Final = b"a"
ORDER: Final = b"o"
ENGAGEMENT: Final = b"e"
GROUP: Final = b"g"
LOT: Final = b"l"
SPENDING: Final = b"s"
COMMAND: Final = b"c"
PARKED: Final = b"p"
OWNER: Final = b"w"
BESIDE_AN_ACCOUNT: Final = (ORDER, ENGAGEMENT, GROUP, LOT, SPENDING, COMMAND, PARKED, OWNER)
"""All that is kept of a member but the account itself."""

WATCH: Final = b"t"
WATCHED: Final = b"u"

MOVED: Final = b"m"
"""Of a market, by day: what this partition of the ledger says of it."""
DAY: Final = b"d"
"""Of a market, by day: what all partitions say of it, and the market's totals up to its end."""
COUNTED: Final = b"n"
"""Up to which offset this partition of the ledger is counted."""

_Account = tuple[
    str,
    int,
    int,
    int,
    int,
    int,
    int,
    int,
    Membership | None,
    tuple[int, int, int, list[tuple[int, int]], int | None, int | None, tuple[int, str, int], list[TierSpan]],
    tuple[dict[str, Activation], list[tuple[int, int]]],
    dict[str, ParkedUntil],
    dict[str, int],
    dict[str, Membership],
    str | None,
]

_encoder = msgspec.msgpack.Encoder()
_account = msgspec.msgpack.Decoder(_Account)
_order = msgspec.msgpack.Decoder(OrderRecord)
_ref = msgspec.msgpack.Decoder(EngagementRef)
_lot = msgspec.msgpack.Decoder(Lot)
_spending = msgspec.msgpack.Decoder(Spending)
_answered = msgspec.msgpack.Decoder(Answered)
_watch = msgspec.msgpack.Decoder(Watch)
_watched = msgspec.msgpack.Decoder(WatchedEngagement)
_moved = msgspec.msgpack.Decoder(Movements)
_day = msgspec.msgpack.Decoder(tuple[dict[int, Movements], Through])
_counted = msgspec.msgpack.Decoder(int)
_group = msgspec.msgpack.Decoder(list[EngagementRecord])


def checked(value: bytes) -> bytes:
    """The value, when its first byte is one that a store may keep."""
    assert value and value[0] not in (0x00, 0xFF), value[:1]
    return value


def _body(value: bytes) -> memoryview:
    if value[0] != LAYOUT:
        raise Failure(
            f"state has layout {value[0]}, this build reads up to {LAYOUT}",
            "roll forward to the build that wrote it; its changelog has that layout too, so a restore does not help: "
            "to stay with this build see runbooks/procedures.md, Roll back a build",
        )
    return memoryview(value)[1:]


def account_bytes(account: Account) -> bytes:
    standing = account.standing
    return _PREFIX + _encoder.encode(
        (
            account.member_id,
            account.now_ms,
            account.sequence,
            account.active,
            account.pending,
            account.reserved,
            account.debt,
            account.lifetime,
            account.membership,
            (
                standing.tier,
                standing.joined_on,
                standing.period,
                list(standing.buckets.items()),
                standing.risk_until_ms,
                standing.grace_until_ms,
                standing.frontier,
                standing.spans,
            ),
            (account.calendar.activations, list(account.calendar.expiries.items())),
            account.parked,
            account.reservations,
            account.others,
            account.merged_into,
        )
    )


def account_of(value: bytes) -> Account:
    *totals, membership, standing, calendar, parked, reservations, others, merged_into = _account.decode(
        _body(value)
    )
    tier, joined_on, period, buckets, *rest = standing
    activations, expiries = calendar
    account = Account(*totals)
    account.others, account.merged_into = others, merged_into
    account.membership = membership
    account.standing = Standing(tier, joined_on, period, dict(buckets), *rest)
    account.calendar = Calendar(activations, dict(expiries))
    account.parked = parked
    account.reservations = reservations
    return account


def order_bytes(record: OrderRecord) -> bytes:
    return _PREFIX + _encoder.encode(record)


def order_of(value: bytes) -> OrderRecord:
    return _order.decode(_body(value))


def lot_bytes(lot: Lot) -> bytes:
    return _PREFIX + _encoder.encode(lot)


def lot_of(value: bytes) -> Lot:
    return _lot.decode(_body(value))


def spending_bytes(spending: Spending) -> bytes:
    return _PREFIX + _encoder.encode(spending)


def spending_of(value: bytes) -> Spending:
    return _spending.decode(_body(value))


def answered_bytes(answered: Answered) -> bytes:
    return _PREFIX + _encoder.encode(answered)


def answered_of(value: bytes) -> Answered:
    return _answered.decode(_body(value))


def ref_bytes(ref: EngagementRef) -> bytes:
    return _PREFIX + _encoder.encode(ref)


def ref_of(value: bytes) -> EngagementRef:
    return _ref.decode(_body(value))


def group_bytes(group: list[EngagementRecord]) -> bytes:
    return _PREFIX + _encoder.encode(group)


def group_of_bytes(value: bytes) -> list[EngagementRecord]:
    return _group.decode(_body(value))


def owner_bytes(member_id: str) -> bytes:
    return _PREFIX + member_id.encode()


def owner_of(value: bytes) -> str:
    return bytes(_body(value)).decode()


def parked_bytes(source: bytes) -> bytes:
    return _PREFIX + source


def parked_of(value: bytes) -> bytes:
    return bytes(_body(value))


def watch_bytes(watch: Watch) -> bytes:
    return _PREFIX + _encoder.encode(watch)


def watch_of(value: bytes) -> Watch:
    return _watch.decode(_body(value))


def watched_bytes(watched: WatchedEngagement) -> bytes:
    return _PREFIX + _encoder.encode(watched)


def watched_of(value: bytes) -> WatchedEngagement:
    return _watched.decode(_body(value))


def moved_bytes(moves: Movements) -> bytes:
    return _PREFIX + _encoder.encode(moves)


def moved_of(value: bytes) -> Movements:
    return _moved.decode(_body(value))


def day_bytes(day: tuple[dict[int, Movements], Through]) -> bytes:
    return _PREFIX + _encoder.encode(day)


def day_of(value: bytes) -> tuple[dict[int, Movements], Through]:
    return _day.decode(_body(value))


def counted_bytes(offset: int) -> bytes:
    return _PREFIX + _encoder.encode(offset)


def counted_of(value: bytes) -> int:
    return _counted.decode(_body(value))
