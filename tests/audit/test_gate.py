"""What members were told, held against the facts: a sound history passes, each defect sown turns its check red."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from heapq import merge
from pathlib import Path
from typing import Any

import pytest

from pipelines.audit.books import Books
from pipelines.audit.rules import enter_rules
from pipelines.audit.verification import Finding, findings, gate_findings, recompute
from pipelines.domain.facts import CommandKind, Consent, Fact, Tick
from pipelines.domain.triggers.announcing import Told
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Arrival, Shares
from pipelines.programme_file import ALONG, load_programme
from tests.audit.entries import enter_facts, enter_history, enter_told
from tests.support.facts import DAY_MS, command, member, ms, order, tick
from tests.support.told import at_ms, tell

REFERENCE = Path("reference")
SPOILT = Shares(late=0.05, too_late=0.01, duplicate=0.02, stale=0.02, out_of_order=0.01)
LIFE: tuple[Fact | Tick, ...] = (
    member("2025-06-01T10:00:00Z"),
    command(
        "C1", CommandKind.REDEEM, "2026-05-31T22:30:00Z", 10
    ),  # while POINTS_EXPIRING waits for the morning
    order("O1", "2026-06-02T10:00:00Z"),
    tick("2026-12-02T00:00:00Z"),
)


@cache
def lives() -> tuple[list[Fact | Tick], list[Told]]:
    """Sixty members' five hundred days, and one night of another."""
    life = [Arrival(at_ms(fact), fact) for fact in LIFE]
    others = simulate.facts(11, 60, 500, ms("2025-01-01T00:00:00Z"), SPOILT)
    facts = [arrival.fact for arrival in merge(others, life, key=lambda arrival: arrival.at_ms)]
    return facts, tell(facts, load_programme(REFERENCE))[1]


@pytest.fixture
def books() -> Iterator[Books]:
    with Books() as opened:
        enter_rules(opened, REFERENCE)
        enter_facts(opened, lives()[0])
        enter_told(opened, lives()[1])
        yield opened


def red(books: Books) -> dict[str, Finding]:
    return {finding.check: finding for finding in gate_findings(books) if finding.wrong}


def sow(books: Books, defect: str, *values: Any) -> dict[str, Finding]:
    """Falsify one record, and look for what is red."""
    changed = books.database.execute(defect, values).fetchone()
    assert changed is not None and changed[0] == 1, changed
    return red(books)


def one(books: Books, reason: str = "SENT", where: str = "TRUE") -> str:
    """The id of a crossing that was sent, or suppressed for this reason."""
    books.run("80_told.sql")
    found = books.rows(f"""SELECT trigger_id FROM told WHERE reason = '{reason}' AND {where}
        AND trigger_id NOT IN (SELECT trigger_id FROM told WHERE reason = 'WITHDRAWN' AND '{reason}' <> 'WITHDRAWN')
        ORDER BY trigger_id LIMIT 1""")
    assert found, f"none is {reason}"
    return str(found[0][0])


def test_a_sound_history_passes_and_every_check_has_something_to_look_at(books: Books) -> None:
    checks = gate_findings(books)

    assert [(finding.check, finding.wrong) for finding in checks] == [
        ("trigger-ids", 0),
        ("trigger-rules", 0),
        ("trigger-consent", 0),
        ("trigger-holdout", 0),
        ("trigger-caps", 0),
        ("trigger-quiet-hours", 0),
        ("trigger-held", 0),
        ("trigger-expiry", 0),
        ("suppressions", 0),
    ]
    assert all(finding.looked_at for finding in checks)
    reasons = {reason for (reason,) in books.rows("SELECT DISTINCT reason FROM suppressed_trigger")}
    assert reasons == {"NO_CONSENT", "HOLDOUT", "NO_LONGER_TRUE", "FREQUENCY_CAP", "WITHDRAWN"}


def test_the_gate_is_looked_at_beside_the_points_when_anything_was_told() -> None:
    history, told = tell(LIFE, load_programme(REFERENCE))
    with Books() as books:
        enter_rules(books, REFERENCE)
        enter_facts(books, LIFE)
        enter_history(books, history)
        recompute(books)
        silent = {finding.check for finding in findings(books)}
        enter_told(books, told)
        checks = findings(books)

    assert {f.check for f in checks} - silent == {f.check for f in checks if "trigger" in f.check} | {
        "suppressions"
    }
    assert not any(finding.wrong for finding in checks)


def test_a_trigger_twice(books: Books) -> None:
    name = one(books)

    found = sow(books, 'INSERT INTO sent_trigger SELECT * REPLACE (99999 AS "offset") FROM sent_trigger '
                "WHERE trigger_id = ?", name)  # fmt: skip

    assert found["trigger-ids"].first[0] == (name, "was sent 2 times and refused 0 times")


def test_a_trigger_that_was_refused_as_well(books: Books) -> None:
    name = one(books, "FREQUENCY_CAP")

    found = sow(books, "INSERT INTO sent_trigger SELECT * EXCLUDE (reason) FROM suppressed_trigger "
                "WHERE trigger_id = ?", name)  # fmt: skip

    assert found["trigger-ids"].first[0] == (name, "was sent 1 times and refused 1 times")
    assert "trigger-caps" in found


def test_a_trigger_under_another_name(books: Books) -> None:
    name = one(books)

    assert "trigger-ids" in sow(books, "UPDATE sent_trigger SET subject = 'x' WHERE trigger_id = ?", name)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("kind = 'HOROSCOPE'", "is of the kind HOROSCOPE, which the programme has not"),
        ("purpose = 'research'", "says (purpose, channel, experiment, variant) [research, "),
        ("channel = 'fax'", "[marketing, fax, "),
        ("variant = 'bold'", "nudge-2026q1, bold], by the programme"),
        ("experiment = NULL", "[marketing, email, NULL, "),
    ],
)
def test_a_trigger_that_the_programme_does_not_have(books: Books, change: str, what: str) -> None:
    name = one(books, where="kind = 'WIN_BACK_DUE'")

    found = sow(books, f"UPDATE sent_trigger SET {change} WHERE trigger_id = ?", name)

    assert what in found["trigger-rules"].first[0].what


def test_a_trigger_to_somebody_who_had_not_agreed(books: Books) -> None:
    name = one(books, "NO_CONSENT", "kind = 'REVIEW_DUE' AND crossed_at = recorded_at")
    books.database.execute("DELETE FROM sent_trigger")

    found = sow(books, "INSERT INTO sent_trigger SELECT * EXCLUDE (reason) FROM suppressed_trigger "
                "WHERE trigger_id = ?", name)  # fmt: skip

    assert found["trigger-consent"].wrong == 1
    assert "without consent to marketing" in found["trigger-consent"].first[0].what


@pytest.mark.parametrize(
    ("granted", "withdrawn", "agreed"),
    [
        (0, None, True),
        (0, 0, False),
        (0, -1, True),
        (0, 1, True),
        (-5, -9, True),
        (1, None, False),
        (None, None, False),
    ],
)
def test_consent_counts_at_the_instant_of_the_trigger(
    books: Books, granted: int | None, withdrawn: int | None, agreed: bool
) -> None:
    (m1,) = (f for f in lives()[0] if f == LIFE[0])
    sent = next(one for one in lives()[1] if one.member_id == "m-1" and one.kind == "WIN_BACK_DUE")
    moved = [None if at is None else sent.recorded_at_ms + at for at in (granted, withdrawn)]
    books.database.execute("DELETE FROM fact_member WHERE member_id = 'm-1'")
    enter_facts(books, [m1._replace(consents=(Consent("marketing", *moved),))])  # type: ignore[union-attr]
    books.database.execute("DELETE FROM sent_trigger WHERE trigger_id <> ?", [sent.trigger_id])
    books.database.execute("DELETE FROM suppressed_trigger")

    assert ("trigger-consent" not in red(books)) is agreed


@pytest.mark.parametrize("change", ["merged_into = 'm-9'", "erased_at = 5"])
def test_a_trigger_to_somebody_who_is_another_now_or_erased(books: Books, change: str) -> None:
    found = sow(books, f"UPDATE fact_member SET {change} WHERE member_id = 'm-1'")

    assert "to nobody who is a member of their own" in found["trigger-consent"].first[0].what


def test_who_is_erased_is_told_nothing_ever_again(books: Books) -> None:
    """Whatever the version, however late, and whatever comes behind it."""
    sent = next(one for one in lives()[1] if one.member_id == "m-1" and one.kind == "WIN_BACK_DUE")
    erased = member("2025-06-01T10:00:00Z", 1, sent.recorded_at_ms - 1, erased_at_ms=5)
    again = member("2025-06-01T10:00:00Z", 7, sent.recorded_at_ms - 1)
    enter_later(books, erased, again)

    assert red(books)["trigger-consent"].first[0].who == sent.trigger_id


def test_a_withdrawal_that_was_recorded_before_the_trigger(books: Books) -> None:
    sent = next(one for one in lives()[1] if one.member_id == "m-1" and one.kind == "WIN_BACK_DUE")
    for recorded_ms, wrong in ((sent.recorded_at_ms, False), (sent.recorded_at_ms - 1, True)):
        withdrawn = member(
            "2025-06-01T10:00:00Z", 2, recorded_ms, consents=(Consent("marketing", 0, recorded_ms),)
        )
        books.database.execute("DELETE FROM fact_member WHERE member_id = 'm-1' AND version = 2")
        books.database.execute('DELETE FROM fact_member WHERE "offset" > 100000')
        enter_later(books, withdrawn)

        assert ("trigger-consent" in red(books)) is wrong


def enter_later(books: Books, *facts: Any) -> None:
    """Facts on their topic behind all others, on a partition of their own."""
    before = books.count('SELECT max("offset") FROM fact_member')
    enter_facts(books, [*[Tick(0)] * (before + 1), *facts])
    books.database.execute('UPDATE fact_member SET "partition" = 1 WHERE "offset" > ?', [before])


def test_a_trigger_to_somebody_who_is_held_out(books: Books) -> None:
    name = one(books, "HOLDOUT", "NOT quiet")

    found = sow(books, "INSERT INTO sent_trigger SELECT * EXCLUDE (reason) FROM suppressed_trigger "
                "WHERE trigger_id = ?", name)  # fmt: skip

    assert "held out below 1000" in found["trigger-holdout"].first[0].what


def test_one_trigger_more_than_a_cap_allows_on_the_members_day(books: Books) -> None:
    name = one(books, "FREQUENCY_CAP", "kind <> 'POINTS_ACTIVATED'")

    found = sow(books, "INSERT INTO sent_trigger SELECT * EXCLUDE (reason) FROM suppressed_trigger "
                "WHERE trigger_id = ?", name)  # fmt: skip

    assert found["trigger-caps"].wrong == 1
    assert found["trigger-caps"].first[0].what == "was sent after 1 others; cap 1 of the programme allows 1"


def test_a_cap_of_a_kind_counts_days_and_not_hours(books: Books) -> None:
    """POINTS_ACTIVATED, once in seven days: six midnights later is too early, seven are not."""
    name = one(books, where="kind = 'POINTS_ACTIVATED' AND NOT quiet AND recorded_at = crossed_at")
    books.database.execute("DELETE FROM sent_trigger WHERE trigger_id <> ?", [name])
    again = """INSERT INTO sent_trigger SELECT * REPLACE (
        member_id || '/' || kind || '/' || subject || '@' || (crossed_at + {0}) AS trigger_id,
        recorded_at + {0} AS recorded_at, crossed_at + {0} AS crossed_at,
        expires_at + {0} AS expires_at, 99999 AS "offset") FROM sent_trigger"""

    assert "trigger-caps" not in sow(books, again.format(7 * DAY_MS))
    books.database.execute('DELETE FROM sent_trigger WHERE "offset" = 99999')
    assert "trigger-caps" in sow(books, again.format(6 * DAY_MS))


NIGHTS = [
    ("2026-03-28T21:59:59+01:00", "Europe/Zurich", False),
    ("2026-03-28T22:00:00+01:00", "Europe/Zurich", True),
    ("2026-03-29T05:59:59+02:00", "Europe/Zurich", True),
    ("2026-03-29T06:00:00+02:00", "Europe/Zurich", False),
    ("2026-10-25T05:59:59+01:00", "Europe/Zurich", True),
    ("2026-10-25T05:00:00+00:00", "Europe/Zurich", False),
    ("2026-03-29T05:30:00+02:00", "America/Los_Angeles", False),
    ("2026-03-29T05:30:00+02:00", "Asia/Tokyo", False),
    ("2026-03-29T22:30:00+09:00", "Asia/Tokyo", True),
]


@pytest.mark.parametrize(("when", "zone", "quiet"), NIGHTS)
def test_a_trigger_in_the_night_of_the_members_zone(books: Books, when: str, zone: str, quiet: bool) -> None:
    sent = next(one for one in lives()[1] if one.member_id == "m-1" and one.kind == "WIN_BACK_DUE")
    books.database.execute("DELETE FROM sent_trigger WHERE trigger_id <> ?", [sent.trigger_id])
    books.database.execute("UPDATE fact_member SET zone = ? WHERE member_id = 'm-1'", [zone])
    moved = "UPDATE sent_trigger SET recorded_at = ?, crossed_at = ? WHERE trigger_id = ?"

    found = sow(books, moved, ms(when), ms(when), sent.trigger_id)

    assert ("trigger-quiet-hours" in found) is quiet


@pytest.mark.parametrize(
    "defect",
    [
        "crossed_at = crossed_at - 14 * 3600000",
        "recorded_at = recorded_at + 1",
        "crossed_at = recorded_at + 1",
    ],
)
def test_a_trigger_that_was_held_for_nothing_or_too_long(books: Books, defect: str) -> None:
    name = one(books, where="recorded_at > crossed_at")

    assert "trigger-held" in sow(books, f"UPDATE sent_trigger SET {defect} WHERE trigger_id = ?", name)


@pytest.mark.parametrize("ends", ["recorded_at", "recorded_at - 1", "recorded_at + 721 * 3600000::BIGINT"])
def test_a_trigger_that_had_ended_or_lives_too_long(books: Books, ends: str) -> None:
    name = one(books)

    assert "trigger-expiry" in sow(
        books, f"UPDATE sent_trigger SET expires_at = {ends} WHERE trigger_id = ?", name
    )


@pytest.mark.parametrize(
    ("reason", "where", "claims", "what"),
    [
        ("HOLDOUT", "TRUE", "NO_CONSENT", "NO_CONSENT, but the member had agreed to marketing"),
        ("NO_CONSENT", "crossed_at = recorded_at", "FREQUENCY_CAP", "first reason is that the member had not agreed"),
        ("HOLDOUT", "TRUE", "FREQUENCY_CAP", "FREQUENCY_CAP, but the first reason is the holdout"),
        ("FREQUENCY_CAP", "kind <> 'WIN_BACK_DUE'", "HOLDOUT", "HOLDOUT, but the member is "),
        ("NO_LONGER_TRUE", "TRUE", "FREQUENCY_CAP", "FREQUENCY_CAP, but no cap was full"),
        ("FREQUENCY_CAP", "recorded_at = crossed_at", "NO_LONGER_TRUE", "but it was true in that instant"),
        ("FREQUENCY_CAP", "TRUE", "WITHDRAWN", "WITHDRAWN, but it had not been sent"),
        ("FREQUENCY_CAP", "TRUE", "NO_TIME", "NO_TIME, but there is no such reason"),
    ],
)  # fmt: skip
def test_a_reason_that_is_not_true(books: Books, reason: str, where: str, claims: str, what: str) -> None:
    name = one(books, reason, where)

    found = sow(books, "UPDATE suppressed_trigger SET reason = ? WHERE trigger_id = ?", claims, name)

    assert what in found["suppressions"].first[0].what


def test_a_withdrawal_of_what_had_ended_or_without_a_reason(books: Books) -> None:
    name = one(books, "WITHDRAWN", "kind = 'WIN_BACK_DUE'")
    late = (
        "UPDATE suppressed_trigger SET recorded_at = recorded_at + 999 * 3600000::BIGINT WHERE trigger_id = ?"
    )
    assert "it had ended" in sow(books, late, name)["suppressions"].first[0].what

    books.database.execute("DELETE FROM fact_order WHERE member_id = ?", [name.split("/")[0]])
    back = (
        "UPDATE suppressed_trigger SET recorded_at = recorded_at - 999 * 3600000::BIGINT WHERE trigger_id = ?"
    )
    assert "no order had come" in sow(books, back, name)["suppressions"].first[0].what


def test_a_second_withdrawal(books: Books) -> None:
    name = one(books, "WITHDRAWN")

    found = sow(
        books, "INSERT INTO suppressed_trigger SELECT * FROM suppressed_trigger WHERE trigger_id = ?", name
    )

    assert found["trigger-ids"].first[0].what == "is withdrawn 2 times and was sent 1"


def without_quiet_hours(text: str) -> str:
    return text[: text.index("  quiet:")] + text[text.index("  near_points:") :]


def other_caps(text: str) -> str:
    return text.replace("{most: 1, days: 1, channel: push}", "{most: 3, days: 30}").replace(
        'from: "22:00", to: "06:00"', 'from: "12:00", to: "14:30"'
    )


def everybody_tried(text: str) -> str:
    tried = "lives_hours: 48, experiment: {name: news, holdout_bp: 5000, variants: {a: 1, b: 2, c: 5}}"
    return text.replace("lives_hours: 48", tried, 1)


@pytest.mark.parametrize("change", [without_quiet_hours, other_caps, everybody_tried])
def test_the_gate_and_its_auditor_agree_on_other_programmes(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "programme.yaml"
    path.write_text(change((ALONG / "reference.yaml").read_text()))
    arrivals = simulate.facts(5, 40, 400, ms("2025-01-01T00:00:00Z"), SPOILT)
    facts = [*(a.fact for a in arrivals), Tick(ms("2026-06-01T00:00:00Z"))]
    with Books() as books:
        enter_rules(books, path)
        enter_facts(books, facts)
        enter_told(books, tell(facts, load_programme(path))[1])

        assert books.count("SELECT count(*) FROM sent_trigger") > 200
        assert red(books) == {}
