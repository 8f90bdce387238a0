"""Charts as SVG paths, for weeks: stacked bars and stacked areas. No script and no library is needed to see them.

Shapes live in a square of SIDE by SIDE that the page stretches to any width; words are left to the page, which
puts them at shares of the square, so that they keep their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

SIDE = 10_000
GAP = 0.22
STEPS = (1, 2, 5)
TICKS_MAX = 6


class Kind(StrEnum):
    """BARS are what happened within a week, AREAS what there is at its end."""

    BARS = "bars"
    AREAS = "areas"


class Series(NamedTuple):
    """One colour of a chart: a whole number for every week. Below zero it hangs from the axis."""

    name: str
    colour: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A stack of series over the same weeks; `origin` says if that is real, and is printed beside the title."""

    key: str
    kind: Kind
    title: str
    said: str
    origin: str
    unit: str
    weeks: tuple[date, ...]
    series: tuple[Series, ...]

    def __post_init__(self) -> None:
        assert all(len(one.values) == len(self.weeks) for one in self.series), self.key


class Tick(NamedTuple):
    """A label at a share of the axis, in per cent from the left or from the top."""

    at: float
    label: str
    minor: bool


class Shape(NamedTuple):
    """An SVG path."""

    name: str
    colour: str
    path: str


class Drawing(NamedTuple):
    """A chart as the page shows it; `zero` is where the axis lies, in units of SIDE."""

    chart: Chart
    shapes: tuple[Shape, ...]
    values: tuple[Tick, ...]
    months: tuple[Tick, ...]
    zero: int


def draw(chart: Chart) -> Drawing:
    """The chart's shapes and labels."""
    low, high, step = _scale(chart)
    shape = _bars if chart.kind is Kind.BARS else _areas
    marks = range(low, high + 1, step)
    values = tuple(Tick(round(100 * (high - mark) / (high - low), 2), short(mark), False) for mark in marks)
    return Drawing(chart, tuple(shape(chart, low, high)), values, months(chart.weeks), _y(0, low, high))


def _scale(chart: Chart) -> tuple[int, int, int]:
    """The least and the greatest mark that hold every stack, and the round step from mark to mark."""
    weeks = list(zip(*(one.values for one in chart.series), strict=True))
    top = max((sum(v for v in week if v > 0) for week in weeks), default=0)
    bottom = min((sum(v for v in week if v < 0) for week in weeks), default=0)
    step = next(step for step in _steps() if (top - bottom) / step <= TICKS_MAX - 1)
    return step * (bottom // step), max(step * -(-top // step), step), step


def _steps() -> Iterable[int]:
    return (digit * 10**zeros for zeros in range(18) for digit in STEPS)


def _x(place: float, chart: Chart) -> int:
    return round(SIDE * place / max(len(chart.weeks), 1))


def _y(value: int, low: int, high: int) -> int:
    return round(SIDE * (high - value) / (high - low))


def _bars(chart: Chart, low: int, high: int) -> Iterable[Shape]:
    above, below = [0] * len(chart.weeks), [0] * len(chart.weeks)
    for name, colour, values in chart.series:
        path = []
        for n, value in enumerate(values):
            if not value:
                continue
            stack = above if value > 0 else below
            left, right = _x(n + GAP / 2, chart), _x(n + 1 - GAP / 2, chart)
            start, stack[n] = stack[n], stack[n] + value
            path.append(
                f"M{left} {_y(start, low, high)}V{_y(stack[n], low, high)}H{right}V{_y(start, low, high)}z"
            )
        yield Shape(name, colour, "".join(path))


def _areas(chart: Chart, low: int, high: int) -> Iterable[Shape]:
    """Each area runs along its top from week to week, and back along the top of the one below."""
    rising = accumulate((one.values for one in chart.series), _added, initial=(0,) * len(chart.weeks))
    edges = [_edge(values, chart, low, high) for values in rising]
    for one, under, over in zip(chart.series, edges, edges[1:], strict=False):
        yield Shape(one.name, one.colour, f"M{' '.join(over)} {' '.join(reversed(under))}z")


def _added(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _edge(values: Sequence[int], chart: Chart, low: int, high: int) -> list[str]:
    return [f"{_x(n + 0.5, chart)},{_y(value, low, high)}" for n, value in enumerate(values)]


def months(weeks: Sequence[date]) -> tuple[Tick, ...]:
    """A label for every month that begins within these weeks; January's is its year, and without one the first has it.

    A month and a year in one label would touch the next month's, where there are many.
    """
    if not weeks:
        return ()
    first, last = weeks[0], weeks[-1]
    begins = [
        date(year, month, 1)
        for year in range(first.year, last.year + 1)
        for month in range(1, 13)
        if first <= date(year, month, 1) <= last
    ]
    every = -(-len(begins) // 18)
    shown = [day for day in begins if (day.month - 1) % every == 0]
    first_format = "%b" if any(day.month == 1 for day in shown) else "%b %Y"
    return tuple(
        Tick(
            round(100 * (day - first).days / (7 * len(weeks)), 2),
            day.strftime("%Y" if day.month == 1 else first_format if n == 0 else "%b"),
            n % 3 != 0,
        )
        for n, day in enumerate(shown)
    )


def short(value: int) -> str:
    """A number of an axis in few signs: 12 500 is `12.5k`."""
    for size, unit in ((10**9, "bn"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}".removesuffix(".0").replace("-", "−") + unit
    return str(value).replace("-", "−")
