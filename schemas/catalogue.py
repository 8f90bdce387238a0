"""The schemas of this build: one folder a topic, `v<N>.avsc` in it, the highest N written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent

ORDERS: Final = "commerce.orders.v1"
RETURNS: Final = "commerce.returns.v1"
ENGAGEMENTS: Final = "engagement.activities.v1"
MEMBERS: Final = "loyalty.members.v1"
COMMANDS: Final = "loyalty.commands.v1"
CLOCK: Final = "loyalty.clock.v1"
HANDOVERS: Final = "loyalty.handovers.v1"
LEDGER: Final = "loyalty.ledger.v1"
BALANCES: Final = "loyalty.balances.v1"
TIERS: Final = "loyalty.tiers.v1"
TIER_PROGRESS: Final = "loyalty.tier-progress.v1"
COMMAND_RESULTS: Final = "loyalty.command-results.v1"
DEAD_LETTERS: Final = "loyalty.dead-letters.v1"
TRIGGERS: Final = "loyalty.triggers.v1"
SUPPRESSED_TRIGGERS: Final = "loyalty.suppressed-triggers.v1"
REDRIVES: Final = "loyalty.redrives.v1"
LIABILITY_PARTS: Final = "loyalty.liability-parts.v1"
LIABILITY: Final = "loyalty.liability.v1"

FACTS: Final = (ORDERS, RETURNS, ENGAGEMENTS, MEMBERS, COMMANDS)
INPUTS: Final = (*FACTS, CLOCK, HANDOVERS)
OUTPUTS: Final = (LEDGER, BALANCES, TIERS, TIER_PROGRESS, COMMAND_RESULTS, DEAD_LETTERS)
"""Of the accounts."""
WATCHED: Final = (ORDERS, RETURNS, ENGAGEMENTS, MEMBERS, LEDGER, TIERS, TIER_PROGRESS, CLOCK)
"""What the triggers read: what the accounts say of members, and some of what they read."""
TOLD: Final = (TRIGGERS, SUPPRESSED_TRIGGERS)
OPERATED: Final = (REDRIVES,)
"""What operators' commands write."""
OWED: Final = (LIABILITY_PARTS, LIABILITY)
"""What the liability pipeline writes; the first it reads again."""
TOPICS: Final = (*INPUTS, *OUTPUTS, *TOLD, *OPERATED, *OWED)


def versions(topic: str) -> list[tuple[int, Path]]:
    """The released versions of a topic's schema, oldest first."""
    found = [(int(path.stem[1:]), path) for path in (FOLDER / topic).glob("v*.avsc")]
    return sorted(found)


def released(topic: str) -> str:
    """The text of the newest schema: what is registered, and what this build writes."""
    return versions(topic)[-1][1].read_text()


def subject(topic: str) -> str:
    """The registry's name for the schema of a topic's values."""
    return f"{topic}-value"


SAID: Final = ("doc", "personal")
"""What a schema says to people."""


def plain(schema: Any) -> Any:
    """The schema as a codec needs it: timestamps are whole milliseconds, and nothing is said but how bytes are read."""
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: plain(value) for key, value in schema.items() if key not in SAID}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema


def parsed(topic: str) -> dict[str, Any]:
    schema: dict[str, Any] = plain(json.loads(released(topic)))
    return schema
