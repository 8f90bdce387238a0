"""Which topics feed which pipeline, and what comes out: a row a topic, a column a pipeline, from the topic catalogue.

A topic's line begins at its writer and ends at its last reader. Pipelines stand behind those that they read from, so
every line runs to the right; only what a pipeline tells itself turns back. Positions are SVG's, in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Final

from pipelines.grants import WAREHOUSED
from pipelines.operations.contracts import readme
from pipelines.topics import PIPELINES
from schemas import catalogue

ROW: Final = 44
TOP: Final = 58
SOURCES: Final = 222
"""Where the lines of topics begin that no pipeline writes; to the left stands who does."""
COLUMN: Final = 258
BAR: Final = 22
LETTER: Final = 7
"""Of a topic's name, which stands above its line."""
READERS: Final = 226
"""The room at the right for who else reads a topic."""
WORDS_MAX: Final = 32
"""How many letters of a small size the room beside the lines takes."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What reads topics, and may write some: a pipeline, or the warehouse's sinks."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def touches(self, topic: str) -> bool:
        return topic in self.reads or topic in self.writes


WAREHOUSE: Final = Stage("warehouse", WAREHOUSED, ())


def stages() -> tuple[Stage, ...]:
    """Pipelines, each behind those that it reads from, and then the warehouse."""
    found = [Stage(p.name, p.reads, p.writes) for p in PIPELINES.values()]
    return (*sorted(found, key=lambda stage: _depth(stage, found)), WAREHOUSE)


def _depth(stage: Stage, others: Iterable[Stage]) -> int:
    before = [one for one in others if one != stage and set(one.writes) & set(stage.reads)]
    return 1 + max((_depth(one, others) for one in before), default=0)


def writer(topic: str) -> Stage | None:
    """The pipeline that writes a topic; None of what sources and operators write."""
    return next((stage for stage in stages() if topic in stage.writes), None)


def upstream(topic: str) -> tuple[str, ...]:
    """All topics from which a topic comes, in the catalogue's order."""
    return _reached(topic, lambda name: [of for s in stages() if name in s.writes for of in s.reads])


def downstream(topic: str) -> tuple[str, ...]:
    """All topics in which a topic has a part, in the catalogue's order."""
    return _reached(topic, lambda name: [to for s in stages() if name in s.reads for to in s.writes])


def _reached(topic: str, step: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    found: set[str] = set()
    open_ = [topic]
    while open_:
        fresh = set(step(open_.pop())) - found - {topic}
        found |= fresh
        open_ += fresh
    return tuple(name for name in catalogue.TOPICS if name in found)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage, as a column."""

    name: str
    x: int
    top: int
    height: int


@dataclass(frozen=True, slots=True)
class Line:
    """A topic, as a row. `reads`, `passes` and `written` are left edges of bars; `turns` when its writer reads it."""

    topic: str
    y: int
    start: int
    end: int
    written: int | None
    reads: tuple[int, ...]
    passes: tuple[int, ...]
    turns: bool
    sources: tuple[str, ...]
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Bars and lines, and how large a picture they need; nothing is drawn left of `left`."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    left: int
    width: int
    height: int


def drawing(topics: Iterable[str] = catalogue.TOPICS) -> Drawing:
    """These topics, and the stages that have to do with them."""
    wanted = set(topics)
    shown = [stage for stage in stages() if any(map(stage.touches, wanted))]
    places = {stage.name: SOURCES + COLUMN * (n + 1) for n, stage in enumerate(shown)}
    order = {name: n for n, name in enumerate(places)}
    rows = sorted(wanted, key=lambda t: (order.get(_written_by(t), -1), catalogue.TOPICS.index(t)))
    lines = tuple(_line(topic, TOP + ROW * n, shown, places) for n, topic in enumerate(rows))
    bars = tuple(_bar(stage, places[stage.name], lines) for stage in shown)
    lines = tuple(replace(line, passes=_behind(line, bars)) for line in lines)
    left = 0 if any(line.sources for line in lines) else min(places.values()) - COLUMN // 4
    width = max(SOURCES + COLUMN * len(shown) + BAR, *(line.end for line in lines)) + READERS - left
    return Drawing(bars, lines, left, width, TOP + ROW * len(rows))


def _behind(line: Line, bars: Iterable[Bar]) -> tuple[int, ...]:
    """The bars that a line passes through; it may also pass above or below one."""
    through = {bar.x for bar in bars if bar.top < line.y < bar.top + bar.height}
    return tuple(x for x in line.passes if x in through)


def _written_by(topic: str) -> str:
    made = writer(topic)
    return made.name if made else ""


def _bar(stage: Stage, x: int, lines: Iterable[Line]) -> Bar:
    rows = [line.y for line in lines if stage.touches(line.topic)]
    return Bar(stage.name, x, min(rows) - 16, max(rows) - min(rows) + 32)


def _line(topic: str, y: int, shown: list[Stage], places: dict[str, int]) -> Line:
    made, rows = writer(topic), readme(topic).rows
    written = places[made.name] if made else None
    start = SOURCES if written is None else written + BAR
    reads = tuple(places[stage.name] for stage in shown if topic in stage.reads and stage != made)
    readers = _others(rows["Read by"])
    last = max(places.values(), default=SOURCES) + BAR if readers else max(reads, default=start)
    end = max(last + 14, start + 14 + LETTER * len(topic)) if readers else last
    return Line(
        topic,
        y,
        start,
        end,
        written,
        reads,
        tuple(x for x in places.values() if start <= x < last and x not in reads),
        made is not None and topic in made.reads,
        () if made else _lines(rows["Written by"].replace("`", "")),
        _lines(readers),
    )


def _others(told: str) -> str:
    """Who reads a topic, by its README, less the stages, which are drawn."""
    drawn = {stage.name for stage in stages()}
    names = told.split(";")[0].replace("`", "").split(", ")
    return ", ".join(name for name in names if name not in drawn)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(wrap(text, WORDS_MAX, max_lines=2, placeholder=" …"))
