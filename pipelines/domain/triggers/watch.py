"""What the triggers know of one member: the facts that conditions look at, and which crossings are open.

Theory of operation. Every input changes the watch and nothing else; conditions are then read off it, at an instant.
Counts are kept per entity with its version, so that order and repetition of inputs do not matter. What time alone
changes happens at its own instant, for the watch is brought forward to each in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pipelines.domain.account import FAR_PAST_MS, Membership, membership
from pipelines.domain.calendar import expires_ms, local_week
from pipelines.domain.facts import (
    Engagement,
    EngagementKind,
    EngagementStatus,
    Member,
    Order,
    OrderStatus,
    Return,
    ReturnStatus,
    Verification,
)
from pipelines.domain.ledger import LedgerAccount, LedgerEntry, Reason, TierChange, TierChanged, TierProgress
from pipelines.domain.programme import DAY_MS, Programme
from pipelines.domain.triggers.rules import TriggerKind

GRANTED_FROM = (LedgerAccount.ISSUED, LedgerAccount.ADJUSTED)
VERIFIED = (Verification.GPS, Verification.DEVICE)
PAID = (OrderStatus.PAID, OrderStatus.DELIVERED)
TAKEN = (ReturnStatus.REQUESTED, ReturnStatus.RECEIVED, ReturnStatus.REFUNDED)
"""A return counts from the request on: nobody wants to be told about a shoe that is on its way back."""


class WatchedLine(NamedTuple):
    line_id: str
    sku: str
    category: str
    quantity: int


class WatchedOrder(NamedTuple):
    """An order that was paid and not cancelled, as last told."""

    version: int
    event_id: str
    placed_at_ms: int
    delivered_at_ms: int | None
    stands: bool
    lines: tuple[WatchedLine, ...]


class WatchedReturn(NamedTuple):
    order_id: str
    version: int
    stands: bool
    lines: tuple[tuple[str, int], ...]
    """(line, quantity)"""


class WatchedEngagement(NamedTuple):
    """What a run or a review added to the counts, to be taken off when it is edited or deleted."""

    version: int
    worn: str
    metres: int
    week: int
    reviewed: str


NOTHING_YET = WatchedEngagement(0, "", 0, 0, "")


class WatchedLot(NamedTuple):
    """A lot's active points, and when they cease."""

    active: int
    expires_at_ms: int | None


class Activated(NamedTuple):
    """Points of a lot became active at an instant."""

    at_ms: int
    points: int
    entry_id: str


class Reached(NamedTuple):
    """The tier, and by which change it was reached; `change_id` is empty for the tier that everybody has."""

    tier: str
    change_id: str
    from_tier: str | None


class Crossing(NamedTuple):
    """A condition that has become true and was told, or refused, or waits for the end of quiet hours."""

    trigger_id: str
    at_ms: int
    sent_at_ms: int | None = None
    held_until_ms: int | None = None
    expires_at_ms: int = 0


class Flicker(NamedTuple):
    """A condition crossed and cleared within one instant, so many times: what crosses then once more is another."""

    at_ms: int
    times: int


class Sent(NamedTuple):
    """Counts against caps: the member's calendar day, and what was sent."""

    day: int
    kind: TriggerKind
    channel: str


@dataclass(slots=True)
class Watch:
    """`now_ms` is the greatest recorded time or tick seen. `engagements` are kept beside it, a record each."""

    member_id: str
    now_ms: int = FAR_PAST_MS
    membership: Membership | None = None
    reached: Reached | None = None
    progress: TierProgress | None = None
    lots: dict[str, WatchedLot] = field(default_factory=dict)
    activated: dict[str, Activated] = field(default_factory=dict)
    orders: dict[str, WatchedOrder] = field(default_factory=dict)
    returns: dict[str, WatchedReturn] = field(default_factory=dict)
    worn_m: dict[str, int] = field(default_factory=dict)
    weeks: dict[int, int] = field(default_factory=dict)
    reviewed: dict[str, int] = field(default_factory=dict)
    crossings: dict[str, Crossing] = field(default_factory=dict)
    flickers: dict[str, Flicker] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    @property
    def zone(self) -> str:
        return "UTC" if self.membership is None else self.membership.zone

    @property
    def erased(self) -> bool:
        """Whether nothing is kept of the member any more, nor ever again."""
        return self.membership is not None and self.membership.erased_at_ms is not None

    @property
    def listens(self) -> bool:
        """Whether the member is one, and still themself: who is merged into another or erased is told nothing."""
        member = self.membership
        return member is not None and member.merged_into is None and member.erased_at_ms is None

    def kept(self, order_id: str) -> list[WatchedLine]:
        """The order's lines, less what was sent back or is to be; lines of which nothing is left are not there."""
        order = self.orders[order_id]
        if not order.stands:
            return []
        back = self.sent_back()
        left = [
            line._replace(quantity=line.quantity - back.get((order_id, line.line_id), 0))
            for line in order.lines
        ]
        return [line for line in left if line.quantity > 0]

    def sent_back(self) -> dict[tuple[str, str], int]:
        """How many came back, or are to, of each (order, line)."""
        back: dict[tuple[str, str], int] = {}
        for ret in self.returns.values():
            for line_id, quantity in ret.lines if ret.stands else ():
                back[ret.order_id, line_id] = back.get((ret.order_id, line_id), 0) + quantity
        return back

    def see_member(self, member: Member) -> None:
        if member.erases or self.membership is None or member.version > self.membership.version:
            self.membership = membership(member)

    def see_order(self, order: Order) -> None:
        known = self.orders.get(order.order_id)
        if known is None or order.version > known.version:
            lines = tuple(WatchedLine(x.line_id, x.sku, x.category, x.quantity) for x in order.lines)
            self.orders[order.order_id] = WatchedOrder(
                order.version,
                order.event_id,
                order.placed_at_ms,
                order.delivered_at_ms,
                order.status in PAID,
                lines,
            )

    def see_return(self, ret: Return) -> None:
        known = self.returns.get(ret.return_id)
        if known is None or ret.version > known.version:
            lines = tuple((line.line_id, line.quantity) for line in ret.lines)
            self.returns[ret.return_id] = WatchedReturn(ret.order_id, ret.version, ret.status in TAKEN, lines)

    def see_engagement(self, engagement: Engagement, known: WatchedEngagement) -> WatchedEngagement:
        """What of the engagement counts now, in the place of what of it was `known`."""
        if engagement.version <= known.version:
            return known
        now = _counted(engagement)
        _add(self.worn_m, known.worn, -known.metres)
        _add(self.worn_m, now.worn, now.metres)
        _add(self.weeks, known.week, -1)
        _add(self.weeks, now.week, 1)
        _add(self.reviewed, known.reviewed, -1)
        _add(self.reviewed, now.reviewed, 1)
        return now

    def see_change(self, change: TierChanged) -> None:
        """JOINED is no achievement, and a correction takes back what was said before."""
        rose = change.kind is TierChange.UPGRADED
        if change.kind is TierChange.JOINED:
            self.reached = Reached(change.tier, "", None)
        elif rose or self.reached is None or self.reached.tier != change.tier:
            self.reached = Reached(change.tier, change.change_id if rose else "", change.from_tier)

    def see_progress(self, progress: TierProgress | None) -> None:
        self.progress = progress

    def see_entry(self, entry: LedgerEntry, programme: Programme) -> None:
        """Follow the lot's active points, and when they cease."""
        lot = self.lots.get(entry.lot_id, WatchedLot(0, None))
        lot = lot._replace(expires_at_ms=_ends_ms(entry, lot, programme))
        came, went = entry.to_account is LedgerAccount.ACTIVE, entry.from_account is LedgerAccount.ACTIVE
        lot = lot._replace(active=lot.active + (came - went) * entry.points)
        if lot.active:
            self.lots[entry.lot_id] = lot
        else:
            self.lots.pop(entry.lot_id, None)
        if entry.reason is Reason.ACTIVATION:
            self.activated[entry.lot_id] = Activated(entry.effective_at_ms, entry.points, entry.entry_id)

    def forget(self, return_days: int, lives_ms: int) -> None:
        """Let go of what no condition can look at any more: news of activation, old orders that hold no shoe."""
        self.activated = {
            lot: news for lot, news in self.activated.items() if self.now_ms < news.at_ms + lives_ms
        }
        last = max((o.placed_at_ms for o in self.orders.values()), default=0)
        gone = {
            order_id
            for order_id, order in self.orders.items()
            if order.placed_at_ms < min(last, self.now_ms - return_days * DAY_MS)
            and not any(f"{order_id}:{line.line_id}" in self.worn_m for line in order.lines)
        }
        for order_id in gone:
            del self.orders[order_id]
        self.returns = {name: ret for name, ret in self.returns.items() if ret.order_id not in gone}


def _ends_ms(entry: LedgerEntry, lot: WatchedLot, programme: Programme) -> int | None:
    """When the lot's points cease: as the entry says, or by the rule for those that are active from the start."""
    told = dict(entry.derivation.inputs)
    if entry.reason is Reason.MERGE or entry.derivation.formula.startswith("timing:"):
        return told.get("expires_at_ms")
    if entry.to_account is LedgerAccount.ACTIVE and entry.from_account in GRANTED_FROM:
        version = next(v for v in programme.versions if v.version == entry.programme_version)
        if version.expiry is not None:
            return expires_ms(entry.effective_at_ms, version.expiry, version.zone)
    return lot.expires_at_ms


def _counted(engagement: Engagement) -> WatchedEngagement:
    """A verified run wears its shoe and fills its week; a review is of its product."""
    subject, version = engagement.subject or "", engagement.version
    if engagement.status is not EngagementStatus.DELETED:
        if engagement.kind is EngagementKind.RUN and engagement.verification in VERIFIED:
            week = local_week(engagement.occurred_at_ms, engagement.zone)
            return WatchedEngagement(version, subject, engagement.distance_m or 0 if subject else 0, week, "")
        if engagement.kind is EngagementKind.REVIEW:
            return WatchedEngagement(version, "", 0, 0, subject)
    return NOTHING_YET._replace(version=version)


Counted = TypeVar("Counted", str, int)


def _add(counts: dict[Counted, int], name: Counted, count: int) -> None:
    """Count under a name that is one; what counts nothing is not kept."""
    if not name or not count:
        return
    left = counts.get(name, 0) + count
    if left:
        counts[name] = left
    else:
        counts.pop(name, None)
