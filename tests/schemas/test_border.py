"""The border: each impossible value has its own class, and nothing possible is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from pipelines.domain.facts import (
    CommandKind,
    Consent,
    EngagementKind,
    Fact,
    OrderStatus,
    PointsCommand,
    ReturnStatus,
    Tick,
)
from schemas.border import INSTANT_MAX, check_fact
from schemas.codec import InvalidFact
from tests.laws.strategies import histories
from tests.support.facts import command, engagement, line, member, ms, order, refund, run
from tests.support.history import play
from tests.support.programmes import reference

AT = "2026-02-01T10:00:00Z"
NOW = ms(AT)
ORDER, RETURN = order("O1", AT), refund("R1", "O1", AT, ("A", 1, 1))
RUN = engagement("E1", EngagementKind.RUN, AT, distance_m=1, recorded=AT)
MEMBER = member(AT)
LINE = ORDER.lines[0]
REDEEM, RELEASE = (
    command("C1", CommandKind.REDEEM, AT, 10),
    command("C2", CommandKind.RELEASE, AT, subject_id="C1"),
)
ADJUST = command("C3", CommandKind.ADJUST, AT, -10)


def refused(fact: Any, key: bytes | None = b"m-1", timestamp_ms: int | None = None) -> str:
    at_ms = fact.recorded_at_ms if timestamp_ms is None else timestamp_ms
    with pytest.raises(InvalidFact) as invalid:
        check_fact(fact, key, at_ms)
    return invalid.value.error_class


@pytest.mark.parametrize(
    "fact", [ORDER, RETURN, RUN, MEMBER, REDEEM, RELEASE, ADJUST], ids=lambda f: type(f).__name__
)
def test_every_fact_has_its_members_key_and_its_own_time(fact: Any) -> None:
    check_fact(fact, b"m-1", fact.recorded_at_ms)

    assert refused(fact, key=None) == "NULL_KEY"
    assert refused(fact, key=b"m-2") == "KEY_MISMATCH"
    assert refused(fact, timestamp_ms=NOW + 1) == "RECORD_TIME_MISMATCH"
    if not isinstance(fact, PointsCommand):
        assert refused(fact._replace(version=0)) == "BAD_VERSION"
    assert refused(fact._replace(event_id="")) == "BAD_ID"
    assert refused(fact._replace(event_id="a b")) == "BAD_ID"
    assert refused(fact._replace(member_id="m|1"), key=b"m|1") == "BAD_ID"
    assert refused(fact._replace(occurred_at_ms=NOW + 300_001)) == "FROM_THE_FUTURE"
    assert refused(fact._replace(occurred_at_ms=-1)) == "BEFORE_1970"


def lines(*some: Any) -> Any:
    return ORDER._replace(lines=some)


@pytest.mark.parametrize(
    ("fact", "error_class"),
    [
        (ORDER._replace(order_id="O/1"), "BAD_ID"),
        (ORDER._replace(market="Switzerland"), "BAD_MARKET"),
        (ORDER._replace(currency="eur"), "BAD_CURRENCY"),
        (ORDER._replace(paid_at_ms=None), "STATUS_WITHOUT_MILESTONE"),
        (ORDER._replace(status=OrderStatus.DELIVERED), "STATUS_WITHOUT_MILESTONE"),
        (ORDER._replace(status=OrderStatus.CANCELLED), "STATUS_WITHOUT_MILESTONE"),
        (ORDER._replace(paid_at_ms=NOW - 1), "BAD_MILESTONE_ORDER"),
        (ORDER._replace(delivered_at_ms=NOW + 300_001), "FROM_THE_FUTURE"),
        (lines(), "NO_LINES"),
        (lines(LINE, LINE), "DUPLICATE_LINE"),
        (lines(*(line(f"L{n}", 1) for n in range(10_001))), "TOO_LARGE"),
        (lines(LINE._replace(line_id="a/b")), "BAD_ID"),
        (lines(LINE._replace(quantity=-1)), "NEGATIVE_QUANTITY"),
        (lines(LINE._replace(quantity=10**7)), "TOO_LARGE"),
        (lines(LINE._replace(gross_minor=-1)), "NEGATIVE_MONEY"),
        (lines(LINE._replace(gross_minor=10**13)), "TOO_LARGE"),
        (lines(LINE._replace(discount_minor=LINE.gross_minor + 1)), "DISCOUNT_EXCEEDS_GROSS"),
        (ORDER._replace(order_discount_minor=-1), "NEGATIVE_MONEY"),
        (RETURN._replace(return_id="R|1"), "BAD_ID"),
        (RETURN._replace(settled_at_ms=None), "STATUS_WITHOUT_MILESTONE"),
        (RETURN._replace(status=ReturnStatus.REJECTED, settled_at_ms=None), "STATUS_WITHOUT_MILESTONE"),
        (RETURN._replace(requested_at_ms=NOW + 1, settled_at_ms=NOW), "BAD_MILESTONE_ORDER"),
        (RETURN._replace(lines=()), "NO_LINES"),
        (RETURN._replace(lines=(RETURN.lines[0]._replace(quantity=-1),)), "NEGATIVE_QUANTITY"),
        (RETURN._replace(lines=(RETURN.lines[0]._replace(refund_minor=-1),)), "NEGATIVE_MONEY"),
        (RUN._replace(engagement_id=""), "BAD_ID"),
        (RUN._replace(subject="a shoe"), "BAD_ID"),
        (RUN._replace(zone="Mars/Olympus"), "BAD_ZONE"),
        (RUN._replace(zone="../etc/passwd"), "BAD_ZONE"),
        (RUN._replace(distance_m=-1), "NEGATIVE_MEASURE"),
        (RUN._replace(duration_s=10**7), "TOO_LARGE"),
        (MEMBER._replace(market="ch"), "BAD_MARKET"),
        (MEMBER._replace(zone=""), "BAD_ZONE"),
        (MEMBER._replace(enrolled_at_ms=NOW + 300_001), "FROM_THE_FUTURE"),
        (MEMBER._replace(birthday_month=2), "BAD_BIRTHDAY"),
        (MEMBER._replace(birthday_month=13, birthday_day=1), "BAD_BIRTHDAY"),
        (MEMBER._replace(birthday_month=2, birthday_day=30), "BAD_BIRTHDAY"),
        (REDEEM._replace(command_id="C 1"), "BAD_ID"),
        (REDEEM._replace(subject_id="a b"), "BAD_ID"),
        (REDEEM._replace(points=0), "NO_POINTS"),
        (REDEEM._replace(points=-5), "NO_POINTS"),
        (REDEEM._replace(points=10**10), "TOO_LARGE"),
        (RELEASE._replace(subject_id=None), "NO_SUBJECT"),
        (RELEASE._replace(points=10), "POINTS_NOT_WANTED"),
        (ADJUST._replace(points=0), "NO_POINTS"),
        (ADJUST._replace(points=-(10**10)), "TOO_LARGE"),
        (ADJUST._replace(actor=None), "ADJUST_UNEXPLAINED"),
        (ADJUST._replace(reason=""), "ADJUST_UNEXPLAINED"),
        (ADJUST._replace(ticket="T" * 501), "ADJUST_UNEXPLAINED"),
    ],
)
def test_an_impossible_value_has_its_class(fact: Any, error_class: str) -> None:
    assert refused(fact) == error_class


def test_a_leap_day_is_a_birthday_and_a_fee_is_a_line() -> None:
    check_fact(MEMBER._replace(birthday_month=2, birthday_day=29), b"m-1", NOW)
    check_fact(MEMBER._replace(consents=(Consent("x", None, None),)), b"m-1", NOW)
    check_fact(lines(LINE._replace(quantity=0)), b"m-1", NOW)


def test_a_ticks_time_is_its_records_time() -> None:
    check_fact(Tick(NOW), b"tick", NOW)

    with pytest.raises(InvalidFact, match="RECORD_TIME_MISMATCH"):
        check_fact(Tick(NOW), b"tick", NOW + 1)
    with pytest.raises(InvalidFact, match="BEFORE_1970"):
        check_fact(Tick(-1), b"tick", -1)


@pytest.mark.parametrize("fact", [ORDER, RETURN, RUN, MEMBER, REDEEM], ids=lambda f: type(f).__name__)
def test_a_record_from_beyond_the_calendar_is_refused_where_a_broker_lets_it_in(fact: Any) -> None:
    beyond = fact._replace(occurred_at_ms=INSTANT_MAX, recorded_at_ms=INSTANT_MAX)

    assert refused(beyond) == "FROM_THE_FUTURE"
    with pytest.raises(InvalidFact, match="FROM_THE_FUTURE"):
        check_fact(Tick(INSTANT_MAX), b"tick", INSTANT_MAX)


def test_the_last_instant_of_the_border_is_one_that_the_rules_can_count_from() -> None:
    last = INSTANT_MAX - 1
    facts = [member(AT), order("O1", last), run("E1", last, 5_000, recorded=last), Tick(last)]

    for fact in facts[:3]:
        check_fact(fact, b"m-1", fact.recorded_at_ms)  # type: ignore[union-attr,arg-type]
    assert [entry.points for entry in play(facts, reference()).ledger] == [50, 50, 100, 10]


@given(histories())
def test_no_possible_history_is_refused(facts: list[Fact]) -> None:
    for fact in facts:
        check_fact(fact, fact.member_id.encode(), fact.recorded_at_ms)
