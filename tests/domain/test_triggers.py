"""What a member is told: every kind's own examples, the gate's numbers, and once a crossing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.domain.account import Membership
from pipelines.domain.facts import Consent
from pipelines.domain.ledger import Derivation, LedgerAccount, LedgerEntry, Reason
from pipelines.domain.programme import Programme
from pipelines.domain.triggers import next_tier_near
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger, announce, next_instant_ms
from pipelines.domain.triggers.condition import Example, Kind
from pipelines.domain.triggers.favourite import favourite
from pipelines.domain.triggers.gate import Suppression, bucket, consents, held_out, quiet_until_ms, variant
from pipelines.domain.triggers.kinds import KINDS
from pipelines.domain.triggers.rules import Cap, Experiment, Quiet, TriggerKind, TriggerRules, Variant
from pipelines.domain.triggers.watch import (
    Reached,
    Watch,
    WatchedLine,
    WatchedLot,
    WatchedOrder,
    WatchedReturn,
)
from pipelines.programme_file import load_programme
from tests.support.facts import DAY_MS, HOUR_MS, ms
from tests.support.programmes import reference

REFERENCE = load_programme(Path("reference")).triggers
assert REFERENCE is not None
RULES: TriggerRules = replace(REFERENCE, caps=())
NIGHT = Quiet(22 * 60, 6 * 60)
ENDS = ms("2026-04-01T00:00:00+02:00")


def asking(zone: str = "Europe/Zurich", *consent: Consent) -> Membership:
    granted = consent or (Consent("marketing", 0, None),)
    return Membership(1, 0, "CH", zone, None, None, granted, None, None)


def watching(**seen: Any) -> Watch:
    return Watch("m-1", ms("2026-03-01T10:00:00Z"), asking(), **seen)


def at(watch: Watch, when: str, rules: TriggerRules = RULES) -> list[Told]:
    """What is told at an instant, the watch being as it is."""
    watch.now_ms = ms(when)
    return announce(watch, rules)


def said(told: list[Told]) -> list[str]:
    return [
        f"{one.kind} {one.reason}" if isinstance(one, SuppressedTrigger) else f"{one.kind}" for one in told
    ]


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        pytest.param(kind, example, id=f"{kind.KIND}: {example.name}")
        for kind in KINDS.values()
        for example in kind.EXAMPLES
    ],
)
def test_every_example_of_a_kind_holds(kind: Kind, example: Example) -> None:
    assert tuple(c.subject for c in kind.conditions(example.watch, RULES, ms(example.at))) == example.subjects


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.KIND)
def test_every_kind_shows_when_it_is_told_and_when_not(kind: Kind) -> None:
    assert any(example.subjects for example in kind.EXAMPLES)
    assert any(not example.subjects for example in kind.EXAMPLES)


def test_every_kind_of_the_programme_has_its_file() -> None:
    assert set(KINDS) == set(TriggerKind)
    assert set(RULES.kinds) == set(TriggerKind)


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        pytest.param(kind, example, id=f"{kind.KIND}: {example.name}")
        for kind in KINDS.values()
        for example in kind.EXAMPLES
    ],
)
def test_what_time_alone_changes_it_changes_at_an_instant_that_is_known_before(
    kind: Kind, example: Example
) -> None:
    watch = example.watch
    for hour in range(ms(example.at), ms(example.at) + 60 * DAY_MS, 6 * HOUR_MS):
        watch.now_ms = hour
        known = [i for i in kind.instants(watch, RULES) if hour < i <= hour + 6 * HOUR_MS]
        now, then = (
            [c.subject for c in kind.conditions(watch, RULES, at_ms)] for at_ms in (hour, hour + 6 * HOUR_MS)
        )
        assert known or now == then


def test_the_holdout_of_the_specification() -> None:
    nudge = Experiment("nudge-2026q1", 1_000)

    assert bucket("nudge-2026q1", "m-12") == 1048
    assert sum(held_out(nudge, f"m-{n}") for n in range(100_000)) == 9_948


def test_variants_share_those_who_are_not_held_out_by_weight() -> None:
    tried = Experiment("shoes", 1_000, (Variant("plain", 1), Variant("bold", 3)))
    told = [variant(tried, f"m-{n}") for n in range(20_000) if not held_out(tried, f"m-{n}")]

    assert told.count("plain") / len(told) == pytest.approx(0.25, abs=0.01)
    assert set(told) == {"plain", "bold"}
    assert variant(None, "m-1") is None
    assert variant(Experiment("shoes", 0), "m-1") is None


@pytest.mark.parametrize(
    ("due", "zone", "until"),
    [
        ("2026-03-01T23:10:00+01:00", "Europe/Zurich", "2026-03-02T06:00:00+01:00"),
        ("2026-03-02T05:30:00+01:00", "Europe/Zurich", "2026-03-02T06:00:00+01:00"),
        ("2026-03-02T06:00:00+01:00", "Europe/Zurich", None),
        ("2026-03-01T21:59:59+01:00", "Europe/Zurich", None),
        ("2026-03-28T22:00:00+01:00", "Europe/Zurich", "2026-03-29T06:00:00+02:00"),
        ("2026-10-24T22:00:00+02:00", "Europe/Zurich", "2026-10-25T06:00:00+01:00"),
        ("2026-03-01T23:10:00+01:00", "America/Los_Angeles", None),
    ],
)
def test_quiet_hours_end_on_the_members_wall(due: str, zone: str, until: str | None) -> None:
    assert quiet_until_ms(NIGHT, ms(due), zone) == (None if until is None else ms(until))


def test_quiet_hours_that_end_in_the_hour_that_is_left_out_end_behind_it() -> None:
    siesta = Quiet(60, 150)

    assert quiet_until_ms(siesta, ms("2026-03-29T01:30:00+01:00"), "Europe/Zurich") == ms(
        "2026-03-29T03:30:00+02:00"
    )
    assert quiet_until_ms(None, 0, "Europe/Zurich") is None


@pytest.mark.parametrize(
    ("consent", "given"),
    [
        (Consent("marketing", 100, None), True),
        (Consent("marketing", 101, None), False),
        (Consent("marketing", 50, 100), False),
        (Consent("marketing", 50, 101), True),
        (Consent("marketing", 60, 50), True),
        (Consent("marketing", None, None), False),
        (Consent("analytics", 50, None), False),
        (Consent("marketing", 50, 50), False),
    ],
)
def test_consent_counts_as_of_now(consent: Consent, given: bool) -> None:
    assert consents(Watch("m", membership=asking("UTC", consent)), "marketing", 100) is given
    assert consents(Watch("m"), "marketing", 100) is False


def test_a_crossing_is_told_once_and_again_only_after_it_has_cleared() -> None:
    watch = watching(reached=Reached("Pacer", "c1", "Starter"))

    assert said(at(watch, "2026-03-01T10:00:00Z")) == ["TIER_REACHED"]
    assert said(at(watch, "2026-03-02T10:00:00Z")) == []
    watch.reached = Reached("Starter", "", "Pacer")
    assert said(at(watch, "2026-06-02T10:00:00Z")) == []
    watch.reached = Reached("Pacer", "c2", "Starter")
    (again,) = at(watch, "2026-07-02T10:00:00Z")
    assert again.trigger_id == f"m-1/TIER_REACHED/Pacer@{ms('2026-07-02T10:00:00Z')}"


def test_what_comes_and_goes_within_a_millisecond_crosses_each_time_under_its_own_id() -> None:
    """A merge is told of in several tier changes of one instant."""
    now = "2026-03-01T10:00:00Z"
    watch = watching()
    told: list[Told] = []
    for tier, change in (("Pacer", "c1"), ("Starter", ""), ("Pacer", "c2"), ("Starter", ""), ("Pacer", "c3")):
        watch.reached = Reached(tier, change, "Starter")
        told += at(watch, now)

    name = f"m-1/TIER_REACHED/Pacer@{ms(now)}"
    assert [one.trigger_id for one in told if isinstance(one, Trigger)] == [name, f"{name}.1", f"{name}.2"]
    assert [one.trigger_id for one in told if isinstance(one, SuppressedTrigger)] == [name, f"{name}.1"]
    assert at(watch, "2026-03-01T10:00:00.001Z") == []
    assert watch.flickers == {}


def test_what_is_not_true_any_more_before_it_expires_is_withdrawn() -> None:
    watch = watching(reached=Reached("Pacer", "c1", "Starter"))
    (sent,) = at(watch, "2026-03-01T10:00:00Z")
    watch.reached = Reached("Starter", "", "Pacer")

    (back,) = at(watch, "2026-03-02T10:00:00Z")

    assert isinstance(back, SuppressedTrigger)
    assert (back.trigger_id, back.reason) == (sent.trigger_id, Suppression.WITHDRAWN)
    assert back.expires_at_ms == sent.expires_at_ms == sent.recorded_at_ms + 72 * HOUR_MS


def test_due_at_23_10_redeemed_at_00_30_is_suppressed_at_06_00() -> None:
    watch = watching(lots={"order:O1": WatchedLot(80, ENDS)})
    assert said(at(watch, "2026-03-02T23:10:00+01:00")) == []
    assert next_instant_ms(watch, RULES) == ms("2026-03-03T06:00:00+01:00")

    watch.lots = {}
    assert said(at(watch, "2026-03-03T00:30:00+01:00")) == []
    assert said(at(watch, "2026-03-03T06:00:00+01:00")) == ["POINTS_EXPIRING NO_LONGER_TRUE"]


def test_what_is_held_and_still_true_is_sent_with_the_figures_of_then() -> None:
    watch = watching(lots={"order:O1": WatchedLot(80, ENDS)})
    at(watch, "2026-03-02T23:10:00+01:00")
    watch.lots["order:O1"] = WatchedLot(60, ENDS)

    (sent,) = at(watch, "2026-03-03T06:00:00+01:00")

    assert isinstance(sent, Trigger)
    assert dict(sent.figures)["points"] == 60
    assert (sent.crossed_at_ms, sent.recorded_at_ms) == (
        ms("2026-03-02T23:10:00+01:00"),
        ms("2026-03-03T06:00:00+01:00"),
    )


def test_consent_that_is_withdrawn_while_a_trigger_is_held_keeps_it_back() -> None:
    watch = watching(lots={"order:O1": WatchedLot(80, ENDS)})
    at(watch, "2026-03-02T23:10:00+01:00")
    watch.membership = asking("Europe/Zurich", Consent("marketing", 0, ms("2026-03-03T01:00:00+01:00")))

    assert said(at(watch, "2026-03-03T06:00:00+01:00")) == ["POINTS_EXPIRING NO_CONSENT"]


def test_the_gate_gives_its_first_reason() -> None:
    everybody = replace(RULES.kinds[TriggerKind.TIER_REACHED], experiment=Experiment("all", 10_000))
    held = replace(RULES, kinds={TriggerKind.TIER_REACHED: everybody}, caps=(Cap(1, 1),))
    watch = watching(reached=Reached("Pacer", "c1", "Starter"))
    watch.membership = asking("Europe/Zurich", Consent("marketing", None, None))
    assert said(at(watch, "2026-03-01T23:10:00Z", held)) == ["TIER_REACHED NO_CONSENT"]

    watch = watching(reached=Reached("Pacer", "c1", "Starter"))
    (out,) = at(watch, "2026-03-01T23:10:00Z", held)
    assert isinstance(out, SuppressedTrigger)
    assert (out.reason, out.variant, out.experiment) == (Suppression.HOLDOUT, None, "all")


def test_a_cap_counts_the_members_calendar_days() -> None:
    capped = replace(RULES, caps=(Cap(1, 1, channel="push"),), quiet=None)
    watch = watching(reached=Reached("Pacer", "c1", "Starter"))
    assert said(at(watch, "2026-03-01T23:59:00+01:00", capped)) == ["TIER_REACHED"]
    watch.lots = {"order:O1": WatchedLot(80, ENDS)}
    assert said(at(watch, "2026-03-01T23:59:30+01:00", capped)) == ["POINTS_EXPIRING FREQUENCY_CAP"]

    watch.lots = {"order:O2": WatchedLot(80, ENDS + 1)}
    assert said(at(watch, "2026-03-02T00:00:00+01:00", capped)) == ["POINTS_EXPIRING"]


@pytest.mark.parametrize(
    ("cap", "reasons"),
    [
        (Cap(1, 7, kind=TriggerKind.POINTS_EXPIRING), 1),
        (Cap(1, 7, kind=TriggerKind.BIRTHDAY), 0),
        (Cap(1, 7, channel="email"), 0),
        (Cap(2, 7), 0),
        (Cap(1, 7), 1),
    ],
)
def test_a_cap_is_of_a_kind_of_a_channel_or_of_all(cap: Cap, reasons: int) -> None:
    rules = replace(RULES, caps=(cap,))
    watch = watching(lots={"order:O1": WatchedLot(80, ENDS), "order:O2": WatchedLot(80, ENDS + 1)})

    told = at(watch, "2026-03-05T10:00:00Z", rules)

    assert sum(isinstance(one, SuppressedTrigger) for one in told) == reasons
    assert len(watch.sent) == 2 - reasons


@pytest.mark.parametrize("change", [{"merged_into": "m-2"}, {"erased_at_ms": 5}])
def test_who_is_another_now_or_erased_is_told_nothing(change: dict[str, Any]) -> None:
    watch = watching(reached=Reached("Pacer", "c1", "Starter"))
    watch.membership = asking()._replace(**change)
    assert said(at(watch, "2026-03-01T10:00:00Z")) == []
    assert next_instant_ms(watch, RULES) is None

    watch.membership = None
    assert said(at(watch, "2026-03-01T10:00:00Z")) == []


def test_what_holds_only_until_an_instant_is_not_true_from_then_on() -> None:
    near = next_tier_near.EXAMPLES[0].watch.progress
    assert near is not None
    leaves = near._replace(next_by_ms=ms("2026-03-05T10:00:00Z"))

    assert said(at(watching(progress=leaves), "2026-03-05T09:59:59Z")) == ["NEXT_TIER_NEAR"]
    assert said(at(watching(progress=leaves), "2026-03-05T10:00:00Z")) == []


def test_a_kind_that_the_programme_no_longer_has_is_forgotten() -> None:
    watch = watching(reached=Reached("Pacer", "c1", "Starter"))
    at(watch, "2026-03-01T10:00:00Z")

    assert said(at(watch, "2026-03-01T11:00:00Z", replace(RULES, kinds={}))) == []
    assert watch.crossings == {}


def test_time_alone_names_the_next_instant_at_which_something_may_be_told() -> None:
    watch = watching(orders={"O1": WatchedOrder(1, "e", ms("2026-02-01T10:00:00Z"), None, True, ())})

    assert next_instant_ms(watch, RULES) == ms("2026-07-31T10:00:00Z")
    watch.now_ms = ms("2026-07-31T10:00:00Z")
    assert next_instant_ms(watch, RULES) is None


def entry(reason: Reason, source: LedgerAccount, *inputs: tuple[str, int]) -> LedgerEntry:
    derivation = Derivation("merge" if reason is Reason.MERGE else "once", inputs, (), (), 0, 50, ())
    sides = (source, LedgerAccount.ACTIVE, reason, ms("2026-02-10T10:00:00Z"), 0, (), "r", "2026-1")
    return LedgerEntry("e", "t", "m-1", 1, "engagement:E1", 50, *sides, "Starter", "CH", 50, 0, derivation)


@pytest.mark.parametrize(
    ("seen", "programme", "ends"),
    [
        (entry(Reason.ACTIVITY, LedgerAccount.ISSUED), reference(), ms("2027-02-28T23:00:00Z")),
        (entry(Reason.AGENT, LedgerAccount.ADJUSTED), reference(), ms("2027-02-28T23:00:00Z")),
        (entry(Reason.ACTIVITY, LedgerAccount.ISSUED), reference(expiry=None), None),
        (entry(Reason.MERGE, LedgerAccount.TRANSFERRED, ("expires_at_ms", 7)), reference(), 7),
        (entry(Reason.MERGE, LedgerAccount.TRANSFERRED), reference(), None),
        (entry(Reason.REVERSAL, LedgerAccount.REDEEMED), reference(), None),
    ],
)
def test_a_lots_end_is_known_from_what_makes_it_active(
    seen: LedgerEntry, programme: Programme, ends: int | None
) -> None:
    watch = watching()

    watch.see_entry(seen, programme)

    assert watch.lots == {"engagement:E1": WatchedLot(50, ends)}


def bought(number: int, *categories: str, day: int = 0, stands: bool = True) -> WatchedOrder:
    lines = tuple(WatchedLine(str(n), f"{c}-{number}", c, 1) for n, c in enumerate(categories))
    return WatchedOrder(1, f"e{number}", day * DAY_MS, None, stands, lines)


@pytest.mark.parametrize(
    ("orders", "returned", "liked"),
    [
        ({}, {}, ()),
        ({"O1": bought(1, "road", "road", "trail")}, {}, ("road", "road-1")),
        ({"O1": bought(1, "road", "road", "trail")}, {"O1": "01"}, ("trail", "trail-1")),
        ({"O1": bought(1, "road")}, {"O1": "0"}, ()),
        ({"O1": bought(1, "road", stands=False)}, {}, ()),
        ({"O1": bought(1, "road"), "O2": bought(2, "trail", day=1)}, {}, ("trail", "trail-2")),
        ({"O1": bought(1, "road", day=1), "O2": bought(2, "trail")}, {}, ("road", "road-1")),
        ({"O1": bought(1, "trail", "road")}, {}, ("road", "road-1")),
        ({"O1": bought(1, "road", day=1), "O2": bought(2, "road")}, {}, ("road", "road-1")),
    ],
)
def test_the_favourite_is_what_was_kept_most_then_last_then_first_by_name(
    orders: dict[str, WatchedOrder], returned: dict[str, str], liked: tuple[str, ...]
) -> None:
    returns = {
        name: WatchedReturn(name, 1, True, tuple((line, 1) for line in lines))
        for name, lines in returned.items()
    }

    told = dict(favourite(watching(orders=orders, returns=returns)))

    assert tuple(told.values()) == liked
    assert told == dict(favourite(watching(orders=dict(reversed(orders.items())), returns=returns)))


def test_a_return_that_was_rejected_takes_no_favourite_away() -> None:
    rejected = {"R1": WatchedReturn("O1", 2, False, (("0", 1),))}

    assert favourite(watching(orders={"O1": bought(1, "road")}, returns=rejected))
