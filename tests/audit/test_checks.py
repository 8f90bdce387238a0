"""A sound history passes every check, and each defect sown into it turns its check red."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.audit.books import Books
from pipelines.audit.verification import Finding, figures, findings, recompute
from pipelines.domain.facts import CommandKind, Fact, OrderStatus, Tick
from tests.audit.entries import enter_facts, enter_history, enter_programme
from tests.laws.strategies import LAST_MS, histories
from tests.support.facts import command, line, member, ms, order, refund, run, tick
from tests.support.history import play
from tests.support.programmes import reference

FACTS: list[Fact | Tick] = [
    member("2025-06-01T00:00:00Z"),
    order("O0", "2025-12-01T10:00:00Z", line("A", 500_00)),
    order("O1", "2026-03-07T10:00:00Z", line("A", 160_00, "trail"), line("B", 120_00)),
    order("O1", "2026-03-07T10:00:00Z", line("A", 160_00, "trail"), line("B", 120_00)),
    run("r1", "2026-03-08T07:00:00Z", 6_000),
    refund("R1", "O1", "2026-03-20T10:00:00Z", ("B", 1, 120_00)),
    order("O2", "2026-04-02T10:00:00Z", line("A", 89_90)),
    order(
        "O2",
        "2026-04-02T10:00:00Z",
        line("A", 89_90),
        version=2,
        status=OrderStatus.DELIVERED,
        delivered_at_ms=1_775_500_000_000,
    ),
    order("O3", "2026-04-20T10:00:00Z", line("A", 70_00)),
    command("C1", CommandKind.REDEEM, "2026-04-21T10:00:00Z", 500),
    command("C2", CommandKind.RESERVE, "2026-04-22T10:00:00Z", 40),
    command("C3", CommandKind.COMMIT, "2026-04-22T10:05:00Z", subject_id="C2"),
    command("C4", CommandKind.RESERVE, "2026-04-23T10:00:00Z", 8),
    command("C5", CommandKind.REDEEM, "2026-04-24T10:00:00Z", 9_999),
    command("C6", CommandKind.CANCEL_REDEMPTION, "2026-04-25T10:00:00Z", subject_id="C2"),
    command("C7", CommandKind.ADJUST, "2026-04-26T10:00:00Z", 15),
    command("C7", CommandKind.ADJUST, "2026-04-26T10:00:00Z", 15, event_id="e-C7-again"),
    tick("2026-05-20T00:00:00Z"),
]


def entered(facts: list[Fact | Tick]) -> Iterator[Books]:
    """The books of facts, and of what the rules make of them."""
    with Books() as opened:
        enter_programme(opened)
        enter_facts(opened, facts)
        enter_history(opened, play(facts, reference()))
        yield opened


@pytest.fixture
def books() -> Iterator[Books]:
    yield from entered(FACTS)


def red(books: Books) -> dict[str, Finding]:
    recompute(books)
    return {finding.check: finding for finding in findings(books) if finding.wrong}


def sow(books: Books, defect: str) -> dict[str, Finding]:
    """Falsify the books by one statement that changes something, and look for what is red."""
    changed = books.database.execute(defect).fetchone()
    assert changed is not None and changed[0] == 1, changed
    return red(books)


def test_a_sound_history_passes_every_check(books: Books) -> None:
    assert red(books) == {}


def test_every_check_has_something_to_look_at_and_a_name(books: Books) -> None:
    recompute(books)

    checks = findings(books)

    assert [finding.check for finding in checks] == [
        "entry-ids",
        "transactions",
        "accounts",
        "chain",
        "balances",
        "lots",
        "pending",
        "components",
        "tiers",
        "refused",
        "dead-letters",
        "late",
        "processed",
        "derivations",
        "answers",
        "decisions",
        "given-back",
        "debt",
        "transfers",
        "erased",
    ]
    idle = {finding.check for finding in checks if not finding.looked_at}
    assert idle == {"refused", "dead-letters", "processed", "derivations", "transfers", "erased"}


def test_the_figures_account_for_every_record(books: Books) -> None:
    recompute(books)

    told = figures(books)

    assert told["records on the fact topics"] == len(FACTS) - 1
    assert told["facts that count"] + told["repeated or overtaken facts"] == len(FACTS) - 1
    assert told["points issued"] - told["points taken back"] == told["points recomputed"]


def test_a_doubled_entry(books: Books) -> None:
    found = sow(books, 'INSERT INTO ledger SELECT * REPLACE (999 AS "offset") FROM ledger WHERE sequence = 2')

    assert {"entry-ids", "chain", "balances", "lots"} <= set(found)
    assert "stands 2 times" in found["entry-ids"].first[0].what


def test_a_missing_entry(books: Books) -> None:
    assert {"chain", "balances", "lots"} <= set(sow(books, "DELETE FROM ledger WHERE sequence = 2"))


def test_a_missing_last_entry(books: Books) -> None:
    last = "DELETE FROM ledger WHERE sequence = (SELECT max(sequence) FROM ledger)"

    assert {"balances", "pending"} <= set(sow(books, last))


def test_an_amount_off_by_one(books: Books) -> None:
    found = sow(books, "UPDATE ledger SET points = points + 1 WHERE lot_id = 'engagement:r1'")

    assert {"chain", "balances", "lots"} <= set(found)
    assert found["lots"].first[0] == ("m-1 engagement:r1", "holds 13, the facts are worth 12")


def test_a_component_booked_as_another(books: Books) -> None:
    found = sow(
        books, "UPDATE ledger SET reason = 'CAMPAIGN' WHERE lot_id = 'order:O3' AND reason = 'TIER_BONUS'"
    )

    assert set(found) == {"components"}


def test_a_transaction_with_an_unknown_side(books: Books) -> None:
    found = sow(books, "UPDATE ledger SET from_account = 'NOWHERE' WHERE sequence = 1")

    assert "transactions" in found


def test_a_transaction_without_its_other_side(books: Books) -> None:
    found = sow(books, "UPDATE ledger SET to_account = from_account WHERE sequence = 1")

    assert "transactions" in found


def test_a_take_back_of_what_was_not_there(books: Books) -> None:
    found = sow(books, "UPDATE ledger SET lot_id = 'order:O9' WHERE to_account = 'CLAWED_BACK'")

    assert {"accounts", "lots"} <= set(found)


@pytest.mark.parametrize("column", ["active", "pending", "reserved", "debt", "lifetime", "sequence"])
def test_a_wrong_balance(books: Books, column: str) -> None:
    last = 'WHERE "offset" = (SELECT max("offset") FROM balance)'
    red_too = {"debt"} if column == "debt" else set()

    assert set(sow(books, f"UPDATE balance SET {column} = {column} + 1 {last}")) == {"balances"} | red_too


def test_a_command_without_an_answer(books: Books) -> None:
    found = sow(books, "DELETE FROM command_result WHERE command_id = 'C5'")

    assert found["answers"].first[0] == ("m-1 C5", "1 messages, 0 answers of 0 kinds")


def test_a_command_answered_twice_in_two_ways(books: Books) -> None:
    found = sow(
        books,
        "UPDATE command_result SET active_after = 1 "
        'WHERE command_id = \'C7\' AND "offset" = (SELECT max("offset") FROM command_result)',
    )

    assert found["answers"].first[0] == ("m-1 C7", "2 messages, 2 answers of 2 kinds")


@pytest.mark.parametrize(
    ("defect", "what"),
    [
        (
            "UPDATE command_result SET points_moved = 501 WHERE command_id = 'C1'",
            "says 501 moved, the ledger 500",
        ),
        ("UPDATE command_result SET active_before = 499 WHERE command_id = 'C1'", "took 500 of 499"),
        (
            "UPDATE command_result SET active_before = active_before + 1 WHERE command_id = 'C2'",
            "were active, the",
        ),
        ("UPDATE command_result SET points_asked = 1 WHERE command_id = 'C5'", "was refused 1 of "),
        ("UPDATE command_result SET points_moved = 1 WHERE command_id = 'C5'", "is refused and says 1 moved"),
        ("DELETE FROM command_result WHERE command_id = 'C1'", "moved points and has no answer"),
    ],
)
def test_a_decision_that_the_ledger_denies(books: Books, defect: str, what: str) -> None:
    assert what in sow(books, defect)["decisions"].first[0].what


def test_points_given_back_to_a_lot_that_never_gave_them(books: Books) -> None:
    found = sow(
        books,
        "UPDATE ledger SET lot_id = 'order:O3' WHERE transaction_id LIKE '%timeout:C4%' AND lot_id <> 'order:O3'",
    )

    assert "given-back" in found


def test_a_time_out_that_never_came(books: Books) -> None:
    assert {"chain", "balances"} <= set(
        sow(books, "DELETE FROM ledger WHERE transaction_id LIKE '%timeout:C4%'")
    )


def test_points_active_before_their_time(books: Books) -> None:
    defect = "DELETE FROM tick; UPDATE ledger SET points = points WHERE sequence = 1"

    assert set(sow(books, defect)) == {"pending"}


def test_a_tier_that_was_not_reached(books: Books) -> None:
    last = 'WHERE "offset" = (SELECT max("offset") FROM tier_progress)'

    assert set(sow(books, f"UPDATE tier_progress SET tier = 'Elite' {last}")) == {"tiers"}


def test_qualifying_points_off_by_one(books: Books) -> None:
    last = 'WHERE "offset" = (SELECT max("offset") FROM tier_progress)'

    assert set(sow(books, f"UPDATE tier_progress SET qualifying_points = 1 {last}")) == {"tiers"}


@pytest.mark.parametrize("column", ["valid_until", "to_keep_points", "keep_by", "to_next_points", "next_by"])
def test_progress_that_promises_something_else(books: Books, column: str) -> None:
    last = 'WHERE "offset" = (SELECT max("offset") FROM tier_progress)'

    found = sow(books, f"UPDATE tier_progress SET {column} = coalesce({column}, 0) + 1 {last}")

    assert set(found) == {"tiers"}
    assert found["tiers"].first[0].what.startswith(f"{column} is ")


def of_m_2(fact: Any) -> Any:
    return fact._replace(member_id="m-2", event_id=f"{fact.event_id}-of-m-2")


MERGING: list[Fact | Tick] = [
    *FACTS[:-1],
    of_m_2(member("2025-08-01T00:00:00Z")),
    of_m_2(order("P1", "2026-04-10T10:00:00Z", line("A", 60_00))),
    of_m_2(member("2025-08-01T00:00:00Z", version=2, recorded="2026-05-01T00:00:00Z"))._replace(
        merged_into="m-1"
    ),
    FACTS[-1],
]


@pytest.fixture
def merged() -> Iterator[Books]:
    yield from entered(MERGING)


def test_a_merge_is_sound(merged: Books) -> None:
    assert red(merged) == {}


def test_points_that_left_one_member_and_reached_nobody(merged: Books) -> None:
    found = sow(merged, "DELETE FROM ledger WHERE from_account = 'TRANSFERRED' AND lot_id = 'order:P1'")

    assert found["transfers"].first[0] == ("m-1 order:P1", "60 points of it are transferred, and nowhere")


def test_points_that_came_from_nobody(merged: Books) -> None:
    found = sow(merged, "DELETE FROM ledger WHERE to_account = 'TRANSFERRED' AND lot_id = 'order:P1'")

    assert {"transfers", "balances"} <= set(found)


def test_a_second_welcome_that_was_kept(merged: Books) -> None:
    found = sow(merged, "DELETE FROM ledger WHERE lot_id = 'welcome:m-2' AND to_account = 'CLAWED_BACK'")

    assert found["lots"].first[0] == ("m-1 welcome:m-2", "holds 50, the facts are worth 0")


def test_a_fact_that_nobody_applied(books: Books) -> None:
    forgotten = order("O4", "2026-04-21T10:00:00Z", line("A", 10_00))
    enter_facts(books, [forgotten])

    assert {"lots", "tiers"} <= set(red(books))


def test_a_broken_record_that_was_passed_over(books: Books) -> None:
    books.add("unreadable", [{"topic": "orders", "partition": 0, "offset": 77, "problem": "no schema 12"}])

    assert red(books)["refused"].first[0] == ("orders 0/77", "is in no dead letter: no schema 12")


def letter(offset: int, error_class: str, value: bytes = b"v") -> dict[str, object]:
    return {
        "topic": "orders",
        "partition": 0,
        "offset": offset,
        "key": b"k",
        "value": value,
        "error_class": error_class,
    }


def test_a_dead_letter_with_other_bytes(books: Books) -> None:
    books.add("unreadable", [{"topic": "orders", "partition": 0, "offset": 77, "problem": "no schema 12"}])
    books.add("dead_letter", [letter(77, "SCHEMA_UNKNOWN")])
    books.add("dead_bytes", [letter(77, "", b"w")])

    assert set(red(books)) == {"dead-letters"}


def test_a_dead_letter_twice(books: Books) -> None:
    books.add("dead_letter", [letter(77, "SCHEMA_UNKNOWN"), letter(77, "SCHEMA_UNKNOWN")])
    books.add("dead_bytes", [letter(77, "")])

    assert red(books)["dead-letters"].first[0].what == "has 2 dead letters"


def test_a_late_fact_that_was_not_refused(books: Books) -> None:
    late = order("O4", "2026-01-01T10:00:00Z", line("A", 1_00), recorded="2026-04-21T10:00:00Z")
    enter_facts(books, [late])

    assert set(red(books)) == {"late"}


def test_a_fact_refused_as_late_that_was_not(books: Books) -> None:
    books.add("dead_letter", [letter(8, "LATE")])
    books.add("dead_bytes", [letter(8, "")])

    assert "late" in red(books)


def test_facts_that_wait_behind_the_committed_offsets(books: Books) -> None:
    books.add("committed", [{"topic": "orders", "partition": 0, "next_offset": 6}])
    for topic in ("returns", "engagements", "members", "commands"):
        books.add("committed", [{"topic": topic, "partition": 0, "next_offset": 99}])

    found = red(books)["processed"].first[0]
    assert found == ("orders 0", "3 records wait to be processed, from offset 6")


def test_points_without_any_fact(books: Books) -> None:
    books.database.execute("DELETE FROM fact_order WHERE order_id = 'O3'")

    assert {"lots", "tiers"} <= set(red(books))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.randoms(use_true_random=False), st.booleans())
def test_the_worker_and_the_auditor_agree_on_any_history(
    facts: list[Fact], random: object, shuffled: bool
) -> None:
    arriving = list(facts)
    if shuffled:
        random.shuffle(arriving)  # type: ignore[attr-defined]
    script = [*arriving, Tick(LAST_MS + 70 * 86_400_000)]
    history = play(script, reference())
    if history.refusals:
        return
    with Books() as books:
        enter_programme(books)
        enter_facts(books, script)
        enter_history(books, history)
        assert red(books) == {}


ERASURE = member("2025-06-01T00:00:00Z", version=2)._replace(
    event_id="erasure", recorded_at_ms=ms("2026-05-01T10:00:00Z"), erased_at_ms=ms("2026-05-01T10:00:00Z")
)
AFTER = [
    order("O8", "2026-05-02T10:00:00Z", line("A", 70_00)),
    command("C8", CommandKind.REDEEM, "2026-05-03T10:00:00Z", 5),
    order("O9", "2026-01-02T10:00:00Z", line("A", 70_00), recorded="2026-05-04T10:00:00Z"),
]


@pytest.fixture
def of_an_erased_member() -> Iterator[Books]:
    yield from entered([*FACTS[:-1], ERASURE, *AFTER, FACTS[-1]])


def test_the_books_of_an_erased_member_are_right_whatever_came_later(of_an_erased_member: Books) -> None:
    assert red(of_an_erased_member) == {}
    assert figures(of_an_erased_member)["members erased"] == 1


def test_a_balance_that_stands_after_an_erasure_is_found(of_an_erased_member: Books) -> None:
    assert set(sow(of_an_erased_member, "DELETE FROM removed WHERE what = 'balance'")) == {"erased"}


def test_points_that_an_erasure_left_are_found(of_an_erased_member: Books) -> None:
    last = "(SELECT max(sequence) FROM ledger)"
    found = sow(of_an_erased_member, f"UPDATE ledger SET to_account = 'RESERVED' WHERE sequence = {last}")
    assert "erased" in found
    assert found["erased"].first[0].what.endswith("in RESERVED")
