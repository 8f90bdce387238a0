"""A member is erased once and for all: what other accounts have sent meanwhile finds nobody, and is not lost."""

from __future__ import annotations

from pathlib import Path

from pipelines.domain.facts import CommandKind, Member
from pipelines.domain.ledger import LedgerAccount, Outcome, Reason, Refused
from pipelines.domain.triggers.watch import Watch
from pipelines.processors.triggers import Triggers
from pipelines.programme_file import load_programme
from state import layout
from state.memory import MemoryStore
from tests.domain.test_merging import BOTH, MERGED, O1, Accounted, of, told
from tests.support.facts import command, order, run, tick
from tests.support.history import play
from tests.support.programmes import reference


def erased(member_id: str, at: str, version: int = 9, into: str | None = None) -> Member:
    one = told(member_id, at, version, into)
    return one._replace(erased_at_ms=one.recorded_at_ms)


def total(accounted: Accounted, account: LedgerAccount) -> int:
    came = sum(e.points for e in accounted.ledger if e.to_account is account)
    return came - sum(e.points for e in accounted.ledger if e.from_account is account)


def records_of(accounted: Accounted, member_id: str) -> list[bytes]:
    return [kind for kind, owner, _ in accounted.store.records if owner == member_id]


def test_one_record_stays_of_an_erased_member_and_it_tells_nothing() -> None:
    facts = (
        *BOTH[:1],
        O1,
        command("C1", CommandKind.RESERVE, "2026-02-01T11:00:00Z", points=1),
        erased("m-1", "2026-02-10T10:00:00Z"),
    )
    history = play(facts, reference())
    ((kind, member_id, _),) = history.store.records
    assert (kind, member_id) == (layout.ACCOUNT, "m-1")
    account = layout.account_of(history.store.records[kind, member_id, ""])
    assert account.membership is not None
    assert (account.market, account.membership.zone, account.membership.consents) == ("", "UTC", ())
    assert account.sequence == len(history.ledger)
    assert not history.store.timers


def test_an_erased_member_has_no_time_that_passes() -> None:
    history = play([*BOTH[:1], O1, erased("m-1", "2026-02-10T10:00:00Z")], reference())
    entries = len(history.ledger)
    play([tick("2030-01-01T00:00:00Z")], reference(), history)
    assert len(history.ledger) == entries


def test_a_fact_that_would_be_refused_is_not_set_aside_with_its_bytes() -> None:
    accounted = Accounted()
    late = order("O9", "2026-02-01T10:00:00Z")._replace(currency="XXX")
    accounted.take(*BOTH, erased("m-1", "2026-02-10T10:00:00Z"), late)
    assert accounted.outcomes[-1] is Outcome.ERASED
    assert accounted.refusals == []


def test_records_that_reach_an_erased_member_go_back_to_whom_they_are_of() -> None:
    accounted = Accounted()
    accounted.take(*BOTH, erased("m-1", "2026-02-20T10:00:00Z"), MERGED)
    accounted.deliver()
    assert accounted.has("m-2") == (0, 100)
    assert [r.refused for r in accounted.refusals] == [Refused.MERGED_INTO_ERASED]
    assert accounted.refusals[0].message == "m-2 is merged into m-1, who was erased"
    assert total(accounted, LedgerAccount.TRANSFERRED) == 0


def test_records_that_come_home_to_a_member_erased_meanwhile_are_booked_out() -> None:
    accounted = Accounted()
    accounted.take(*BOTH, MERGED)
    accounted.deliver()
    accounted.take(
        told("m-2", "2026-03-02T10:00:00Z", 3)
    )  # the merge is taken back: m-2 asks for its records
    accounted.deliver(1)  # m-1 sends them
    accounted.take(erased("m-2", "2026-03-02T11:00:00Z"))
    accounted.deliver()
    assert accounted.has("m-1") == (0, 100)
    assert total(accounted, LedgerAccount.TRANSFERRED) == 0
    assert total(accounted, LedgerAccount.ERASED) == 100
    assert records_of(accounted, "m-2") == [layout.ACCOUNT]
    assert len({entry.entry_id for entry in accounted.ledger}) == len(accounted.ledger)


def test_undelivered_records_of_a_member_erased_meanwhile_are_booked_out() -> None:
    accounted = Accounted()
    accounted.take(*BOTH, erased("m-1", "2026-02-20T10:00:00Z"), MERGED)
    accounted.deliver(1)
    accounted.take(erased("m-2", "2026-03-02T11:00:00Z"))
    accounted.deliver()
    assert total(accounted, LedgerAccount.TRANSFERRED) == 0
    assert total(accounted, LedgerAccount.ERASED) == 200
    assert records_of(accounted, "m-2") == [layout.ACCOUNT]


def test_the_old_address_ends_and_the_account_that_has_everything_is_erased() -> None:
    accounted = Accounted()
    accounted.take(*BOTH, MERGED)
    accounted.deliver()
    accounted.take(erased("m-2", "2026-03-02T10:00:00Z", into="m-1"))
    accounted.deliver()
    assert records_of(accounted, "m-1") == records_of(accounted, "m-2") == [layout.ACCOUNT]
    assert total(accounted, LedgerAccount.ERASED) == 200
    accounted.take(of("m-2", order("O7", "2026-03-03T10:00:00Z")))
    assert accounted.outcomes[-1] is Outcome.ERASED
    assert not accounted.post


def test_a_merge_that_an_erasure_takes_back_leaves_the_other_what_is_theirs() -> None:
    accounted = Accounted()
    accounted.take(*BOTH, MERGED)
    accounted.deliver()
    accounted.take(erased("m-2", "2026-03-02T10:00:00Z"))
    accounted.deliver()
    assert accounted.has("m-1") == (0, 100)
    assert total(accounted, LedgerAccount.ERASED) == 100
    assert [e.member_id for e in accounted.ledger if e.reason is Reason.ERASURE] == ["m-2"]


def test_the_triggers_keep_one_record_of_an_erased_member_and_no_timer() -> None:
    triggers, store = Triggers(load_programme(Path("reference"))), MemoryStore()
    for fact in (
        *BOTH[:1],
        O1,
        run("E1", "2026-02-02T10:00:00Z", 6_000),
        erased("m-1", "2026-02-10T10:00:00Z"),
    ):
        triggers.process(fact, store)
    assert list(store.records) == [(layout.WATCH, "m-1", "")]
    watch = layout.watch_of(store.records[layout.WATCH, "m-1", ""])
    assert watch == Watch("m-1", watch.now_ms, watch.membership)
    assert not store.timers
    assert triggers.process(run("E2", "2026-02-12T10:00:00Z", 6_000), store) == []
    assert list(store.records) == [(layout.WATCH, "m-1", "")]
