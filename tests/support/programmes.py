"""The reference programme of the specification, as values."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from pipelines.domain.facts import EngagementKind, Verification
from pipelines.domain.programme import (
    ActivityRule,
    Campaign,
    Clawback,
    Downgrade,
    Expiry,
    OnceRule,
    Programme,
    ProgrammeVersion,
    Rate,
    Rounding,
    Stacking,
    ThresholdBonus,
    TierLevel,
    Window,
    WindowKind,
)
from tests.support.facts import ms

TRAIL_WEEK = Campaign(
    "trail-week", Fraction(1), "trail", ms("2026-03-01T00:00:00Z"), ms("2026-03-08T00:00:00Z")
)
APRIL_BONUS = ThresholdBonus(
    "april-150", 100, "EUR", 150_00, ms("2026-04-01T00:00:00Z"), ms("2026-04-08T00:00:00Z")
)

REFERENCE_VERSION = ProgrammeVersion(
    version="2026-1",
    effective_from_ms=ms("2020-01-01T00:00:00Z"),
    zone="Europe/Zurich",
    rates={c: Rate(c, 1, 100) for c in ("EUR", "CHF", "USD", "GBP")} | {"JPY": Rate("JPY", 1, 150)},
    market_currency={"CH": "CHF", "DE": "EUR", "US": "USD", "GB": "GBP", "JP": "JPY"},
    tiers=(
        TierLevel("Starter", 0, Fraction(0)),
        TierLevel("Pacer", 500, Fraction(1, 4)),
        TierLevel("Elite", 1_500, Fraction(1, 2)),
    ),
    stacking=Stacking.ADDITIVE,
    campaigns=(TRAIL_WEEK,),
    thresholds=(APRIL_BONUS,),
    activities=(
        ActivityRule(
            "run", EngagementKind.RUN, 2, 1_000, 20, frozenset({Verification.GPS, Verification.DEVICE})
        ),
    ),
    once=(
        OnceRule("review", EngagementKind.REVIEW, 50, per_subject=True),
        OnceRule("profile", EngagementKind.PROFILE_COMPLETED, 100, per_subject=False),
    ),
    welcome_points=50,
    pending_days=30,
    pending_latest_days=60,
    expiry=Expiry(12, Rounding.MONTH),
    clawback=Clawback.ALLOW_NEGATIVE,
    reservation_minutes=30,
)


ROLLING = Window(WindowKind.ROLLING, 12)
GRACE = Downgrade(60, 1)


def reference(window: Window = ROLLING, downgrade: Downgrade | None = GRACE, **changes: Any) -> Programme:
    """The reference programme; `changes` replace fields of its only version."""
    version = replace(REFERENCE_VERSION, **changes) if changes else REFERENCE_VERSION
    return programme_of(version, window=window, downgrade=downgrade)


def programme_of(
    *versions: ProgrammeVersion, window: Window = ROLLING, downgrade: Downgrade | None = GRACE
) -> Programme:
    """The reference programme with these versions."""
    return Programme("reference", 45, 400, window, downgrade, versions)
