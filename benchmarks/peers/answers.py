"""What the engines say of the same work: their digests must be the same, else no figure counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from benchmarks.peers.engines import Course, Engine
from pipelines.audit.reading import Topics
from pipelines.failure import Failure
from schemas import catalogue
from schemas.codec import Codec

OF_ENGAGEMENTS: Final = frozenset({"ACTIVITY", "REVIEW", "CAP"})
OF_A_BALANCE: Final = ("active", "pending", "reserved", "debt", "lifetime")
OF_AN_ENTRY: Final = (
    "member_id", "lot_id", "reason", "points", "from_account", "to_account", "tier_at_event",
)  # fmt: skip


class Answer(NamedTuple):
    """Digests of an engine's last balance of each member, and of its entries."""

    balances: str
    entries: str


def told(engine: Engine, run: Course, codec: Codec) -> Answer:
    """What an engine has committed. Entries of engagements are left out: of two runs that compete for a day's cap a
    late one takes its points from the other, if the engine sees to that."""
    if not engine.rules:
        return Answer("", "")
    bodies = _bodies(engine, run, catalogue.BALANCES, codec)
    last = {body["member_id"]: _said(body, OF_A_BALANCE) for body in bodies}
    entries = [
        _said(body, OF_AN_ENTRY)
        for body in _bodies(engine, run, catalogue.LEDGER, codec)
        if body["reason"] not in OF_ENGAGEMENTS
    ]
    return Answer(digest(f"{member} {says}" for member, says in last.items()), digest(entries))


def _said(body: dict[str, Any], names: Iterable[str]) -> str:
    return " ".join(str(body[name]) for name in names)


def _bodies(engine: Engine, run: Course, topic: str, codec: Codec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    Topics(run.found.bootstrap_servers).read(
        engine.writes(run.prefix, topic),
        lambda some: found.extend(codec.body(topic, record.value) for record in some if record.value),
    )
    return found


def digest(lines: Iterable[str]) -> str:
    """The number of lines and a hash of them, in whatever order they come."""
    ordered = sorted(lines)
    return f"{len(ordered)}:{hashlib.sha256(chr(10).join(ordered).encode()).hexdigest()[:16]}"


def refuse_different(said: Iterable[tuple[str, Answer]]) -> None:
    """A Failure unless all engines with rules said the same, and said anything. The floor says nothing."""
    different = {(engine, answer) for engine, answer in said if answer != Answer("", "")}
    answers = {answer for _, answer in different}
    if len(answers) != 1 or any(answer.balances.startswith("0:") for answer in answers):
        raise Failure(f"the engines do not say the same: {sorted(different)}", "no figure of this run counts")
