"""An order as the account remembers it: its lines net of discounts, its returns, and what it was granted.

Theory of operation. The highest version of the order and of each of its returns says all that counts, so an
order's worth is recomputed from them whenever one changes, and the ledger moves by the difference. What an order
does to the member's tier is a short list of *steps*: its base points when it was placed, less what each refund or
the cancellation took from them, each from its own instant on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.domain.facts import Order, OrderStatus, Return, ReturnStatus
from pipelines.domain.ledger import Refused
from pipelines.domain.programme import DAY_MS, Programme, ProgrammeVersion
from pipelines.domain.rating import NetLine, Rated, net_lines, rate

EARNING = frozenset({OrderStatus.PAID, OrderStatus.DELIVERED})
OPEN = frozenset({ReturnStatus.REQUESTED, ReturnStatus.RECEIVED})


class ReturnRecord(NamedTuple):
    """The highest version of a return; lines are (line_id, quantity, refund_minor)."""

    return_id: str
    version: int
    status: ReturnStatus
    requested_at_ms: int
    settled_at_ms: int | None
    lines: tuple[tuple[str, int, int], ...]


class Step(NamedTuple):
    """From `at_ms` on the member has `points` more (or fewer) qualifying points."""

    at_ms: int
    points: int


class OrderRecord(NamedTuple):
    """What is kept of an order; `version` is 0 while only returns of it are known. Its points are in its lot."""

    order_id: str
    version: int = 0
    status: OrderStatus = OrderStatus.PLACED
    placed_at_ms: int = 0
    paid_at_ms: int | None = None
    delivered_at_ms: int | None = None
    cancelled_at_ms: int | None = None
    currency: str = ""
    lines: tuple[NetLine, ...] = ()
    returns: tuple[ReturnRecord, ...] = ()
    tier: int = 0
    steps: tuple[Step, ...] = ()

    @property
    def lot_id(self) -> str:
        return f"order:{self.order_id}"

    @property
    def known(self) -> bool:
        return self.version > 0


def with_order(record: OrderRecord, order: Order) -> OrderRecord:
    """The record with this, higher, version of its order."""
    return record._replace(
        version=order.version,
        status=order.status,
        placed_at_ms=order.placed_at_ms,
        paid_at_ms=order.paid_at_ms,
        delivered_at_ms=order.delivered_at_ms,
        cancelled_at_ms=order.cancelled_at_ms,
        currency=order.currency,
        lines=net_lines(order),
    )


def with_return(record: OrderRecord, ret: Return) -> OrderRecord:
    """The record with this, higher, version of one of its returns."""
    others = [r for r in record.returns if r.return_id != ret.return_id]
    lines = tuple((line.line_id, line.quantity, line.refund_minor) for line in ret.lines)
    kept = ReturnRecord(ret.return_id, ret.version, ret.status, ret.requested_at_ms, ret.settled_at_ms, lines)
    return record._replace(returns=tuple(sorted((*others, kept))))


def without_return(record: OrderRecord, return_id: str) -> OrderRecord:
    """The record as if that return had never come."""
    return record._replace(returns=tuple(r for r in record.returns if r.return_id != return_id))


def joined(one: OrderRecord, other: OrderRecord) -> OrderRecord:
    """What two accounts know of an order, together: of the order and of each return the highest version."""
    order, less = (one, other) if one.version >= other.version else (other, one)
    returns = {ret.return_id: ret for ret in sorted((*less.returns, *order.returns), key=lambda r: r.version)}
    return order._replace(returns=tuple(sorted(returns.values())))


def return_refusal(record: OrderRecord, ret: ReturnRecord) -> tuple[Refused, str] | None:
    """Why this return cannot be of this order, or None. Depends on the two alone, not on what came first."""
    bought = {line.line_id: line.quantity for line in record.lines}
    for line_id, quantity, _ in ret.lines:
        if line_id not in bought:
            return (
                Refused.RETURN_OF_UNKNOWN_LINE,
                f"order {record.order_id} has no line {line_id}; its lines are {', '.join(bought)}",
            )
        if quantity > bought[line_id]:
            return (
                Refused.RETURN_EXCEEDS_ORDER,
                f"{quantity} of line {line_id} come back, {bought[line_id]} were bought in {record.order_id}",
            )
    return None


def worth_the_same(one: OrderRecord, other: OrderRecord) -> bool:
    """Whether nothing that points or tier depend on differs: a delivery changes only when points become active."""
    return (
        one.status in EARNING
        and other.status in EARNING
        and one.placed_at_ms == other.placed_at_ms
        and one.currency == other.currency
        and one.lines == other.lines
        and one.returns == other.returns
    )


def active_from_ms(record: OrderRecord, version: ProgrammeVersion) -> int:
    """When the order's points become active: after the pending days from delivery, at the latest from placing."""
    latest = record.placed_at_ms + version.pending_latest_days * DAY_MS
    if record.delivered_at_ms is None:
        return latest
    return min(latest, record.delivered_at_ms + version.pending_days * DAY_MS)


def refunds(record: OrderRecord) -> list[ReturnRecord]:
    """The refunded returns, in the order in which they were settled."""
    if not record.returns:
        return []
    done = [r for r in record.returns if r.status is ReturnStatus.REFUNDED]
    return sorted(done, key=lambda r: (r.settled_at_ms or 0, r.return_id))


def holds(record: OrderRecord, active_from_ms: int) -> list[ReturnRecord]:
    """The open returns that were requested before the points became active: they hold back what they would take."""
    return [r for r in record.returns if r.status in OPEN and r.requested_at_ms < active_from_ms]


def kept_minor(lines: Sequence[NetLine], returns: Sequence[ReturnRecord]) -> tuple[int, ...]:
    """What is kept of each line after these refunds: the money refunded is taken off, never below zero.

    A line of which everything came back keeps nothing, whatever the refund said.
    """
    if not returns:
        return tuple([line.net_minor for line in lines])
    back = {line.line_id: [0, 0] for line in lines}
    for ret in returns:
        for line_id, quantity, refund_minor in ret.lines:
            if line_id in back:
                back[line_id][0] += quantity
                back[line_id][1] += refund_minor
    return tuple([_kept(line, *back[line.line_id]) for line in lines])


def _kept(line: NetLine, quantity: int, refund_minor: int) -> int:
    if 0 < line.quantity <= quantity:
        return 0
    return max(0, line.net_minor - refund_minor)


def worth(record: OrderRecord, kept: tuple[int, ...], tier: int, programme: Programme) -> Rated:
    """The order's points when `kept` is kept of its lines and it was placed at `tier`."""
    version = programme.at(record.placed_at_ms)
    return rate(record.lines, kept, record.currency, record.placed_at_ms, tier, version)


def qualifying_steps(record: OrderRecord, tier: int, programme: Programme) -> tuple[Step, ...]:
    """What the order does to the qualifying points, and when; nothing while it is not paid.

    The first step stands even when it is worth nothing: it fixes the order's place among the others.
    """
    if record.paid_at_ms is None or not record.known:
        return ()
    base = worth(record, kept_minor(record.lines, ()), tier, programme).base
    steps = [Step(record.placed_at_ms, base)]
    done: list[ReturnRecord] = []
    for ret in refunds(record):
        at_ms = max(ret.settled_at_ms or 0, record.placed_at_ms)
        if record.cancelled_at_ms is not None and at_ms >= record.cancelled_at_ms:
            break
        done.append(ret)
        left = worth(record, kept_minor(record.lines, done), tier, programme).base
        steps.append(Step(at_ms, left - base))
        base = left
    if record.status is OrderStatus.CANCELLED and record.cancelled_at_ms is not None:
        steps.append(Step(max(record.cancelled_at_ms, record.placed_at_ms), -base))
    return (steps[0], *(step for step in steps[1:] if step.points))
