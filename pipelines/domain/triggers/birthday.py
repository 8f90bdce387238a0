"""It is the member's birthday, by the calendar on their wall."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator
from datetime import date

from pipelines.domain.account import Membership
from pipelines.domain.calendar import day_starts_ms, local_day
from pipelines.domain.triggers.condition import Condition, Example
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch

KIND = TriggerKind.BIRTHDAY


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """True for that day. Born on 29 February: on the 28th where there is no 29th."""
    year = date.fromordinal(local_day(at_ms, watch.zone)).year
    day = _day(watch.membership, year)
    if day is not None and local_day(at_ms, watch.zone) == day:
        yield Condition(str(year), (), (("year", year),), day_starts_ms(day + 1, watch.zone))


def _day(member: Membership | None, year: int) -> int | None:
    if member is None or member.birthday_month is None or member.birthday_day is None:
        return None
    leaps = (member.birthday_month, member.birthday_day) == (2, 29) and not isleap(year)
    return date(year, member.birthday_month, 28 if leaps else member.birthday_day).toordinal()


def instants(watch: Watch, rules: TriggerRules) -> Iterator[int]:
    year = date.fromordinal(local_day(max(0, watch.now_ms), watch.zone)).year
    for each in (year, year + 1):
        if (day := _day(watch.membership, each)) is not None:
            yield day_starts_ms(day, watch.zone)
            yield day_starts_ms(day + 1, watch.zone)


def _born(month: int | None, day: int | None, zone: str) -> Watch:
    return Watch("m", membership=Membership(1, 0, "JP", zone, month, day, (), None, None))


EXAMPLES = (
    Example("that day in Tokyo", _born(3, 15, "Asia/Tokyo"), "2026-03-14T15:00Z", ("2026",)),
    Example("a second before", _born(3, 15, "Asia/Tokyo"), "2026-03-14T14:59:59Z", ()),
    Example("the day after", _born(3, 15, "Asia/Tokyo"), "2026-03-15T15:00Z", ()),
    Example("29 February, common year", _born(2, 29, "Asia/Tokyo"), "2026-02-28T03:00Z", ("2026",)),
    Example("29 February, leap year", _born(2, 29, "Asia/Tokyo"), "2028-02-28T03:00Z", ()),
    Example("not told", _born(None, None, "Asia/Tokyo"), "2026-02-28T03:00Z", ()),
)
