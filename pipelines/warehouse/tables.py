"""The catalogue of the warehouse: which table holds which topic, and how it is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas import catalogue

PARTITION: Final = "source_partition"
OFFSET: Final = "source_offset"
REMOVED: Final = "removed"
MEMBER: Final = "member_id"
MARKET: Final = "market"

PLACE: Final = {
    PARTITION: "The partition of the topic on which the record stands.",
    OFFSET: "The record's offset there; with the partition it names the row, once.",
}
REMOVAL: Final = "Whether the record takes back what stood under the member before; then all else is null."


@dataclass(frozen=True, slots=True)
class Table:
    """One table. A log has a row a record; a current one has a row a member, the last that its topic told.

    `day` is the instant whose UTC day, with the market where there is one, is the partition: late data lies in its own
    day. `unique` is what no two rows may share.
    """

    name: str
    topic: str
    what: str
    day: str | None = None
    unique: tuple[str, ...] = (PARTITION, OFFSET)
    current: bool = False
    removable: bool = False
    fact: bool = False
    """Written by sources: some records may be unreadable, and are then among the dead letters."""

    @property
    def sorted_by(self) -> tuple[str, ...]:
        """For look-ups of a member; dead letters have none."""
        return (PARTITION, OFFSET) if self.name == "dead_letters" else (MEMBER, PARTITION, OFFSET)


ICEBERG: Final = (
    Table("orders", catalogue.ORDERS, "Orders as told, every version", "occurred_at", fact=True),
    Table("returns", catalogue.RETURNS, "Returns as told, every version", "occurred_at", fact=True),
    Table(
        "engagements", catalogue.ENGAGEMENTS, "Engagements as told, every version", "occurred_at", fact=True
    ),
    Table("members", catalogue.MEMBERS, "Members as told, every version", "occurred_at", fact=True),
    Table(
        "commands", catalogue.COMMANDS, "What was to be done with points, as asked", "occurred_at", fact=True
    ),
    Table("ledger", catalogue.LEDGER, "Every move of points", "effective_at", ("entry_id",)),
    Table("balances", catalogue.BALANCES, "What each member has", unique=(MEMBER,), current=True),
    Table(
        "balances_history",
        catalogue.BALANCES,
        "What each member had, told after each of its inputs",
        "recorded_at",
        removable=True,
    ),
    Table("tiers", catalogue.TIERS, "Tier changes", "effective_at", ("change_id",)),
    Table(
        "tier_progress",
        catalogue.TIER_PROGRESS,
        "How far each member is from the next tier",
        unique=(MEMBER,),
        current=True,
    ),
    Table(
        "tier_progress_history",
        catalogue.TIER_PROGRESS,
        "How far each member was from the next tier",
        "recorded_at",
        removable=True,
    ),
    Table("triggers", catalogue.TRIGGERS, "What members should be told", "recorded_at", ("trigger_id",)),
    Table(
        "suppressed_triggers",
        catalogue.SUPPRESSED_TRIGGERS,
        "What members are not told, and why",
        "recorded_at",
    ),
    Table("command_results", catalogue.COMMAND_RESULTS, "Answers to commands", "recorded_at"),
    Table("dead_letters", catalogue.DEAD_LETTERS, "Records that will never be applied", "recorded_at"),
)
BY_NAME: Final = {table.name: table for table in ICEBERG}

POSTGRES: Final = tuple(
    BY_NAME[name]
    for name in (
        "ledger",
        "balances",
        "tiers",
        "tier_progress",
        "triggers",
        "suppressed_triggers",
        "command_results",
    )
)
"""What services and BI tools ask: one row a member, and the logs that members' pages show."""
