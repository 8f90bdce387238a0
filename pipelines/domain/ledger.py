"""What the pipeline answers. A ledger entry moves points between two accounts, so a ledger always closes."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pipelines.domain.facts import CommandKind


class LedgerAccount(StrEnum):
    """Where points can be; the sum over all of them is zero, with ISSUED the negative side.

    What is TRANSFERRED out of one member's lot comes into the same lot of another's.
    """

    ISSUED = "ISSUED"
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    RESERVED = "RESERVED"
    REDEEMED = "REDEEMED"
    EXPIRED = "EXPIRED"
    CLAWED_BACK = "CLAWED_BACK"
    DEBT = "DEBT"
    ADJUSTED = "ADJUSTED"
    WRITTEN_OFF = "WRITTEN_OFF"
    ERASED = "ERASED"
    TRANSFERRED = "TRANSFERRED"


class Reason(StrEnum):
    """Why points moved."""

    BASE = "BASE"
    TIER_BONUS = "TIER_BONUS"
    CAMPAIGN = "CAMPAIGN"
    THRESHOLD = "THRESHOLD"
    REFERRAL = "REFERRAL"
    REVIEW = "REVIEW"
    ACTIVITY = "ACTIVITY"
    BIRTHDAY = "BIRTHDAY"
    WELCOME = "WELCOME"
    ACTIVATION = "ACTIVATION"
    DEBT_REPAID = "DEBT_REPAID"
    RETURN = "RETURN"
    CANCEL = "CANCEL"
    EDIT = "EDIT"
    ACTIVITY_DELETED = "ACTIVITY_DELETED"
    CAP = "CAP"
    NOT_VERIFIED = "NOT_VERIFIED"
    EXPIRY = "EXPIRY"
    REDEMPTION = "REDEMPTION"
    REVERSAL = "REVERSAL"
    RESERVATION = "RESERVATION"
    TIER_CORRECTION = "TIER_CORRECTION"
    AGENT = "AGENT"
    MERGE = "MERGE"
    ERASURE = "ERASURE"


class DerivedLine(NamedTuple):
    """An order line's part: what it was worth after discounts, what of that is kept, and its whole points."""

    line_id: str
    net_minor: int
    kept_minor: int
    points: int


class Term(NamedTuple):
    """One component of an order's points: exactly `numerator / denominator`, and the whole points it was given."""

    reason: Reason
    rule_id: str
    numerator: int
    denominator: int
    points: int


class WhyNot(NamedTuple):
    """A rule that did not apply, and why."""

    rule_id: str
    reason: str


class Derivation(NamedTuple):
    """From what, and by which steps, the points of an entry follow.

    `formula` names the rule of arithmetic; `inputs` are its named whole numbers; `lines` and `terms` are there
    for orders. `target` is what the facts are worth now, `granted_before` what had been granted: the difference
    is the entry, or the transaction's entries on that lot together.
    """

    formula: str
    inputs: tuple[tuple[str, int], ...]
    lines: tuple[DerivedLine, ...]
    terms: tuple[Term, ...]
    granted_before: int
    target: int
    why_not: tuple[WhyNot, ...]


class LedgerEntry(NamedTuple):
    """`points` (> 0) moved from one account to another; `entry_id` derives from the facts alone.

    `sequence` counts the member's entries from 1; `active_after` and `pending_after` chain them.
    """

    entry_id: str
    transaction_id: str
    member_id: str
    sequence: int
    lot_id: str
    points: int
    from_account: LedgerAccount
    to_account: LedgerAccount
    reason: Reason
    effective_at_ms: int
    recorded_at_ms: int
    caused_by: tuple[str, ...]
    rule_id: str
    programme_version: str
    tier_at_event: str
    market: str
    active_after: int
    pending_after: int
    derivation: Derivation


class Balance(NamedTuple):
    """What a member has, after the entry with `sequence`; a total of the ledger, never a second truth."""

    member_id: str
    market: str
    sequence: int
    recorded_at_ms: int
    active: int
    pending: int
    reserved: int
    debt: int
    lifetime: int
    next_activation_at_ms: int | None
    next_activation_points: int
    next_expiry_at_ms: int | None
    next_expiry_points: int


class TierChange(StrEnum):
    """What happened to a member's tier."""

    JOINED = "JOINED"
    UPGRADED = "UPGRADED"
    AT_RISK = "AT_RISK"
    RISK_CLEARED = "RISK_CLEARED"
    PROLONGED = "PROLONGED"
    DOWNGRADED = "DOWNGRADED"
    CORRECTED = "CORRECTED"


class TierChanged(NamedTuple):
    """From `effective_at_ms` on the member's tier is `tier`; CORRECTED replaces what was said before.

    `valid_until_ms` is when grace ends (AT_RISK), or the period that the tier now holds for (PROLONGED).
    """

    change_id: str
    member_id: str
    market: str
    kind: TierChange
    from_tier: str | None
    tier: str
    qualifying_points: int
    valid_until_ms: int | None
    effective_at_ms: int
    recorded_at_ms: int
    caused_by: tuple[str, ...]
    programme_version: str


class TierProgress(NamedTuple):
    """Until when the tier holds and what keeps it; how far the next one is: in points and in money of the market.

    `to_keep_points` counts what leaves the window before it is looked at, at `keep_by_ms`; `to_next_points` holds
    until `next_by_ms`, when points leave the window or the period ends. None where there is nothing to lose or reach.
    """

    member_id: str
    market: str
    recorded_at_ms: int
    tier: str
    tier_since_ms: int
    valid_until_ms: int | None
    qualifying_points: int
    to_keep_points: int | None
    to_keep_minor: int | None
    keep_by_ms: int | None
    next_tier: str | None
    to_next_points: int | None
    to_next_minor: int | None
    next_by_ms: int | None
    currency: str | None


class NoProgress(NamedTuple):
    """The member's progress is no longer kept: the member is another's now, or was erased."""

    member_id: str
    recorded_at_ms: int


class NoBalance(NamedTuple):
    """The member's balance is no longer kept: the member was erased."""

    member_id: str
    recorded_at_ms: int


class CommandStatus(StrEnum):
    """Whether a command was carried out; it is never carried out in part."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"


class CommandRefusal(StrEnum):
    """Why a command was not carried out."""

    INSUFFICIENT_POINTS = "INSUFFICIENT_POINTS"
    NOT_A_MEMBER = "NOT_A_MEMBER"
    LATE = "LATE"
    SUBJECT_EXISTS = "SUBJECT_EXISTS"
    SUBJECT_UNKNOWN = "SUBJECT_UNKNOWN"
    SUBJECT_CLOSED = "SUBJECT_CLOSED"


class CommandResult(NamedTuple):
    """The answer to a command, with the figures it was decided on, and what it left."""

    command_id: str
    member_id: str
    kind: CommandKind
    status: CommandStatus
    refusal: CommandRefusal | None
    subject_id: str | None
    points_asked: int
    active_before: int
    points_moved: int
    active_after: int
    reserved_after: int
    debt_after: int
    transaction_id: str | None
    recorded_at_ms: int


class Refused(StrEnum):
    """Why a fact, though readable, is not applied; the error class of its dead letter."""

    LATE = "LATE"
    ORDER_FORGOTTEN = "ORDER_FORGOTTEN"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    RETURN_EXCEEDS_ORDER = "RETURN_EXCEEDS_ORDER"
    RETURN_OF_UNKNOWN_LINE = "RETURN_OF_UNKNOWN_LINE"
    UNKNOWN_CURRENCY = "UNKNOWN_CURRENCY"
    MERGE_CYCLE = "MERGE_CYCLE"
    MERGED_INTO_ERASED = "MERGED_INTO_ERASED"


class Outcome(StrEnum):
    """What became of a fact; every fact has exactly one, and each is counted."""

    APPLIED = "APPLIED"
    DUPLICATE = "DUPLICATE"
    STALE = "STALE"
    PARKED = "PARKED"
    FORWARDED = "FORWARDED"
    ERASED = "ERASED"
    REFUSED = "REFUSED"
