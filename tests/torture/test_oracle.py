"""The oracle notices what is lost, doubled or altered: each test spoils one thing of a world that is right."""

from __future__ import annotations

from pipelines.audit.reading import Extent
from pipelines.torture.feeding import digest_of
from pipelines.torture.oracle import (
    Acknowledged,
    Entry,
    Letter,
    Verdict,
    acknowledged_stand,
    bad_set_aside,
    balances_equal,
    content_digest,
    entries_once,
    state_agrees,
    transactions_ended,
)

GOOD = Acknowledged(("orders", 0, 7), "aa", bad=False)
BAD = Acknowledged(("orders", 0, 8), "bb", bad=True)
STANDING = {GOOD.place: "aa", BAD.place: "bb"}
LETTER = Letter(BAD.place, "bb", "UNDECODABLE")
EARNED = Entry("e1", "m-1", 100, "ISSUED", "ACTIVE")
SPENT = Entry("e2", "m-1", 30, "ACTIVE", "REDEEMED")


def stand(found: dict[tuple[str, int, int], str], uncertain: tuple[tuple[str, str], ...] = ()) -> Verdict:
    return acknowledged_stand([GOOD, BAD], found, uncertain)


def test_what_stands_as_it_was_acknowledged_is_right() -> None:
    assert stand(STANDING)[3:] == (2, 0, ())


def test_an_acknowledged_fact_that_is_gone_is_noticed() -> None:
    assert stand({BAD.place: "bb"}).first == ("orders 0/7: acknowledged, and gone",)


def test_an_altered_fact_is_noticed() -> None:
    assert stand(STANDING | {GOOD.place: "ab"}).first == ("orders 0/7: altered",)


def test_a_fact_that_nobody_sent_is_noticed_and_a_retry_that_was_appended_again_is_a_duplicate() -> None:
    assert stand(STANDING | {("orders", 0, 9): "cc"}).first == ("orders 0/9: nobody sent it",)
    assert not stand(STANDING | {("orders", 0, 9): "aa"}).wrong


def test_a_fact_acknowledged_without_an_offset_stands_somewhere_or_is_gone() -> None:
    somewhere = Acknowledged(("orders", 0, -1), "cc", bad=False)
    sent = [GOOD, BAD, somewhere]

    assert not acknowledged_stand(sent, STANDING | {("orders", 0, 9): "cc"}, ()).wrong
    assert acknowledged_stand(sent, STANDING, ()).first == ("orders cc: acknowledged, and gone",)


def test_a_fact_of_unknown_outcome_may_stand_once_and_no_more() -> None:
    once = STANDING | {("orders", 0, 9): "cc"}

    assert not stand(once, (("orders", "cc"),)).wrong
    assert stand(once | {("orders", 0, 10): "cc"}, (("orders", "cc"),)).wrong == 1


def test_a_bad_fact_with_its_dead_letter_is_right() -> None:
    assert not bad_set_aside([GOOD, BAD], [LETTER]).wrong


def test_a_bad_fact_that_nobody_set_aside_is_noticed() -> None:
    assert bad_set_aside([GOOD, BAD], []).first == ("orders 0/8: bad, and in no dead letter",)


def test_a_doubled_dead_letter_is_noticed() -> None:
    assert bad_set_aside([GOOD, BAD], [LETTER, LETTER]).first == ("orders 0/8: 2 dead letters",)


def test_a_dead_letter_with_other_bytes_is_noticed() -> None:
    found = bad_set_aside([BAD], [LETTER._replace(digest="bc")])

    assert found.first == ("orders 0/8: its dead letter has other bytes",)


def test_a_good_fact_set_aside_as_unreadable_is_noticed_and_a_late_one_is_not() -> None:
    letter = Letter(GOOD.place, "aa", "UNDECODABLE")

    assert bad_set_aside([GOOD], [letter]).first == ("orders 0/7: good, and refused as UNDECODABLE",)
    assert not bad_set_aside([GOOD], [letter._replace(error_class="LATE")]).wrong


def test_an_entry_that_stands_twice_is_noticed() -> None:
    assert not entries_once([EARNED, SPENT]).wrong
    assert entries_once([EARNED, SPENT, EARNED]).first == ("e1 stands 2 times",)


def test_balances_that_are_not_the_sum_of_their_entries_are_noticed() -> None:
    assert not balances_equal([EARNED, SPENT], {"m-1": 70}).wrong
    assert balances_equal([EARNED], {"m-1": 70}).first == ("m-1: balance 70, entries 100",), "a lost entry"
    assert balances_equal([EARNED, SPENT, SPENT], {"m-1": 70}).wrong == 1, "a doubled entry"
    assert balances_equal([EARNED, SPENT._replace(points=31)], {"m-1": 70}).wrong == 1, "an altered entry"
    assert balances_equal([EARNED], {}).wrong == 1, "a balance that was never told"


def test_state_that_nobody_holds_as_its_changelog_says_is_noticed() -> None:
    right = content_digest([(b"k", b"v"), (b"gone", None)])

    assert right == content_digest([(b"k", b"v")])
    assert not state_agrees("s", {0: ["old", right]}, {0: right}, "p").wrong
    assert state_agrees("s", {0: ["old"]}, {0: right}, "p").wrong == 1
    assert state_agrees("s", {}, {0: right}, "p").wrong == 1


def test_sums_tell_keys_from_values_and_nothing_from_empty() -> None:
    assert content_digest([(b"a", b"bc")]) != content_digest([(b"ab", b"c")])
    assert (
        len({digest_of(b"", None), digest_of(None, b""), digest_of(b"a", b"b"), digest_of(b"ab", b"")}) == 4
    )


def test_an_open_transaction_is_noticed() -> None:
    assert not transactions_ended([Extent("ledger", 10, 2, 0)]).wrong
    assert transactions_ended([Extent("ledger", 10, 2, 3)]).first == (
        "ledger: 3 records in an open transaction",
    )
