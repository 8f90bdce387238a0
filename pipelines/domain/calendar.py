"""Days, months and their ends, in a zone: what a calendar on the wall says, as instants."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from pipelines.domain.programme import Expiry, Rounding


def local_day(at_ms: int, zone: str) -> int:
    """The calendar day (proleptic ordinal) of an instant in a zone."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(zone)).toordinal()


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


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
