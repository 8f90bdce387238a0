"""The gate: what is true of a member is told only when that is wanted, wished for, still true and not too much.

The order is the programme's promise: consent, holdout, still true, frequency cap, quiet hours.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from hashlib import sha256
from itertools import accumulate
from zoneinfo import ZoneInfo

from pipelines.domain.calendar import local_day
from pipelines.domain.triggers.rules import Experiment, KindRules, Quiet, TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch

BUCKETS = 10_000


class Suppression(StrEnum):
    """Why a trigger is not sent. WITHDRAWN takes back one that was: whoever has not sent it yet must not."""

    NO_CONSENT = "NO_CONSENT"
    HOLDOUT = "HOLDOUT"
    NO_LONGER_TRUE = "NO_LONGER_TRUE"
    FREQUENCY_CAP = "FREQUENCY_CAP"
    WITHDRAWN = "WITHDRAWN"


def consents(watch: Watch, purpose: str, at_ms: int) -> bool:
    """Whether the member has granted this purpose, and not withdrawn it since; silence is a no."""
    if watch.membership is None:
        return False
    for consent in watch.membership.consents:
        granted, withdrawn = consent.granted_at_ms, consent.withdrawn_at_ms
        if consent.purpose == purpose and granted is not None and granted <= at_ms:
            return withdrawn is None or withdrawn > at_ms or withdrawn < granted
    return False


def bucket(experiment: str, member_id: str) -> int:
    """0 to 9,999, the same for ever: `nudge-2026q1` and m-12 are 1048."""
    digest = sha256(f"{experiment}:{member_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def held_out(experiment: Experiment | None, member_id: str) -> bool:
    return experiment is not None and bucket(experiment.name, member_id) < experiment.holdout_bp


def variant(experiment: Experiment | None, member_id: str) -> str | None:
    """The wording for this member: those who are not held out are shared by the variants' weights."""
    if experiment is None or not experiment.variants:
        return None
    place = bucket(experiment.name, member_id) - experiment.holdout_bp
    reached = tuple(accumulate(each.weight for each in experiment.variants))
    share = place * reached[-1] // (BUCKETS - experiment.holdout_bp)
    return experiment.variants[bisect_right(reached, share)].name


def capped(watch: Watch, rules: TriggerRules, kind: TriggerKind, at_ms: int) -> bool:
    """Whether one more would break a cap."""
    today, channel = local_day(at_ms, watch.zone), rules.kinds[kind].channel
    return any(
        sum(today - cap.days < sent.day and cap.covers(sent.kind, sent.channel) for sent in watch.sent)
        >= cap.most
        for cap in rules.caps
        if cap.covers(kind, channel)
    )


def quiet_until_ms(quiet: Quiet | None, at_ms: int, zone: str) -> int | None:
    """When the quiet hours around an instant end on the member's wall clock; None when it is not quiet.

    A minute that a change of clocks leaves out begins later; one that it repeats, the first time.
    """
    if quiet is None:
        return None
    at = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
    minute = at.hour * 60 + at.minute
    start, end = quiet.from_minute, quiet.to_minute
    inside = start <= minute < end if start < end else minute >= start or minute < end
    if not inside:
        return None
    day = at.date() + timedelta(days=1 if start >= end and minute >= start else 0)
    return _wall_ms(day, end, zone)


def _wall_ms(day: date, minute: int, zone: str) -> int:
    wall = datetime.combine(day, time(minute // 60, minute % 60), ZoneInfo(zone))
    return round(wall.timestamp() * 1000)


def refusal(
    watch: Watch, rules: TriggerRules, kind: TriggerKind, at_ms: int, true: bool
) -> Suppression | None:
    """Why the gate stays shut at this instant, by the first of its reasons; None when it opens."""
    of: KindRules = rules.kinds[kind]
    if not consents(watch, of.purpose, at_ms):
        return Suppression.NO_CONSENT
    if held_out(of.experiment, watch.member_id):
        return Suppression.HOLDOUT
    if not true:
        return Suppression.NO_LONGER_TRUE
    if capped(watch, rules, kind, at_ms):
        return Suppression.FREQUENCY_CAP
    return None
