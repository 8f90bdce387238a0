"""The delta law: each change of what is known moves the ledger by `target - already granted`, and no more.

An order's points are pending until their day; everything else is active at once. What is active ends with its months.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from pipelines.domain.account import Account, Cause, Journal
from pipelines.domain.calendar import local_day
from pipelines.domain.engagements import Earned, EngagementRecord, earned_in_group, taken_back_for
from pipelines.domain.ledger import (
    Derivation,
    LedgerAccount,
    Reason,
    TierChange,
    TierChanged,
    WhyNot,
)
from pipelines.domain.lots import Lot
from pipelines.domain.orders import (
    EARNING,
    OrderRecord,
    Step,
    active_from_ms,
    holds,
    kept_minor,
    qualifying_steps,
    refunds,
    worth,
)
from pipelines.domain.programme import Programme
from pipelines.domain.rating import Rated, derived_lines
from pipelines.domain.standing import Position, Standing, TierSpan
from pipelines.domain.timing import settle_time
from pipelines.domain.waterfall import take_back

NOTHING = Rated(0, (), ())


def enrolled_by(account: Account, at_ms: int) -> bool:
    """Whether the member, as far as is known, was enrolled at that instant."""
    enrolled = account.enrolled_at_ms
    return enrolled is not None and enrolled <= at_ms


def follow(account: Account, record: OrderRecord, programme: Programme) -> OrderRecord | None:
    """The order with its tier and steps, its new steps taken into the standing: the way in constant time.

    None, and nothing changed, when a step lies behind the frontier or an old one is no more: then `refold`.
    """
    if record.placed_at_ms > account.now_ms:  # a clock ahead of ours, within the border's tolerance
        account.standing.pass_time(record.placed_at_ms, programme)
    tier = record.tier if record.steps else account.standing.tier
    steps = _steps(account, record, tier, programme)
    taken = len(record.steps)
    if steps[:taken] != record.steps:
        return None
    positions = [(step.at_ms, record.order_id, n) for n, step in enumerate(steps)][taken:]
    if positions and positions[0] <= account.standing.frontier:
        return None
    for position, step in zip(positions, steps[taken:], strict=True):
        _take(account.standing, position, record, step, programme)
    return record._replace(tier=tier if steps else 0, steps=steps)


def refold(account: Account, records: list[OrderRecord], programme: Programme) -> list[OrderRecord]:
    """All orders with the tiers and steps that follow from all facts known; the standing is made anew."""
    account.standing = Standing()
    if account.enrolled_at_ms is not None:
        account.standing.join(account.enrolled_at_ms, programme)
    rated: dict[str, OrderRecord] = {r.order_id: r._replace(tier=0, steps=()) for r in records}
    first = {r.order_id: r for r in records if _steps(account, r, 0, programme)}
    queue: list[Position] = [(r.placed_at_ms, r.order_id, 0) for r in first.values()]
    heapify(queue)
    while queue:
        position = heappop(queue)
        at_ms, order_id, n = position
        if n == 0:
            account.standing.pass_time(at_ms, programme)
            tier = account.standing.tier
            steps = _steps(account, first[order_id], tier, programme)
            rated[order_id] = rated[order_id]._replace(tier=tier, steps=steps)
            for later, step in enumerate(steps[1:], 1):
                heappush(queue, (step.at_ms, order_id, later))
        record = rated[order_id]
        _take(account.standing, position, record, record.steps[n], programme)
    account.standing.pass_time(account.now_ms, programme)
    return list(rated.values())


def _steps(account: Account, record: OrderRecord, tier: int, programme: Programme) -> tuple[Step, ...]:
    if not enrolled_by(account, record.placed_at_ms):
        return ()
    return qualifying_steps(record, tier, programme)


def _take(
    standing: Standing, position: Position, record: OrderRecord, step: Step, programme: Programme
) -> None:
    earned_on = local_day(record.placed_at_ms, programme.zone)
    standing.take(position, earned_on, step.points, programme)


def settle_order(
    record: OrderRecord, journal: Journal, cause: Cause, reason: Reason, effective_at_ms: int
) -> None:
    """Move the ledger from what the order was granted to what it is worth; `reason` names a change of a grant."""
    rated = _worth_now(record, journal)
    granted = journal.book.lot(record.lot_id).granted
    if granted or rated.total:
        _earned(journal, record.lot_id, record.placed_at_ms, record.tier)
    if rated.total > granted == 0:
        _grant(record, rated, journal, cause)
    elif rated.total != granted:
        _correct(record, rated, granted, journal, cause, reason, effective_at_ms)
    time_order(record, journal, cause, effective_at_ms)


def _worth_now(record: OrderRecord, journal: Journal) -> Rated:
    if record.status not in EARNING or not enrolled_by(journal.account, record.placed_at_ms):
        return NOTHING
    return worth(record, kept_minor(record.lines, refunds(record)), record.tier, journal.programme)


def _grant(record: OrderRecord, rated: Rated, journal: Journal, cause: Cause) -> None:
    """One entry a component, when the order is first worth something; all points begin as pending."""
    kept = kept_minor(record.lines, refunds(record))
    derivation = _order_derivation(record, rated, 0, journal.programme)
    version = journal.programme.at(record.placed_at_ms)
    for term in rated.terms:
        if term.points:
            journal.move(
                cause,
                record.lot_id,
                term.points,
                LedgerAccount.ISSUED,
                LedgerAccount.PENDING,
                term.reason,
                record.placed_at_ms,
                term.rule_id,
                derivation._replace(lines=derived_lines(record.lines, kept, term, version)),
                term.rule_id if term.reason in (Reason.CAMPAIGN, Reason.THRESHOLD) else "",
            )


def _earned(journal: Journal, lot_id: str, at_ms: int, tier: int | None = None) -> Lot:
    """The lot, with the instant and the tier that its points are of."""
    lot = journal.book.lot(lot_id)._replace(earned_at_ms=at_ms, tier=tier)
    journal.book.put(lot, journal.account.now_ms)
    return lot


def _correct(
    record: OrderRecord,
    rated: Rated,
    granted: int,
    journal: Journal,
    cause: Cause,
    reason: Reason,
    effective_at_ms: int,
) -> None:
    """Add what is missing, or take back what is too much."""
    derivation = _order_derivation(record, rated, granted, journal.programme)
    if rated.terms:
        version = journal.programme.at(record.placed_at_ms)
        kept = kept_minor(record.lines, refunds(record))
        derivation = derivation._replace(lines=derived_lines(record.lines, kept, rated.terms[0], version))
    if rated.total > granted:
        journal.move(
            cause,
            record.lot_id,
            rated.total - granted,
            LedgerAccount.ISSUED,
            LedgerAccount.PENDING,
            reason,
            effective_at_ms,
            "order",
            derivation,
        )
    else:
        owed = granted - rated.total
        take_back(record.lot_id, owed, journal, cause, reason, effective_at_ms, "order", derivation)


def _order_derivation(record: OrderRecord, rated: Rated, granted: int, programme: Programme) -> Derivation:
    """How the order came to its points; the lines stand with each component."""
    version = programme.at(record.placed_at_ms)
    rate = version.rates[record.currency]
    return Derivation(
        f"order:{version.stacking.value}:{record.currency}",
        (
            ("rate_points", rate.points),
            ("rate_per_minor", rate.per_minor),
            ("placed_at_ms", record.placed_at_ms),
        ),
        (),
        rated.terms,
        granted,
        rated.total,
        rated.why_not,
    )


def time_order(record: OrderRecord, journal: Journal, cause: Cause, effective_at_ms: int) -> None:
    """See to it that the order's points are where its instants, and its open returns, say."""
    lot = journal.book.lot(record.lot_id)
    if not lot.granted:
        return
    active_from = active_from_ms(record, journal.programme.at(record.placed_at_ms))
    held = max(0, lot.granted - _worth_without_held(record, active_from, journal))
    released_ms = effective_at_ms if held < lot.held else active_from
    settle_time(lot, active_from, held, released_ms, journal, cause)


def _worth_without_held(record: OrderRecord, active_from: int, journal: Journal) -> int:
    holding = holds(record, active_from)
    if not holding:
        return journal.book.lot(record.lot_id).granted
    kept = kept_minor(record.lines, (*refunds(record), *holding))
    return worth(record, kept, record.tier, journal.programme).total


def settle_group(
    group: list[EngagementRecord], journal: Journal, cause: Cause, changed_id: str | None
) -> None:
    """Move the ledger to what the engagements of a group are worth together.

    Takes back before it gives, so that a cap is never exceeded in between.
    """
    book = journal.book
    earned = [
        (one, one.target - book.lot(one.record.lot_id).granted)
        for one in earned_in_group(group, journal.account.enrolled_at_ms, journal.programme)
    ]
    for one, difference in sorted(earned, key=lambda pair: pair[1]):
        if difference:
            _settle_engagement(one, difference, journal, cause, one.record.engagement_id == changed_id)


def _settle_engagement(
    earned: Earned, difference: int, journal: Journal, cause: Cause, is_cause: bool
) -> None:
    record = earned.record
    lot = _earned(journal, record.lot_id, record.occurred_at_ms)
    derivation = Derivation(
        "engagement",
        (("distance_m", record.distance_m), ("wanted", earned.wanted), ("used_before", earned.used)),
        (),
        (),
        lot.granted,
        earned.target,
        earned.why_not,
    )
    reason = earned.reason if difference > 0 else taken_back_for(earned, is_cause)
    at_ms = record.occurred_at_ms
    _settle_at_once(lot, difference, journal, cause, reason, at_ms, earned.rule_id, derivation)


def _settle_at_once(
    lot: Lot,
    difference: int,
    journal: Journal,
    cause: Cause,
    reason: Reason,
    at_ms: int,
    rule_id: str,
    derivation: Derivation,
) -> None:
    """Give or take points that are active from `at_ms` on, without waiting."""
    if difference > 0:
        ways = LedgerAccount.ISSUED, LedgerAccount.ACTIVE
        journal.move(cause, lot.lot_id, difference, *ways, reason, at_ms, rule_id, derivation)
    else:
        take_back(lot.lot_id, -difference, journal, cause, reason, at_ms, rule_id, derivation)
    settle_time(journal.book.lot(lot.lot_id), at_ms, 0, at_ms, journal, cause)


def settle_welcome(journal: Journal, cause: Cause, changed: Reason) -> None:
    """Grant a person the welcome points, once: at the first instant of enrolment, by the programme in force then.

    `changed` names a change of what had been granted.
    """
    for place, (at_ms, member_id) in enumerate(journal.account.memberships):
        lot_id = f"welcome:{member_id}"
        points = journal.programme.at(at_ms).welcome_points
        before, target = journal.book.lot(lot_id).granted, 0 if place else points
        if not (before or target):
            continue
        lot = _earned(journal, lot_id, at_ms)
        why_not = (WhyNot("welcome", "GRANTED_ONCE_ALREADY"),) if place else ()
        derivation = Derivation("welcome", (("welcome_points", points),), (), (), before, target, why_not)
        reason = Reason.WELCOME if target > before else changed
        if target != before:
            _settle_at_once(lot, target - before, journal, cause, reason, at_ms, "welcome", derivation)
        else:
            settle_time(lot, at_ms, 0, at_ms, journal, cause)


def tier_changes(
    account: Account, before: list[TierSpan], cause: Cause, programme: Programme
) -> list[TierChanged]:
    """What to tell about the tier: what is new since `before`, and CORRECTED where that no longer holds.

    CORRECTED takes the place of the first thing told anew; or it comes before, when what was told wrongly was earlier.
    """
    now = account.standing.spans
    if now == before:
        return []
    same = 0
    while same < min(len(before), len(now)) and before[same][:3] == now[same][:3]:
        same += 1
    new = list(now[same:])
    previous = now[same - 1] if same else None
    if wrong := before[same:]:
        if previous is not None and not (new and new[0].since_ms <= wrong[0].since_ms):
            new.insert(0, previous._replace(since_ms=wrong[0].since_ms, until_ms=None))
            previous = wrong[0]
        new[:1] = [new[0]._replace(kind=TierChange.CORRECTED)]
    changes = []
    for span in new:
        changes.append(_change(account, previous, span, cause, programme))
        previous = span
    return changes


def _change(
    account: Account, previous: TierSpan | None, span: TierSpan, cause: Cause, programme: Programme
) -> TierChanged:
    version = programme.at(span.since_ms)
    name = version.tiers[span.tier].name
    return TierChanged(
        f"{account.member_id}/{cause.name}/{span.kind.value}:{name}@{span.since_ms}",
        account.member_id,
        account.market,
        span.kind,
        None if previous is None else version.tiers[previous.tier].name,
        name,
        span.qualifying_points,
        span.until_ms,
        span.since_ms,
        cause.recorded_at_ms,
        cause.facts,
        version.version,
    )
