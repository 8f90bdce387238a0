"""From facts and from what the accounts say of them to what members are told.

One input at a time over a partition's store, as for the accounts: bring the watch forward to the instant at which the
input was recorded, each thing at its own; take the input in; see what is true now; write; answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.domain.erasure import nobody
from pipelines.domain.facts import Engagement, Member, Order, Return, Tick
from pipelines.domain.ledger import LedgerEntry, NoProgress, TierChanged, TierProgress
from pipelines.domain.programme import DAY_MS, HOUR_MS, Programme
from pipelines.domain.triggers.announcing import Told, announce, next_instant_ms
from pipelines.domain.triggers.rules import TriggerKind, TriggerRules
from pipelines.domain.triggers.watch import NOTHING_YET, Watch
from pipelines.processors.accounts import DUE_MAX
from state import layout
from state.store import Store, reschedule

Watched = Member | Order | Return | Engagement
Seen = Watched | LedgerEntry | TierChanged | TierProgress | NoProgress


class Triggers:
    """Processes one partition's inputs and ticks, one at a time, over that partition's store."""

    def __init__(self, programme: Programme) -> None:
        assert programme.triggers is not None, "a programme without triggers has nothing to tell"
        self.programme = programme
        self.rules: TriggerRules = programme.triggers
        self._lateness_ms = programme.lateness_days * DAY_MS
        self._return_days = programme.return_days
        news = self.rules.kinds.get(TriggerKind.POINTS_ACTIVATED)
        self._news_ms = 0 if news is None else news.lives_hours * HOUR_MS

    def process(self, seen: Seen | Tick, store: Store) -> list[Told]:
        """Take one input in; what members are to be told of it, and what not."""
        if isinstance(seen, Tick):
            return self.serve(store.due(seen.at_ms, DUE_MAX), seen.at_ms, store)
        if isinstance(seen, Watched) and self._too_late(seen):
            return []
        return self._visit(seen.member_id, seen.recorded_at_ms, seen, store)

    def serve(self, due: Iterable[tuple[int, str]], at_ms: int, store: Store) -> list[Told]:
        """What those are to be told whom a tick at `at_ms` finds due: (instant, member) as the store tells them."""
        return [told for _, member_id in due for told in self._visit(member_id, at_ms, None, store)]

    def _too_late(self, seen: Watched) -> bool:
        """By the accounts' own rule; an erasure never is."""
        late_ms = seen.recorded_at_ms - seen.occurred_at_ms
        return late_ms > self._lateness_ms and not (isinstance(seen, Member) and seen.erases)

    def _visit(self, member_id: str, until_ms: int, seen: Seen | None, store: Store) -> list[Told]:
        """First what time alone does until then, each thing at its own instant; then the input."""
        value = store.get(layout.WATCH, member_id)
        watch = Watch(member_id) if value is None else layout.watch_of(value)
        if watch.erased:
            return []
        due = scheduled = next_instant_ms(watch, self.rules)
        told: list[Told] = []
        while due is not None and due <= until_ms:
            watch.now_ms = max(watch.now_ms, due)
            told += announce(watch, self.rules)
            due = next_instant_ms(watch, self.rules)
        watch.now_ms = max(watch.now_ms, until_ms)
        if seen is not None:
            self._take_in(watch, seen, store)
        told += announce(watch, self.rules)
        watch.forget(self._return_days, self._news_ms)
        if watch.erased:
            watch = _emptied(watch, store)
        reschedule(store, member_id, scheduled, next_instant_ms(watch, self.rules))
        store.put(layout.WATCH, member_id, "", layout.watch_bytes(watch))
        return told

    def _take_in(self, watch: Watch, seen: Seen, store: Store) -> None:
        match seen:
            case Member():
                watch.see_member(seen)
            case Order():
                watch.see_order(seen)
            case Return():
                watch.see_return(seen)
            case Engagement():
                value = store.get(layout.WATCHED, watch.member_id, seen.engagement_id)
                known = NOTHING_YET if value is None else layout.watched_of(value)
                now = watch.see_engagement(seen, known)
                if now != known:
                    store.put(layout.WATCHED, watch.member_id, seen.engagement_id, layout.watched_bytes(now))
            case LedgerEntry():
                watch.see_entry(seen, self.programme)
            case TierChanged():
                watch.see_change(seen)
            case TierProgress():
                watch.see_progress(seen)
            case _:
                watch.see_progress(None)


def _emptied(watch: Watch, store: Store) -> Watch:
    """Forget everything but that the member is erased; what waited for the end of quiet hours is not told."""
    assert watch.membership is not None
    assert watch.membership.erased_at_ms is not None
    for name, _ in list(store.of_member(layout.WATCHED, watch.member_id)):
        store.delete(layout.WATCHED, watch.member_id, name)
    return Watch(watch.member_id, watch.now_ms, nobody(watch.membership.erased_at_ms))
