"""What a member likes, by what they bought and kept: for messages that would show something fitting."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.domain.triggers.condition import Figures
from pipelines.domain.triggers.watch import Watch, WatchedLine


class _Kept(NamedTuple):
    """A line of which something was kept, as it ranks: the later order first, then by names."""

    placed_at_ms: int
    order_id: str
    line: WatchedLine


def favourite(watch: Watch) -> Figures:
    """The category of most order lines kept, and the article of it that was kept last; nothing when nothing was.

    Of categories kept as often, the one bought later, then the first by name. Lines count, not pieces: what is sold by
    volume has thousands. It looks at the orders that the watch still has, those of the last `return_days`.
    """
    by_category: dict[str, list[_Kept]] = {}
    for kept in _kept(watch):
        by_category.setdefault(kept.line.category, []).append(kept)
    if not by_category:
        return ()
    names = sorted(by_category)
    liked = max(
        names, key=lambda name: (len(by_category[name]), max(k.placed_at_ms for k in by_category[name]))
    )
    last = max(by_category[liked])
    return ("favourite_category", liked), ("favourite_sku", last.line.sku)


def _kept(watch: Watch) -> list[_Kept]:
    back = watch.sent_back()
    return [
        _Kept(order.placed_at_ms, order_id, line)
        for order_id, order in watch.orders.items()
        if order.stands
        for line in order.lines
        if line.quantity > back.get((order_id, line.line_id), 0)
    ]
