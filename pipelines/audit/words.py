"""Instants, money and fractions as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WITHOUT_CENTS = frozenset({"JPY", "KRW", "VND", "CLP", "ISK"})


def instant(at_ms: int) -> str:
    """7 March 2026 23:59:30Z; milliseconds only where there are some."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    part = f".{at_ms % 1000:03}" if at_ms % 1000 else ""
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S}{part}Z"


def money(minor: int, currency: str) -> str:
    """270.00 EUR; 15,000 JPY."""
    if currency in _WITHOUT_CENTS:
        return f"{minor:,} {currency}"
    return f"{minor // 100:,}.{minor % 100:02} {currency}"


def exactly(value: Fraction) -> str:
    """270, or 135/2 (67.5): the fraction, with its decimals where they end."""
    if value.denominator == 1:
        return f"{value.numerator:,}"
    decimals = f"{float(value):.6f}".rstrip("0")
    sign = "" if Fraction(decimals) == value else "about "
    return f"{value.numerator}/{value.denominator} ({sign}{decimals})"


def points(number: int) -> str:
    """1 point, 481 points."""
    return f"{number:,} point" if number == 1 else f"{number:,} points"
