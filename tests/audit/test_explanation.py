"""An entry told in sentences, with the specification's numbers."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pytest

from pipelines.audit.books import as_row
from pipelines.audit.explanation import explained
from pipelines.audit.statement import lots
from pipelines.audit.words import exactly, instant, money
from pipelines.domain.facts import Fact, OrderStatus, ReturnStatus, Tick, Verification
from pipelines.domain.ledger import LedgerEntry
from tests.audit.test_recomputation import PACER, RETURN_A, reference_order
from tests.support.facts import member, run, tick
from tests.support.history import play
from tests.support.programmes import reference


def written(ledger: Iterable[LedgerEntry]) -> list[dict[str, Any]]:
    """Entries as they read on their topic: named inputs, and numerators as text."""
    rows = [as_row(entry, "ledger", n) for n, entry in enumerate(ledger)]
    for derivation in (one["derivation"] for one in rows):
        derivation["inputs"] = [{"name": name, "value": value} for name, value in derivation["inputs"]]
        for term in derivation["terms"]:
            term |= {"numerator": str(term["numerator"]), "denominator": str(term["denominator"])}
    return rows


def entries(*facts: Fact | Tick) -> list[dict[str, Any]]:
    return written(play([member("2025-06-01T00:00:00Z"), *facts], reference()).ledger)


def sentences(reason: str, *facts: Fact | Tick) -> list[str]:
    return explained(next(e for e in reversed(entries(*facts)) if e["reason"] == reason))


def test_the_campaign_part_of_the_reference_order() -> None:
    told = sentences("CAMPAIGN", PACER, reference_order())

    assert told == [
        "144 points of member m-1 moved from ISSUED to PENDING: CAMPAIGN, on lot order:O1.",
        "It counts from 7 March 2026 23:59:30Z and was recorded 7 March 2026 23:59:30Z; "
        "as the member's entry 6 it left 550 active and 481 pending.",
        "Order O1, placed 7 March 2026 23:59:30Z: 270.00 EUR eligible after discounts.",
        "  Line A: 144.00 EUR net, 144.00 EUR kept, 144 points.",
        "  Line B: 108.00 EUR net, 108.00 EUR kept, 0 points.",
        "  Line S: 18.00 EUR net, 18.00 EUR kept, 0 points.",
        "  Line G: 0.00 EUR net, 0.00 EUR kept, 0 points.",
        "At 1 point per 1.00 EUR, with bonuses added up, "
        "that is exactly 963/2 (481.5) → 481 points, floored once:",
        "  BASE by base: exactly 270, booked 270.",
        "  TIER_BONUS by tier:Pacer: exactly 135/2 (67.5), booked 67.",
        "  CAMPAIGN by trail-week: exactly 144, booked 144.",
        "0 points had been granted, the facts are now worth 481 points: 481 points more, "
        "moved by transaction m-1/order:O1@1.",
        "Not by april-150: the order was not placed in its time (OUTSIDE_ITS_TIME).",
        "Rule trail-week of programme version 2026-1, at tier Pacer.",
        "Caused by e-O1@1.",
    ]


def test_a_return_tells_what_is_kept_and_what_goes() -> None:
    told = sentences("RETURN", PACER, reference_order(), RETURN_A)

    assert told[2] == (
        "Order O1, placed 7 March 2026 23:59:30Z: 270.00 EUR eligible after discounts, "
        "of which 126.00 EUR are kept."
    )
    assert "481 points had been granted, the facts are now worth 157 points: 324 points fewer" in told[-5]
    assert "Not by trail-week: nothing of its category was kept (NO_LINE_OF_ITS_CATEGORY)." in told


def test_a_run_cut_by_the_cap() -> None:
    told = sentences(
        "ACTIVITY", run("r1", "2026-03-01T07:00:00Z", 6_000), run("r2", "2026-03-01T18:00:00Z", 6_000)
    )

    assert told[2] == (
        "Engagement r2, 6,000 m: worth 12 points by itself; "
        "12 points of the allowance were used by earlier ones."
    )
    assert "Not by run: the day's allowance cut it (CAP_REACHED)." in told


def test_a_run_that_turned_out_unmeasured() -> None:
    manual = run("r1", "2026-03-01T07:00:00Z", 6_000, version=2, verification=Verification.MANUAL)

    told = sentences("NOT_VERIFIED", run("r1", "2026-03-01T07:00:00Z", 6_000), manual)

    assert (
        told[0]
        == "12 points of member m-1 moved from ACTIVE to CLAWED_BACK: NOT_VERIFIED, on lot engagement:r1."
    )


def test_an_activation_names_its_instant() -> None:
    told = sentences("ACTIVATION", reference_order(), tick("2026-06-01T00:00:00Z"))

    assert told[2] == (
        "The lot's pending points are active from 6 May 2026 23:59:30Z on, the instant that its source sets."
    )


def test_an_expiry_names_its_months_and_their_end() -> None:
    told = sentences("EXPIRY", tick("2027-06-01T00:00:00Z"))

    assert told[2] == (
        "Active from 1 June 2025 00:00:00Z on, the lot lived 12 months after that, to the end of the month in "
        "Europe/Zurich: until 30 June 2026 22:00:00Z."
    )


def test_a_held_activation_names_the_return() -> None:
    asked = RETURN_A._replace(status=ReturnStatus.REQUESTED, settled_at_ms=None)

    told = sentences("ACTIVATION", PACER, reference_order(), asked, tick("2026-06-01T00:00:00Z"))

    assert told[3] == "A return that was requested before then holds 324 points until it is settled."


def test_a_cancellation_leaves_nothing() -> None:
    cancelled = reference_order(version=2, status=OrderStatus.CANCELLED, cancelled_at_ms=1_773_000_000_000)

    told = sentences("CANCEL", reference_order(), cancelled)

    assert "The order earns nothing now." in told


def test_a_welcome() -> None:
    assert sentences("WELCOME")[2] == "The programme welcomed a new member with 50 points then."


def test_lots_are_the_ledger_by_lot() -> None:
    told = lots(entries(PACER, reference_order(), RETURN_A))

    assert [tuple(lot) for lot in told] == [
        ("welcome:m-1", 50, 0, 0, 50, 0, 0),
        ("order:O0", 500, 0, 0, 500, 0, 0),
        ("order:O1", 481, 324, 157, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(270_00, "EUR", "270.00 EUR"), (15_000, "JPY", "15,000 JPY"), (5, "USD", "0.05 USD")],
)
def test_money_has_the_decimals_of_its_currency(minor: int, currency: str, text: str) -> None:
    assert money(minor, currency) == text


def test_a_third_is_told_as_a_fraction() -> None:
    assert exactly(Fraction(100, 3)) == "100/3 (about 33.333333)"


def test_milliseconds_are_told_when_there_are_some() -> None:
    assert instant(1_772_323_200_001) == "1 March 2026 00:00:00.001Z"
