"""The facts of a vector, from a few words to whole facts.

Every scalar of a vector is text. An amount is `160.00` (in the currency's own digits) under its plain name, or whole
minor units under its `_minor` name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from pipelines.domain.facts import (
    CommandKind,
    Consent,
    Engagement,
    EngagementKind,
    EngagementStatus,
    Fact,
    Member,
    Order,
    OrderLine,
    OrderStatus,
    PointsCommand,
    Return,
    ReturnLine,
    ReturnStatus,
    Verification,
)
from pipelines.failure import Failure

ENROLLED: Final = "2024-01-01T00:00:00Z"
_DIGITS: Final = {"JPY": 0}
_ENVELOPE: Final = ("member_id", "version", "event_id", "occurred_at", "recorded_at")


@dataclass(frozen=True, slots=True)
class Given:
    """A part of a vector, and where the vector stands."""

    where: str
    value: Any

    def wrong(self, what: str) -> NoReturn:
        raise Failure(f"{self.where}: {what}", "see tests/vectors/README.md for the format")

    def only(self, allowed: Sequence[str], needed: Sequence[str] = ()) -> Mapping[str, Any]:
        """The mapping here, with no other keys than these."""
        if not isinstance(self.value, dict):
            self.wrong(f"key: value pairs are wanted, not {self.value!r}")
        for key in self.value:
            if key not in allowed:
                self.wrong(f"the key {key!r} is not known; known are {', '.join(allowed)}")
        for key in needed:
            if key not in self.value:
                self.wrong(f"{key!r} is missing")
        return dict(self.value)

    def inside(self, key: str) -> Given:
        return Given(self.where, self.value[key])


def instant(given: Given, text: str) -> int:
    """Milliseconds of an ISO 8601 instant with its offset."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        given.wrong(f"{text!r} is not an instant such as 2026-03-01T00:00:00Z")
    if at.tzinfo is None:
        given.wrong(f"{text!r} has no offset; add Z")
    return round(at.timestamp() * 1000)


def minor(given: Given, found: Mapping[str, Any], name: str, currency: str) -> int:
    """An amount in minor units; 0 when it is not given."""
    if f"{name}_minor" in found:
        return int(found[f"{name}_minor"])
    try:
        amount = Decimal(found.get(name, "0")).scaleb(_DIGITS.get(currency, 2))
    except InvalidOperation:
        given.wrong(f"{name} is {found[name]!r}, not an amount such as 160.00")
    if amount != int(amount):
        given.wrong(f"{name} {found[name]} has more digits than {currency}")
    return int(amount)


def member_of(given: Given, member_id: str) -> Member:
    """A member, enrolled long ago in Switzerland unless told otherwise, and known from that instant on."""
    found = given.only(
        (
            "enrolled_at",
            "recorded_at",
            "market",
            "zone",
            "version",
            "merged_into",
            "birthday",
            "consents",
            "erased_at",
        )
    )
    enrolled = instant(given, found.get("enrolled_at", ENROLLED))
    recorded = instant(given, found["recorded_at"]) if "recorded_at" in found else enrolled
    version = int(found.get("version", 1))
    return Member(
        f"member-{member_id}@{version}",
        member_id,
        enrolled,
        recorded,
        version,
        enrolled,
        found.get("market", "CH"),
        found.get("zone", "Europe/Zurich"),
        *_birthday(found),
        tuple(_consents(given, found, enrolled)),
        instant(given, found["erased_at"]) if "erased_at" in found else None,
        found.get("merged_into"),
    )


def _birthday(found: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """`03-15`: a month and a day; no year is known."""
    month, _, day = found.get("birthday", "").partition("-")
    return (int(month), int(day)) if day else (None, None)


def _consents(given: Given, found: Mapping[str, Any], enrolled: int) -> Iterator[Consent]:
    """`{marketing: {granted_at: …, withdrawn_at: …}}`; to marketing since enrolment unless told otherwise."""
    told = found.get("consents", {"marketing": {"granted_at": None}})
    for purpose, span in told.items():
        granted = span.get("granted_at")
        withdrawn = span.get("withdrawn_at")
        yield Consent(
            purpose,
            instant(given, granted) if granted else enrolled,
            instant(given, withdrawn) if withdrawn else None,
        )


def facts_of(steps: Sequence[Given], member_id: str) -> Iterator[Fact]:
    """The facts of the steps, each `{at: …, order|return|engagement|member|command: {…}}`."""
    makers: dict[str, Callable[[Given, int, str], Fact]] = {
        "order": _order,
        "return": _return,
        "engagement": _engagement,
        "member": _member,
        "command": _command,
    }
    for step in steps:
        found = step.only(("at", *makers), ("at",))
        kinds = [kind for kind in makers if kind in found]
        if len(kinds) != 1:
            step.wrong(f"a step has one of {', '.join(makers)}")
        fact = makers[kinds[0]](step.inside(kinds[0]), instant(step, found["at"]), member_id)
        yield fact


def _event(found: Mapping[str, Any], entity: str) -> str:
    return str(found.get("event_id", f"{entity}@{found.get('version', 1)}"))


def _at(given: Given, found: Mapping[str, Any], name: str, otherwise: int | None) -> int | None:
    return instant(given, found[name]) if name in found else otherwise


_ORDER: Final = (
    "order_id",
    "status",
    "placed_at",
    "paid_at",
    "delivered_at",
    "cancelled_at",
    "market",
    "currency",
    "lines",
    *(
        f"{name}{end}"
        for name in ("order_discount", "paid_with_points", "shipping", "tax")
        for end in ("", "_minor")
    ),
)


def _order(given: Given, at_ms: int, member_id: str) -> Order:
    found = given.only((*_ENVELOPE, *_ORDER), ("order_id",))
    status = OrderStatus(found.get("status", "PAID"))
    placed = _at(given, found, "placed_at", at_ms) or 0
    paid = _at(
        given, found, "paid_at", placed if status in (OrderStatus.PAID, OrderStatus.DELIVERED) else None
    )
    delivered = _at(given, found, "delivered_at", at_ms if status is OrderStatus.DELIVERED else None)
    cancelled = _at(given, found, "cancelled_at", at_ms if status is OrderStatus.CANCELLED else None)
    currency = found.get("currency", "EUR")
    occurred = cancelled or delivered or paid or placed
    return Order(
        _event(found, found["order_id"]),
        found.get("member_id", member_id),
        _at(given, found, "occurred_at", occurred) or 0,
        at_ms,
        found["order_id"],
        int(found.get("version", 1)),
        status,
        placed,
        paid,
        delivered,
        cancelled,
        found.get("market", "CH"),
        currency,
        tuple(
            _line(Given(given.where, line), n, currency)
            for n, line in enumerate(found.get("lines") or [{"gross": "100.00"}], 1)
        ),
        *(
            minor(given, found, name, currency)
            for name in ("order_discount", "paid_with_points", "shipping", "tax")
        ),
    )


def _line(given: Given, number: int, currency: str) -> OrderLine:
    allowed = (
        "line_id",
        "sku",
        "category",
        "quantity",
        "gross",
        "gross_minor",
        "discount",
        "discount_minor",
        "eligible",
    )
    found = given.only(allowed)
    line_id = found.get("line_id", f"L{number}")
    return OrderLine(
        line_id,
        found.get("sku", f"sku-{line_id}"),
        found.get("category", "road"),
        int(found.get("quantity", 1)),
        minor(given, found, "gross", currency),
        minor(given, found, "discount", currency),
        found.get("eligible", "true") == "true",
    )


def _return(given: Given, at_ms: int, member_id: str) -> Return:
    allowed = ("return_id", "order_id", "status", "requested_at", "settled_at", "currency", "lines")
    found = given.only((*_ENVELOPE, *allowed), ("return_id", "order_id", "lines"))
    status = ReturnStatus(found.get("status", "REFUNDED"))
    settles = status in (ReturnStatus.REFUNDED, ReturnStatus.REJECTED)
    settled = _at(given, found, "settled_at", at_ms if settles else None)
    requested = _at(given, found, "requested_at", settled or at_ms) or 0
    currency = found.get("currency", "EUR")
    return Return(
        _event(found, found["return_id"]),
        found.get("member_id", member_id),
        _at(given, found, "occurred_at", settled or requested) or 0,
        at_ms,
        found["return_id"],
        found["order_id"],
        int(found.get("version", 1)),
        status,
        requested,
        settled,
        tuple(_return_line(Given(given.where, line), currency) for line in found["lines"]),
    )


def _return_line(given: Given, currency: str) -> ReturnLine:
    found = given.only(("line_id", "quantity", "refund", "refund_minor"), ("line_id",))
    return ReturnLine(
        found["line_id"], int(found.get("quantity", 1)), minor(given, found, "refund", currency)
    )


def _engagement(given: Given, at_ms: int, member_id: str) -> Engagement:
    allowed = (
        "engagement_id",
        "kind",
        "status",
        "zone",
        "distance_m",
        "duration_s",
        "verification",
        "subject",
    )
    found = given.only((*_ENVELOPE, *allowed), ("engagement_id", "kind"))
    kind = EngagementKind(found["kind"])
    trusted = Verification.GPS if kind is EngagementKind.RUN else Verification.NONE
    return Engagement(
        _event(found, found["engagement_id"]),
        found.get("member_id", member_id),
        _at(given, found, "occurred_at", at_ms) or 0,
        at_ms,
        found["engagement_id"],
        int(found.get("version", 1)),
        kind,
        EngagementStatus(found.get("status", "RECORDED")),
        found.get("zone", "Europe/Zurich"),
        int(found["distance_m"]) if "distance_m" in found else None,
        int(found["duration_s"]) if "duration_s" in found else None,
        Verification(found.get("verification", trusted.value)),
        found.get("subject"),
    )


def _member(given: Given, at_ms: int, member_id: str) -> Member:
    found = dict(given.value)
    name = found.pop("member_id", member_id)
    occurred = found.pop("occurred_at", None)
    made = member_of(Given(given.where, found), name)
    occurred_ms = max(made.enrolled_at_ms, at_ms - 1) if occurred is None else instant(given, occurred)
    return made._replace(recorded_at_ms=at_ms, occurred_at_ms=occurred_ms)


def _command(given: Given, at_ms: int, member_id: str) -> PointsCommand:
    allowed = ("command_id", "kind", "subject_id", "points", "actor", "reason", "ticket")
    found = given.only(("member_id", "event_id", "occurred_at", *allowed), ("command_id", "kind"))
    kind = CommandKind(found["kind"])
    said = {"actor": "agent-1", "reason": "goodwill", "ticket": "T-1"} if kind is CommandKind.ADJUST else {}
    said |= found
    return PointsCommand(
        said.get("event_id", said["command_id"]),
        said.get("member_id", member_id),
        _at(given, found, "occurred_at", at_ms) or 0,
        at_ms,
        said["command_id"],
        kind,
        said.get("subject_id"),
        int(said.get("points", 0)),
        said.get("actor"),
        said.get("reason"),
        said.get("ticket"),
    )
