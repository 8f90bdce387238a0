"""The one join: a member's orders, returns, engagements, own fact and clock, into one account.

Read state, ask the domain, write state, answer. Every fact first brings the account forward to the instant at
which it was recorded, as a tick would have, so that how often the clock ticks changes nothing that is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pipelines.domain.account import Account, Cause, Journal, ParkedUntil, membership
from pipelines.domain.accrual import (
    follow,
    refold,
    settle_group,
    settle_order,
    settle_welcome,
    tier_changes,
    time_order,
)
from pipelines.domain.engagements import EngagementRecord, EngagementRef, engagement_record, group_of
from pipelines.domain.erasure import emptied, erase_points
from pipelines.domain.facts import (
    Engagement,
    Fact,
    Member,
    Order,
    OrderStatus,
    PointsCommand,
    Return,
    Tick,
)
from pipelines.domain.ledger import (
    Balance,
    CommandResult,
    LedgerEntry,
    NoBalance,
    NoProgress,
    Outcome,
    Reason,
    Refused,
    TierChanged,
    TierProgress,
)
from pipelines.domain.lots import Book, Lot
from pipelines.domain.merging import Handover, HandoverKind
from pipelines.domain.orders import (
    OrderRecord,
    return_refusal,
    with_order,
    with_return,
    without_return,
    worth_the_same,
)
from pipelines.domain.programme import DAY_MS, Programme
from pipelines.domain.spending import Answered, Spending, decide, time_out
from pipelines.domain.timing import activate, expire
from pipelines.domain.waterfall import repay
from pipelines.processors import merging
from pipelines.processors.recent import RecentAccounts
from state import layout
from state.store import Store, reschedule

Gone = NoBalance | NoProgress
Result = LedgerEntry | Balance | TierChanged | TierProgress | Gone | CommandResult | Handover

DUE_MAX = 5_000
"""Members that one tick serves: points of all members may cease at one midnight, and a transaction must stay short.

The rest is due still at the next tick; by the clock law that changes when an entry is told, and nothing that it says.
"""


class Refusal(NamedTuple):
    """A fact that is not applied: the one at hand, or (with its `source`) one that had been parked."""

    refused: Refused
    message: str
    source: bytes | None


class Answer(NamedTuple):
    """What became of an input, what is to be told, and how often that took a re-fold or ended a return's waiting."""

    outcome: Outcome
    refusals: tuple[Refusal, ...]
    results: tuple[Result, ...]
    refolds: int = 0
    unparked: int = 0


class Accounts:
    """Processes one partition's facts and ticks, one at a time, over that partition's store."""

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        self._lateness_ms = programme.lateness_days * DAY_MS
        self._recent = RecentAccounts()

    def process(self, fact: Fact | Tick | Handover, store: Store, source: bytes = b"") -> Answer:
        """Apply one input. `source` is what a later refusal of it must be able to show, should it be parked."""
        if isinstance(fact, Tick):
            return self.serve(store.due(fact.at_ms, DUE_MAX), fact.at_ms, store)
        visit = Visit(self.programme, store, fact.member_id, self._recent)
        if visit.account.erased:
            merging.after_erasure(visit, fact)
            return visit.leave(Outcome.ERASED)
        if not isinstance(fact, Handover) and (refusal := self.refusal(fact)) is not None:
            return Answer(Outcome.REFUSED, (refusal,), ())
        visit.advance(fact.recorded_at_ms)
        outcome = visit.take_in(fact, source)
        visit.advance(fact.recorded_at_ms)
        return visit.leave(outcome)

    def serve(self, due: Iterable[tuple[int, str]], at_ms: int, store: Store) -> Answer:
        """Let happen what a tick at `at_ms` finds due: (instant, member) as the store tells them."""
        results: list[Result] = []
        refusals: list[Refusal] = []
        unparked = 0
        for _, member_id in due:
            visit = Visit(self.programme, store, member_id, self._recent)
            visit.advance(at_ms)
            answer = visit.leave(Outcome.APPLIED)
            results += answer.results
            refusals += answer.refusals
            unparked += answer.unparked
        return Answer(Outcome.APPLIED, tuple(refusals), tuple(results), unparked=unparked)

    def refusal(self, fact: Fact) -> Refusal | None:
        """What can be said of the fact alone: it came too late, or in money that the programme does not know.

        A command that is late is answered so, and an erasure is never too late.
        """
        if isinstance(fact, PointsCommand) or (isinstance(fact, Member) and fact.erases):
            return None
        late_ms = fact.recorded_at_ms - fact.occurred_at_ms
        if late_ms > self._lateness_ms:
            days = self.programme.lateness_days
            return Refusal(
                Refused.LATE, f"recorded {late_ms} ms after it occurred; the horizon is {days} d", None
            )
        if isinstance(fact, Order):
            return self._order_refusal(fact)
        return None

    def _order_refusal(self, order: Order) -> Refusal | None:
        known = self.programme.at(order.placed_at_ms).rates
        if order.currency not in known:
            message = f"{order.currency} is not in the programme: {', '.join(sorted(known))}"
            return Refusal(Refused.UNKNOWN_CURRENCY, message, None)
        return _forgotten(self.programme, order.order_id, order.placed_at_ms, order.recorded_at_ms)


def _forgotten(programme: Programme, order_id: str, placed_at_ms: int, recorded_at_ms: int) -> Refusal | None:
    """Why a fact recorded then no longer reaches an order placed then, or None."""
    if recorded_at_ms - placed_at_ms <= programme.return_days * DAY_MS:
        return None
    message = f"order {order_id} was placed more than {programme.return_days} days before"
    return Refusal(Refused.ORDER_FORGOTTEN, message, None)


class Visit:
    """One input's work on one account: what it reads is kept until `leave` writes what has changed."""

    def __init__(self, programme: Programme, store: Store, member_id: str, recent: RecentAccounts) -> None:
        value = store.get(layout.ACCOUNT, member_id)
        self.programme = programme
        self._lateness_ms = programme.lateness_days * DAY_MS
        self.store = store
        self._recent = recent
        self.account = Account(member_id) if value is None else recent.take(member_id, value)
        self.book = Book(self._read_lot, self._read_lots, self.account.calendar)
        self.journal = Journal(self.account, programme, self.book)
        self.orders: dict[str, OrderRecord] = {}
        self.changes: list[TierChanged] = []
        self.answers: list[CommandResult] = []
        self.refusals: list[Refusal] = []
        self.handovers: list[Handover] = []
        self.farewells: list[Gone] = []
        self.refolds = 0
        self.unparked = 0
        self._due_ms = self._scheduled = self.account.next_due_ms(programme)
        self._balance = self.account.balance()
        self._stored = value
        self._stood = self.account.progress_inputs(programme)

    def _read_lot(self, lot_id: str) -> Lot | None:
        value = self.store.get(layout.LOT, self.account.member_id, lot_id)
        return None if value is None else layout.lot_of(value)

    def _read_lots(self) -> list[Lot]:
        stored = self.store.of_member(layout.LOT, self.account.member_id)
        return [layout.lot_of(value) for _, value in stored]

    def owner(self, thing: str) -> str:
        """Whose an order, engagement or spending is: this member's, or one's who is merged into this one."""
        value = self.store.get(layout.OWNER, self.account.member_id, thing)
        return self.account.member_id if value is None else layout.owner_of(value)

    def own(self, thing: str, member_id: str) -> None:
        """Remember whose this new thing is."""
        mine = self.account.member_id
        if member_id != mine:
            self.store.put(layout.OWNER, mine, thing, layout.owner_bytes(member_id))

    def owner_of_lot(self, lot_id: str) -> str:
        """Whose the source of a lot is."""
        kind, name = lot_id.split(":", 1)
        if kind == "welcome":
            return name
        if kind != "adjust":
            return self.owner(lot_id)
        value = self.store.get(layout.COMMAND, self.account.member_id, name)
        assert value is not None, lot_id
        return layout.answered_of(value).result.member_id

    def knows(self, thing: str) -> bool:
        """Whether an order, engagement or spending is known here."""
        kind, name = thing.split(":", 1)
        if kind == "order":
            return self.order(name).known
        where = layout.ENGAGEMENT if kind == "engagement" else layout.SPENDING
        return self.store.get(where, self.account.member_id, name) is not None

    def send(self, handover: Handover) -> None:
        """Have another account told."""
        self.handovers.append(handover)

    def refuse(self, refused: Refused, message: str, source: bytes) -> None:
        """Set a record aside that is not the one at hand."""
        self.refusals.append(Refusal(refused, message, source))

    def spending(self, subject_id: str) -> Spending | None:
        value = self.store.get(layout.SPENDING, self.account.member_id, subject_id)
        return None if value is None else layout.spending_of(value)

    def keep_spending(self, spending: Spending) -> None:
        value = layout.spending_bytes(spending)
        self.store.put(layout.SPENDING, self.account.member_id, spending.subject_id, value)

    def order(self, order_id: str) -> OrderRecord:
        if order_id not in self.orders:
            value = self.store.get(layout.ORDER, self.account.member_id, order_id)
            self.orders[order_id] = OrderRecord(order_id) if value is None else layout.order_of(value)
        return self.orders[order_id]

    def keep(self, record: OrderRecord) -> None:
        """Remember the order; one of which nothing is known any more is forgotten."""
        self.orders[record.order_id] = record
        member_id = self.account.member_id
        if record.known or record.returns:
            self.store.put(layout.ORDER, member_id, record.order_id, layout.order_bytes(record))
        else:
            self.store.delete(layout.ORDER, member_id, record.order_id)

    def advance(self, now_ms: int) -> None:
        """Bring the account forward: all that is due until then happens, each thing at its own instant."""
        account = self.account
        until_ms = max(account.now_ms, now_ms)
        while (due := self._due_ms) is not None and due <= until_ms:
            account.now_ms = max(account.now_ms, due)
            for lot_id in sorted(lot for lot, a in account.calendar.activations.items() if a.at_ms == due):
                activate(lot_id, self.journal)
            for subject_id in sorted(s for s, until in account.reservations.items() if until == due):
                spending = self.spending(subject_id)
                assert spending is not None, subject_id
                self.keep_spending(time_out(spending, self.journal))
            if due in account.calendar.expiries:
                for lot in self.book.all():
                    if lot.expires_at_ms == due:
                        expire(lot.lot_id, due, self.journal)
            for return_id in sorted(r for r, p in account.parked.items() if p.at_ms == due):
                self._give_up_on(return_id)
            self._pass_time(due)
            self._due_ms = account.next_due_ms(self.programme)
        account.now_ms = until_ms

    def _pass_time(self, at_ms: int) -> None:
        before = list(self.account.standing.spans)
        self.account.standing.pass_time(at_ms, self.programme)
        cause = Cause(f"tier@{at_ms}", at_ms, ())
        self.changes += tier_changes(self.account, before, cause, self.programme)

    def _give_up_on(self, return_id: str) -> None:
        parked = self.account.parked[return_id]
        message = f"order {parked.order_id} did not come within {self.programme.lateness_days} days"
        self._unpark(return_id, Refused.ORDER_UNKNOWN, message)
        self.keep(without_return(self.order(parked.order_id), return_id))

    def _unpark(self, return_id: str, refused: Refused | None = None, message: str = "") -> None:
        member_id = self.account.member_id
        self.unparked += 1
        del self.account.parked[return_id]
        value = self.store.get(layout.PARKED, member_id, return_id)
        assert value is not None, return_id
        self.store.delete(layout.PARKED, member_id, return_id)
        if refused is not None:
            self.refuse(refused, message, layout.parked_of(value))

    def take_in(self, fact: Fact | Handover, source: bytes) -> Outcome:
        """Take in what came: a fact, or what another account has sent."""
        outcome = self._take_in(fact, source)
        if self.book.changed or not isinstance(fact, Engagement):
            self._due_ms = self.account.next_due_ms(self.programme)
        return outcome

    def _take_in(self, fact: Fact | Handover, source: bytes) -> Outcome:
        if isinstance(fact, Handover):
            return merging.receive(self, fact)
        if self.account.merged_into is not None:
            return merging.fact_at_old_address(self, fact, source)
        return self.apply(fact, source)

    def apply(self, fact: Fact, source: bytes) -> Outcome:
        """Take one fact in."""
        if isinstance(fact, Order):
            return self._apply_order(fact)
        if isinstance(fact, Return):
            return self._apply_return(fact, source)
        if isinstance(fact, Engagement):
            return self._apply_engagement(fact)
        if isinstance(fact, PointsCommand):
            return self._apply_command(fact)
        return self._apply_member(fact, source)

    def _apply_order(self, order: Order) -> Outcome:
        known = self.order(order.order_id)
        if order.version <= known.version:
            return _already(order.version, known.version)
        record = with_order(known, order)
        if not known.known:
            self.own(f"order:{order.order_id}", order.member_id)
            record = self.settle_parked(record)
        cause = Cause(f"order:{order.order_id}@{order.version}", order.recorded_at_ms, (order.event_id,))
        cancelled = order.status is OrderStatus.CANCELLED
        self._rate(known, record, cause, Reason.CANCEL if cancelled else Reason.EDIT, order.occurred_at_ms)
        return Outcome.APPLIED

    def settle_parked(self, record: OrderRecord) -> OrderRecord:
        """The order came: its waiting returns join it, or are refused for what they are."""
        for ret in record.returns:
            parked = self.account.parked.get(ret.return_id)
            if parked is None:
                continue
            recorded_at_ms = parked.at_ms - self.programme.lateness_days * DAY_MS
            bad = return_refusal(record, ret)
            late = _forgotten(self.programme, record.order_id, record.placed_at_ms, recorded_at_ms)
            if late is not None:
                bad = (late.refused, late.message)
            if bad is None:
                self._unpark(ret.return_id)
            else:
                self._unpark(ret.return_id, *bad)
                record = without_return(record, ret.return_id)
        return record

    def _apply_return(self, ret: Return, source: bytes) -> Outcome:
        known = self.order(ret.order_id)
        version = next((r.version for r in known.returns if r.return_id == ret.return_id), 0)
        if ret.version <= version:
            return _already(ret.version, version)
        record = with_return(known, ret)
        if not known.known:
            self._park(ret, source)
            self.own(f"order:{ret.order_id}", ret.member_id)
            self.keep(record)
            return Outcome.PARKED
        kept = next(r for r in record.returns if r.return_id == ret.return_id)
        refusal = _forgotten(self.programme, ret.order_id, record.placed_at_ms, ret.recorded_at_ms)
        if refusal is None and (bad := return_refusal(record, kept)) is not None:
            refusal = Refusal(*bad, None)
        if refusal is not None:
            self.refusals.append(refusal)
            return Outcome.REFUSED
        cause = Cause(f"return:{ret.return_id}@{ret.version}", ret.recorded_at_ms, (ret.event_id,))
        self._rate(known, record, cause, Reason.RETURN, ret.settled_at_ms or ret.occurred_at_ms)
        return Outcome.APPLIED

    def _park(self, ret: Return, source: bytes) -> None:
        until_ms = ret.recorded_at_ms + self.programme.lateness_days * DAY_MS
        self.account.parked[ret.return_id] = ParkedUntil(until_ms, ret.order_id)
        value = layout.parked_bytes(source)
        self.store.put(layout.PARKED, self.account.member_id, ret.return_id, value)

    def _rate(
        self, known: OrderRecord, record: OrderRecord, cause: Cause, reason: Reason, effective_at_ms: int
    ) -> None:
        """Settle a changed order; when it changes what was rated after it, settle that too."""
        if worth_the_same(known, record):
            time_order(record, self.journal, cause, effective_at_ms)
            repay(self.journal, cause)
            self.keep(record)
            return
        before = list(self.account.standing.spans)
        followed = follow(self.account, record, self.programme)
        if followed is not None:
            settle_order(followed, self.journal, cause, reason, effective_at_ms)
            self.keep(followed)
        else:
            self.orders[record.order_id] = record
            self.refold(cause, record.order_id, reason, effective_at_ms, Reason.TIER_CORRECTION)
        repay(self.journal, cause)
        self.changes += tier_changes(self.account, before, cause, self.programme)

    def refold(
        self, cause: Cause, own: str | None, reason: Reason, effective_at_ms: int, others: Reason
    ) -> None:
        """Settle all orders as they follow from all facts known."""
        orders = self.all_orders()
        self.refolds += bool(orders)
        for record in refold(self.account, orders, self.programme):
            why = (reason, effective_at_ms) if record.order_id == own else (others, record.placed_at_ms)
            settle_order(record, self.journal, cause, *why)
            self.keep(record)

    def all_orders(self) -> list[OrderRecord]:
        """Every order known, by id."""
        stored = self.store.of_member(layout.ORDER, self.account.member_id)
        found = {order_id: layout.order_of(value) for order_id, value in stored}
        return [record for _, record in sorted((found | self.orders).items()) if record.known]

    def _apply_engagement(self, engagement: Engagement) -> Outcome:
        value = self.store.get(layout.ENGAGEMENT, self.account.member_id, engagement.engagement_id)
        ref = EngagementRef(0, "") if value is None else layout.ref_of(value)
        if value is None:
            self.own(f"engagement:{engagement.engagement_id}", engagement.member_id)
        if engagement.version <= ref.version:
            return _already(engagement.version, ref.version)
        cause = Cause(
            f"engagement:{engagement.engagement_id}@{engagement.version}",
            engagement.recorded_at_ms,
            (engagement.event_id,),
        )
        group = group_of(engagement, self.programme)
        record = engagement_record(engagement)
        if ref.group and ref.group != group:
            left = [r for r in self.group(ref.group) if r.engagement_id != engagement.engagement_id]
            self._settle_group(ref.group, left, cause, engagement.engagement_id)
        if group or self.book.lot(record.lot_id).granted:
            others = [r for r in self.group(group) if r.engagement_id != engagement.engagement_id]
            self._settle_group(group, [*others, record], cause, engagement.engagement_id)
        repay(self.journal, cause)
        kept = layout.ref_bytes(EngagementRef(engagement.version, group))
        self.store.put(layout.ENGAGEMENT, self.account.member_id, engagement.engagement_id, kept)
        return Outcome.APPLIED

    def group(self, group: str) -> list[EngagementRecord]:
        """The engagements of a group."""
        value = self.store.get(layout.GROUP, self.account.member_id, group)
        return [] if value is None else layout.group_of_bytes(value)

    def _settle_group(
        self, group: str, members: list[EngagementRecord], cause: Cause, changed_id: str | None
    ) -> None:
        settle_group(members, self.journal, cause, changed_id)
        self.keep_group(group, members)

    def keep_group(self, group: str, members: list[EngagementRecord]) -> None:
        """Remember the group; one without engagements is forgotten."""
        if not members:
            self.store.delete(layout.GROUP, self.account.member_id, group)
        elif group:
            self.store.put(layout.GROUP, self.account.member_id, group, layout.group_bytes(members))

    def settle_groups(self, cause: Cause) -> None:
        """Settle every group anew: who earns, or whose engagements they are, has changed."""
        for group, value in list(self.store.of_member(layout.GROUP, self.account.member_id)):
            self._settle_group(group, layout.group_of_bytes(value), cause, None)

    def _apply_member(self, member: Member, source: bytes) -> Outcome:
        account, own = self.account, member.member_id == self.account.member_id
        if member.erases:
            return self.erase(member)
        before = account.membership if own else account.others[member.member_id]
        known = 0 if before is None else before.version
        if member.version <= known:
            return _already(member.version, known)
        if member.merged_into in account.others:
            message = f"{member.merged_into} is merged into {member.member_id}"
            self.refusals.append(Refusal(Refused.MERGE_CYCLE, message, None))
            return Outcome.REFUSED
        cause = Cause(
            f"member:{member.member_id}@{member.version}", member.recorded_at_ms, (member.event_id,)
        )
        enrolled_before = account.memberships
        if own:
            account.membership = membership(member)
        else:
            account.others[member.member_id] = membership(member)
        if account.memberships != enrolled_before:
            spans = list(account.standing.spans)
            settle_welcome(self.journal, cause, Reason.EDIT)
            self.refold(cause, None, Reason.EDIT, member.occurred_at_ms, Reason.EDIT)
            self.settle_groups(cause)
            repay(self.journal, cause)
            self.changes += tier_changes(account, spans, cause, self.programme)
        if own and member.merged_into is not None:
            name = f"merge:{member.member_id}@{member.version}"
            merging.merge(self, member.merged_into, cause._replace(name=name), source)
        return Outcome.APPLIED

    def erase(self, member: Member) -> Outcome:
        """Book out all that there is, and forget everything: nothing of this person is kept or taken in any more."""
        assert member.erased_at_ms is not None
        name = f"erasure:{member.member_id}@{member.version}"
        self.empty(Cause(name, member.recorded_at_ms, (member.event_id,)), member.erased_at_ms)
        return Outcome.APPLIED

    def empty(self, cause: Cause, erased_at_ms: int) -> None:
        """Book everything out, and forget it."""
        mine, at_ms = self.account.member_id, cause.recorded_at_ms
        erase_points(self.journal, cause)
        for kind in layout.BESIDE_AN_ACCOUNT:
            for name, _ in list(self.store.of_member(kind, mine)):
                self.store.delete(kind, mine, name)
        self.account = emptied(self.account, erased_at_ms)
        self.book = Book(self._read_lot, self._read_lots, self.account.calendar)
        self.farewells = [NoBalance(mine, at_ms), NoProgress(mine, at_ms)]

    def _apply_command(self, command: PointsCommand) -> Outcome:
        """Answer a command: once a message, and under one command id always the same."""
        member_id = self.account.member_id
        value = self.store.get(layout.COMMAND, member_id, command.command_id)
        if value is not None:
            answered = layout.answered_of(value)
            if command.event_id in answered.event_ids:
                return Outcome.DUPLICATE
            answered = answered._replace(event_ids=(*answered.event_ids, command.event_id))
            outcome = Outcome.DUPLICATE
        else:
            cause = Cause(f"command:{command.command_id}", command.recorded_at_ms, (command.event_id,))
            known = self.spending(command.subject_id or command.command_id)
            result, spending = decide(command, known, self._lateness_ms, self.journal, cause)
            if spending is not None:
                self.keep_spending(spending)
                self._follow_elsewhere(command, known, spending)
            answered = Answered((command.event_id,), result)
            outcome = Outcome.APPLIED
        self.answers.append(answered.result)
        self.store.put(layout.COMMAND, member_id, command.command_id, layout.answered_bytes(answered))
        return outcome

    def _follow_elsewhere(self, command: PointsCommand, known: Spending | None, after: Spending) -> None:
        if known is None:
            self.own(f"spending:{after.subject_id}", command.member_id)
            return
        mine, at_ms = self.account.member_id, command.recorded_at_ms
        for member_id, _ in known.elsewhere:
            kind, name = HandoverKind.FOLLOW, f"command:{command.command_id}"
            self.send(Handover(member_id, mine, kind, at_ms, command.event_id, name, (mine,), (), command))

    def leave(self, outcome: Outcome) -> Answer:
        """Write the account and its next timer; tell what has changed."""
        account = self.account
        reschedule(self.store, account.member_id, self._scheduled, self._due_ms)
        for lot_id in sorted(self.book.changed):
            lot = self.book.lots[lot_id]
            if not lot.empty:
                self.store.put(layout.LOT, account.member_id, lot_id, layout.lot_bytes(lot))
            else:
                self.store.delete(layout.LOT, account.member_id, lot_id)
        written = layout.account_bytes(account)
        self.store.put(layout.ACCOUNT, account.member_id, "", written)
        self._recent.keep(account, written)
        results: list[Result] = [*self.journal.entries, *self.changes, *self.answers, *self.handovers]
        balance = account.balance()
        if not account.erased and (self.journal.entries or not _tells_the_same(self._balance, balance)):
            results.append(balance)
        if (progress := self._changed_progress()) is not None:
            results.append(progress)
        if account.erased or account.merged_into is not None:
            results += self.farewells
        return Answer(outcome, tuple(self.refusals), tuple(results), self.refolds, self.unparked)

    def _changed_progress(self) -> TierProgress | None:
        """Where the member stands now, if that is not where they stood."""
        inputs = self.account.progress_inputs(self.programme)
        if inputs == self._stood:
            return None
        progress = self.account.progress(self.programme)
        if progress is None or inputs[0] != self._stood[0]:
            return progress
        member_id = self.account.member_id
        before = Account(member_id) if self._stored is None else layout.account_of(self._stored)
        return None if _tells_the_same(before.progress(self.programme), progress) else progress


def _tells_the_same(before: Balance | TierProgress | None, now: Balance | TierProgress) -> bool:
    return before is not None and now._replace(recorded_at_ms=before.recorded_at_ms) == before


def _already(version: int, known: int) -> Outcome:
    return Outcome.DUPLICATE if version == known else Outcome.STALE
