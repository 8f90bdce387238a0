"""Points will cease soon: told with how many, of which lots, and when."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.programme import DAY_MS
from pipelines.domain.triggers.condition import Condition, Example, Figures
from pipelines.domain.triggers.favourite import favourite
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Watch, WatchedLot

KIND = TriggerKind.POINTS_EXPIRING


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """For every instant within the next `expiring_days` at which enough points cease together."""
    for ends_ms, lots in sorted(_by_end(watch).items()):
        points = sum(lots.values())
        near = ends_ms - rules.expiring_days * DAY_MS <= at_ms < ends_ms
        if near and points >= rules.expiring_points_min:
            figures: Figures = (
                ("points", points),
                ("expires_at_ms", ends_ms),
                ("lots", ",".join(sorted(lots))),
                *favourite(watch),
            )
            yield Condition(str(ends_ms), tuple(sorted(lots)), figures, ends_ms)


def _by_end(watch: Watch) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for lot_id, lot in watch.lots.items():
        if lot.expires_at_ms is not None and lot.active > 0:
            found.setdefault(lot.expires_at_ms, {})[lot_id] = lot.active
    return found


def instants(watch: Watch, rules: TriggerRules) -> Iterator[int]:
    for ends_ms in _by_end(watch):
        yield ends_ms - rules.expiring_days * DAY_MS
        yield ends_ms


_END = 1_774_994_400_000  # 1 April 2026 00:00 in Zurich
_LOTS = {"order:O1": WatchedLot(60, _END), "order:O2": WatchedLot(20, _END), "order:O3": WatchedLot(9, None)}
EXAMPLES = (
    Example("80 in 30 days", Watch("m", lots=_LOTS), "2026-03-01T22:00Z", (str(_END),)),
    Example("a second earlier", Watch("m", lots=_LOTS), "2026-03-01T21:59:59Z", ()),
    Example("too few", Watch("m", lots={"order:O1": WatchedLot(49, _END)}), "2026-03-15T00:00Z", ()),
    Example("gone", Watch("m", lots=_LOTS), "2026-03-31T22:00Z", ()),
    Example("never ends", Watch("m", lots={"order:O3": WatchedLot(900, None)}), "2026-03-15T00:00Z", ()),
)
