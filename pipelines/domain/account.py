"""A member's account: totals, tier and timers. Orders and engagements are kept beside it, one record each.

The account is the only value here that changes in place: a processed input takes it from one consistent state to
the next, and the journal writes down how.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from pipelines.domain.facts import Consent, Member
from pipelines.domain.ledger import (
    Balance,
    Derivation,
    LedgerAccount,
    LedgerEntry,
    Reason,
    TierProgress,
)
from pipelines.domain.lots import Book, Calendar
from pipelines.domain.programme import Programme, ProgrammeVersion
from pipelines.domain.standing import Standing

FAR_PAST_MS = -(1 << 62)


class Membership(NamedTuple):
    """The highest version of the member's own fact."""

    version: int
    enrolled_at_ms: int
    market: str
    zone: str
    birthday_month: int | None
    birthday_day: int | None
    consents: tuple[Consent, ...]
    erased_at_ms: int | None
    merged_into: str | None


def membership(member: Member) -> Membership:
    return Membership(
        member.version,
        member.enrolled_at_ms,
        member.market,
        member.zone,
        member.birthday_month,
        member.birthday_day,
        member.consents,
        member.erased_at_ms,
        member.merged_into,
    )


class ParkedUntil(NamedTuple):
    """A return waits for its order until `at_ms`."""

    at_ms: int
    order_id: str


ProgressInputs = tuple[int, Standing, tuple[int, str, int], Membership | None, str | None, ProgrammeVersion]
"""The qualifying points, and what else a member's progress depends on."""

_at_ms = attrgetter("at_ms")


@dataclass(slots=True)
class Account:
    """`now_ms` is the greatest recorded time or clock tick seen; `sequence` counts ledger entries.

    `lifetime` is all that was ever granted, less what was taken back; `reservations` are the open ones, each until
    when. `others` are the members merged into this one, with what is known of them; `merged_into` is where this one's
    things are now.
    """

    member_id: str
    now_ms: int = FAR_PAST_MS
    sequence: int = 0
    active: int = 0
    pending: int = 0
    reserved: int = 0
    debt: int = 0
    lifetime: int = 0
    membership: Membership | None = None
    standing: Standing = field(default_factory=Standing)
    calendar: Calendar = field(default_factory=Calendar)
    parked: dict[str, ParkedUntil] = field(default_factory=dict)
    reservations: dict[str, int] = field(default_factory=dict)
    others: dict[str, Membership] = field(default_factory=dict)
    merged_into: str | None = None

    @property
    def memberships(self) -> list[tuple[int, str]]:
        """When each member that this person has been was enrolled, as far as is known; the first one first."""
        known = self.others if self.membership is None else self.others | {self.member_id: self.membership}
        return sorted((m.enrolled_at_ms, member_id) for member_id, m in known.items())

    @property
    def enrolled_at_ms(self) -> int | None:
        if self.membership is not None and not self.others:
            return self.membership.enrolled_at_ms
        return next((at_ms for at_ms, _ in self.memberships), None)

    @property
    def erased(self) -> bool:
        """Whether nothing is kept of the member any more, nor ever again."""
        return self.membership is not None and self.membership.erased_at_ms is not None

    @property
    def market(self) -> str:
        return "" if self.membership is None else self.membership.market

    def next_due_ms(self, programme: Programme) -> int | None:
        """The earliest instant at which something happens by itself."""
        if self.merged_into is not None:
            return None
        everything = [*self.calendar.expiries, *self.reservations.values()]
        for waiting in (self.calendar.activations, self.parked):
            if waiting:
                everything += map(_at_ms, waiting.values())
        if (tier := self.standing.next_time_ms(programme)) is not None:
            everything.append(tier)
        return min(everything, default=None)

    def balance(self) -> Balance:
        """The account's totals as of its now."""
        upcoming, points = self.calendar.next_activation
        expiry = min(self.calendar.expiries, default=None)
        return Balance(
            self.member_id,
            self.market,
            self.sequence,
            self.now_ms,
            self.active,
            self.pending,
            self.reserved,
            self.debt,
            self.lifetime,
            upcoming,
            points,
            expiry,
            0 if expiry is None else self.calendar.expiries[expiry],
        )

    def progress_inputs(self, programme: Programme) -> ProgressInputs:
        """All that progress depends on: while it is the same, so is progress, which takes longer to work out."""
        standing = self.standing
        points, version = standing.qualifying(programme), programme.at(self.now_ms)
        return points, standing, standing.frontier, self.membership, self.merged_into, version

    def progress(self, programme: Programme) -> TierProgress | None:
        """Where the member stands between two tiers, by the rules in force now; None before enrolment, or merged."""
        if self.membership is None or not self.standing.spans or self.merged_into is not None:
            return None
        standing, version = self.standing, programme.at(self.now_ms)
        following = version.tiers[standing.tier + 1] if standing.tier + 1 < len(version.tiers) else None
        currency = version.market_currency.get(self.membership.market)
        points = standing.qualifying(programme)
        missing = None if following is None else max(0, following.threshold - points)
        outlook = standing.outlook(self.now_ms, programme)
        return TierProgress(
            self.member_id,
            self.membership.market,
            self.now_ms,
            version.tiers[standing.tier].name,
            standing.since_ms(),
            outlook.valid_until_ms,
            points,
            outlook.to_keep_points,
            _spend_minor(outlook.to_keep_points, currency, version),
            outlook.keep_by_ms,
            None if following is None else following.name,
            missing,
            _spend_minor(missing, currency, version),
            standing.window_moves_ms(programme) if points and following is not None else None,
            currency,
        )


def _spend_minor(points: int | None, currency: str | None, version: ProgrammeVersion) -> int | None:
    """The least spending that earns `points` base points in one order."""
    if points is None or currency is None:
        return None
    rate = version.rates[currency]
    return -(-points * rate.per_minor // rate.points)


class Cause(NamedTuple):
    """The fact, or the instant, that makes entries: `name` is unique to it, `facts` are event ids."""

    name: str
    recorded_at_ms: int
    facts: tuple[str, ...]


@dataclass(slots=True)
class Journal:
    """Writes a member's ledger entries; each move changes the lot and the account's totals with it."""

    account: Account
    programme: Programme
    book: Book
    entries: list[LedgerEntry] = field(default_factory=list)

    def move(
        self,
        cause: Cause,
        lot_id: str,
        points: int,
        source: LedgerAccount,
        target: LedgerAccount,
        reason: Reason,
        effective_at_ms: int,
        rule_id: str,
        derivation: Derivation,
        part: str = "",
    ) -> None:
        """Move `points` (> 0) of a lot; `part` tells two moves of the same reason apart.

        The programme version and the tier told are those that made the lot's points.
        """
        assert points > 0, points
        account = self.account
        lot = self.book.lot(lot_id).moved(points, source, target, account.sequence)
        self.book.put(lot, account.now_ms)
        account.sequence += 1
        self._book(source, -points)
        self._book(target, points)
        transaction = f"{account.member_id}/{cause.name}"
        version = self.programme.at(lot.earned_at_ms)
        tier = account.standing.tier_at(lot.earned_at_ms) if lot.tier is None else lot.tier
        self.entries.append(
            LedgerEntry(
                f"{transaction}/{reason}{part and ':' + part}/{lot_id}/{source}",
                transaction,
                account.member_id,
                account.sequence,
                lot_id,
                points,
                source,
                target,
                reason,
                effective_at_ms,
                cause.recorded_at_ms,
                cause.facts,
                rule_id,
                version.version,
                version.tiers[tier].name,
                account.market,
                account.active,
                account.pending,
                derivation,
            )
        )

    def _book(self, side: LedgerAccount, points: int) -> None:
        account = self.account
        if side is LedgerAccount.ACTIVE:
            account.active += points
            assert account.active >= 0, account
        elif side is LedgerAccount.PENDING:
            account.pending += points
            assert account.pending >= 0, account
        elif side is LedgerAccount.RESERVED:
            account.reserved += points
            assert account.reserved >= 0, account
        elif side is LedgerAccount.DEBT:
            account.debt -= points
            assert account.debt >= 0, account
        elif side in (LedgerAccount.ISSUED, LedgerAccount.CLAWED_BACK):
            account.lifetime -= points
