"""The model of capacity: its sums by hand, and how its answers move with what is asked."""

from __future__ import annotations

import pytest

from pipelines.operations.capacity import YEAR_S, Demand, Figures, capacity, shown

FIGURES = Figures(
    facts=1_000_000,
    members=100_000,
    days=73,
    cpu_s_per_million_facts=250,
    state_bytes=100_000_000,
    restored_records_per_s=50_000,
    changelog_records=4_000_000,
    live_records=500_000,
    rss_mb=300,
    broker_bytes={"orders": 200_000_000, "ledger": 300_000_000, "changelog": 500_000_000},
)


def demand(**given: float) -> Demand:
    return Demand.model_validate(
        {"members": 1_000_000, "facts_per_member_year": 31.536, "years": 2, "restore_s_max": 600} | given
    )


def test_figures_say_what_a_member_does_and_what_a_fact_leaves() -> None:
    assert FIGURES.facts_per_member_year == 50
    assert FIGURES.state_bytes_per_fact == 100
    assert FIGURES.live_records_per_fact == 0.5


def test_the_sums_of_a_million_members_by_hand() -> None:
    answer = capacity(demand(peak=3_992), FIGURES)

    assert answer["facts/s, mean"] == pytest.approx(1)
    assert answer["facts/s, peak"] == pytest.approx(3_992)
    assert answer["workers for the peak"] == 2, "4,000 a core, half of each used; 8 ticks a second"
    known = 2 * YEAR_S
    assert answer["workers for a restore"] == 2, (
        f"{known // 2:,} records at 50,000/s are 631 s, 600 are given"
    )
    assert answer["workers"] == 2
    assert answer["partitions"] == 8
    assert answer["state"] == pytest.approx(known * 100)
    assert answer["restore of a worker"] == pytest.approx(known * 0.5 / 2 / 50_000)
    assert answer["disk of the brokers"] == pytest.approx((known * 500 + known * 100) * 3)
    assert answer["written to the brokers, peak"] == pytest.approx(3_992 * 1_000 * 3)


def test_a_tick_for_each_partition_is_work_too() -> None:
    assert capacity(demand(peak=3_993), FIGURES)["workers"] == 3, "the ninth record is one too many for two"


@pytest.mark.parametrize("name", ["facts/s, peak", "state", "disk of the brokers"])
def test_ten_times_the_members_need_ten_times_as_much(name: str) -> None:
    one, ten = capacity(demand(), FIGURES), capacity(demand(members=10_000_000), FIGURES)

    assert ten[name] == pytest.approx(10 * one[name])


def test_facts_kept_for_a_while_take_no_more_than_that_while() -> None:
    kept, gone = capacity(demand(), FIGURES), capacity(demand(facts_kept_days=0), FIGURES)

    assert gone["disk of the brokers"] == pytest.approx(3 * gone["state"])
    assert kept["disk of the brokers"] > gone["disk of the brokers"]


def test_one_member_still_needs_a_worker() -> None:
    answer = capacity(demand(members=1), FIGURES)

    assert (answer["workers"], answer["partitions"]) == (1, 4)


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (1_234_567, "bytes", "1.23 MB"),
        (2e15, "bytes", "2e+03 TB"),
        (999, "bytes/s", "999 B/s"),
        (90, "seconds", "90.0 s"),
        (600, "seconds", "10.0 min"),
        (0.26, "facts/s", "0.3"),
        (3, "cores", "3"),
        (12_345.6, "facts/s", "12,346"),
    ],
)
def test_a_figure_is_shown_with_what_counts(value: float, unit: str, told: str) -> None:
    assert shown(value, unit) == told
