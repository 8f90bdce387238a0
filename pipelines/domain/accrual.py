"""The delta law: each change of what is known moves the ledger by `target - already granted`, and no more.

An order's lot is pending until its day and active from then on; everything else is active at once.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from pipelines.domain.account import Account, Activation, Cause, Journal
from pipelines.domain.engagements import Earned, EngagementRecord, earned_in_group, taken_back_for
from pipelines.domain.ledger import Derivation, LedgerAccount, Reason, Term, TierChange, TierChanged
from pipelines.domain.orders import (
    EARNING,
    OrderRecord,
    Step,
    active_from_ms,
    kept_minor,
    qualifying_steps,
    refunds,
    worth,
)
from pipelines.domain.programme import Programme
from pipelines.domain.rating import Rated, derived_lines
from pipelines.domain.standing import Position, Standing, TierSpan, local_day

NOTHING = Rated(0, (), ())


def enrolled_by(account: Account, at_ms: int) -> bool:
    """Whether the member, as far as is known, was enrolled at that instant."""
    enrolled = account.enrolled_at_ms
    return enrolled is not None and enrolled <= at_ms


def follow(account: Account, record: OrderRecord, programme: Programme) -> OrderRecord | None:
    """The order with its tier and steps, its new steps taken into the standing: the way in constant time.

    None, and nothing changed, when a step lies behind the frontier or an old one is no more: then `refold`.
    """
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
    assert account.enrolled_at_ms is not None, "before enrolment an order has no steps"
    account.standing.join(account.enrolled_at_ms)
    rated: dict[str, OrderRecord] = {r.order_id: r._replace(tier=0, steps=()) for r in records}
    first = {r.order_id: r for r in records if _steps(account, r, 0, programme)}
    queue: list[Position] = [(r.placed_at_ms, r.order_id, 0) for r in first.values()]
    heapify(queue)
    while queue:
        position = heappop(queue)
        _, order_id, n = position
        if n == 0:
            tier = account.standing.tier
            steps = _steps(account, first[order_id], tier, programme)
            rated[order_id] = rated[order_id]._replace(tier=tier, steps=steps)
            for later, step in enumerate(steps[1:], 1):
                heappush(queue, (step.at_ms, order_id, later))
        record = rated[order_id]
        _take(account.standing, position, record, record.steps[n], programme)
    return list(rated.values())


def _steps(account: Account, record: OrderRecord, tier: int, programme: Programme) -> tuple[Step, ...]:
    if not enrolled_by(account, record.placed_at_ms):
        return ()
    return qualifying_steps(record, tier, programme)


def _take(
    standing: Standing, position: Position, record: OrderRecord, step: Step, programme: Programme
) -> None:
    version = programme.at(step.at_ms)
    earned_on = local_day(record.placed_at_ms, version.zone)
    standing.take(position, earned_on, step.points, version)


def settle_order(
    record: OrderRecord, journal: Journal, cause: Cause, reason: Reason, effective_at_ms: int
) -> OrderRecord:
    """Move the ledger from what the order was granted to what it is worth; `reason` names a change of a grant."""
    rated = _worth_now(record, journal)
    if rated.total > record.granted == 0:
        record = _grant(record, rated, journal, cause)
    elif rated.total != record.granted:
        record = _correct(record, rated, journal, cause, reason, effective_at_ms)
    return time_order(record, journal, cause)


def _worth_now(record: OrderRecord, journal: Journal) -> Rated:
    if record.status not in EARNING or not enrolled_by(journal.account, record.placed_at_ms):
        return NOTHING
    return worth(record, kept_minor(record.lines, refunds(record)), record.tier, journal.programme)


def _grant(record: OrderRecord, rated: Rated, journal: Journal, cause: Cause) -> OrderRecord:
    """One entry a component, when the order is first worth something; all points begin as pending."""
    for term in rated.terms:
        if term.points:
            part = term.rule_id if term.reason in (Reason.CAMPAIGN, Reason.THRESHOLD) else ""
            journal.move(
                cause,
                record.lot_id,
                term.points,
                LedgerAccount.ISSUED,
                LedgerAccount.PENDING,
                term.reason,
                record.placed_at_ms,
                term.rule_id,
                record.placed_at_ms,
                record.tier,
                _order_derivation(record, rated, term, journal.programme),
                part,
            )
    return record._replace(pending=record.pending + rated.total, granted=rated.total)


def _correct(
    record: OrderRecord,
    rated: Rated,
    journal: Journal,
    cause: Cause,
    reason: Reason,
    effective_at_ms: int,
) -> OrderRecord:
    """Add what is missing, or take back what is too much: pending points first, then active ones."""
    derivation = _order_derivation(record, rated, rated.terms[0] if rated.terms else None, journal.programme)
    missing, owed = max(0, rated.total - record.granted), max(0, record.granted - rated.total)
    from_pending = min(owed, record.pending)
    for source, target, points in (
        (LedgerAccount.ISSUED, LedgerAccount.PENDING, missing),
        (LedgerAccount.PENDING, LedgerAccount.CLAWED_BACK, from_pending),
        (LedgerAccount.ACTIVE, LedgerAccount.CLAWED_BACK, owed - from_pending),
    ):
        if points:
            journal.move(
                cause,
                record.lot_id,
                points,
                source,
                target,
                reason,
                effective_at_ms,
                "order",
                record.placed_at_ms,
                record.tier,
                derivation,
            )
    return record._replace(
        granted=rated.total,
        pending=record.pending + missing - from_pending,
        active=record.active - (owed - from_pending),
    )


def _order_derivation(
    record: OrderRecord, rated: Rated, term: Term | None, programme: Programme
) -> Derivation:
    version = programme.at(record.placed_at_ms)
    kept = kept_minor(record.lines, refunds(record))
    rate = version.rates[record.currency]
    return Derivation(
        f"order:{version.stacking.value}:{record.currency}",
        (
            ("rate_points", rate.points),
            ("rate_per_minor", rate.per_minor),
            ("placed_at_ms", record.placed_at_ms),
        ),
        () if term is None else derived_lines(record.lines, kept, term, version),
        rated.terms,
        record.granted,
        rated.total,
        rated.why_not,
    )


def time_order(record: OrderRecord, journal: Journal, cause: Cause) -> OrderRecord:
    """See to it that the points are active from their instant on, and pending before it."""
    account = journal.account
    account.activations.pop(record.order_id, None)
    if not record.granted:
        return record
    at_ms = active_from_ms(record, journal.programme.at(record.placed_at_ms))
    if at_ms > account.now_ms:
        if record.active:
            record = _postpone(record, journal, cause, at_ms)
        account.activations[record.order_id] = Activation(at_ms, record.pending)
    elif record.pending:
        record = _activate(record, journal, cause, at_ms)
    return record


def _postpone(record: OrderRecord, journal: Journal, cause: Cause, at_ms: int) -> OrderRecord:
    """Active points wait again: what is known now says that their instant is yet to come."""
    ways = LedgerAccount.ACTIVE, LedgerAccount.PENDING, Reason.EDIT
    _shift(record, record.active, ways, journal, cause, cause.recorded_at_ms, at_ms)
    return record._replace(pending=record.pending + record.active, active=0)


def _activate(record: OrderRecord, journal: Journal, cause: Cause, at_ms: int) -> OrderRecord:
    ways = LedgerAccount.PENDING, LedgerAccount.ACTIVE, Reason.ACTIVATION
    _shift(record, record.pending, ways, journal, cause, at_ms, at_ms)
    return record._replace(pending=0, active=record.active + record.pending)


def _shift(
    record: OrderRecord,
    points: int,
    ways: tuple[LedgerAccount, LedgerAccount, Reason],
    journal: Journal,
    cause: Cause,
    effective_at_ms: int,
    active_at_ms: int,
) -> None:
    journal.move(
        cause,
        record.lot_id,
        points,
        *ways,
        effective_at_ms,
        "pending",
        record.placed_at_ms,
        record.tier,
        Derivation("activation", (("active_at_ms", active_at_ms),), (), (), points, points, ()),
    )


def activate(record: OrderRecord, journal: Journal) -> OrderRecord:
    """The order's pending points become active, at the instant that its timer says.

    A timer fires once an instant, for now only grows: hence the cause's name is unique.
    """
    due = journal.account.activations.pop(record.order_id)
    assert due.points == record.pending, (due, record)
    known = f"order:{record.order_id}@{record.version}"
    cause = Cause(f"activation:{record.lot_id}@{due.at_ms}", due.at_ms, (known,))
    return _activate(record, journal, cause, due.at_ms)


def settle_group(
    group: list[EngagementRecord], journal: Journal, cause: Cause, changed_id: str | None
) -> list[EngagementRecord]:
    """Move the ledger to what the engagements of a group are worth together.

    Takes back before it gives, so that a cap is never exceeded in between.
    """
    earned = list(earned_in_group(group, journal.account.enrolled_at_ms, journal.programme))
    for one in sorted(earned, key=lambda e: e.target - e.record.granted):
        if one.target != one.record.granted:
            _settle_engagement(one, journal, cause, one.record.engagement_id == changed_id)
    return [one.record._replace(granted=one.target) for one in earned]


def _settle_engagement(earned: Earned, journal: Journal, cause: Cause, is_cause: bool) -> None:
    record, difference = earned.record, earned.target - earned.record.granted
    source, target, reason = LedgerAccount.ISSUED, LedgerAccount.ACTIVE, earned.reason
    if difference < 0:
        source, target = LedgerAccount.ACTIVE, LedgerAccount.CLAWED_BACK
        reason = taken_back_for(earned, is_cause)
    journal.move(
        cause,
        record.lot_id,
        abs(difference),
        source,
        target,
        reason,
        record.occurred_at_ms,
        earned.rule_id,
        record.occurred_at_ms,
        journal.account.standing.tier_at(record.occurred_at_ms),
        Derivation(
            "engagement",
            (("distance_m", record.distance_m), ("wanted", earned.wanted), ("used_before", earned.used)),
            (),
            (),
            record.granted,
            earned.target,
            earned.why_not,
        ),
    )


def settle_welcome(journal: Journal, cause: Cause) -> None:
    """Grant the welcome points of the programme at the instant of enrolment; a corrected instant moves them."""
    account = journal.account
    at_ms = account.enrolled_at_ms
    assert at_ms is not None
    before, target = account.welcomed, journal.programme.at(at_ms).welcome_points
    if before == target:
        return
    gives = target > before
    account.welcomed = target
    journal.move(
        cause,
        "welcome",
        abs(target - before),
        LedgerAccount.ISSUED if gives else LedgerAccount.ACTIVE,
        LedgerAccount.ACTIVE if gives else LedgerAccount.CLAWED_BACK,
        Reason.WELCOME if gives else Reason.EDIT,
        at_ms,
        "welcome",
        at_ms,
        0,
        Derivation("welcome", (("welcome_points", target),), (), (), before, target, ()),
    )


def tier_changes(
    account: Account, before: list[TierSpan], cause: Cause, programme: Programme
) -> list[TierChanged]:
    """What to tell about the tier: what is new since `before`, and CORRECTED where that no longer holds."""
    now = account.standing.spans
    same = 0
    while same < min(len(before), len(now)) and before[same][:2] == now[same][:2]:
        same += 1
    wrong = before[same:]
    if wrong and same == len(now):
        last = now[-1] if now else TierSpan(wrong[0].since_ms, 0, 0)
        return [
            _change(account, TierChange.CORRECTED, wrong[0].tier, last, cause, programme, wrong[0].since_ms)
        ]
    changes = []
    for index in range(same, len(now)):
        kind = TierChange.JOINED if index == 0 else TierChange.UPGRADED
        if wrong and index == same:
            kind = TierChange.CORRECTED
        previous = now[index - 1].tier if index else None
        changes.append(_change(account, kind, previous, now[index], cause, programme, now[index].since_ms))
    return changes


def _change(
    account: Account,
    kind: TierChange,
    previous: int | None,
    span: TierSpan,
    cause: Cause,
    programme: Programme,
    effective_at_ms: int,
) -> TierChanged:
    version = programme.at(effective_at_ms)
    name = version.tiers[span.tier].name
    return TierChanged(
        f"{account.member_id}/{cause.name}/tier:{name}@{effective_at_ms}",
        account.member_id,
        account.market,
        kind,
        None if previous is None else version.tiers[previous].name,
        name,
        span.qualifying_points,
        effective_at_ms,
        cause.recorded_at_ms,
        cause.facts,
        version.version,
    )
