"""Who counts, under which arm, and with which orders; and a simulation in which those who were told buy more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipelines.audit.books import Books
from pipelines.audit.rules import enter_rules
from pipelines.domain.facts import Consent, Fact, Order, OrderStatus, Tick
from pipelines.domain.triggers.announcing import Told, Trigger
from pipelines.experiments.comparison import Comparison, Verdict, compare
from pipelines.experiments.outcomes import Experiment, experiments
from pipelines.experiments.words import sentences
from pipelines.feeds import simulate
from pipelines.feeds.arrivals import Shares
from pipelines.programme_file import ALONG, load_programme
from tests.audit.entries import enter_facts, enter_told
from tests.support.facts import DAY_MS, HOUR_MS, line, member, ms, order, refund, tick
from tests.support.told import tell

ORDERED = ms("2025-06-01T10:00:00Z")
CROSSED = ORDERED + 180 * DAY_MS
END = tick(CROSSED + 40 * DAY_MS)
HELD, PLAIN, SHOE = "m-49", "m-12", "m-1"
"""By the hash of `nudge-2026q1` 423, 1048 and 6626: below 1000 are held out, below 5500 are told plainly."""


def of(member_id: str, *facts: Any) -> list[Any]:
    """The same facts, another member's."""
    return [f._replace(member_id=member_id, event_id=f"{f.event_id}-{member_id}") for f in facts]


def life(member_id: str, *facts: Any) -> list[Any]:
    return of(member_id, member("2025-05-01T00:00:00Z"), order("O1", ORDERED), *facts)


def found(*facts: Any, days: int = 30, end: Tick = END) -> Experiment:
    """The reference programme's experiment after these facts."""
    arriving = sorted(facts, key=lambda fact: fact.recorded_at_ms)
    with Books() as books:
        enter_rules(books, Path("reference"))
        enter_facts(books, [*arriving, end])
        enter_told(books, tell([*arriving, end], load_programme(Path("reference")))[1])
        (experiment,) = experiments(books, days)
        return experiment


def did(experiment: Experiment) -> dict[str, tuple[list[float], list[float]]]:
    """Orders and net spend of each arm's members."""
    arms = (experiment.holdout, *experiment.variants)
    return {arm.name: (arm.orders.tolist(), arm.net.tolist()) for arm in arms if arm.members}


def test_everybody_counts_under_the_arm_of_their_hash() -> None:
    experiment = found(*life(HELD), *life(PLAIN), *life(SHOE))

    assert did(experiment) == {name: ([0], [0]) for name in ("holdout", "plain", "shoe")}
    assert (experiment.name, experiment.kinds) == ("nudge-2026q1", ("WIN_BACK_DUE",))
    assert [arm.sent for arm in (experiment.holdout, *experiment.variants)] == [0, 1, 1]
    assert [arm.weight for arm in (experiment.holdout, *experiment.variants)] == [0.1, 0.45, 0.45]


@pytest.mark.parametrize(
    ("placed", "counts"),
    [(CROSSED + 1, True), (CROSSED + 30 * DAY_MS, True), (CROSSED + 30 * DAY_MS + 1, False)],
)
@pytest.mark.parametrize("member_id", [HELD, PLAIN])
def test_orders_count_within_so_many_days_of_the_crossing(member_id: str, placed: int, counts: bool) -> None:
    ((orders, net),) = did(found(*life(member_id, order("O2", placed)))).values()

    assert (orders, net) == ([int(counts)], [100.0 * counts])


def test_net_spend_is_after_discounts_points_refunds_and_in_what_earns_a_point() -> None:
    after = CROSSED + DAY_MS
    facts = [
        order(
            "O2",
            after,
            line("A", 120_00, discount_minor=20_00),
            order_discount_minor=10_00,
            paid_with_points_minor=5_00,
        ),
        refund("R1", "O2", after + DAY_MS, ("A", 1, 25_00)),
        order("O3", after, line("A", 15_000), currency="JPY", market="JP"),
        order("O4", after, line("A", 70_00)),
        order("O4", after, version=2, status=OrderStatus.CANCELLED, cancelled_at_ms=after + HOUR_MS),
        order("O5", after, line("A", 30_00)),
        order("O5", after, line("A", 33_00), version=2, recorded=after + HOUR_MS),
    ]  # fmt: skip

    assert did(found(*life(PLAIN, *facts))) == {"plain": ([3], [60.0 + 100.0 + 33.0])}


def test_who_was_kept_from_the_message_counts_as_well() -> None:
    """The same night: the order of 23:30 makes it NO_LONGER_TRUE at 06:00, and counts from 23:10 on."""
    late = ms("2025-06-01T23:10:00+02:00")
    night = [
        member("2025-05-01T00:00:00Z"),
        order("O1", late),
        order("O2", late + 180 * DAY_MS + 20 * 60_000),
    ]
    held, told = (found(*of(name, *night)) for name in (HELD, SHOE))

    assert did(held) == {"holdout": ([1], [100.0])}
    assert did(told) == {"shoe": ([1], [100.0])}
    assert told.variants[1].sent == 0


def test_who_had_not_agreed_counts_in_no_arm() -> None:
    silent = member("2025-05-01T00:00:00Z", consents=())
    withdrawn = member("2025-05-01T00:00:00Z", consents=(Consent("marketing", 0, CROSSED),))

    for one in (silent, withdrawn):
        assert did(found(*of(PLAIN, one, order("O1", ORDERED)))) == {}
        assert did(found(*of(HELD, one, order("O1", ORDERED)))) == {}


def test_consent_withdrawn_over_night_counts_under_the_arm() -> None:
    late = ms("2025-06-01T23:10:00+02:00")
    crossed = late + 180 * DAY_MS
    asked = [
        member("2025-05-01T00:00:00Z"),
        order("O1", late),
        member("2025-05-01T00:00:00Z", 2, crossed + HOUR_MS, consents=(Consent("marketing", 0, crossed + HOUR_MS),)),
    ]  # fmt: skip

    assert did(found(*of(HELD, *asked))) == {"holdout": ([0], [0])}
    assert did(found(*of(PLAIN, *asked))) == {"plain": ([0], [0])}


def test_who_crossed_too_lately_waits() -> None:
    experiment = found(*life(PLAIN), end=tick(CROSSED + 30 * DAY_MS - 1))

    assert (did(experiment), experiment.too_new) == ({}, 1)
    assert did(found(*life(PLAIN), end=tick(CROSSED + 30 * DAY_MS))) != {}


def test_a_member_counts_once_from_the_first_crossing() -> None:
    again = order("O2", CROSSED + DAY_MS)
    end = tick(CROSSED + 300 * DAY_MS)

    assert did(found(*life(PLAIN, again), end=end)) == {"plain": ([1], [100.0])}


def news(path: Path) -> Path:
    """Every second member is held out of the news that points are active."""
    kind = "POINTS_ACTIVATED: {purpose: marketing, channel: push, lives_hours: 48"
    text = (ALONG / "reference.yaml").read_text()
    text = text.replace(kind, f"{kind}, experiment: {{name: news, holdout_bp: 5000}}")
    programme = path / "programme.yaml"
    programme.write_text(text)
    return programme


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Fact | Tick], list[Told]]:
    """Three hundred members' year in which nobody cares what they are told."""
    programme = news(tmp_path_factory.mktemp("programme"))
    start = ms("2025-01-01T00:00:00Z")
    arrivals = simulate.facts(4, 300, 365, start, Shares())
    facts: list[Fact | Tick] = [*(a.fact for a in arrivals), tick(start + 450 * DAY_MS)]
    return programme, facts, tell(facts, load_programme(programme))[1]


def compared(programme: Path, facts: list[Fact | Tick], told: list[Told]) -> tuple[Experiment, Comparison]:
    with Books() as books:
        enter_rules(books, programme)
        enter_facts(books, facts)
        enter_told(books, told)
        experiment = next(one for one in experiments(books, 30) if one.name == "news")
    return experiment, compare(experiment.holdout, experiment.variants, 0.02)


def bought_by_who_was_told(told: list[Told], facts: list[Fact | Tick]) -> Iterator[Order]:
    """Half of those who were sent it order within thirty days of it who else would not have."""
    pattern = next(fact for fact in facts if isinstance(fact, Order))
    chance = Random(1)
    sent = [one for one in told if isinstance(one, Trigger) and one.experiment == "news"]
    reached = {one.member_id: one.recorded_at_ms for one in reversed(sent)}
    for number, (member_id, at_ms) in enumerate(sorted(reached.items())):
        if chance.random() < 0.5:
            placed = at_ms + chance.randrange(25 * DAY_MS)
            yield pattern._replace(
                event_id=f"planted-{number}", member_id=member_id, order_id=f"planted-{number}",
                occurred_at_ms=placed, recorded_at_ms=placed, placed_at_ms=placed, paid_at_ms=placed,
            )  # fmt: skip


def test_where_nothing_was_done_nothing_is_seen(
    simulated: tuple[Path, list[Fact | Tick], list[Told]],
) -> None:
    experiment, comparison = compared(*simulated)

    assert min(arm.members for arm in comparison.arms) > 40
    assert {one.verdict for one in comparison.uplifts} == {Verdict.NOT_SEEN}
    assert not comparison.mismatched
    assert any("no difference is seen" in said for said in sentences(experiment, comparison, 0.02))


def test_a_planted_effect_is_found(simulated: tuple[Path, list[Fact | Tick], list[Told]]) -> None:
    programme, facts, told = simulated
    planted = [*facts, *bought_by_who_was_told(told, facts)]

    experiment, comparison = compared(programme, planted, told)

    found = {one.metric: one.verdict for one in comparison.uplifts}
    assert found["ordered"] is Verdict.MORE
    assert found["orders"] is Verdict.MORE
    assert any("telling brought more" in said for said in sentences(experiment, comparison, 0.02))


def test_an_arm_from_which_members_are_missing_is_a_mismatch(
    simulated: tuple[Path, list[Fact | Tick], list[Told]],
) -> None:
    programme, facts, told = simulated
    lost = [one for one in told if one.experiment != "news" or not isinstance(one, Trigger)]

    experiment, comparison = compared(programme, facts, lost)

    assert comparison.mismatched
    assert next(sentences(experiment, comparison, 0.02)).startswith("Do not trust these figures")
