"""A programme file is read exactly, and each mistake names its line and what is allowed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from pipelines.domain.triggers.rules import Cap, Experiment, Quiet, TriggerKind, Variant
from pipelines.failure import Failure
from pipelines.programme_file import ALONG, load_programme, parse_programme
from tests.support.programmes import reference

TEXT = (ALONG / "reference.yaml").read_text()
LASTING = "return_days: 1\nwindow: {kind: anniversary}\ndowngrade: never\n"


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(TEXT.splitlines(), 1) if text in line)


def test_the_reference_file_is_the_reference_programme() -> None:
    read = load_programme(Path("reference"))

    expected = reference()
    version, same = read.versions[0], expected.versions[0]
    assert (read.lateness_days, read.return_days) == (expected.lateness_days, expected.return_days)
    assert version.tiers == same.tiers
    assert version.campaigns == same.campaigns
    assert version.thresholds == same.thresholds
    assert version.activities == same.activities
    assert version.once == same.once
    assert dict(version.rates) == dict(same.rates)
    assert version.pending_days == same.pending_days
    assert version.expiry == same.expiry
    assert (read.window, read.downgrade) == (expected.window, expected.downgrade)


def test_the_reference_says_what_members_are_told() -> None:
    told = load_programme(Path("reference")).triggers

    assert told is not None
    assert set(told.kinds) == set(TriggerKind)
    assert told.quiet == Quiet(22 * 60, 6 * 60)
    assert told.caps[0] == Cap(1, 1, channel="push")
    assert told.shoe_m["trail"] == 500_000
    assert told.kinds[TriggerKind.WIN_BACK_DUE].experiment == Experiment(
        "nudge-2026q1", 1_000, (Variant("plain", 1), Variant("shoe", 1))
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("    BIRTHDAY:", "    BIRTDAY:", "did you mean 'BIRTHDAY'"),
        ("holdout_bp: 1000", "holdout_bp: 10001", "at most 10000"),
        ('from: "22:00"', 'from: "06:00"', "another time of day"),
        ('from: "22:00"', 'from: "25:00"', "a time of day such as"),
        ("[4, 12, 26, 52]", "[12, 4]", "ascending"),
        ("days: 7, kind: POINTS_ACTIVATED", "days: 7, kind: POINTS", "POINTS_ACTIVATED"),
    ],
)
def test_a_mistake_in_the_triggers_names_its_line(before: str, after: str, said: str) -> None:
    assert before in TEXT

    with pytest.raises(Failure) as failure:
        parse_programme(TEXT.replace(before, after, 1), "p.yaml")

    assert f"p.yaml:{line_of(before.splitlines()[0])}:" in failure.value.what
    assert said in f"{failure.value.what} {failure.value.do}"


def test_the_demo_comes_along() -> None:
    assert load_programme(Path("demo")).versions[0].market_currency == {"US": "USD"}


@pytest.mark.parametrize(("text", "value"), [("1/3", "1/3"), ("0.25", "1/4"), ("12.5 %", "1/8")])
def test_fractions_are_exact(text: str, value: str) -> None:
    programme = parse_programme(TEXT.replace("bonus: 25 %", f"bonus: {text}"), "p.yaml")

    assert programme.versions[0].tiers[1].bonus == Fraction(value)


@pytest.mark.parametrize(
    ("before", "after", "found", "allowed"),
    [
        ("end_of: month", "end_of: year", "is 'year'", "day, month"),
        ("{months: 12, end_of: month}", "soon", "is 'soon'", "never, or"),
        ("stacking: additive", "stackin: additive", "did you mean 'stacking'", "stacking"),
        ("kind: rolling, months: 12", "kind: rolling", "window has no 'months'", "must be given"),
        ("kind: rolling,", "kind: tumbling,", "is 'tumbling'", "rolling, calendar_year, anniversary"),
        ("kind: rolling,", "kind: calendar_year,", "window.months is given", "calendar_year is a year"),
        ("{grace_days: 60, levels: 1}", "soon", "downgrade is 'soon'", "never, or"),
        ("levels: 1", "levels: 0", "downgrade.levels is '0'", "at least 1"),
        ("    welcome_points: 50", "", "has no 'welcome_points'", "'welcome_points'"),
        ("threshold: 500", "threshold: 0", "tiers[1].threshold is 0", "more than 0"),
        ("threshold: 0,", "threshold: 5,", "tiers[0].threshold is 5", "0 for the first tier"),
        ("bonus: 25 %", "bonus: a lot", "tiers[1].bonus is 'a lot'", "25 %, 1/4 or 0.25"),
        ("bonus: 25 %", "bonus: -5 %", "tiers[1].bonus is '-5 %'", "at least 0"),
        ("ends_at: 2026-03-08T00:00:00Z", "ends_at: 2026-02-08T00:00:00Z", "is not after starts_at", "later"),
        ("starts_at: 2026-03-01T00:00:00Z", "starts_at: 2026-03-01T00:00:00", "without a zone", "offset"),
        ("starts_at: 2026-03-01T00:00:00Z", "starts_at: soon", "is 'soon'", "2026-03-01T00:00:00Z"),
        ("zone: Europe/Zurich", "zone: Europe/Zuerich", "zone is 'Europe/Zuerich'", "IANA"),
        ("stacking: additive", "stacking: additiv", "stacking is 'additiv'", "additive, multiplicative"),
        ("kind: RUN", "kind: JOG", "kind is 'JOG'", "RUN, TRAINING"),
        ("[GPS, DEVICE]", "[GPS, PHONE]", "verifications[1] is 'PHONE'", "GPS, DEVICE, MANUAL, NONE"),
        ("per_subject: true", "per_subject: maybe", "per_subject is 'maybe'", "true or false"),
        ("CH: CHF", "CH: SEK", "markets.CH is 'SEK', which has no rate", "EUR, CHF"),
        ("EUR: {points: 1,", "eur: {points: 1,", "is for 'eur'", "three capital letters"),
        ("lateness_days: 45", "lateness_days: -1", "lateness_days is '-1'", "at least 1"),
        ("id: profile", "id: review", "is 'review' a second time", "an id of its own"),
        ("name: Pacer", "name: Starter", "is 'Starter' a second time", "a name of its own"),
        ("points: 2,", "points: two,", "points is 'two'", "whole number"),
        ("name: reference", "name: [a]", "name is not a text", "a text"),
        ("welcome_points: 50", "welcome_points: 50\n    zone: UTC", "is given twice", "each key once"),
    ],
)
def test_a_mistake_names_its_line_and_what_is_allowed(
    before: str, after: str, found: str, allowed: str
) -> None:
    assert before in TEXT

    with pytest.raises(Failure) as failure:
        parse_programme(TEXT.replace(before, after, 1), "p.yaml")

    assert failure.value.what.startswith("p.yaml:")
    assert found in failure.value.what
    assert allowed in failure.value.do


def test_the_line_is_the_mistakes_line() -> None:
    with pytest.raises(Failure) as failure:
        parse_programme(TEXT.replace("bonus: 25 %", "bonus: x"), "p.yaml")

    assert failure.value.what.startswith(f"p.yaml:{line_of('bonus: 25 %')}:")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: [", "this is not YAML"),
        ("", "is not a mapping"),
        ("3", "is not a mapping"),
        (
            "name: x\nlateness_days: 1\n" + LASTING + "versions: []",
            "versions is empty",
        ),
        (
            "name: x\nlateness_days: 1\n" + LASTING + "versions: 3",
            "versions is not a list",
        ),
    ],
)
def test_what_is_no_programme_at_all_is_said_so(text: str, found: str) -> None:
    with pytest.raises(Failure) as failure:
        parse_programme(text, "p.yaml")

    assert found in failure.value.what


def test_versions_stand_oldest_first_under_names_of_their_own() -> None:
    again = TEXT.split("versions:\n")[1]
    same_time = TEXT + again.replace('"2026-1"', '"2026-2"')
    same_name = TEXT + again.replace("effective_from: 2020", "effective_from: 2021")

    with pytest.raises(Failure, match="not later than the version before"):
        parse_programme(same_time, "p.yaml")
    with pytest.raises(Failure, match="'2026-1' a second time"):
        parse_programme(same_name, "p.yaml")


@pytest.mark.parametrize(
    ("before", "after", "found", "allowed"),
    [
        ("name: Pacer", "name: Runner", "tiers are not those", "Starter, Pacer, Elite, in this order"),
        ("zone: Europe/Zurich", "zone: Europe/Rome", "zone is 'Europe/Rome'", "Europe/Zurich, as in"),
    ],
)
def test_a_members_tier_and_days_outlive_a_version(before: str, after: str, found: str, allowed: str) -> None:
    later = TEXT.split("versions:\n")[1].replace('"2026-1"', '"2027"').replace("2020-01-01", "2027-01-01")

    with pytest.raises(Failure) as failure:
        parse_programme(TEXT + later.replace(before, after), "p.yaml")

    assert found in failure.value.what
    assert allowed in failure.value.do


def test_a_tier_may_be_added_on_top() -> None:
    later = TEXT.split("versions:\n")[1].replace('"2026-1"', '"2027"').replace("2020-01-01", "2027-01-01")
    legend = "bonus: 50 %}\n      - {name: Legend, threshold: 9000, bonus: 1}"

    programme = parse_programme(TEXT + later.replace("bonus: 50 %}", legend), "p.yaml")

    assert [len(version.tiers) for version in programme.versions] == [3, 4]
    assert programme.tiers_ms == (programme.versions[1].effective_from_ms,)


def test_a_programme_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(Failure) as failure:
        load_programme(Path("nowhere"))

    assert "demo, reference" in failure.value.do
