"""The comparison with peers: its work is what it says, and its page says what was measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import pytest

from benchmarks.peers import latency as latencies
from benchmarks.peers.answers import Answer, digest, refuse_different
from benchmarks.peers.crash import Killed
from benchmarks.peers.page import page
from benchmarks.peers.workload import Workload, facts
from pipelines.domain.facts import Engagement, Member, Order, Return
from pipelines.failure import Failure
from pipelines.feeds.arrivals import Arrival
from pipelines.feeds.producer import checked

WORK = Workload(facts=20_000, members=5_000, seed=7)


def test_a_seed_decides_every_fact():
    assert list(facts(WORK)) == list(facts(WORK))
    assert list(facts(WORK)) != list(facts(Workload(facts=20_000, members=5_000, seed=8)))


def test_the_border_takes_every_fact():
    told = [Arrival(fact.recorded_at_ms, fact) for fact in facts(WORK)]

    assert list(checked(told)) == told


def test_orders_returns_and_engagements_have_their_shares():
    kinds = Counter(type(fact) for fact in facts(WORK))

    assert kinds[Order] + kinds[Return] + kinds[Engagement] == 20_000
    assert kinds[Order] / 20_000 == pytest.approx(0.45, abs=0.015)
    assert kinds[Return] / 20_000 == pytest.approx(0.07, abs=0.01)


def test_late_and_repeated_facts_have_their_shares():
    measured = [fact for fact in facts(WORK) if not isinstance(fact, Member)]
    repeated = len(measured) - len({fact.event_id for fact in measured})
    runs = [fact for fact in measured if isinstance(fact, Engagement)]
    late = sum(fact.recorded_at_ms > fact.occurred_at_ms for fact in runs)

    assert repeated / 20_000 == pytest.approx(0.01, abs=0.003)
    assert late / len(runs) == pytest.approx(0.02, abs=0.006)


def test_a_skew_of_a_half_gives_the_first_tenth_of_members_a_third_of_the_facts():
    """The share of the first part p of all ranks is p^(1 - skew): the root of 0.1 is 0.316."""
    measured = [fact for fact in facts(WORK) if not isinstance(fact, Member | Return)]
    of_first = sum(int(fact.member_id.removeprefix("m-")) < 500 for fact in measured)

    assert of_first / len(measured) == pytest.approx(0.316, abs=0.02)


def test_an_order_comes_back_only_after_so_many_others():
    placed: dict[str, int] = {}
    for fact in facts(Workload(facts=5_000, members=500, resting=200)):
        if isinstance(fact, Order):
            placed.setdefault(fact.order_id, len(placed))
        if isinstance(fact, Return):
            assert len(placed) - placed[fact.order_id] > 200


@pytest.mark.parametrize("top", [50.0, 5_000.0])
def test_facts_for_all_shares_of_a_rate_leave_some_to_be_done_before(top):
    timed = sum(int(share * top * latencies.SECONDS) for share in latencies.SHARES)

    assert latencies.paced(WORK, top).facts - timed == latencies.before_the_first(top) >= 4_000


def test_every_member_is_enrolled_before_the_first_fact_and_every_return_has_its_order():
    known, ordered = set(), set()
    for fact in facts(WORK):
        if isinstance(fact, Member):
            known.add(fact.member_id)
        assert fact.member_id in known
        if isinstance(fact, Order):
            ordered.add((fact.member_id, fact.order_id))
        if isinstance(fact, Return):
            assert (fact.member_id, fact.order_id) in ordered


def run(engine: str, rate: float) -> dict[str, object]:
    return {
        "engine": engine, "facts_per_second": rate, "cpu_seconds_per_million": 250.0,
        "broker_cpu_seconds_per_million": None, "rss_mb": 180.0,
        "load_average": 1.5, "state_bytes_per_fact": 300.0, "changelog_bytes_per_fact": 90.0,
        "changelog_records_per_fact": 1.25, "balances": "12:ab", "entries": "34:cd",
    }  # fmt: skip


def latency(engine: str, share: float, p99_ms: float) -> dict[str, object]:
    return {
        "engine": engine, "share": share, "offered_per_second": 400.0, "p50_ms": 301.0, "p99_ms": p99_ms,
        "max_ms": 800.0, "samples": 3_000, "behind_s": 0.4, "load_average": 2.5,
    }  # fmt: skip


UNMEASURED: dict[str, object] = {"p50_ms": None, "p99_ms": None, "max_ms": None}
REPORT = {
    "work": asdict(Workload(facts=1_000, members=50)),
    "facts_with_members": 1_040, "rounds": 3, "commit_interval_ms": 500, "partitions": 8, "cores": 2, "heap_mb": 512,
    "versions": {"Kafka Streams": "4"}, "command": "make bench-peers",
    "runs": [
        *(run("loyalty", rate) for rate in (3_000, 5_000, 4_000)),
        run("kafka-streams", 8_000), run("plain-quix", 2_000), run("floor", 16_000),
    ],
    "latency": [
        latency("loyalty", 0.5, 600.0), latency("loyalty", 0.9, 900.0), latency("kafka-streams", 0.5, 800.0),
        latency("kafka-streams", 0.9, 0.0) | UNMEASURED | {"samples": 7},
        latency("faust", 0.9, 0.0) | UNMEASURED | {"samples": 0, "behind_s": None},
    ],
    "killed": [asdict(Killed("loyalty", True, 90, 90, 70, 70)), asdict(Killed("faust", False, 90, 90, 68, 70))],
}  # fmt: skip


SCALE = {
    "workers": [{"workers": 1, "cpu_us_per_fact": 200.0}, {"workers": 2, "cpu_us_per_fact": 250.0}],
    "members": [{"members": 1_000, "records": 12_000, "restored_records_per_s": 120_000}],
    "accounts": [{"years": 1, "account_median": 640}],
}
PROFILE = {
    "facts": 1_000, "members": 50, "facts_per_second": 4_000.4, "cpu_seconds_per_million": 250.4,
    "shares": {"poll": 0.1, "rules": 0.55, "engine": 0.35},
}  # fmt: skip


def test_the_page_has_medians_with_their_spread_and_ratios_of_medians():
    written = page(REPORT, SCALE, PROFILE)

    assert "| Loyalty Streams, all rules | 4,000 (3,000–5,000) | 1.00 |" in written
    assert "| the floor: decode, encode, no rules | 16,000 (16,000–16,000) | 0.25 |" in written
    assert "1.25 (1.25–1.25)" in written
    assert "of 12 members (digest `ab`), in 34 compared entries" in written
    assert "(1 minute) when the runs ended: 1.5 to 2.5" in written


def test_a_rate_that_could_not_be_offered_has_no_latency_and_no_goal():
    written = page(REPORT, SCALE, PROFILE)

    assert "| 90% | 400 | – | – | – | 7 | 0.40 |" in written
    assert "| 90% | 400 | – | – | – | 0 | ended |" in written
    assert "at 90% of each one's rate" not in written


def test_the_page_says_who_is_wrong_after_a_kill():
    written = page(REPORT, SCALE, PROFILE)

    assert "| Loyalty Streams, all rules | yes | 90 of 90 | 70 | 70 |" in written
    assert "| Faust, the rules of this work | **no** | 90 of 90 | 68 | 70 |" in written


def test_the_page_says_of_each_goal_whether_it_is_met():
    written = page(REPORT, SCALE, PROFILE)

    assert "| facts/s ≥ 1.0 × Kafka Streams | 0.50 × | **no** |" in written
    assert "| facts/s ≥ 2.0 × plain Quix Streams | 2.00 × | yes |" in written
    assert "| p99 latency ≤ 1.0 × Kafka Streams, at 50% of each one's rate | 0.75 × | yes |" in written
    assert "the broker is on the same cores | 1.60 × | **no** |" in written
    assert "| restore ≥ 100,000 records of state/s | 120,000 records/s | yes |" in written
    assert "with the 12.0 records kept of each | 10,000 accounts/s | **no** |" in written
    assert "of members of 1 year | 640 bytes | yes |" in written
    assert "Faust |" not in written.split("## Rates")[0]


def test_the_page_says_where_the_time_goes_the_most_first():
    assert "| rules | 55.0% |\n| engine | 35.0% |\n| poll | 10.0% |" in page(REPORT, SCALE, PROFILE)


def test_a_digest_is_the_same_in_any_order_and_another_for_another_point():
    assert digest(["m-1 137", "m-2 50"]) == digest(["m-2 50", "m-1 137"])
    assert digest(["m-1 137", "m-2 50"]) != digest(["m-1 136", "m-2 50"])


OURS = ("loyalty", Answer("2:a", "3:b"))


def test_engines_that_say_the_same_are_compared_whatever_the_floor_says():
    refuse_different([OURS, ("plain-quix", Answer("2:a", "3:b")), ("floor", Answer("", ""))])


@pytest.mark.parametrize("answer", [Answer("2:x", "3:b"), Answer("2:a", "3:x")])
def test_an_engine_that_says_something_else_leaves_no_result(answer):
    with pytest.raises(Failure, match="do not say the same"):
        refuse_different([OURS, ("plain-quix", answer)])


def test_engines_that_say_nothing_leave_no_result():
    nothing = Answer(digest([]), digest([]))

    with pytest.raises(Failure, match="do not say the same"):
        refuse_different([("loyalty", nothing), ("plain-quix", nothing)])
