"""Every kind of trigger there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipelines.domain.triggers import (
    birthday,
    next_tier_near,
    points_activated,
    points_expiring,
    review_due,
    shoe_worn,
    streak_reached,
    tier_lapsing,
    tier_reached,
    win_back_due,
)
from pipelines.domain.triggers.condition import Kind
from pipelines.domain.triggers.rules import TriggerKind

_ALL: Final[tuple[Kind, ...]] = (
    tier_reached,
    next_tier_near,
    tier_lapsing,
    points_activated,
    points_expiring,
    win_back_due,
    review_due,
    birthday,
    streak_reached,
    shoe_worn,
)
KINDS: Final[Mapping[TriggerKind, Kind]] = {kind.KIND: kind for kind in _ALL}
