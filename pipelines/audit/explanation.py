"""A ledger entry's derivation in plain sentences, each with its numbers, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from pipelines.audit.words import exactly, instant, money, points

Entry = Mapping[str, Any]

_WHY_NOT = {
    "OUTSIDE_ITS_TIME": "the order was not placed in its time",
    "NO_LINE_OF_ITS_CATEGORY": "nothing of its category was kept",
    "OTHER_CURRENCY": "it is for another currency",
    "BELOW_ITS_AMOUNT": "what is kept is below its amount",
    "NO_BONUS_AT_THIS_TIER": "this tier has no bonus",
    "CAP_REACHED": "the day's allowance cut it",
    "NOT_VERIFIED": "nothing trusted measured the activity",
    "DELETED": "it was deleted",
    "GRANTED_ONCE_ALREADY": "an earlier one has it already",
    "NOT_ENROLLED_THEN": "the member was not enrolled then",
    "NO_RULE_THEN": "no rule rewarded it then",
}
_STACKED = {"additive": "bonuses added up", "multiplicative": "bonuses multiplied"}


def explained(entry: Entry) -> list[str]:
    """What moved, from which numbers it follows, what did not apply and why, under which rules."""
    derivation = entry["derivation"]
    return [
        *_moved(entry),
        *_derived(entry, derivation),
        *_settled(entry, derivation),
        *_ruled(entry, derivation),
    ]


def _moved(entry: Entry) -> Iterator[str]:
    yield (
        f"{points(entry['points'])} of member {entry['member_id']} moved from {entry['from_account']} to "
        f"{entry['to_account']}: {entry['reason']}, on lot {entry['lot_id']}."
    )
    yield (
        f"It counts from {instant(entry['effective_at'])} and was recorded "
        f"{instant(entry['recorded_at'])}; as the member's entry {entry['sequence']} it left "
        f"{entry['active_after']:,} active and {entry['pending_after']:,} pending."
    )


def _derived(entry: Entry, derivation: Entry) -> Iterator[str]:
    formula, inputs = derivation["formula"], _inputs(derivation)
    if formula.startswith("order:"):
        yield from _of_order(entry, derivation, inputs)
    elif formula == "engagement":
        yield from _of_engagement(entry, inputs)
    elif formula == "welcome":
        yield f"The programme welcomed a new member with {points(inputs['welcome_points'])} then."
    elif formula.startswith("timing:"):
        yield from _of_timing(entry, formula, inputs)
    elif formula == "spending":
        yield (
            f"Asked were {points(inputs['points_asked'])}; the lots that expire soonest give first, and what comes "
            f"back returns to them. {points(inputs['active'])} were active just before this move."
        )
    elif formula == "debt":
        yield f"The member owed {points(inputs['debt'])}, of what had been spent before it was taken back."
    elif formula == "merge":
        yield "Two members are one person, or no longer: the lot keeps its name, its end and what became of it before."
    elif formula == "erasure":
        yield (
            "The member was erased. What was in the balance is nobody's from then on, what was owed is owed no more, "
            "and nothing that is told of the member later changes that."
        )
    else:
        told = ", ".join(f"{name} {value:,}" for name, value in inputs.items())
        yield f"Formula {formula}: {told or 'no inputs'}."


def _of_timing(entry: Entry, formula: str, inputs: Mapping[str, int]) -> Iterator[str]:
    ways = entry["from_account"], entry["to_account"]
    begins = instant(inputs["active_from_ms"])
    if ways == ("PENDING", "ACTIVE"):
        yield f"The lot's pending points are active from {begins} on, the instant that its source sets."
    elif ways == ("ACTIVE", "PENDING"):
        yield f"The facts changed, and with them the instants: these points are pending again; active from {begins}."
    if inputs["held"]:
        yield f"A return that was requested before then holds {points(inputs['held'])} until it is settled."
    if "expires_at_ms" not in inputs:
        return
    _, end_of, zone = formula.split(":")
    ends = instant(inputs["expires_at_ms"])
    lives = f"{inputs['expiry_months']} months after that, to the end of the {end_of} in {zone}: until {ends}"
    if ways == ("ACTIVE", "EXPIRED"):
        yield f"Active from {begins} on, the lot lived {lives}."
    elif ways == ("EXPIRED", "ACTIVE"):
        yield f"The facts changed, and with them the instants: the lot lives {lives}, and is active again."


def _of_order(entry: Entry, derivation: Entry, inputs: Mapping[str, int]) -> Iterator[str]:
    _, stacking, currency = derivation["formula"].split(":")
    lines, terms = derivation["lines"], derivation["terms"]
    net, kept = sum(line["net_minor"] for line in lines), sum(line["kept_minor"] for line in lines)
    order_id = entry["lot_id"].removeprefix("order:")
    yield (
        f"Order {order_id}, placed {instant(inputs['placed_at_ms'])}: {money(net, currency)} eligible after "
        f"discounts" + (f", of which {money(kept, currency)} are kept." if kept != net else ".")
    )
    share = f" of the {terms[0]['rule_id']} points" if terms and entry["from_account"] != "ISSUED" else ""
    for line in lines:
        yield (
            f"  Line {line['line_id']}: {money(line['net_minor'], currency)} net, "
            f"{money(line['kept_minor'], currency)} kept, {points(line['points'])}{share}."
        )
    if not terms:
        yield "The order earns nothing now."
        return
    total = sum((_worth(term) for term in terms), Fraction(0))
    rate = f"{points(inputs['rate_points'])} per {money(inputs['rate_per_minor'], currency)}"
    yield (
        f"At {rate}, with {_STACKED.get(stacking, stacking)}, that is exactly {exactly(total)} → "
        f"{points(derivation['target'])}, floored once:"
    )
    for term in terms:
        worth = exactly(_worth(term))
        yield f"  {term['reason']} by {term['rule_id']}: exactly {worth}, booked {term['points']:,}."


def _worth(term: Entry) -> Fraction:
    """Numerators outgrow 64 bits, so they are text on the topic."""
    return Fraction(int(term["numerator"]), int(term["denominator"]))


def _of_engagement(entry: Entry, inputs: Mapping[str, int]) -> Iterator[str]:
    engagement_id = entry["lot_id"].removeprefix("engagement:")
    distance = f", {inputs['distance_m']:,} m" if inputs.get("distance_m") else ""
    yield (
        f"Engagement {engagement_id}{distance}: worth {points(inputs['wanted'])} by itself; "
        f"{points(inputs['used_before'])} of the allowance were used by earlier ones."
    )


def _settled(entry: Entry, derivation: Entry) -> Iterator[str]:
    before, target = derivation["granted_before"], derivation["target"]
    if entry["reason"] == "ACTIVATION" or before == target:
        return
    change = target - before
    yield (
        f"{points(before)} had been granted, the facts are now worth {points(target)}: "
        f"{points(abs(change))} {'more' if change > 0 else 'fewer'}, "
        f"moved by transaction {entry['transaction_id']}."
    )


def _ruled(entry: Entry, derivation: Entry) -> Iterator[str]:
    for why in derivation["why_not"]:
        reason = _WHY_NOT.get(why["reason"], why["reason"].lower().replace("_", " "))
        yield f"Not by {why['rule_id']}: {reason} ({why['reason']})."
    yield (
        f"Rule {entry['rule_id']} of programme version {entry['programme_version']}, "
        f"at tier {entry['tier_at_event']}."
    )
    yield f"Caused by {', '.join(entry['caused_by'])}."


def _inputs(derivation: Entry) -> Mapping[str, int]:
    given = derivation["inputs"]
    if isinstance(given, Mapping):
        return given
    return {one["name"]: one["value"] for one in given}
