"""An account that is remembered from its last visit says and keeps what one decoded from its bytes does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pipelines.domain.account import Account
from pipelines.domain.merging import Handover
from pipelines.domain.programme import DAY_MS
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import with_ticks
from pipelines.processors import recent
from pipelines.processors.accounts import Accounts, Answer
from pipelines.processors.recent import KEPT_BYTES_MAX, KEPT_MAX, LARGE_BYTES, RecentAccounts
from state import layout
from state.memory import MemoryStore
from tests.support.facts import ms
from tests.support.programmes import reference

START_MS = ms("2024-01-01T00:00:00Z")


def lived(accounts: Callable[[], Accounts]) -> tuple[list[Answer], MemoryStore]:
    """Two years of members who buy, return, run, spend, merge and come late, and of the clock."""
    store, answers = MemoryStore(), list[Answer]()
    arrivals = with_ticks(simulate.facts(7, 60, 730, START_MS), DAY_MS, 90 * DAY_MS)
    waiting: deque[Any] = deque(arrival.fact for arrival in arrivals)
    while waiting:
        answers.append(accounts().process(waiting.popleft(), store))
        waiting.extendleft(told for told in answers[-1].results if isinstance(told, Handover))
    return answers, store


def test_what_is_remembered_changes_nothing_that_is_said_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "LARGE_BYTES", 1)
    decoded = 0

    def counted(value: bytes) -> Account:
        nonlocal decoded
        decoded += 1
        return of(value)

    of = layout.account_of
    monkeypatch.setattr(layout, "account_of", counted)
    one = Accounts(reference())

    remembering = lived(lambda: one)
    seldom, decoded = decoded, 0
    forgetting = lived(lambda: Accounts(reference()))

    assert len(remembering[0]) > 5_000
    assert remembering[0] == forgetting[0]
    assert remembering[1].records == forgetting[1].records
    assert list(remembering[1].due(START_MS * 2, 10**6)) == list(forgetting[1].due(START_MS * 2, 10**6))
    assert seldom < decoded * 0.9, "some were remembered"


def large(member_id: str, active: int = 0) -> tuple[Account, bytes]:
    account = Account(member_id, active=active)
    account.reservations = {f"R{number}": number for number in range(LARGE_BYTES // 4)}
    return account, layout.account_bytes(account)


def test_an_account_is_given_once_and_only_for_the_bytes_that_were_written_of_it() -> None:
    kept = RecentAccounts()
    account, written = large("m-1")
    _, others = large("m-1", active=5)

    kept.keep(account, written)
    assert kept.take("m-1", others).active == 5
    assert kept.take("m-1", written) is not account
    kept.keep(account, written)
    assert kept.take("m-1", bytes(bytearray(written))) is account
    assert kept.take("m-1", written) is not account


def test_no_more_than_a_few_are_kept_and_none_that_is_small() -> None:
    kept = RecentAccounts()
    small = Account("m-small")
    many = [large(f"m-{number}") for number in range(KEPT_MAX + 1)]
    for account, written in many:
        kept.keep(account, written)
    kept.keep(small, layout.account_bytes(small))

    given = [kept.take(account.member_id, written) is account for account, written in many]
    assert given == [False] + [True] * KEPT_MAX
    assert kept.take("m-small", layout.account_bytes(small)) is not small


def test_what_is_kept_is_bounded_in_bytes_too() -> None:
    kept = RecentAccounts()
    accounts = [Account(f"m-{number}") for number in range(3)]
    half, all_of_it = b"\x01" * (KEPT_BYTES_MAX // 2), b"\x01" * KEPT_BYTES_MAX
    for account in accounts:
        kept.keep(account, half)

    assert kept.take("m-1", half) is accounts[1]
    assert kept.take("m-2", half) is accounts[2]
    kept.keep(accounts[0], all_of_it)
    assert kept.take("m-0", all_of_it) is accounts[0]
    kept.keep(accounts[0], all_of_it + b"\x01")
    with pytest.raises(msgspec.DecodeError):
        kept.take("m-0", all_of_it + b"\x01")
