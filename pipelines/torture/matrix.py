"""The fault matrix: of each kind, F1 to F45, what a run strikes, or why it strikes nothing, and the tests besides."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipelines.torture.fault import Fault
from pipelines.torture.faults import ALL

FEED: Final = "the feed, all the time"


class Row(NamedTuple):
    """One kind of fault. What a run strikes for it is what has its number, and what it names `besides`."""

    number: str
    what: str
    besides: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    why: str = ""
    """Why no run strikes it, where none does; else what is to be known."""
    fed: bool = False
    """Whether the feed sends it all the time."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in ALL if fault.number == self.number or fault.name in self.besides)

    @property
    def struck(self) -> bool:
        """Whether a run strikes it."""
        return self.fed or bool(self.faults)


_GUARDS: Final = ("tests/broker/test_guards.py",)
_BAD: Final = ("tests/broker/test_bad_facts.py",)
_LAWS: Final = ("tests/laws/test_laws.py",)
_REFUSES: Final = (
    "The worker refuses to start until a human has decided, so that there is no recovery to wait for"
)

MATRIX: Final = (
    Row(
        "F1",
        "killed in a transaction, idle, all workers at once, at each point up to its commit",
        tests=("tests/torture/test_kill_points.py",),
    ),
    Row(
        "F2",
        "killed after the commit, before the state is written",
        tests=("tests/torture/test_kill_points.py", "tests/simulation/test_simulation.py"),
    ),
    Row("F3", "killed in a restore, twice"),
    Row("F4", "workers join and leave; killed while one joins"),
    Row("F5", "a rebalance in a restore"),
    Row("F6", "paused, within and beyond its session"),
    Row(
        "F7",
        "blocked for longer than the poll interval, within and beyond its transaction's time",
        tests=("tests/torture/test_hindered.py",),
    ),
    Row("F8", "two with one transactional id"),
    Row("F9", "two under one name"),
    Row("F10", "brokers killed, restarted; two and all of three down"),
    Row("F11", "a broker paused"),
    Row("F12", "leaders move, and go home", why="Each broker that is lost is a controller too"),
    Row(
        "F13",
        "an end of a transaction that comes late, also behind its own repetition",
        tests=("tests/torture/test_late_end.py", "tests/torture/test_wire.py"),
    ),
    Row(
        "F14",
        "the network between a worker and the brokers cut, both ways and one way; reset; refused",
        tests=("tests/torture/test_wire.py",),
    ),
    Row("F15", "state directories lost"),
    Row("F16", "RocksDB's files cut, changed, deleted"),
    Row("F17", "a topic made anew under its state", tests=_GUARDS, why=_REFUSES),
    Row(
        "F18",
        "the state's disk full",
        tests=("tests/broker/test_full_disk.py", *_GUARDS),
    ),
    Row("F19", "a broker's disk full", tests=("tests/local/test_small_disk.py",)),
    Row(
        "F20",
        "slow: a tenth of the processor's time, writes of state, the network",
        tests=("tests/torture/test_hindered.py",),
    ),
    Row("F21", "input deleted before it was read", tests=_GUARDS, why=_REFUSES),
    Row("F22", "the group's offsets gone", why="All refuse to start; then the offsets are put back"),
    Row("F23", "bytes that are no Avro", tests=(*_BAD, "tests/fuzz/test_bytes.py"), fed=True),
    Row("F24", "wrong schema ids, wrong first bytes", ("bad-facts",), _BAD, fed=True),
    Row("F25", "no key, no value, another's key", ("bad-facts",), _BAD, fed=True),
    Row("F26", "a giant record"),
    Row(
        "F27",
        "values that cannot be true",
        tests=_BAD,
        why="They are one class more of bad facts to a worker, and the test has each of them",
    ),
    Row("F28", "times that cannot be true", ("bad-facts",), _BAD, fed=True),
    Row("F29", "facts that come again", tests=_LAWS, fed=True),
    Row(
        "F30",
        "one id, other content",
        tests=_LAWS,
        why="No dead letter: the first that comes under a version counts, any other is a duplicate; the laws show it",
    ),
    Row("F31", "late and out of order", tests=_LAWS, fed=True),
    Row("F32", "returns before, without or beyond their orders", tests=_LAWS, fed=True),
    Row(
        "F33",
        "schemas that evolve",
        tests=("tests/schemas/test_contracts.py", "tests/broker/test_schema_evolution.py"),
        why="It takes two builds, not a fault",
    ),
    Row(
        "F34",
        "an incompatible schema",
        tests=("tests/broker/test_schema_evolution.py",),
        why="`loyalty schemas check` is a part of every `make check`, and `--registry` finds one that came past us",
    ),
    Row("F35", "a clock that stands still", tests=_LAWS),
    Row("F36", "a hot member", tests=("tests/torture/test_feeding.py",)),
    Row("F37", "a burst, a backlog"),
    Row("F38", "the registry dead or silent, and a worker that starts then"),
    Row(
        "F39",
        "a warehouse away, or killed in a write",
        tests=("tests/warehouse/test_sink.py", "tests/warehouse/test_postgres.py"),
        why="A run has no warehouse: a sink reads behind the pipeline, and holds nothing up",
    ),
    Row("F40", "SIGTERM, twice, in a restore"),
    Row(
        "F41",
        "old layouts of state, and newer ones",
        tests=("tests/state/test_layout.py",),
        why="It takes two builds, not a fault",
    ),
    Row("F42", "another number of partitions", tests=_GUARDS, why=_REFUSES),
    Row(
        "F43",
        "a right taken away at work",
        tests=("tests/broker/test_security.py",),
        why="A run's cluster has no users: rights need a secured one, which the test starts",
    ),
    Row("F44", "no memory left, then killed as the kernel kills"),
    Row("F45", "consent withdrawn before the trigger", tests=("tests/laws/test_triggers.py",), fed=True),
)


def where(row: Row) -> str:
    """Where it is shown, in Markdown: what a run strikes, the tests, and why nothing is struck."""
    shown = [
        ", ".join(f"`{fault.name}`" for fault in row.faults),
        FEED if row.fed else "",
        ", ".join(f"`{test}`" for test in row.tests),
    ]
    told = [text for text in ("; ".join(part for part in shown if part), row.why) if text]
    return ". ".join(text[0].upper() + text[1:] for text in told)
