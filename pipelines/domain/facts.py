"""What the sources told us. A fact is immutable and carries its entity's whole state, milestones included, so
that the highest version alone says all that counts and a lower one never adds anything.

Instants are UTC epoch milliseconds (`_ms`), money is in minor units of the fact's currency (`_minor`), distances
are metres (`_m`). Facts are made one a record, hence named tuples.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class OrderStatus(StrEnum):
    """PAID and DELIVERED earn; PLACED not yet, CANCELLED no more."""

    PLACED = "PLACED"
    PAID = "PAID"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class ReturnStatus(StrEnum):
    """REQUESTED and RECEIVED hold pending points; REFUNDED takes them; REJECTED lets them go."""

    REQUESTED = "REQUESTED"
    RECEIVED = "RECEIVED"
    REFUNDED = "REFUNDED"
    REJECTED = "REJECTED"


class EngagementKind(StrEnum):
    """What a member did, other than buying."""

    RUN = "RUN"
    TRAINING = "TRAINING"
    REVIEW = "REVIEW"
    REFERRAL = "REFERRAL"
    PROFILE_COMPLETED = "PROFILE_COMPLETED"
    EVENT_CHECKIN = "EVENT_CHECKIN"
    COUPON_REDEEMED = "COUPON_REDEEMED"
    APP_OPENED = "APP_OPENED"


class EngagementStatus(StrEnum):
    """A DELETED engagement stays known, and is worth nothing."""

    RECORDED = "RECORDED"
    EDITED = "EDITED"
    DELETED = "DELETED"


class Verification(StrEnum):
    """How far the distance of an activity can be trusted."""

    GPS = "GPS"
    DEVICE = "DEVICE"
    MANUAL = "MANUAL"
    NONE = "NONE"


class OrderLine(NamedTuple):
    """One article of an order; `gross_minor` is for the whole quantity, before every discount, without tax."""

    line_id: str
    sku: str
    category: str
    quantity: int
    gross_minor: int
    discount_minor: int
    eligible: bool


class Order(NamedTuple):
    """An order as the shop last told it."""

    event_id: str
    member_id: str
    occurred_at_ms: int
    recorded_at_ms: int
    order_id: str
    version: int
    status: OrderStatus
    placed_at_ms: int
    paid_at_ms: int | None
    delivered_at_ms: int | None
    cancelled_at_ms: int | None
    market: str
    currency: str
    lines: tuple[OrderLine, ...]
    order_discount_minor: int
    paid_with_points_minor: int
    shipping_minor: int
    tax_minor: int


class ReturnLine(NamedTuple):
    """How much of an order line goes back; `refund_minor` is what the member gets back for it, without tax."""

    line_id: str
    quantity: int
    refund_minor: int


class Return(NamedTuple):
    """A return as the shop last told it; `settled_at_ms` is when it was refunded or rejected."""

    event_id: str
    member_id: str
    occurred_at_ms: int
    recorded_at_ms: int
    return_id: str
    order_id: str
    version: int
    status: ReturnStatus
    requested_at_ms: int
    settled_at_ms: int | None
    lines: tuple[ReturnLine, ...]


class Engagement(NamedTuple):
    """An activity, review or other sign of life as its source last told it; it occurred in `zone`."""

    event_id: str
    member_id: str
    occurred_at_ms: int
    recorded_at_ms: int
    engagement_id: str
    version: int
    kind: EngagementKind
    status: EngagementStatus
    zone: str
    distance_m: int | None
    duration_s: int | None
    verification: Verification
    subject: str | None


class Consent(NamedTuple):
    """Permission for one purpose; it stands when granted later than withdrawn."""

    purpose: str
    granted_at_ms: int | None
    withdrawn_at_ms: int | None


class Member(NamedTuple):
    """A member as the membership service last told it. Only pseudonymous data comes here.

    `merged_into` is the member that is the same person, and has this one's points, for as long as it is told.
    """

    event_id: str
    member_id: str
    occurred_at_ms: int
    recorded_at_ms: int
    version: int
    enrolled_at_ms: int
    market: str
    zone: str
    birthday_month: int | None
    birthday_day: int | None
    consents: tuple[Consent, ...]
    erased_at_ms: int | None
    merged_into: str | None = None

    @property
    def erases(self) -> bool:
        """Whether it says that the member is to be forgotten. Once said, it holds, whatever the version."""
        return self.erased_at_ms is not None


class CommandKind(StrEnum):
    """What is asked to be done with a member's points."""

    REDEEM = "REDEEM"
    CANCEL_REDEMPTION = "CANCEL_REDEMPTION"
    RESERVE = "RESERVE"
    COMMIT = "COMMIT"
    RELEASE = "RELEASE"
    ADJUST = "ADJUST"


class PointsCommand(NamedTuple):
    """A request to spend, hold or adjust points; answered once, whatever comes again under its `command_id`.

    `subject_id` is the redemption or reservation that it makes or is about; `points` counts for REDEEM, RESERVE and
    ADJUST (there also negative); an agent's ADJUST tells `actor`, `reason` and `ticket`.
    """

    event_id: str
    member_id: str
    occurred_at_ms: int
    recorded_at_ms: int
    command_id: str
    kind: CommandKind
    subject_id: str | None
    points: int
    actor: str | None
    reason: str | None
    ticket: str | None


class Tick(NamedTuple):
    """The clock of one partition has reached `at_ms`."""

    at_ms: int


Fact = Order | Return | Engagement | Member | PointsCommand
