"""Random histories of one member: facts whose versions and milestones hang together, over a few weeks.

Amounts are small and days few, so that ties, caps, tier thresholds and equal instants are met often.
"""

from __future__ import annotations

from hypothesis import strategies as st

from pipelines.domain.facts import (
    CommandKind,
    EngagementKind,
    EngagementStatus,
    Fact,
    Order,
    OrderStatus,
    ReturnStatus,
    Verification,
)
from tests.support.facts import DAY_MS, HOUR_MS, command, engagement, line, member, ms, order, refund

START_MS = ms("2026-02-20T00:00:00Z")
LAST_MS = START_MS + 40 * DAY_MS
moments = st.integers(0, 30 * 24).map(lambda hours: START_MS + hours * HOUR_MS)
delays = st.sampled_from([0, 1, HOUR_MS, 3 * DAY_MS])
amounts = st.sampled_from([0, 1, 9_95, 33_33, 89_90, 150_00, 250_00, 499_50])
categories = st.sampled_from(["trail", "road", "socks"])


@st.composite
def order_versions(draw: st.DrawFn, order_id: str) -> list[Order]:
    placed = draw(moments)
    lines = [
        line(name, draw(amounts), draw(categories), quantity=draw(st.integers(1, 2)), eligible=name != "D")
        for name in draw(st.sampled_from(["A", "AB", "ABC", "AD"]))
    ]
    discount = draw(st.sampled_from([0, 5_00]))
    versions = []
    paid = placed + draw(delays)
    steps = draw(st.sampled_from(["P", "pP", "PD", "PC", "PDC", "PDP", "pC", "PCP"]))
    for version, step in enumerate(steps, 1):
        status = {
            "p": OrderStatus.PLACED,
            "P": OrderStatus.PAID,
            "D": OrderStatus.DELIVERED,
            "C": OrderStatus.CANCELLED,
        }[step]
        later = paid + version * draw(st.sampled_from([HOUR_MS, 2 * DAY_MS]))
        was_paid = any(s in "PD" for s in steps[:version])
        versions.append(
            order(
                order_id,
                placed,
                *lines,
                version=version,
                status=status,
                recorded=later + 1,
                paid_at_ms=paid if was_paid else None,
                delivered_at_ms=later if status is OrderStatus.DELIVERED else None,
                cancelled_at_ms=later if status is OrderStatus.CANCELLED else None,
                occurred_at_ms=later,
                order_discount_minor=discount,
            )
        )
    return versions


@st.composite
def returns_of(draw: st.DrawFn, one: Order, return_id: str) -> list[Fact]:
    at = one.placed_at_ms + draw(st.sampled_from([HOUR_MS, DAY_MS, 9 * DAY_MS]))
    lines = [
        (x.line_id, draw(st.integers(1, x.quantity)), draw(st.sampled_from([0, 5_00, x.gross_minor])))
        for x in one.lines[: draw(st.integers(1, len(one.lines)))]
    ]
    statuses = draw(
        st.sampled_from(
            [
                [ReturnStatus.REFUNDED],
                [ReturnStatus.REQUESTED, ReturnStatus.REFUNDED],
                [ReturnStatus.REQUESTED, ReturnStatus.REJECTED],
                [ReturnStatus.REFUNDED, ReturnStatus.REJECTED],
            ]
        )
    )
    return [
        refund(return_id, one.order_id, at + n * DAY_MS, *lines, version=n + 1, status=status, requested=at)
        for n, status in enumerate(statuses)
    ]


@st.composite
def engagement_versions(draw: st.DrawFn, engagement_id: str) -> list[Fact]:
    kind = draw(
        st.sampled_from(
            [EngagementKind.RUN, EngagementKind.RUN, EngagementKind.REVIEW, EngagementKind.PROFILE_COMPLETED]
        )
    )
    at = START_MS + draw(st.integers(0, 3 * 24)) * HOUR_MS
    facts: list[Fact] = []
    for version in range(1, draw(st.integers(1, 3)) + 1):
        edited = draw(st.sampled_from([kind, kind, EngagementKind.APP_OPENED]))
        facts.append(
            engagement(
                engagement_id,
                kind if version == 1 else edited,
                at,
                version=version,
                status=draw(st.sampled_from(list(EngagementStatus))),
                zone=draw(st.sampled_from(["Europe/Zurich", "Asia/Tokyo"])),
                distance_m=draw(st.sampled_from([900, 4_000, 6_400, 12_000])),
                verification=draw(st.sampled_from([Verification.GPS, Verification.GPS, Verification.MANUAL])),
                subject=draw(st.sampled_from(["shoe", "socks"])),
                recorded=at + version * HOUR_MS,
            )
        )
    return facts


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """All facts of a member, in order of their recorded times."""
    facts: list[Fact] = [member(START_MS + draw(st.sampled_from([-400 * DAY_MS, 0, 6 * DAY_MS])))]
    if draw(st.booleans()):
        facts.append(member(START_MS + 2 * DAY_MS, version=2, recorded=START_MS + 20 * DAY_MS))
    for number in range(draw(st.integers(0, 4))):
        versions = draw(order_versions(f"O{number}"))
        facts += versions
        if draw(st.booleans()):
            facts += draw(returns_of(versions[0], f"R{number}"))
    for number in range(draw(st.integers(0, 4))):
        facts += draw(engagement_versions(f"E{number}"))
    return sorted(facts, key=lambda fact: fact.recorded_at_ms)


@st.composite
def commands(draw: st.DrawFn) -> list[Fact]:
    """Some requests at any time, most about what an earlier one made; a few come twice."""
    made: list[Fact] = []
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(list(CommandKind)))
        points = draw(st.sampled_from([1, 20, 75, 150, 400]))
        if kind in (CommandKind.CANCEL_REDEMPTION, CommandKind.COMMIT, CommandKind.RELEASE):
            points = 0
        elif kind is CommandKind.ADJUST:
            points *= draw(st.sampled_from([1, 1, -1]))
        about = draw(st.integers(0, max(0, number - 1)))
        made.append(
            command(
                f"C{number}",
                kind,
                START_MS + draw(st.integers(0, 45 * 24 * 4)) * HOUR_MS // 4,
                points,
                subject_id=None if points else f"C{about}",
            )
        )
        if draw(st.integers(0, 5)) == 0:
            later = made[-1].recorded_at_ms + HOUR_MS
            made.append(made[-1]._replace(event_id=f"again-C{number}", recorded_at_ms=later))
    return made


@st.composite
def spending_histories(draw: st.DrawFn) -> list[Fact]:
    """A history with commands in between."""
    everything = [*draw(histories()), *draw(commands())]
    return sorted(everything, key=lambda fact: fact.recorded_at_ms)
