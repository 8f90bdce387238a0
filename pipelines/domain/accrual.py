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
    return record._replace(tier=tier, steps=steps)


def refold(account: Account, records: list[OrderRecord], programme: Programme) -> list[OrderRecord]:
    """All orders with the tiers and steps that follow from all facts known; the standing is made anew."""
    account.standing = Standing()
    if account.enrolled_at_ms is not None:
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
    return _set_timer(record, journal, cause)


def _worth_now(record: OrderRecord, journal: Journal) -> Rated:
    if record.status not in EARNING or not enrolled_by(journal.account, record.placed_at_ms):
        return NOTHING
    return worth(record, kept_minor(record.lines, refunds(record)), record.tier, journal.programme)


def _place(record: OrderRecord) -> LedgerAccount:
    return LedgerAccount.PENDING if record.activated_at_ms is None else LedgerAccount.ACTIVE


def _add(record: OrderRecord, place: LedgerAccount, points: int) -> OrderRecord:
    if place is LedgerAccount.PENDING:
        return record._replace(pending=record.pending + points)
    return record._replace(active=record.active + points)


def _grant(record: OrderRecord, rated: Rated, journal: Journal, cause: Cause) -> OrderRecord:
    """One entry a component, the first time that the order is worth something."""
    place = _place(record)
    for term in rated.terms:
        if term.points:
            part = term.rule_id if term.reason in (Reason.CAMPAIGN, Reason.THRESHOLD) else ""
            journal.move(
                cause,
                record.lot_id,
                term.points,
                LedgerAccount.ISSUED,
                place,
                term.reason,
                record.placed_at_ms,
                term.rule_id,
                record.placed_at_ms,
                record.tier,
                _order_derivation(record, rated, term, journal.programme),
                part,
            )
    return _add(record, place, rated.total)._replace(granted=rated.total)


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
    place = _place(record)
    moves = [(LedgerAccount.ISSUED, place, rated.total - record.granted)]
    if rated.total < record.granted:
        owed = record.granted - rated.total
        from_pending = min(owed, record.pending)
        moves = [
            (LedgerAccount.PENDING, LedgerAccount.CLAWED_BACK, from_pending),
            (LedgerAccount.ACTIVE, LedgerAccount.CLAWED_BACK, owed - from_pending),
        ]
    for source, target, points in moves:
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
            side, signed = (target, points) if source is LedgerAccount.ISSUED else (source, -points)
            record = _add(record, side, signed)
    return record._replace(granted=rated.total)


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


def _set_timer(record: OrderRecord, journal: Journal, cause: Cause) -> OrderRecord:
    """Have the pending points become active at their instant; take that back when the instant moved on."""
    account = journal.account
    at_ms = active_from_ms(record, journal.programme.at(record.placed_at_ms)) if record.known else 0
    if record.active and at_ms > account.now_ms:
        journal.move(
            cause,
            record.lot_id,
            record.active,
            LedgerAccount.ACTIVE,
            LedgerAccount.PENDING,
            Reason.EDIT,
            cause.recorded_at_ms,
            "pending",
            record.placed_at_ms,
            record.tier,
            _moved("activation-postponed", record.active, at_ms),
        )
        record = record._replace(pending=record.pending + record.active, active=0, activated_at_ms=None)
    if record.pending:
        account.activations[record.order_id] = Activation(at_ms, record.pending)
    else:
        account.activations.pop(record.order_id, None)
    return record


def _moved(formula: str, points: int, at_ms: int) -> Derivation:
    return Derivation(formula, (("at_ms", at_ms),), (), (), points, points, ())


def activate(record: OrderRecord, journal: Journal) -> OrderRecord:
    """The order's pending points become active, at the instant that its timer says."""
    due = journal.account.activations.pop(record.order_id)
    assert due.points == record.pending, (due, record)
    count = record.activations + 1
    journal.move(
        Cause(
            f"activation:{record.lot_id}#{count}", due.at_ms, (f"order:{record.order_id}@{record.version}",)
        ),
        record.lot_id,
        record.pending,
        LedgerAccount.PENDING,
        LedgerAccount.ACTIVE,
        Reason.ACTIVATION,
        due.at_ms,
        "pending",
        record.placed_at_ms,
        record.tier,
        _moved("activation", record.pending, due.at_ms),
    )
    return record._replace(
        pending=0, active=record.active + record.pending, activations=count, activated_at_ms=due.at_ms
    )


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
