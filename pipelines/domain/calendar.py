"""Days, months and their ends, in a zone: what a calendar on the wall says, as instants."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from pipelines.domain.programme import Expiry, Rounding, Window, WindowKind


def local_day(at_ms: int, zone: str) -> int:
    """The calendar day (proleptic ordinal) of an instant in a zone."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(zone)).toordinal()


def local_week(at_ms: int, zone: str) -> int:
    """The week of an instant in a zone, Monday to Sunday: seven times it, and one, is its Monday's ordinal."""
    return (local_day(at_ms, zone) - 1) // 7


@lru_cache(maxsize=4096)
def months_later(day: int, months: int) -> int:
    """The same day (proleptic ordinal) so many months on; a day that its month lacks is the month's last."""
    earned = date.fromordinal(day)
    year, month = divmod(earned.year * 12 + earned.month - 1 + months, 12)
    return date(year, month + 1, min(earned.day, monthrange(year, month + 1)[1])).toordinal()


@lru_cache(maxsize=4096)
def day_starts_ms(day: int, zone: str) -> int:
    """The instant at which a day begins in a zone."""
    at = date.fromordinal(day)
    return round(datetime(at.year, at.month, at.day, tzinfo=_zone(zone)).timestamp() * 1000)


def expires_ms(active_from_ms: int, expiry: Expiry, zone: str) -> int:
    """The first instant at which points, active from then on, are no more: a day or a month is lived to its end.

    31 January + 1 month, to the end of the day: gone at 1 March 00:00. 9 June 2019 + 12 months, to the end of the
    month: gone at 1 July 2020 00:00, both in the zone.
    """
    last = months_later(local_day(active_from_ms, zone), expiry.months)
    if expiry.end_of is Rounding.MONTH:
        first_of_next = date.fromordinal(last).replace(day=1).toordinal()
        return day_starts_ms(months_later(first_of_next, 1), zone)
    return day_starts_ms(last + 1, zone)


@lru_cache(maxsize=4096)
def period_begins(day: int, joined_on: int, window: Window) -> int:
    """The first day of the period that holds a day: of its calendar year, or of the year since the member joined."""
    at = date.fromordinal(day)
    if window.kind is WindowKind.CALENDAR_YEAR:
        return date(at.year, 1, 1).toordinal()
    months = 12 * (at.year - date.fromordinal(joined_on).year)
    begins = months_later(joined_on, months)
    return begins if begins <= day else months_later(joined_on, months - 12)


@lru_cache(maxsize=4096)
def period_ends(begins: int, joined_on: int, window: Window) -> int:
    """The first day after the period that begins on a day."""
    year = date.fromordinal(begins).year + 1
    if window.kind is WindowKind.CALENDAR_YEAR:
        return date(year, 1, 1).toordinal()
    return months_later(joined_on, 12 * (year - date.fromordinal(joined_on).year))


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
