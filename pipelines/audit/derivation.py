"""The small independent checker: an entry's own derivation must lead to its points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Entry = Mapping[str, Any]
_GRANTS = frozenset({"BASE", "TIER_BONUS", "CAMPAIGN", "THRESHOLD"})


def problem_of(entry: Entry) -> str | None:
    """The first thing that does not add up, or None."""
    return next(_problems(entry, entry["derivation"]), None)


def _problems(entry: Entry, derivation: Entry) -> Iterator[str]:
    before, target, points = derivation["granted_before"], derivation["target"], entry["points"]
    if entry["from_account"] == "ISSUED" and target - before < points:
        yield f"grants {points}, the derivation {target - before}"
    if entry["to_account"] == "CLAWED_BACK" and before - target < points:
        yield f"takes {points} back, the derivation {before - target}"
    if derivation["formula"].startswith("order:"):
        yield from _order_problems(entry, derivation)
    if derivation["formula"].startswith("timing:"):
        yield from _timing_problems(entry, derivation)
    if derivation["formula"] == "erasure":
        yield from _erasure_problems(entry, derivation)


def _erasure_problems(entry: Entry, derivation: Entry) -> Iterator[str]:
    """All that a lot had in an account goes, or comes where it was owed."""
    (had,) = derivation["inputs"]
    out = entry["to_account"] == "ERASED"
    side = entry["from_account" if out else "to_account"].lower()
    moved = entry["points"] if out else -entry["points"]
    if (had["name"], had["value"]) != (side, moved):
        yield f"moves {moved} of {side}, the derivation says {had['value']} of {had['name']}"


def _timing_problems(entry: Entry, derivation: Entry) -> Iterator[str]:
    """Points become active, and cease, when their instants say, and the second follows from the first."""
    inputs = {given["name"]: given["value"] for given in derivation["inputs"]}
    if entry["to_account"] == "ACTIVE" and entry["effective_at"] < inputs["active_from_ms"]:
        yield f"is active from {entry['effective_at']}, before {inputs['active_from_ms']}"
    if "expires_at_ms" not in inputs:
        return
    _, end_of, zone = derivation["formula"].split(":")
    expires = _lives_until(inputs["active_from_ms"], inputs["expiry_months"], end_of, ZoneInfo(zone))
    if expires != inputs["expires_at_ms"]:
        yield f"expires at {inputs['expires_at_ms']}, by its months at {expires}"
    if entry["to_account"] == "EXPIRED" and entry["effective_at"] < expires:
        yield f"expired at {entry['effective_at']}, before {expires}"


def _lives_until(active_from_ms: int, months: int, end_of: str, zone: ZoneInfo) -> int:
    """Counted in whole months from the first of the month; a day that the month lacks is its last."""
    began = datetime.fromtimestamp(active_from_ms / 1000, zone)
    ordinal = began.year * 12 + began.month - 1 + months
    following = date((ordinal + 1) // 12, (ordinal + 1) % 12 + 1, 1)
    gone = following
    if end_of == "day":
        gone = min(date(ordinal // 12, ordinal % 12 + 1, 1) + timedelta(days=began.day), following)
    return round(datetime(gone.year, gone.month, gone.day, tzinfo=zone).timestamp() * 1000)


def _order_problems(entry: Entry, derivation: Entry) -> Iterator[str]:
    terms, target = derivation["terms"], derivation["target"]
    if not terms:
        if target:
            yield f"is worth {target} by no term"
        return
    numerators = [int(term["numerator"]) for term in terms]
    (denominator, *others) = {int(term["denominator"]) for term in terms}
    if others:
        yield "has terms over several denominators"
        return
    if sum(numerators) // denominator != target:
        yield f"has terms worth {sum(numerators) // denominator}, and the target {target}"
    booked = [term["points"] for term in terms]
    shared = _shared(numerators, denominator)
    if booked != shared:
        yield f"books {booked} on its terms, by largest remainder it is {shared}"
    inputs = {given["name"]: given["value"] for given in derivation["inputs"]}
    kept = sum(line["kept_minor"] for line in derivation["lines"])
    if numerators[0] * inputs["rate_per_minor"] != kept * inputs["rate_points"] * denominator:
        yield f"has a base that is not the rate of the {kept} minor units kept"
    yield from _line_problems(entry, derivation)


def _line_problems(entry: Entry, derivation: Entry) -> Iterator[str]:
    """A grant is one of its terms; its lines share that term's points."""
    if entry["from_account"] != "ISSUED" or entry["reason"] not in _GRANTS:
        return
    own = next((t["points"] for t in derivation["terms"] if t["rule_id"] == entry["rule_id"]), None)
    if own != entry["points"]:
        yield f"grants {entry['points']}, its term {entry['rule_id']} has {own}"
    on_lines = sum(line["points"] for line in derivation["lines"])
    if on_lines != entry["points"]:
        yield f"grants {entry['points']}, its lines have {on_lines}"


def _shared(numerators: Sequence[int], denominator: int) -> list[int]:
    whole = [numerator // denominator for numerator in numerators]
    left = sum(numerators) // denominator - sum(whole)
    by_remainder = sorted(range(len(whole)), key=lambda n: (-(numerators[n] % denominator), n))
    return [points + (n in by_remainder[:left]) for n, points in enumerate(whole)]
