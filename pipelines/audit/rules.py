"""Reads a programme file by itself, and enters its rules into the books, with every bonus a whole number.

What is wrong with a programme is for the worker to say, which will not start on it; here a file that cannot
be read is one Failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from itertools import accumulate, pairwise
from math import lcm
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.audit.books import Books, Row
from pipelines.failure import Failure

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EVER_MS = 1 << 62
Given = Mapping[str, Any]


def enter_rules(books: Books, programme: Path) -> None:
    """Enter the programme of this file, or the one of this name that comes along."""
    along = files("pipelines") / "programmes" / f"{programme}.yaml"
    try:
        text = programme.read_text() if programme.is_file() else along.read_text()
        tables = rules(YAML(typ="base", pure=True).load(text))
    except (OSError, YAMLError, LookupError, TypeError, ValueError) as error:
        raise Failure(
            f"the programme {programme} cannot be read: {error!r}",
            "give the file that the worker runs with: `loyalty verify --programme FILE`",
        ) from error
    for table, rows in tables.items():
        books.add(table, rows)


def rules(given: Given) -> dict[str, list[Row]]:
    """The rows of every table of the books that holds rules."""
    versions = sorted(given["versions"], key=lambda version: _ms(version["effective_from"]))
    starts = [-EVER_MS, *(_ms(version["effective_from"]) for version in versions[1:]), EVER_MS]
    tables: dict[str, list[Row]] = {"programme": [_lasting(given)]}
    for v, (version, (from_ms, to_ms)) in enumerate(zip(versions, pairwise(starts), strict=True)):
        for table, rows in _version(version, from_ms, to_ms).items():
            tables.setdefault(table, []).extend({"v": v, **row} for row in rows)
    return tables | _triggers(given.get("triggers") or {})


def _lasting(given: Given) -> Row:
    """What holds whatever the version."""
    window, downgrade = given["window"], given["downgrade"]
    lapses = downgrade if isinstance(downgrade, Mapping) else {}
    return {
        "lateness_ms": int(given["lateness_days"]) * DAY_MS,
        "window_kind": window["kind"],
        "window_months": int(window.get("months", 12)),
        "grace_days": int(lapses["grace_days"]) if lapses else None,
        "levels_down": int(lapses["levels"]) if lapses else None,
    }


def _version(version: Given, from_ms: int, to_ms: int) -> dict[str, list[Row]]:
    tiers, campaigns = version["tiers"], version.get("campaigns") or []
    scale = lcm(*(_fraction(one["bonus"]).denominator for one in [*tiers, *campaigns]))
    pending, expiry = version["pending"], version["expiry"]
    lapses = expiry if isinstance(expiry, Mapping) else {}
    return {
        "version": [
            {
                "name": version["version"],
                "from_ms": from_ms,
                "to_ms": to_ms,
                "zone": version["zone"],
                "multiplicative": version.get("stacking", "additive") == "multiplicative",
                "scale": scale,
                "welcome_points": int(version.get("welcome_points") or 0),
                "pending_ms": int(pending["days_from_delivery"]) * DAY_MS,
                "pending_latest_ms": int(pending["days_from_order_at_latest"]) * DAY_MS,
                "expiry_months": int(lapses["months"]) if lapses else None,
                "expiry_of_month": lapses.get("end_of") == "month",
            }
        ],
        "rate": [
            {"currency": currency, "points": int(rate["points"]), "per_minor": int(rate["per_minor"])}
            for currency, rate in version["rates"].items()
        ],
        "tier": [
            {
                "level": level,
                "name": tier["name"],
                "threshold": int(tier["threshold"]),
                "bonus": int(_fraction(tier["bonus"]) * scale),
            }
            for level, tier in enumerate(tiers)
        ],
        "campaign": _ranked(_campaign(one, scale) for one in campaigns),
        "threshold_bonus": _ranked(_threshold(one) for one in version.get("thresholds") or []),
        "activity": [_activity(one) for one in version.get("activities") or []],
        "once": [_once(one) for one in version.get("once") or []],
    }


def _campaign(one: Given, scale: int) -> Row:
    bonus = int(_fraction(one["bonus"]) * scale)
    return {"id": one["id"], "bonus": bonus, "category": one.get("category") or None, **_span(one)}


def _threshold(one: Given) -> Row:
    return {
        "id": one["id"],
        "points": int(one["points"]),
        "currency": one["currency"],
        "from_minor": int(one["from_minor"]),
        **_span(one),
    }


def _activity(one: Given) -> Row:
    return {
        "rule_id": one["id"],
        "kind": one["kind"],
        "points": int(one["points"]),
        "per_m": int(one["per_m"]),
        "cap_per_day": int(one["cap_per_day"]),
        "verifications": list(one["verifications"]),
    }


def _once(one: Given) -> Row:
    per_subject = str(one.get("per_subject", "false")).lower() == "true"
    return {
        "rule_id": one["id"],
        "kind": one["kind"],
        "points": int(one["points"]),
        "per_subject": per_subject,
    }


def _triggers(given: Given) -> dict[str, list[Row]]:
    """What members may be told, and the gate before it; nothing in a programme that tells nothing."""
    kinds = given.get("kinds") or {}
    experiments = [kind["experiment"] for kind in kinds.values() if "experiment" in kind]
    quiet = given.get("quiet")
    return {
        "trigger_kind": _ranked(_trigger_kind(name, kind) for name, kind in kinds.items()),
        "trigger_variant": [row for experiment in experiments for row in _variants(experiment)],
        "trigger_cap": _ranked(_cap(one) for one in given.get("caps") or []),
        "trigger_quiet": []
        if quiet is None
        else [{"from_minute": _minute(quiet["from"]), "to_minute": _minute(quiet["to"])}],
    }


def _trigger_kind(name: str, kind: Given) -> Row:
    experiment = kind.get("experiment") or {}
    return {
        "kind": name,
        "purpose": kind["purpose"],
        "channel": kind["channel"],
        "lives_ms": int(kind["lives_hours"]) * HOUR_MS,
        "experiment": experiment.get("name"),
        "holdout_bp": int(experiment.get("holdout_bp", 0)),
    }


def _variants(experiment: Given) -> list[Row]:
    """Each with its part of the weights, from the sum of those before it on."""
    weights = [int(weight) for weight in (experiment.get("variants") or {}).values()]
    parts = pairwise(accumulate(weights, initial=0))
    return [
        {"experiment": experiment["name"], "name": name, "from_weight": begins, "to_weight": ends}
        for name, (begins, ends) in zip(experiment.get("variants") or {}, parts, strict=True)
    ]


def _cap(one: Given) -> Row:
    return {
        "most": int(one["most"]),
        "days": int(one["days"]),
        "kind": one.get("kind"),
        "channel": one.get("channel"),
    }


def _minute(text: str) -> int:
    """A time of day, in minutes since midnight."""
    hours, minutes = str(text).split(":")[:2]
    return 60 * int(hours) + int(minutes)


def _span(one: Given) -> Row:
    return {"from_ms": _ms(one["starts_at"]), "to_ms": _ms(one["ends_at"])}


def _ranked(rows: Iterable[Row]) -> list[Row]:
    return [{"rank": rank, **row} for rank, row in enumerate(rows)]


def _fraction(text: str) -> Fraction:
    """1/4, 0.25, or 25 %; exactly."""
    bare = str(text).strip()
    if bare.endswith("%"):
        return Fraction(Decimal(bare[:-1].strip())) / 100
    return Fraction(bare)


def _ms(text: str) -> int:
    """An instant with its offset; a bare date begins at midnight UTC."""
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)
