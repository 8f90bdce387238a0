"""The border: what a readable fact must satisfy before the rules may trust it.

Each refusal is an `InvalidFact` with a stable error class. What depends on the programme or on other facts (a
currency, an order's lines) is judged later, by the processor.
"""

from __future__ import annotations

import re
from calendar import monthrange
from functools import lru_cache
from typing import Final, NoReturn
from zoneinfo import ZoneInfo

from pipelines.domain.facts import (
    CommandKind,
    Engagement,
    Fact,
    Member,
    Order,
    OrderStatus,
    PointsCommand,
    Return,
    ReturnStatus,
    Tick,
)
from pipelines.domain.merging import Handover
from schemas.codec import InvalidFact

SKEW_MS: Final = 5 * 60_000
INSTANT_MAX: Final = 221_845_392_000_000
"""The year 9000, in milliseconds: calendars end in 9999, and points may live for long after a fact."""
MONEY_MAX: Final = 10**12
QUANTITY_MAX: Final = 10**6
MEASURE_MAX: Final = 10**6
POINTS_MAX: Final = 10**9
LINES_MAX: Final = 10_000

_ABOUT: Final = frozenset({CommandKind.CANCEL_REDEMPTION, CommandKind.COMMIT, CommandKind.RELEASE})
TEXT_MAX: Final = 500
_ID: Final = re.compile(r"[!-.0-{}~]{1,128}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_MARKET: Final = re.compile(r"[A-Z]{2}")


def _refuse(error_class: str, message: str) -> NoReturn:
    raise InvalidFact(error_class, message)


def check_fact(fact: Fact | Tick | Handover, key: bytes | None, timestamp_ms: int) -> None:
    """Raise InvalidFact unless the fact's values, the record's key and its timestamp can be true together."""
    if isinstance(fact, Handover):
        _check_key(fact.member_id, key)
        return
    if isinstance(fact, Tick):
        _check_time("at", fact.at_ms, timestamp_ms)
        if fact.at_ms != timestamp_ms:
            _refuse(
                "RECORD_TIME_MISMATCH", f"the record's timestamp is {timestamp_ms}, the tick's {fact.at_ms}"
            )
        return
    _check_key(fact.member_id, key)
    _check_id("event_id", fact.event_id)
    _check_id("member_id", fact.member_id)
    if fact.recorded_at_ms != timestamp_ms:
        message = f"the record's timestamp is {timestamp_ms}, recorded_at {fact.recorded_at_ms}"
        _refuse("RECORD_TIME_MISMATCH", message)
    _check_time("recorded_at", fact.recorded_at_ms, fact.recorded_at_ms)
    _check_time("occurred_at", fact.occurred_at_ms, fact.recorded_at_ms)
    if isinstance(fact, PointsCommand):
        _check_command(fact)
        return
    if fact.version < 1:
        _refuse("BAD_VERSION", f"version {fact.version}; versions begin at 1")
    if isinstance(fact, Order):
        _check_order(fact)
    elif isinstance(fact, Return):
        _check_return(fact)
    elif isinstance(fact, Engagement):
        _check_engagement(fact)
    else:
        _check_member(fact)


def _check_key(member_id: str, key: bytes | None) -> None:
    if key is None:
        _refuse("NULL_KEY", "the key must be the member id")
    if key != member_id.encode():
        _refuse("KEY_MISMATCH", f"the key is {key!r}, the member {member_id!r}")


def _check_id(name: str, value: str) -> None:
    if _ID.fullmatch(value) is None:
        allowed = "1-128 printable ASCII characters without blank, '/' and '|'"
        _refuse("BAD_ID", f"{name} is {value[:140]!r}; allowed are {allowed}")


def _check_time(name: str, at_ms: int | None, recorded_at_ms: int) -> None:
    if at_ms is None:
        return
    if at_ms < 0:
        _refuse("BEFORE_1970", f"{name} is {at_ms} ms")
    if at_ms >= INSTANT_MAX:
        _refuse("FROM_THE_FUTURE", f"{name} is {at_ms} ms; the years from 9000 on are refused")
    if at_ms > recorded_at_ms + SKEW_MS:
        _refuse("FROM_THE_FUTURE", f"{name} lies {at_ms - recorded_at_ms} ms after recorded_at")


def _check_money(name: str, minor: int) -> None:
    if minor < 0:
        _refuse("NEGATIVE_MONEY", f"{name} is {minor}")
    if minor > MONEY_MAX:
        _refuse("TOO_LARGE", f"{name} is {minor}; the most is {MONEY_MAX}")


def _check_quantity(line_id: str, quantity: int) -> None:
    if quantity < 0:
        _refuse("NEGATIVE_QUANTITY", f"line {line_id} has quantity {quantity}")
    if quantity > QUANTITY_MAX:
        _refuse("TOO_LARGE", f"line {line_id} has quantity {quantity}; the most is {QUANTITY_MAX}")


def _check_lines(found: list[str]) -> None:
    if not found:
        _refuse("NO_LINES", "at least one line is needed")
    if len(found) > LINES_MAX:
        _refuse("TOO_LARGE", f"{len(found)} lines; the most is {LINES_MAX}")
    if len(set(found)) != len(found):
        _refuse("DUPLICATE_LINE", f"line ids repeat: {found[:20]}")
    for line_id in found:
        _check_id("line_id", line_id)


def _milestone(status: str, name: str, at_ms: int | None) -> None:
    if at_ms is None:
        _refuse("STATUS_WITHOUT_MILESTONE", f"{status} needs {name}")


def _check_later(name: str, at_ms: int | None, before: str, first_ms: int, recorded_at_ms: int) -> None:
    """A milestone that may not have been reached: if it was, then not before another, and as any instant."""
    if at_ms is not None:
        _check_time(name, at_ms, recorded_at_ms)
        if at_ms < first_ms:
            _refuse("BAD_MILESTONE_ORDER", f"{name} {at_ms} lies before {before} {first_ms}")


def _check_market(market: str) -> None:
    if _MARKET.fullmatch(market) is None:
        _refuse("BAD_MARKET", f"market is {market!r}; two capital letters are needed")


@lru_cache(maxsize=1024)
def _is_zone(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _check_zone(zone: str) -> None:
    if not _is_zone(zone):
        _refuse("BAD_ZONE", f"{zone!r} is no IANA time zone")


def _check_order(order: Order) -> None:
    _check_id("order_id", order.order_id)
    _check_market(order.market)
    if _CURRENCY.fullmatch(order.currency) is None:
        _refuse("BAD_CURRENCY", f"currency is {order.currency!r}; three capital letters are needed")
    if order.status in (OrderStatus.PAID, OrderStatus.DELIVERED):
        _milestone(order.status, "paid_at", order.paid_at_ms)
    if order.status is OrderStatus.DELIVERED:
        _milestone(order.status, "delivered_at", order.delivered_at_ms)
    if order.status is OrderStatus.CANCELLED:
        _milestone(order.status, "cancelled_at", order.cancelled_at_ms)
    placed, recorded = order.placed_at_ms, order.recorded_at_ms
    _check_time("placed_at", placed, recorded)
    _check_later("paid_at", order.paid_at_ms, "placed_at", placed, recorded)
    _check_later("delivered_at", order.delivered_at_ms, "placed_at", placed, recorded)
    _check_later("cancelled_at", order.cancelled_at_ms, "placed_at", placed, recorded)
    _check_lines([line.line_id for line in order.lines])
    for line in order.lines:
        _check_quantity(line.line_id, line.quantity)
        _check_money("gross_minor", line.gross_minor)
        _check_money("discount_minor", line.discount_minor)
        if line.discount_minor > line.gross_minor:
            message = f"line {line.line_id} has {line.discount_minor} off {line.gross_minor}"
            _refuse("DISCOUNT_EXCEEDS_GROSS", message)
    _check_money("order_discount_minor", order.order_discount_minor)
    _check_money("paid_with_points_minor", order.paid_with_points_minor)
    _check_money("shipping_minor", order.shipping_minor)
    _check_money("tax_minor", order.tax_minor)


def _check_return(ret: Return) -> None:
    _check_id("return_id", ret.return_id)
    _check_id("order_id", ret.order_id)
    if ret.status in (ReturnStatus.REFUNDED, ReturnStatus.REJECTED):
        _milestone(ret.status, "settled_at", ret.settled_at_ms)
    _check_time("requested_at", ret.requested_at_ms, ret.recorded_at_ms)
    _check_later("settled_at", ret.settled_at_ms, "requested_at", ret.requested_at_ms, ret.recorded_at_ms)
    _check_lines([line.line_id for line in ret.lines])
    for line in ret.lines:
        _check_quantity(line.line_id, line.quantity)
        _check_money("refund_minor", line.refund_minor)


def _check_engagement(engagement: Engagement) -> None:
    _check_id("engagement_id", engagement.engagement_id)
    if engagement.subject is not None:
        _check_id("subject", engagement.subject)
    _check_zone(engagement.zone)
    for name, value in (("distance_m", engagement.distance_m), ("duration_s", engagement.duration_s)):
        if value is not None and value < 0:
            _refuse("NEGATIVE_MEASURE", f"{name} is {value}")
        if value is not None and value > MEASURE_MAX:
            _refuse("TOO_LARGE", f"{name} is {value}; the most is {MEASURE_MAX}")


def _check_command(command: PointsCommand) -> None:
    _check_id("command_id", command.command_id)
    if command.subject_id is not None:
        _check_id("subject_id", command.subject_id)
    elif command.kind in _ABOUT:
        _refuse("NO_SUBJECT", f"{command.kind} needs the redemption or reservation that it is about")
    _check_points(command)
    if command.kind is CommandKind.ADJUST:
        for name, told in (
            ("actor", command.actor),
            ("reason", command.reason),
            ("ticket", command.ticket),
        ):
            if not told or len(told) > TEXT_MAX:
                _refuse("ADJUST_UNEXPLAINED", f"{name} is {told!r}; 1-{TEXT_MAX} characters are needed")


def _check_points(command: PointsCommand) -> None:
    points = command.points
    if abs(points) > POINTS_MAX:
        _refuse("TOO_LARGE", f"points is {points}; the most is {POINTS_MAX}")
    if command.kind is CommandKind.ADJUST:
        if points == 0:
            _refuse("NO_POINTS", "an adjustment of 0 points is none")
    elif command.kind in _ABOUT:
        if points:
            _refuse("POINTS_NOT_WANTED", f"{command.kind} is of all points of its subject, not of {points}")
    elif points < 1:
        _refuse("NO_POINTS", f"{command.kind} of {points} points; at least 1 is needed")


def _check_member(member: Member) -> None:
    _check_market(member.market)
    _check_zone(member.zone)
    _check_time("enrolled_at", member.enrolled_at_ms, member.recorded_at_ms)
    _check_time("erased_at", member.erased_at_ms, member.recorded_at_ms)
    if member.merged_into is not None:
        _check_id("merged_into", member.merged_into)
        if member.merged_into == member.member_id:
            _refuse("MERGED_INTO_ITSELF", f"{member.member_id} cannot be merged into itself")
    month, day = member.birthday_month, member.birthday_day
    if (month is None) != (day is None):
        _refuse("BAD_BIRTHDAY", "month and day belong together")
    if month is not None and day is not None:
        if not 1 <= month <= 12:
            _refuse("BAD_BIRTHDAY", f"there is no month {month}")
        if not 1 <= day <= monthrange(2024, month)[1]:
            _refuse("BAD_BIRTHDAY", f"month {month} has no day {day}")
