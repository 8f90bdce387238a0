"""Enters a history into the auditor's books, as the topics would hold it, and the reference programme."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from pipelines.audit.books import Books, as_row
from pipelines.domain.facts import Engagement, Fact, Member, Order, PointsCommand, Return, Tick
from pipelines.domain.ledger import NoBalance
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger
from tests.support.history import History

TOPIC = {
    Order: "orders",
    Return: "returns",
    Engagement: "engagements",
    Member: "members",
    PointsCommand: "commands",
}
TABLE = {
    Order: "fact_order",
    Return: "fact_return",
    Engagement: "fact_engagement",
    Member: "fact_member",
    PointsCommand: "fact_command",
}
DAY_MS = 86_400_000


def enter_facts(books: Books, facts: Iterable[Fact | Tick]) -> None:
    """The facts in their order of arrival, all on partition 0; a fact's offset is its place among all."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for offset, fact in enumerate(facts):
        if isinstance(fact, Tick):
            rows.setdefault("tick", []).append(as_row(fact, "clock", offset))
        else:
            rows.setdefault(TABLE[type(fact)], []).append(as_row(fact, TOPIC[type(fact)], offset))
    for table, entered in rows.items():
        books.add(table, entered)


def enter_history(books: Books, history: History) -> None:
    """What the worker answered."""
    results = (
        ("ledger", history.ledger),
        ("balance", history.balances),
        ("tier_progress", history.progress),
        ("tier_changed", history.tiers),
        ("command_result", history.answers),
    )
    for table, records in results:
        books.add(table, [as_row(record, table, offset) for offset, record in enumerate(records)])
    for offset, gone in enumerate(history.gone, len(history.balances) + len(history.progress)):
        what = "balance" if isinstance(gone, NoBalance) else "progress"
        books.add("removed", [as_row(gone, "removed", offset) | {"what": what}])


def enter_told(books: Books, told: Iterable[Told]) -> None:
    """What members were told, and what not."""
    given = list(told)
    for table, kind in (("sent_trigger", Trigger), ("suppressed_trigger", SuppressedTrigger)):
        of_it = [one for one in given if isinstance(one, kind)]
        books.add(table, [as_row(one, table, offset) for offset, one in enumerate(of_it)])


def enter_programme(books: Books, **changes: Any) -> None:
    """The reference programme, written down a second time; `changes` replace columns of its version."""
    far = 1 << 62
    version = {
        "v": 0,
        "name": "2026-1",
        "from_ms": -far,
        "to_ms": far,
        "zone": "Europe/Zurich",
        "multiplicative": False,
        "scale": 4,
        "welcome_points": 50,
        "pending_ms": 30 * DAY_MS,
        "pending_latest_ms": 60 * DAY_MS,
        "expiry_months": 12,
        "expiry_of_month": True,
    }
    lasting = {"window_kind": "rolling", "window_months": 12, "grace_days": 60, "levels_down": 1}
    books.add("programme", [{"lateness_ms": 45 * DAY_MS} | lasting])
    books.add("version", [version | changes])
    rates = [(currency, 100) for currency in ("EUR", "CHF", "USD", "GBP")] + [("JPY", 150)]
    books.add("rate", [{"v": 0, "currency": c, "points": 1, "per_minor": m} for c, m in rates])
    tiers = zip(count(), ("Starter", "Pacer", "Elite"), (0, 500, 1_500), (0, 1, 2), strict=False)
    books.add(
        "tier", [{"v": 0, "level": n, "name": name, "threshold": t, "bonus": b} for n, name, t, b in tiers]
    )
    week = {"from_ms": 1_772_323_200_000, "to_ms": 1_772_928_000_000}
    books.add("campaign", [{"v": 0, "rank": 0, "id": "trail-week", "bonus": 4, "category": "trail"} | week])
    april = {"from_ms": 1_775_001_600_000, "to_ms": 1_775_606_400_000}
    bonus = {"v": 0, "rank": 0, "id": "april-150", "points": 100, "currency": "EUR", "from_minor": 150_00}
    books.add("threshold_bonus", [bonus | april])
    activity = {"rule_id": "activity", "kind": "RUN", "points": 2, "per_m": 1_000, "cap_per_day": 20}
    books.add("activity", [activity | {"v": 0, "verifications": ["GPS", "DEVICE"]}])
    books.add(
        "once",
        [
            {"v": 0, "rule_id": "review", "kind": "REVIEW", "points": 50, "per_subject": True},
            {"v": 0, "rule_id": "profile", "kind": "PROFILE_COMPLETED", "points": 100, "per_subject": False},
        ],
    )
