"""What an account does when its member turns out to be the same person as another, or not to be after all.

Handovers reach an account as facts do, one at a time; see `pipelines.domain.merging` for what they are.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from pipelines.domain.account import Account, Cause, Membership, membership
from pipelines.domain.accrual import settle_welcome, tier_changes
from pipelines.domain.facts import Fact, Member, PointsCommand
from pipelines.domain.ledger import NoProgress, Outcome, Reason, Refused
from pipelines.domain.merging import (
    Handover,
    HandoverKind,
    hand_in,
    hand_out,
    owe_apart,
    spent_apart,
    spent_together,
)
from pipelines.domain.orders import OrderRecord, joined
from pipelines.domain.spending import SpendingState, carry_out
from pipelines.domain.standing import TierSpan
from pipelines.domain.timing import settle_time
from pipelines.domain.waterfall import repay
from state import layout

if TYPE_CHECKING:
    from pipelines.processors.accounts import Visit

_WITH_RECORDS = (HandoverKind.RECORDS, HandoverKind.UNDELIVERED)
_OPEN = (SpendingState.RESERVED, SpendingState.REDEEMED)


def merge(visit: Visit, into: str, cause: Cause, source: bytes) -> None:
    """Hand everything over to the member that this one is merged into; what stays is the address."""
    account = visit.account
    mine = account.member_id
    stub = Account(mine, account.now_ms, membership=account.membership, others=account.others)
    leaving = {mine, *account.others}
    records = _give(visit, leaving, _lots_of(visit, leaving), into, stub, cause)
    account.others = {}
    account.merged_into = into
    visit.farewells = [NoProgress(mine, cause.recorded_at_ms)]
    kind, at_ms, (event_id,) = HandoverKind.RECORDS, cause.recorded_at_ms, cause.facts
    visit.send(Handover(into, mine, kind, at_ms, event_id, cause.name, (mine,), records, None, source))


def at_old_address(visit: Visit, handover: Handover) -> Outcome:
    """Pass on what came to a merged member's old address."""
    into = visit.account.merged_into
    assert into is not None
    visit.send(handover._replace(member_id=into, path=(*handover.path, visit.account.member_id)))
    return Outcome.FORWARDED


def fact_at_old_address(visit: Visit, fact: Fact, source: bytes) -> Outcome:
    """Pass a fact on; when it is the member's own, and takes the merge back, ask for everything instead.

    One that erases the member ends the old address as well: what is passed on erases the account that has everything.
    """
    account = visit.account
    mine, kind, cause = account.member_id, HandoverKind.FACT, ""
    assert account.membership is not None
    if isinstance(fact, Member) and fact.version > account.membership.version:
        account.membership = membership(fact)
        if _leaves(account):
            kind, cause = HandoverKind.RELEASE, f"unmerge:{mine}@{fact.version}"
    handover = Handover(mine, mine, kind, fact.recorded_at_ms, fact.event_id, cause, (), (), fact, source)
    outcome = at_old_address(visit, handover)
    if isinstance(fact, Member) and fact.erases:
        visit.erase(fact)
    return outcome


def after_erasure(visit: Visit, sent: Fact | Handover) -> None:
    """Nothing is taken in. A member's own records, still on their way home, are booked out; another's go back."""
    if isinstance(sent, Handover) and sent.kind in _WITH_RECORDS:
        if sent.from_member_id == visit.account.member_id:
            _erase_on_arrival(visit, sent)
        else:
            visit.send(sent._replace(member_id=sent.from_member_id, kind=HandoverKind.UNDELIVERED))


def _erase_on_arrival(visit: Visit, handover: Handover) -> None:
    cause, told = _cause_of(handover), visit.account.membership
    assert told is not None
    assert told.erased_at_ms is not None
    lots = [layout.lot_of(value) for kind, _, value in handover.records if kind == layout.LOT]
    hand_in(lots, visit.journal, cause)
    visit.empty(cause, told.erased_at_ms)


def receive(visit: Visit, handover: Handover) -> Outcome:
    """Take in what another account has sent."""
    account = visit.account
    comes_home = handover.from_member_id == account.member_id
    if handover.kind in _WITH_RECORDS and comes_home:
        return _come_home(visit, handover)
    if handover.kind is HandoverKind.RELEASE and comes_home and not _leaves(account):
        return Outcome.STALE
    if account.merged_into is not None:
        return at_old_address(visit, handover)
    if _passed_on_too_late(account, handover):
        visit.send(handover._replace(member_id=handover.path[-1], path=handover.path[:-1]))
        return Outcome.FORWARDED
    match handover.kind:
        case HandoverKind.RECORDS:
            _adopt(visit, handover)
        case HandoverKind.FOLLOW:
            _follow(visit, handover)
        case _ if handover.from_member_id not in account.others:
            return _not_here(visit, handover)
        case HandoverKind.RELEASE:
            return _release(visit, handover)
        case _:
            return _take_fact(visit, handover)
    return Outcome.APPLIED


def _leaves(account: Account) -> bool:
    """Whether the records are with a member that this one is no longer merged into."""
    told = account.membership
    return account.merged_into is not None and (told is None or told.merged_into != account.merged_into)


def _passed_on_too_late(account: Account, handover: Handover) -> bool:
    """Whether the member who passed it on has meanwhile gone home: then it is for that member, as if it had never left.

    The first on the path is the sender, who passed nothing on.
    """
    return len(handover.path) > 1 and handover.path[-1] not in account.others


def _not_here(visit: Visit, handover: Handover) -> Outcome:
    """A member's records are at home again, or on a longer way than this: home it goes, which knows or asks again."""
    if handover.from_member_id != visit.account.member_id:
        visit.send(handover._replace(member_id=handover.from_member_id, path=()))
        return Outcome.FORWARDED
    return _take_fact(visit, handover)


def _take_fact(visit: Visit, handover: Handover) -> Outcome:
    """A fact that had come to an old address."""
    assert handover.fact is not None
    return visit.apply(handover.fact, handover.source)


def _come_home(visit: Visit, handover: Handover) -> Outcome:
    """Everything is back: the merge was taken back, or it cannot be, for it went in a circle or to nobody."""
    account = visit.account
    account.merged_into = None
    _adopt(visit, handover)
    assert account.membership is not None
    if account.member_id in handover.path:
        visit.refuse(*_why_it_came_back(handover, account.membership), handover.source)
        return Outcome.REFUSED
    if (into := account.membership.merged_into) is not None:
        name = f"merge:{account.member_id}@{account.membership.version}"
        merge(visit, into, Cause(name, handover.recorded_at_ms, (handover.event_id,)), handover.source)
    return Outcome.APPLIED


def _why_it_came_back(handover: Handover, told: Membership) -> tuple[Refused, str]:
    if handover.kind is HandoverKind.UNDELIVERED:
        message = f"{handover.member_id} is merged into {told.merged_into}, who was erased"
        return Refused.MERGED_INTO_ERASED, message
    ways = ", ".join(handover.path[1:])
    return Refused.MERGE_CYCLE, f"{handover.member_id} is merged into itself, by {ways}"


def _release(visit: Visit, handover: Handover) -> Outcome:
    """Give a member's things back, with those of whoever is merged into that member.

    A wish is about the stay that was known when it was told: one that began with the same version, or later, is wanted.
    """
    account, home = visit.account, handover.from_member_id
    assert isinstance(handover.fact, Member)
    if handover.fact.version <= account.others[home].version:
        return Outcome.STALE
    leaving = _with_those_merged_into(home, account.others)
    cause = _cause_of(handover)
    before = list(account.standing.spans)
    others = {member_id: account.others[member_id] for member_id in leaving - {home}}
    stub = Account(home, account.now_ms, membership=account.others[home], others=others)
    gone = _lots_of(visit, leaving)
    staying = [lot for lot in visit.book.all() if lot.lot_id not in gone]
    owe_apart([lot for lot in visit.book.all() if lot.lot_id in gone], visit.journal, cause)
    owe_apart(staying, visit.journal, cause)
    records = _give(visit, leaving, gone, home, stub, cause)
    for member_id in sorted(leaving):
        del account.others[member_id]
    visit.send(
        handover._replace(
            member_id=home,
            kind=HandoverKind.RECORDS,
            path=(account.member_id,),
            records=records,
            fact=None,
        )
    )
    _settle(visit, cause, [lot.lot_id for lot in staying], before)
    return Outcome.APPLIED


def _with_those_merged_into(home: str, others: dict[str, Membership]) -> set[str]:
    leaving = {home}
    while more := {m for m, told in others.items() if told.merged_into in leaving} - leaving:
        leaving |= more
    return leaving


def _lots_of(visit: Visit, members: Set[str]) -> set[str]:
    return {lot.lot_id for lot in visit.book.all() if visit.owner_of_lot(lot.lot_id) in members}


def _cause_of(handover: Handover) -> Cause:
    return Cause(handover.cause, handover.recorded_at_ms, (handover.event_id,))


class _Parcel:
    """What is taken out of one account, to be sent to another."""

    def __init__(self, visit: Visit, leaving: Set[str], to: str) -> None:
        self.visit, self.leaving, self.to = visit, leaving, to
        self.mine = visit.account.member_id
        self.records: list[tuple[bytes, str, bytes]] = []

    def stored(self, kind: bytes) -> list[tuple[str, bytes]]:
        return list(self.visit.store.of_member(kind, self.mine))

    def leaves(self, thing: str) -> bool:
        return self.visit.owner(thing) in self.leaving

    def put(self, kind: bytes, name: str, value: bytes, thing: str = "") -> None:
        """A record that leaves; with its `thing`, whose it is goes before it."""
        if thing:
            self.records.append((layout.OWNER, thing, layout.owner_bytes(self.visit.owner(thing))))
            self.visit.store.delete(layout.OWNER, self.mine, thing)
        self.records.append((kind, name, value))

    def take(self, kind: bytes, name: str, value: bytes, thing: str = "") -> None:
        self.put(kind, name, value, thing)
        self.visit.store.delete(kind, self.mine, name)


def _give(
    visit: Visit, leaving: Set[str], gone: Set[str], to: str, stub: Account, cause: Cause
) -> tuple[tuple[bytes, str, bytes], ...]:
    """Take everything of these members, and the lots that are theirs, out of the account: the records to send."""
    parcel = _Parcel(visit, leaving, to)
    going = [lot for lot in visit.book.all() if lot.lot_id in gone]
    _give_spendings(parcel, gone, stub)
    for command_id, value in parcel.stored(layout.COMMAND):
        if layout.answered_of(value).result.member_id in leaving:
            parcel.take(layout.COMMAND, command_id, value)
    for order_id, value in parcel.stored(layout.ORDER):
        if parcel.leaves(f"order:{order_id}"):
            _give_parked(parcel, layout.order_of(value), stub)
            parcel.take(layout.ORDER, order_id, value, f"order:{order_id}")
            visit.orders.pop(order_id, None)
    for group, value in parcel.stored(layout.GROUP):
        there = layout.group_of_bytes(value)
        theirs = [record for record in there if parcel.leaves(record.lot_id)]
        if theirs:
            parcel.put(layout.GROUP, group, layout.group_bytes(theirs))
            visit.keep_group(group, [record for record in there if record not in theirs])
    for engagement_id, value in parcel.stored(layout.ENGAGEMENT):
        if parcel.leaves(f"engagement:{engagement_id}"):
            parcel.take(layout.ENGAGEMENT, engagement_id, value, f"engagement:{engagement_id}")
    for lot in going:
        parcel.put(layout.LOT, lot.lot_id, layout.lot_bytes(lot))
    hand_out(going, visit.journal, cause)
    return ((layout.ACCOUNT, "", layout.account_bytes(stub)), *parcel.records)


def _give_parked(parcel: _Parcel, record: OrderRecord, stub: Account) -> None:
    """The returns that wait for this order go with it."""
    for ret in record.returns:
        if (until := parcel.visit.account.parked.pop(ret.return_id, None)) is not None:
            stub.parked[ret.return_id] = until
            value = parcel.visit.store.get(layout.PARKED, parcel.mine, ret.return_id)
            assert value is not None
            parcel.take(layout.PARKED, ret.return_id, value)


def _give_spendings(parcel: _Parcel, gone: Set[str], stub: Account) -> None:
    """A spending goes with its owner; an open one is parted, each part with its lots."""
    visit, open_until = parcel.visit, parcel.visit.account.reservations
    for subject_id, value in parcel.stored(layout.SPENDING):
        thing, spending = f"spending:{subject_id}", layout.spending_of(value)
        goes = parcel.leaves(thing)
        staying = {lot_id for lot_id, _ in spending.parts} - gone
        own, rest = spent_apart(spending, staying if goes else gone, parcel.mine if goes else parcel.to)
        if spending.state not in _OPEN:
            own, rest = spending, rest._replace(parts=())
        leaves, stays = (own, rest) if goes else (rest, own)
        if goes or leaves.parts:
            parcel.put(layout.SPENDING, subject_id, layout.spending_bytes(leaves), thing if goes else "")
            if subject_id in open_until:
                stub.reservations[subject_id] = open_until[subject_id]
        if goes and not stays.parts:
            visit.store.delete(layout.SPENDING, parcel.mine, subject_id)
            open_until.pop(subject_id, None)
        else:
            visit.keep_spending(stays)


def _adopt(visit: Visit, handover: Handover) -> None:
    """Take all records in, as if they had always been here, and settle what that changes."""
    account, cause = visit.account, _cause_of(handover)
    (_, _, value), *records = handover.records
    stub = layout.account_of(value)
    visit.advance(stub.now_ms)
    before = list(account.standing.spans)
    _adopt_members(account, stub)
    lots = []
    for kind, name, value in records:
        if kind == layout.LOT:
            lots.append(layout.lot_of(value))
        else:
            _adopt_record(visit, kind, name, value)
    hand_in(lots, visit.journal, cause)
    for record in visit.all_orders():
        visit.keep(visit.settle_parked(record))
    _settle(visit, cause, [lot.lot_id for lot in lots], before)


def _adopt_members(account: Account, stub: Account) -> None:
    told = dict(stub.others)
    if stub.membership is not None and stub.member_id != account.member_id:
        told[stub.member_id] = stub.membership
    account.others |= told
    account.parked |= stub.parked
    account.reservations |= stub.reservations


def _adopt_record(visit: Visit, kind: bytes, name: str, value: bytes) -> None:
    mine = visit.account.member_id
    if kind == layout.OWNER:
        if (owner := layout.owner_of(value)) != mine and not visit.knows(name):
            visit.store.put(kind, mine, name, layout.owner_bytes(owner))
    elif kind == layout.ORDER:
        visit.keep(joined(visit.order(name), layout.order_of(value)))
    elif kind == layout.GROUP:
        here = visit.group(name)
        ids = {record.engagement_id for record in here}
        visit.keep_group(
            name, [*here, *(r for r in layout.group_of_bytes(value) if r.engagement_id not in ids)]
        )
    elif kind == layout.SPENDING:
        spending, known = layout.spending_of(value), visit.spending(name)
        if known is not None:
            spending = spent_together(known, spending, {mine, *visit.account.others})
        visit.keep_spending(spending)
    elif visit.store.get(kind, mine, name) is None:
        visit.store.put(kind, mine, name, value)


def _settle(visit: Visit, cause: Cause, lot_ids: list[str], before: list[TierSpan]) -> None:
    """Everything that follows from the facts of whoever is one person now, at their worth as that person's."""
    settle_welcome(visit.journal, cause, Reason.MERGE)
    visit.refold(cause, None, Reason.MERGE, cause.recorded_at_ms, Reason.MERGE)
    visit.settle_groups(cause)
    for lot_id in lot_ids:
        lot = visit.book.lot(lot_id)
        if not (lot.empty or lot_id.startswith("order:")):
            settle_time(lot, lot.active_from_ms, lot.held, lot.active_from_ms, visit.journal, cause)
    repay(visit.journal, cause)
    if visit.account.standing.spans:
        visit.changes += tier_changes(visit.account, before, cause, visit.programme)


def _follow(visit: Visit, handover: Handover) -> None:
    """Carry out a command on this member's part of what it is about; its owner answers it."""
    command = handover.fact
    assert isinstance(command, PointsCommand)
    assert command.subject_id is not None
    decision = carry_out(command, visit.spending(command.subject_id), visit.journal, _cause_of(handover))
    if decision.spending is not None:
        visit.keep_spending(decision.spending)
