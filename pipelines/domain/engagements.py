"""What a member does other than buying: activities, capped by the day; reviews and a profile, once each.

Engagements that compete for the same allowance form a *group*: the runs of one local day, the reviews of one
product. A group is rated as a whole, in the order in which things happened, so that arrival plays no part and a
deletion gives its room back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from pipelines.domain.calendar import local_day
from pipelines.domain.facts import Engagement, EngagementKind, EngagementStatus, Verification
from pipelines.domain.ledger import Reason, WhyNot
from pipelines.domain.programme import ActivityRule, OnceRule, Programme


class EngagementRecord(NamedTuple):
    """The highest version of an engagement; what its lot was given so far stands in the lot."""

    engagement_id: str
    version: int
    kind: EngagementKind
    status: EngagementStatus
    occurred_at_ms: int
    distance_m: int
    verification: Verification

    @property
    def lot_id(self) -> str:
        return f"engagement:{self.engagement_id}"


class EngagementRef(NamedTuple):
    """Where an engagement is kept; `group` is empty when no rule of the programme looks at its kind."""

    version: int
    group: str


class Earned(NamedTuple):
    """What an engagement is worth within its group; `wanted` is before the cap, `used` what the cap had left."""

    record: EngagementRecord
    target: int
    wanted: int
    used: int
    rule_id: str
    reason: Reason
    why_not: tuple[WhyNot, ...]


def engagement_record(engagement: Engagement) -> EngagementRecord:
    return EngagementRecord(
        engagement.engagement_id,
        engagement.version,
        engagement.kind,
        engagement.status,
        engagement.occurred_at_ms,
        engagement.distance_m or 0,
        engagement.verification,
    )


def group_of(engagement: Engagement, programme: Programme) -> str:
    """The group that the engagement is rated in; empty when no version of the programme rewards its kind."""
    kind = engagement.kind
    rule = programme.rewarded.get(kind)
    if rule is None:
        return ""
    if isinstance(rule, ActivityRule):
        day = date.fromordinal(local_day(engagement.occurred_at_ms, engagement.zone))
        return f"{kind}:{day.isoformat()}"
    return f"{kind}:{engagement.subject or ''}" if rule.per_subject else f"{kind}"


def earned_in_group(
    group: Sequence[EngagementRecord], enrolled_at_ms: int | None, programme: Programme
) -> Iterator[Earned]:
    """The worth of every engagement of a group, in the order in which they happened."""
    used = 0
    for record in sorted(group, key=lambda r: (r.occurred_at_ms, r.engagement_id)):
        earned = _earned(record, used, enrolled_at_ms, programme)
        used += earned.target
        yield earned


def _earned(record: EngagementRecord, used: int, enrolled_at_ms: int | None, programme: Programme) -> Earned:
    version = programme.at(record.occurred_at_ms)
    if enrolled_at_ms is None or record.occurred_at_ms < enrolled_at_ms:
        return _nothing(record, used, "enrolment", "NOT_ENROLLED_THEN")
    for activity in version.activities:
        if activity.kind is record.kind:
            return _activity(record, activity, used)
    for once in version.once:
        if once.kind is record.kind:
            return _once(record, once, used)
    return _nothing(record, used, "none", "NO_RULE_THEN")


def _activity(record: EngagementRecord, rule: ActivityRule, used: int) -> Earned:
    if record.status is EngagementStatus.DELETED:
        return _nothing(record, used, rule.rule_id, "DELETED")
    if record.verification not in rule.verifications:
        return _nothing(record, used, rule.rule_id, "NOT_VERIFIED")
    wanted = record.distance_m // rule.per_m * rule.points
    target = max(0, min(wanted, rule.cap_per_day - used))
    why_not = (WhyNot(rule.rule_id, "CAP_REACHED"),) if target < wanted else ()
    return Earned(record, target, wanted, used, rule.rule_id, Reason.ACTIVITY, why_not)


def _once(record: EngagementRecord, rule: OnceRule, used: int) -> Earned:
    if record.status is EngagementStatus.DELETED:
        return _nothing(record, used, rule.rule_id, "DELETED")
    if used:
        return _nothing(record, used, rule.rule_id, "GRANTED_ONCE_ALREADY")
    reason = Reason.REVIEW if record.kind is EngagementKind.REVIEW else Reason.ACTIVITY
    return Earned(record, rule.points, rule.points, used, rule.rule_id, reason, ())


def _nothing(record: EngagementRecord, used: int, rule_id: str, why: str) -> Earned:
    return Earned(record, 0, 0, used, rule_id, Reason.ACTIVITY, (WhyNot(rule_id, why),))


def taken_back_for(earned: Earned, is_cause: bool) -> Reason:
    """Why points of this engagement go back: the enrolment's or its own change, or another's that used up the cap."""
    if any(why.reason == "NOT_ENROLLED_THEN" for why in earned.why_not):
        return Reason.EDIT
    if not is_cause:
        return Reason.CAP
    if earned.record.status is EngagementStatus.DELETED:
        return Reason.ACTIVITY_DELETED
    if any(why.reason == "NOT_VERIFIED" for why in earned.why_not):
        return Reason.NOT_VERIFIED
    return Reason.EDIT
