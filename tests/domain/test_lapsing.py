"""Points that cease, and a clock with more to do than fits into one tick."""

from __future__ import annotations

import pytest

from pipelines.domain.facts import OrderStatus
from pipelines.domain.ledger import LedgerAccount, Reason
from pipelines.domain.programme import Expiry, Rounding
from pipelines.processors import accounts
from tests.support.facts import line, member, ms, order, run, tick
from tests.support.history import play
from tests.support.programmes import reference

JOINED = member("2026-01-01T00:00:00Z")
A_MONTH = reference(expiry=Expiry(1, Rounding.DAY), welcome_points=0)


def test_each_lot_ceases_at_its_own_instant() -> None:
    facts = [JOINED, run("E1", "2026-02-10T10:00:00Z", 5_000), run("E2", "2026-02-20T10:00:00Z", 3_000)]

    history = play([*facts, tick("2026-03-15T00:00:00Z")], A_MONTH)

    assert history.moved()[-1] == ("EXPIRY", 10)
    assert history.balances[-1].active == 6
    assert history.balances[-1].next_expiry_at_ms == ms("2026-03-20T23:00:00Z")
    assert history.balances[-1].next_expiry_points == 6


def test_points_told_to_live_longer_come_back() -> None:
    placed = order("O1", "2026-02-01T10:00:00Z", line("A", 100_00))
    delivered = placed._replace(
        event_id="e-O1@2",
        version=2,
        status=OrderStatus.DELIVERED,
        delivered_at_ms=ms("2026-02-10T10:00:00Z"),
        occurred_at_ms=ms("2026-02-10T10:00:00Z"),
        recorded_at_ms=ms("2026-02-10T10:00:00Z"),
    )
    later = delivered._replace(
        event_id="e-O1@3",
        version=3,
        delivered_at_ms=ms("2026-03-05T10:00:00Z"),
        occurred_at_ms=ms("2026-04-13T08:00:00Z"),
        recorded_at_ms=ms("2026-04-13T08:00:00Z"),
    )
    programme = reference(expiry=Expiry(1, Rounding.DAY), welcome_points=0, pending_latest_days=90)

    history = play([JOINED, placed, delivered, tick("2026-04-12T22:00:00Z"), later], programme)

    assert history.moved() == [("BASE", 100), ("ACTIVATION", 100), ("EXPIRY", 100), ("EDIT", 100)]
    assert (history.ledger[-1].from_account, history.ledger[-1].to_account) == (
        LedgerAccount.EXPIRED,
        LedgerAccount.ACTIVE,
    )
    assert history.balances[-1].active == 100


def test_a_tick_serves_so_many_members_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "DUE_MAX", 2)
    facts = [
        fact._replace(member_id=f"m-{n}")
        for n in range(5)
        for fact in (JOINED, run(f"E{n}", "2026-02-10T10:00:00Z", 5_000))
    ]
    end = "2026-03-11T00:00:00Z"
    history = play([*facts, tick(end)], A_MONTH)
    assert [e.reason for e in history.ledger].count(Reason.EXPIRY) == 2

    play([tick(end), tick(end)], A_MONTH, into=history)

    lapsed = [e for e in history.ledger if e.reason is Reason.EXPIRY]
    assert sorted(e.member_id for e in lapsed) == [f"m-{n}" for n in range(5)]
    assert {e.effective_at_ms for e in lapsed} == {ms("2026-03-10T23:00:00Z")}
