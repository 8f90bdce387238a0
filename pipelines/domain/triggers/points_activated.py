"""Points have become active: the member can spend them now."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.domain.programme import HOUR_MS
from pipelines.domain.triggers.condition import Condition, Example
from pipelines.domain.triggers.rules import KindRules, TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import Activated, Watch, WatchedLot

KIND = TriggerKind.POINTS_ACTIVATED


def conditions(watch: Watch, rules: TriggerRules, at_ms: int) -> Iterator[Condition]:
    """True while it is news, and while anything of the lot is still there to be spent."""
    kind = rules.kinds.get(KIND)
    for lot_id, news in watch.activated.items():
        if kind is None or lot_id not in watch.lots or at_ms >= _ends_ms(news, kind):
            continue
        lot = watch.lots[lot_id]
        figures: list[tuple[str, int | str]] = [("points", min(news.points, lot.active)), ("lot_id", lot_id)]
        if lot.expires_at_ms is not None:
            figures.append(("expires_at_ms", lot.expires_at_ms))
        yield Condition(lot_id, (news.entry_id,), tuple(figures), _ends_ms(news, kind))


def _ends_ms(news: Activated, kind: KindRules) -> int:
    return news.at_ms + kind.lives_hours * HOUR_MS


def instants(watch: Watch, rules: TriggerRules) -> list[int]:
    kind = rules.kinds.get(KIND)
    return [] if kind is None else [_ends_ms(news, kind) for news in watch.activated.values()]


_NEWS = Activated(1_774_951_200_000, 157, "e")  # 31 March 2026 10:00 UTC
EXAMPLES = (
    Example(
        "at that instant",
        Watch("m", lots={"order:O1": WatchedLot(157, None)}, activated={"order:O1": _NEWS}),
        "2026-03-31T10:00Z",
        ("order:O1",),
    ),
    Example("all is spent", Watch("m", activated={"order:O1": _NEWS}), "2026-03-31T10:00Z", ()),
    Example(
        "no news any more",
        Watch("m", lots={"order:O1": WatchedLot(157, None)}, activated={"order:O1": _NEWS}),
        "2026-04-02T10:00Z",
        (),
    ),
)
