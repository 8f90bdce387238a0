"""What stands on the topics, in numbers: for the terminal, for a script, and for the head of the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.table import Table

from pipelines.audit.books import Books

HERE = files("pipelines.report")


class Origin(StrEnum):
    """Where the facts come from, as they themselves say: event ids of simulated facts begin with `sim-`."""

    COMPLETEJOURNEY = "completejourney"
    SIMULATED = "simulated"
    PARTLY_SIMULATED = "partly simulated"
    GIVEN = "given"


class Source(StrEnum):
    """What the numbers are queries on."""

    TOPICS = "the topics, read to their last stable offset as a committed reader sees them"
    WAREHOUSE = "the warehouse, in whose tables each record of the topics is a row once"
    MEMORY = "the records that would stand on the topics"


class FactCount(NamedTuple):
    """Records of a fact topic by what became of them; a parked fact that was answered later was applied."""

    topic: str
    outcome: str
    records: int


class ReasonPoints(NamedTuple):
    """Points by why they moved: newly issued, taken back, or moved between a member's own accounts."""

    reason: str
    issued: int
    taken_back: int
    moved: int
    entries: int
    members: int


class TierPoints(NamedTuple):
    """Points by the member's tier at the event."""

    tier: str
    issued: int
    taken_back: int


class TierMembers(NamedTuple):
    """Members by their tier now, lowest tier first."""

    tier: str
    members: int


class DeadLetters(NamedTuple):
    """Facts that were set aside, byte for byte, by why."""

    topic: str
    error_class: str
    records: int


class TriggerCount(NamedTuple):
    """What was told of one kind, to how many members, and why the rest was not; what was withdrawn had been sent."""

    kind: str
    sent: int
    members: int
    no_consent: int
    holdout: int
    no_longer_true: int
    frequency_cap: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The topics in numbers; `baskets` are the orders that are not simulated.

    `facts_per_second` and `seconds` are those of the run that is told of, where there was one.
    """

    origin: Origin
    members: int
    orders: int
    baskets: int
    returns: int
    engagements: int
    ledger_entries: int
    issued: int
    taken_back: int
    active: int
    pending: int
    facts: tuple[FactCount, ...]
    reasons: tuple[ReasonPoints, ...]
    tier_points: tuple[TierPoints, ...]
    tier_members: tuple[TierMembers, ...]
    dead_letters: tuple[DeadLetters, ...]
    triggers: tuple[TriggerCount, ...]
    facts_per_second: float | None
    seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """For scripts: plain values, tables as lists of objects."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: [row._asdict() for row in value] if isinstance(value, tuple) else value
            for name, value in plain.items()
        }


def summary(books: Books, *, facts_per_second: float | None = None, seconds: float | None = None) -> Summary:
    """Count what is in the books; nothing needs to have been recomputed."""
    enter_views(books)
    known = {kind: (entities, real) for kind, entities, real in rows(books, "report_entities")}
    ((active, pending, _),) = rows(books, "report_balances")
    reasons = tuple(ReasonPoints(*row) for row in rows(books, "report_reasons"))
    orders, baskets = known.get("orders", (0, 0))
    return Summary(
        origin=_origin(books),
        members=known.get("members", (0, 0))[0],
        orders=orders,
        baskets=baskets,
        returns=known.get("returns", (0, 0))[0],
        engagements=known.get("engagements", (0, 0))[0],
        ledger_entries=sum(row.entries for row in reasons),
        issued=sum(row.issued for row in reasons),
        taken_back=sum(row.taken_back for row in reasons),
        active=active,
        pending=pending,
        facts=tuple(FactCount(*row) for row in rows(books, "report_facts")),
        reasons=reasons,
        tier_points=tuple(TierPoints(*row) for row in rows(books, "report_points_by_tier")),
        tier_members=tuple(TierMembers(*row) for row in rows(books, "report_members")),
        dead_letters=tuple(DeadLetters(*row) for row in rows(books, "report_dead_letters")),
        triggers=tuple(TriggerCount(*row) for row in rows(books, "report_triggers")),
        facts_per_second=facts_per_second,
        seconds=seconds,
    )


def enter_views(books: Books) -> None:
    """Define the views of `figures.sql`; those of another call are the same."""
    books.database.execute((HERE / "figures.sql").read_text())


def rows(books: Books, view: str) -> list[tuple[Any, ...]]:
    """All rows of a view, in its order."""
    return books.rows(f"SELECT * FROM {view}")


def _origin(books: Books) -> Origin:
    counted = {
        kind: (records, simulated, households)
        for kind, records, simulated, households in rows(books, "report_simulated")
    }
    records, simulated = (sum(row[n] for row in counted.values()) for n in (0, 1))
    orders, made_up, households = counted.get("orders", (0, 0, 0))
    if not simulated:
        return Origin.GIVEN
    if simulated == records:
        return Origin.SIMULATED
    return Origin.COMPLETEJOURNEY if households == orders - made_up > 0 else Origin.PARTLY_SIMULATED


def print_summary(told: Summary, console: Console) -> None:
    """For people: the summary as tables."""
    console.print(Group(_head(told), _facts(told), _points(told), _tiers(told)))
    if told.dead_letters:
        console.print(_numbers("Set aside", "topic", "why", rows=told.dead_letters))
    if told.triggers:
        console.print(_triggers(told))
    console.print(SAID[told.origin], highlight=False)


SAID = {
    Origin.COMPLETEJOURNEY: "Baskets and coupon redemptions are real (completejourney: a US grocer, 2017). "
    "Returns, runs, reviews, profiles, enrolments and deliveries are simulated from a seed.",
    Origin.SIMULATED: "Every fact is simulated from a seed.",
    Origin.PARTLY_SIMULATED: "Some facts are simulated from a seed: those whose event ids begin with `sim-`.",
    Origin.GIVEN: "The facts are those that the sources put on the topics; none is simulated.",
}


def _head(told: Summary) -> Table:
    counted: list[tuple[str, float]] = [
        ("members", told.members),
        ("orders", told.orders),
        ("of these real baskets", told.baskets),
        ("returns (simulated)" if told.origin is Origin.COMPLETEJOURNEY else "returns", told.returns),
        ("engagements", told.engagements),
        ("ledger entries", told.ledger_entries),
        ("points issued", told.issued),
        ("points taken back", told.taken_back),
        ("points active", told.active),
        ("points pending", told.pending),
    ]
    if told.facts_per_second is not None:
        counted.append(("facts a second, exactly once", told.facts_per_second))
    if told.seconds is not None:
        counted.append(("seconds", told.seconds))
    return _numbers("What is there", "figure", rows=counted, last="")


def _facts(told: Summary) -> Table:
    outcomes = ("applied", "duplicate", "stale", "refused")
    found = {(row.topic, row.outcome): row.records for row in told.facts}
    table = Table("topic", title="Facts by what became of them")
    for outcome in outcomes:
        table.add_column(outcome, justify="right")
    for topic in dict.fromkeys(row.topic for row in told.facts):
        table.add_row(topic, *(f"{found.get((topic, outcome), 0):,}" for outcome in outcomes))
    return table


def _points(told: Summary) -> Table:
    table = Table("reason", title="Points by reason")
    for name in ("issued", "taken back", "moved", "entries", "members"):
        table.add_column(name, justify="right")
    for row in told.reasons:
        table.add_row(row.reason, *(f"{number:,}" for number in row[1:]))
    return table


def _tiers(told: Summary) -> Table:
    """Tiers that have members now or gave points then, the lowest first."""
    now = {row.tier: row.members for row in told.tier_members}
    then = {row.tier: row for row in told.tier_points}
    table = Table("tier", title="Tiers")
    for name in ("members now", "issued at that tier", "taken back"):
        table.add_column(name, justify="right")
    for tier in dict.fromkeys([*now, *then]):
        points = then.get(tier, TierPoints(tier, 0, 0))
        table.add_row(tier, f"{now.get(tier, 0):,}", f"{points.issued:,}", f"{points.taken_back:,}")
    return table


def _triggers(told: Summary) -> Table:
    table = Table("kind", title="What members were told, and why not")
    for name in TriggerCount._fields[1:]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in told.triggers:
        table.add_row(row.kind, *(f"{number:,}" for number in row[1:]))
    return table


def _numbers(title: str, *names: str, rows: Any, last: str = "records") -> Table:
    table = Table(*names, title=title)
    table.add_column(last, justify="right")
    for *words, number in rows:
        table.add_row(*words, f"{number:,.0f}")
    return table
