"""The statistics by themselves: textbook numbers, no effect where there is none, an effect where there is one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipelines.experiments.comparison import (
    Arm,
    Comparison,
    Uplift,
    Verdict,
    compare,
    members_needed,
    seen_from,
    share_interval,
    share_p,
    sizes_p,
)

HOLDOUT_SHARE = 0.1
SEEDS = 400


def test_newcombes_own_example() -> None:
    """Newcombe 1998, table II (a): 56 of 70 less 48 of 80, method 10."""
    low, high = share_interval(56, 70, 48, 80, 0.95)

    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(
    ("told", "of_told", "held", "of_held", "p"),
    [
        (56, 70, 48, 80, 0.0080),
        (3, 4, 1, 4, 0.4857),  # Fisher's lady, who tastes tea: exact, for few are expected
        (0, 50, 0, 50, 1.0),
        (50, 50, 50, 50, 1.0),
        (0, 0, 1, 50, None),
    ],
)
def test_the_chance_of_two_shares(told: int, of_told: int, held: int, of_held: int, p: float | None) -> None:
    found = share_p(told, of_told, held, of_held)

    assert found == (None if p is None else pytest.approx(p, abs=0.0001))


def test_how_many_members_it_takes() -> None:
    """5 % against 7 %, two arms alike: 2,213 in each, by Fleiss without correction."""
    assert members_needed(0.05, 0.02, 0.5, 0.5, 1) == 4_425
    assert members_needed(0.05, 0.02, 0.1, 0.9, 1) > 2 * 4_425  # type: ignore[operator]
    assert members_needed(0.05, 0.02, 0.5, 0.5, 2) > 4_425  # type: ignore[operator]


@pytest.mark.parametrize(
    "given", [(0.0, 0.02, 0.5, 0.5, 1), (0.99, 0.02, 0.5, 0.5, 1), (0.05, 0.02, 0, 1, 1)]
)
def test_how_many_members_cannot_be_said(given: tuple[float, float, float, float, int]) -> None:
    assert members_needed(*given) is None


def test_the_least_uplift_that_is_seen_is_the_one_that_so_many_are_needed_for() -> None:
    least = seen_from(0.05, 1_000, 9_000, 2)

    assert least is not None
    assert members_needed(0.05, least, 0.1, 0.9, 2) == pytest.approx(10_000, abs=1)
    assert seen_from(0.05, 0, 10, 1) is None
    assert seen_from(0.0, 10, 10, 1) is None
    assert seen_from(0.9, 3, 3, 1) is None


def test_the_specifications_holdout_is_no_mismatch_and_a_lost_thousand_is() -> None:
    """9,948 of 100,000 at a tenth."""
    assert sizes_p({"holdout": (9_948, 0.1), "told": (90_052, 0.9)}) == pytest.approx(0.5836, abs=0.0001)
    lost = sizes_p({"holdout": (9_948, 0.1), "told": (85_052, 0.9)})
    assert lost is not None and lost < 0.001
    assert sizes_p({"holdout": (0, 0.1), "told": (0, 0.9)}) is None
    assert sizes_p({"holdout": (0, 0.0), "told": (10, 1.0)}) is None


def drawn(rnd: np.random.Generator, name: str, weight: float, members: int, rate: float = 0.12) -> Arm:
    """Members who order by chance, mostly not at all, and spend by a long tail."""
    orders = rnd.poisson(rate, members).astype(float)
    return Arm(name, weight, orders, orders * rnd.lognormal(4.5, 0.8, members))


def experiment(seed: int, effect: float = 0.0, members: int = 4_000) -> Comparison:
    """A tenth held out, two wordings; `effect` on the second only."""
    rnd = np.random.default_rng(seed)
    sizes = rnd.multinomial(members, [0.1, 0.45, 0.45])
    rates = 0.12, 0.12, 0.12 + effect
    names = zip(("holdout", "plain", "shoe"), (0.1, 0.45, 0.45), sizes, rates, strict=True)
    holdout, *variants = (drawn(rnd, *each) for each in names)
    return compare(holdout, variants, 0.02)


def test_an_a_a_test_shows_a_difference_as_rarely_as_it_says() -> None:
    """Five in a hundred experiments with no effect show one in some variant; four standard errors are allowed."""
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        found = {one.metric for one in experiment(seed).uplifts if one.verdict is not Verdict.NOT_SEEN}
        seen.update(found)

    for metric in ("ordered", "orders", "net_spend"):
        assert 0.01 < seen[metric] / SEEDS < 0.05 + 4 * (0.05 * 0.95 / SEEDS) ** 0.5, seen


def test_the_chances_of_an_a_a_test_are_spread_evenly() -> None:
    """One variant, so that nothing is multiplied: a tenth of all p lie below 0.1, and a half below 0.5."""
    ps = []
    for seed in range(SEEDS):
        rnd = np.random.default_rng(seed)
        (one, *_) = compare(drawn(rnd, "holdout", 0.5, 2_000), [drawn(rnd, "told", 0.5, 2_000)], 0.02).uplifts
        assert one.p is not None
        ps.append(one.p)

    for share in (0.1, 0.5):
        below = sum(p < share for p in ps) / SEEDS
        assert below == pytest.approx(share, abs=4 * (share * (1 - share) / SEEDS) ** 0.5)


def test_a_planted_effect_is_found_where_it_is_and_only_there() -> None:
    found = {(one.variant, one.metric): one for one in experiment(1, effect=0.12).uplifts}

    assert found["shoe", "ordered"].verdict is Verdict.MORE
    assert found["shoe", "orders"].verdict is Verdict.MORE
    assert found["shoe", "net_spend"].verdict is Verdict.MORE
    assert {found["plain", metric].verdict for metric in ("ordered", "orders", "net_spend")} == {
        Verdict.NOT_SEEN
    }
    shoe = found["shoe", "orders"]
    assert shoe.low is not None and shoe.high is not None
    assert shoe.low < 0.12 < shoe.high


def test_an_effect_that_the_sample_size_promises_is_seen_in_four_of_five_experiments() -> None:
    share = 1 - np.exp(-0.12)
    needed = members_needed(share, 0.05, 0.1, 0.45, 2)
    assert needed is not None
    rate = -np.log(1 - share - 0.05)

    seen = sum(
        any(one.metric == "ordered" and one.variant == "shoe" and one.verdict is Verdict.MORE for one in found.uplifts)
        for found in (experiment(seed, rate - 0.12, needed) for seed in range(SEEDS))
    )  # fmt: skip

    assert 0.72 < seen / SEEDS < 0.9


def test_less_is_said_as_plainly_as_more() -> None:
    assert Uplift("plain", "orders", 2.0, 1.0, -1.5, -0.5, 0.001).verdict is Verdict.LESS


def test_too_few_members_say_nothing() -> None:
    nobody, one = np.array([]), np.array([1.0])

    found = compare(Arm("holdout", 0.1, nobody, nobody), [Arm("told", 0.9, one, one)], 0.02)

    assert [(u.low, u.high, u.p) for u in found.uplifts] == [(None, None, None)] * 3
    assert (found.seen_from, found.needed) == (None, None)


def test_members_who_all_did_nothing_say_nothing_of_means() -> None:
    nothing = np.zeros(50)

    found = compare(Arm("holdout", 0.5, nothing, nothing), [Arm("told", 0.5, nothing, nothing)], 0.02)

    assert [u.verdict for u in found.uplifts] == [Verdict.NOT_SEEN] * 3
    assert found.uplifts[0].p == 1.0
    assert found.uplifts[1].p is None
