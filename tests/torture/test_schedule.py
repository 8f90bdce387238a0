"""The schedule is the seed's, and leaves no fault out."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from pipelines.failure import Failure
from pipelines.torture.fault import Fault
from pipelines.torture.faults import ALL, chosen, possible
from pipelines.torture.page import BEGIN, END, write_page
from pipelines.torture.schedule import Step, schedule


def first(seed: int, count: int, faults: tuple[Fault, ...] = ALL) -> list[Step]:
    return list(islice(schedule(seed, faults), count))


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    assert first(5, 200) == first(5, 200)
    assert first(5, 20) != first(6, 20)


def test_every_fault_comes_before_any_comes_more_often_than_its_weight() -> None:
    deck = sum(fault.weight for fault in ALL)
    struck = [fault.name for step in first(1, deck) for fault in step.faults][:deck]

    assert {name: struck.count(name) for name in set(struck)} == {fault.name: fault.weight for fault in ALL}


def test_every_fault_has_come_once_before_any_comes_again() -> None:
    for seed in range(20):
        struck = [fault.name for step in first(seed, len(ALL)) for fault in step.faults][: len(ALL) + 1]
        assert set(struck) == {fault.name for fault in ALL}


def test_some_faults_fall_on_top_of_each_other_but_never_on_one_that_must_be_alone() -> None:
    pairs = [step.faults for step in first(2, 500) if len(step.faults) > 1]

    assert len(pairs) > 30
    assert not [pair for pair in pairs if any(fault.alone for fault in pair) or len(set(pair)) == 1]


def test_every_name_is_one_faults_own_and_every_number_a_row_of_the_matrix() -> None:
    assert len({fault.name for fault in ALL}) == len(ALL)
    assert all(fault.number in {f"F{n}" for n in range(1, 46)} for fault in ALL)


def test_faults_are_chosen_by_number_or_name_and_an_unknown_one_is_refused() -> None:
    assert {fault.name for fault in chosen(["F10", "kill"])} >= {"kill", "broker-killed"}
    assert chosen([]) == ALL
    with pytest.raises(Failure, match="there is no fault F99"):
        chosen(["F6", "F99"])


def test_what_this_machine_does_not_let_be_struck_is_left_out_by_name_and_nothing_at_all_is_refused() -> None:
    here, nowhere = ALL[0], replace(ALL[1], possible=lambda: False)

    assert possible([here, nowhere]) == ((here,), (nowhere.name,))
    with pytest.raises(Failure, match=nowhere.name):
        possible([nowhere])


DOCUMENT = {
    "struck": [
        {"faults": ["F1", "F6"], "names": ["kill", "pause"], "recovered_s": 2.0, "outcome": "recovered"},
        {"faults": ["F1"], "names": ["kill"], "recovered_s": None, "outcome": "not recovered: x"},
    ],
    "faults": 3,
    "figures": {
        "facts acknowledged": 1000,
        "of these bad on purpose": 7,
        "records aborted": 5,
        "worker exits": 2,
    },
    "exits_by_code": {"-9": 2},
    "verdicts": [{"oracle": "O2", "check": "ids", "promise": "Once.", "looked_at": 9, "wrong": 0}],
    "clean": False,
    "findings": ["fault 2, kill: not recovered: x"],
}


def test_the_page_says_what_the_run_says_between_its_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n")

    write_page(page, DOCUMENT, "loyalty torture --seed 1")

    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n`loyalty torture --seed 1`: 3 faults in 2 steps")
    assert "| F1 | kill | 2 | 1 | 2.0 | 2.0 |" in text
    assert "| O2 | ids | Once. | 9 | 0 |" in text
    assert "but not all was as required" in text and "- fault 2, kill: not recovered: x" in text
    assert "old" not in text
    assert text.endswith(f"{END}\nbehind\n")


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")

    with pytest.raises(Failure, match="no marks"):
        write_page(page, DOCUMENT, "x")
