"""Which fault comes when: drawn from a seed alone, so that the same seed is the same schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from pipelines.torture.fault import Fault

TOGETHER: Final = 0.2
"""The share of steps in which a second fault falls on top of the first."""
GAP_S: Final = (0.5, 2.0)


class Step(NamedTuple):
    """Faults struck together, after a wait, for how long; `seed` decides all that is left to chance in them."""

    number: int
    faults: tuple[Fault, ...]
    wait_s: float
    lasts_s: float
    seed: str


def schedule(seed: int, faults: Sequence[Fault], together: float = TOGETHER) -> Iterator[Step]:
    """Steps without end: every fault once, then again as often as its weight has it, and so on."""
    rnd = Random(f"{seed}:schedule")
    drawn = _decks(faults, rnd)
    number = 0
    while True:
        first = next(drawn)
        struck: tuple[Fault, ...] = (first,)
        if not first.alone and rnd.random() < together:
            second = next(drawn)
            if second.alone or second.name == first.name:
                number += 1
                yield _step(seed, number, (second,), rnd)
            else:
                struck = (first, second)
        number += 1
        yield _step(seed, number, struck, rnd)


def _step(seed: int, number: int, faults: tuple[Fault, ...], rnd: Random) -> Step:
    lasts = max(rnd.uniform(*fault.lasts_s) for fault in faults)
    return Step(number, faults, rnd.uniform(*GAP_S), lasts, f"{seed}:{number}")


def _decks(faults: Sequence[Fault], rnd: Random) -> Iterator[Fault]:
    each, again = list(faults), [fault for fault in faults for _ in range(fault.weight - 1)]
    while True:
        for deck in (each, again):
            rnd.shuffle(deck)
            yield from deck
