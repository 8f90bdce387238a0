"""Recomputes all points from the facts, in SQL, and holds the ledger, balances and tiers against them."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.audit.books import SQL, Books

RECOMPUTED = (
    "10_facts_that_count.sql",
    "20_net_of_lines.sql",
    "30_stages_of_orders.sql",
    "40_worth_of_orders.sql",
    "50_windows.sql",
)
ANSWERED = ("60_engagements.sql", "65_ledger_by_lot.sql", "70_expected.sql")
TOLD = "SELECT (SELECT count(*) FROM sent_trigger) + (SELECT count(*) FROM suppressed_trigger)"
SHOWN = 5


class Offender(NamedTuple):
    """One thing that is wrong: where, and how."""

    who: str
    what: str


class Finding(NamedTuple):
    """What one check found: how many things it looked at, how many are wrong, and the first of those."""

    check: str
    promise: str
    looked_at: int
    wrong: int
    first: tuple[Offender, ...]


def recompute(books: Books) -> None:
    """What every lot, component and tier should be, by the facts and the programme alone."""
    for script in RECOMPUTED:
        books.run(script)
    _follow_tiers(books)
    for script in ANSWERED:
        books.run(script)


def _follow_tiers(books: Books) -> None:
    """An order's base points depend on its tier, by a point at most, and tiers on base points.

    Each round is right up to one more order of every member, so it ends when a round changes no order's tier.
    """
    while True:
        books.run("51_qualifying_points.sql")
        books.run("52_tiers_over_time.sql")
        moved = books.count("SELECT count(*) FROM (FROM tier_found EXCEPT FROM tier_at_order)")
        books.database.execute("CREATE OR REPLACE TABLE tier_at_order AS FROM tier_found")
        if not moved:
            return


def findings(books: Books) -> list[Finding]:
    """Every check, in order, on books that have been recomputed; those of the gate when anything was told."""
    return [*_findings(books, "checks"), *(gate_findings(books) if books.count(TOLD) else ())]


def gate_findings(books: Books) -> list[Finding]:
    """The checks of what members are told, which need the members' facts and their orders, and no points."""
    books.run("80_told.sql")
    return _findings(books, "gate")


def _findings(books: Books, folder: str) -> list[Finding]:
    names = sorted(file.name for file in (SQL / folder).iterdir() if file.name.endswith(".sql"))
    return [_finding(books, folder, name) for name in names]


def _finding(books: Books, folder: str, name: str) -> Finding:
    """A check is a query for offenders, opened by its promise and a count of what it looks at."""
    query = (SQL / folder / name).read_text()
    promise, over = (line.removeprefix("--").strip() for line in query.splitlines()[:2])
    books.database.execute(f"CREATE OR REPLACE TEMP TABLE offender AS {query}")
    first = books.database.execute(
        f"SELECT who, what FROM offender ORDER BY who, what LIMIT {SHOWN}"
    ).fetchall()
    return Finding(
        name.removesuffix(".sql").split("_", 1)[1].replace("_", "-"),
        promise,
        books.count(over.removeprefix("over:")),
        books.count("SELECT count(*) FROM offender"),
        tuple(Offender(str(who), str(what)) for who, what in first),
    )


_ENTITIES = " UNION ALL ".join(
    f"""SELECT count(DISTINCT (member_id, {key})) AS entities
        FROM {table} ANTI JOIN refused USING (topic, "partition", "offset")"""
    for table, key in (
        ("fact_order", "order_id"),
        ("fact_return", "return_id"),
        ("fact_engagement", "engagement_id"),
        ("fact_member", "member_id"),
        ("fact_command", "command_id"),
    )
)
FIGURES = {
    "records on the fact topics": "SELECT (SELECT count(*) FROM fact) + (SELECT count(*) FROM unreadable)",
    "facts that count": f"SELECT sum(entities) FROM ({_ENTITIES})",
    "repeated or overtaken facts": f"""
        SELECT (SELECT count(*) FROM fact ANTI JOIN refused USING (topic, "partition", "offset"))
             - (SELECT sum(entities) FROM ({_ENTITIES}))""",
    "dead letters": "SELECT count(*) FROM dead_letter",
    "members": "SELECT count(*) FROM member_now",
    "members erased": "SELECT count(*) FROM erased_person",
    "orders": "SELECT count(*) FROM order_now",
    "ledger entries": "SELECT count(*) FROM ledger",
    "points issued": "SELECT coalesce(sum(points), 0) FROM ledger WHERE from_account = 'ISSUED'",
    "points taken back": "SELECT coalesce(sum(points), 0) FROM ledger WHERE to_account = 'CLAWED_BACK'",
    "points recomputed": "SELECT coalesce(sum(held), 0) FROM expected_lot",
    "points pending": "SELECT coalesce(sum(pending), 0) FROM ledger_lot",
    "points active": "SELECT coalesce(sum(active), 0) FROM ledger_lot",
    "commands": "SELECT count(DISTINCT (member_id, command_id)) FROM command_result",
    "points redeemed": """
        SELECT coalesce(sum(CASE WHEN to_account = 'REDEEMED' THEN points ELSE -points END), 0)
        FROM ledger WHERE 'REDEEMED' IN (from_account, to_account)""",
    "points expired": "SELECT coalesce(sum(expired), 0) FROM ledger_lot",
    "triggers": "SELECT count(*) FROM sent_trigger",
    "suppressed triggers": "SELECT count(*) FROM suppressed_trigger",
}


def figures(books: Books) -> dict[str, int]:
    """What was looked at, in numbers."""
    return {name: books.count(query) for name, query in FIGURES.items()}
