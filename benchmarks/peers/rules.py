"""The rules of the race's work, from dictionaries to dictionaries, as the peers in Python share them.

They are, of SPEC.md: duplicates by version; the welcome; base points and tier bonus floored once and shared by
largest remainder; tiers that rise at once and fall at once with a return; partial returns from pending points; runs
capped by the local day; reviews once a product. They are not what the workload never needs: the clock (activation,
expiry, grace), lateness, parked returns, re-folding, edits, campaigns, discounts, spending, merging, erasure, progress,
dead letters. Derivations are empty. `kafka-streams` has the same rules in Java.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

TIERS = ((0, 0, "Starter"), (500, 1, "Pacer"), (1_500, 2, "Elite"))
"""Threshold, bonus in quarters, name."""

DERIVATION = {
    "formula": "", "inputs": [], "lines": [], "terms": [], "granted_before": 0, "target": 0, "why_not": [],
}  # fmt: skip


class State(Protocol):
    """What is kept of one member, by name."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


def answer(fact: dict[str, Any], state: State) -> list[dict[str, Any]]:
    """The entries that a fact makes, and the balance after them."""
    apply, name = next((rule, fact[key]) for key, rule in RULES.items() if key in fact)
    if fact["version"] <= state.get(f"version:{name}", 0):
        return []
    state.set(f"version:{name}", fact["version"])
    account = state.get("account") or {
        "active": 0, "pending": 0, "lifetime": 0, "qualifying": 0, "tier": 0, "sequence": 0,
    }  # fmt: skip
    entries = list(apply(fact, account, state))
    state.set("account", account)
    return [*entries, _balance(fact, account)] if entries else []


def _order(order: dict[str, Any], account: dict[str, Any], state: State) -> Iterator[dict[str, Any]]:
    minor = sum(line["gross_minor"] for line in order["lines"] if line["eligible"])
    tier = account["tier"]
    base, bonus = _worth(minor, tier)
    lot_id = f"order:{order['order_id']}"
    state.set(lot_id, {"minor": minor, "tier": tier, "base": base, "granted": base + bonus})
    book = partial(_move, order, account, lot_id, tier, "ISSUED", "PENDING")
    if base:
        yield book("BASE", base)
    if bonus:
        yield book("TIER_BONUS", bonus)
    account["qualifying"] += base
    while account["tier"] < 2 and account["qualifying"] >= TIERS[account["tier"] + 1][0]:
        account["tier"] += 1


def _worth(minor: int, tier: int) -> tuple[int, int]:
    """Base points and tier bonus: floored together, the point that is left to the larger remainder."""
    base, bonus = 4 * minor, TIERS[tier][1] * minor
    whole = [base // 400, bonus // 400]
    if (base + bonus) // 400 > sum(whole):
        whole[bonus % 400 > base % 400] += 1
    return whole[0], whole[1]


def _return(given: dict[str, Any], account: dict[str, Any], state: State) -> Iterator[dict[str, Any]]:
    lot_id = f"order:{given['order_id']}"
    lot = state.get(lot_id)
    lot["minor"] -= sum(line["refund_minor"] for line in given["lines"])
    base, bonus = _worth(lot["minor"], lot["tier"])
    before = account["qualifying"]
    account["qualifying"] += base - lot["base"]
    if account["qualifying"] < TIERS[account["tier"]][0] <= before:
        while account["qualifying"] < TIERS[account["tier"]][0]:
            account["tier"] -= 1
    if owed := lot["granted"] - base - bonus:
        yield _move(given, account, lot_id, lot["tier"], "PENDING", "CLAWED_BACK", "RETURN", owed)
    state.set(lot_id, lot | {"base": base, "granted": base + bonus})


def _engagement(done: dict[str, Any], account: dict[str, Any], state: State) -> Iterator[dict[str, Any]]:
    if done["kind"] == "RUN":
        if done["verification"] not in ("GPS", "DEVICE"):
            return
        at: datetime = done["occurred_at"]
        group, reason = f"run:{at.astimezone(ZoneInfo(done['zone'])).date()}", "ACTIVITY"
        used = state.get(group, 0)
        points = min(done["distance_m"] // 1_000 * 2, 20 - used)
    else:
        group, reason = f"review:{done['subject']}", "REVIEW"
        used = state.get(group, 0)
        points = 0 if used else 50
    if points > 0:
        state.set(group, used + points)
        lot_id = f"engagement:{done['engagement_id']}"
        yield _move(done, account, lot_id, account["tier"], "ISSUED", "ACTIVE", reason, points)


def _member(member: dict[str, Any], account: dict[str, Any], state: State) -> Iterator[dict[str, Any]]:
    lot_id = f"welcome:{member['member_id']}"
    yield _move(member, account, lot_id, 0, "ISSUED", "ACTIVE", "WELCOME", 50)


Rule = Callable[[dict[str, Any], dict[str, Any], State], Iterator[dict[str, Any]]]
RULES: dict[str, Rule] = {
    "return_id": _return,
    "order_id": _order,
    "engagement_id": _engagement,
    "enrolled_at": _member,
}
"""By the field that only this kind of fact has; a return names its order, so it comes first."""


def _move(
    fact: dict[str, Any],
    account: dict[str, Any],
    lot_id: str,
    tier: int,
    source: str,
    target: str,
    reason: str,
    points: int,
) -> dict[str, Any]:
    account["sequence"] += 1
    account["lifetime"] += points if source == "ISSUED" else -points
    for side, sign in ((source, -1), (target, 1)):
        if side in ("ACTIVE", "PENDING"):
            account[side.lower()] += sign * points
    return {
        "entry_id": f"{fact['event_id']}/{reason}",
        "transaction_id": fact["event_id"],
        "member_id": fact["member_id"],
        "sequence": account["sequence"],
        "lot_id": lot_id,
        "points": points,
        "from_account": source,
        "to_account": target,
        "reason": reason,
        "effective_at": fact["occurred_at"],
        "recorded_at": fact["recorded_at"],
        "caused_by": [fact["event_id"]],
        "rule_id": reason,
        "programme_version": "2026-1",
        "tier_at_event": TIERS[tier][2],
        "market": "DE",
        "active_after": account["active"],
        "pending_after": account["pending"],
        "derivation": DERIVATION,
    }


def _balance(fact: dict[str, Any], account: dict[str, Any]) -> dict[str, Any]:
    return {
        "member_id": fact["member_id"],
        "market": "DE",
        "sequence": account["sequence"],
        "recorded_at": fact["recorded_at"],
        "active": account["active"],
        "pending": account["pending"],
        "reserved": 0,
        "debt": 0,
        "lifetime": account["lifetime"],
        "next_activation_at": None,
        "next_activation_points": 0,
        "next_expiry_at": None,
        "next_expiry_points": 0,
    }
