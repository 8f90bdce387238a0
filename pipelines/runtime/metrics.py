"""What a worker counts. Labels are bounded: never a member, an order or an offset."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

FACTS: Final = Counter(
    "loyalty_facts_total",
    "Facts read, by topic and outcome. Worry when REFUSED or INVALID grow, or when nothing grows.",
    ["topic", "outcome"],
)
DEAD_LETTERS: Final = Counter(
    "loyalty_dead_letters_total",
    "Records set aside, by topic and error class. Worry at any steady rate: a producer is wrong.",
    ["topic", "error_class"],
)
ENTRIES: Final = Counter(
    "loyalty_ledger_entries_total",
    "Ledger entries written, by reason. Worry when a reason stops or jumps.",
    ["reason"],
)
POINTS: Final = Counter(
    "loyalty_ledger_points_total",
    "Points moved, by reason. Worry when a reason jumps against its week.",
    ["reason"],
)
NOW: Final = Gauge(
    "loyalty_recorded_time_seconds",
    "Recorded time of the last input, by partition. Worry when it lags behind the world or stands still.",
    ["partition"],
)
TRIGGERS: Final = Counter(
    "loyalty_triggers_total",
    "Triggers by kind and by what the gate said: SENT, or the reason. Worry when a kind stops.",
    ["kind", "outcome"],
)
