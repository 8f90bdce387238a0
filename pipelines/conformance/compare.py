"""What a run of a vector gave, against what the vector expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pipelines.conformance.vectors import Vector
from pipelines.domain.ledger import (
    Balance,
    CommandResult,
    LedgerEntry,
    NoBalance,
    NoProgress,
    TierChanged,
    TierProgress,
)
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger

NOTHING: Final = "none"
"""Expected where nothing is kept any more."""


@dataclass(slots=True)
class Results:
    """Everything that was told, in order. `outcomes` is empty where it cannot be seen from outside."""

    ledger: list[LedgerEntry] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    tiers: list[TierChanged] = field(default_factory=list)
    progress: list[TierProgress] = field(default_factory=list)
    answers: list[CommandResult] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    suppressed: list[SuppressedTrigger] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    outcomes: Counter[str] | None = None

    def take(
        self,
        result: LedgerEntry
        | Balance
        | TierChanged
        | TierProgress
        | NoBalance
        | NoProgress
        | CommandResult
        | Told,
    ) -> None:
        match result:
            case NoBalance():
                self.balances = [told for told in self.balances if told.member_id != result.member_id]
            case NoProgress():
                self.progress = [told for told in self.progress if told.member_id != result.member_id]
            case LedgerEntry():
                self.ledger.append(result)
            case Balance():
                self.balances.append(result)
            case TierChanged():
                self.tiers.append(result)
            case TierProgress():
                self.progress.append(result)
            case CommandResult():
                self.answers.append(result)
            case Trigger():
                self.triggers.append(result)
            case SuppressedTrigger():
                self.suppressed.append(result)

    def end(self) -> tuple[Any, ...]:
        """What every order of arrival must agree on."""
        balances = {b.member_id: b._replace(sequence=0, recorded_at_ms=0) for b in self.balances}
        progress = {p.member_id: p._replace(recorded_at_ms=0) for p in self.progress}
        return balances, progress, sorted(self.refused)

    def of(self, member_id: str) -> Results:
        """What was told of one member; through Kafka its name has the vector's before it."""

        def told(records: Iterable[Any]) -> list[Any]:
            return [record for record in records if record.member_id.split(":")[-1] == member_id]

        return Results(
            told(self.ledger),
            told(self.balances),
            told(self.tiers),
            told(self.progress),
            told(self.answers),
            told(self.triggers),
            told(self.suppressed),
        )


def differences(vector: Vector, results: Results) -> list[str]:
    """Every way in which the results are not what the vector expects; empty when they are."""
    told = list(_differences(vector.expect, results))
    for member_id, expect in vector.expect.get("of", {}).items():
        told += [f"{member_id}: {said}" for said in _differences(expect, results.of(member_id))]
    return told


def _differences(expect: Mapping[str, Any], results: Results) -> Iterator[str]:
    for name, told in (("balance", results.balances), ("progress", results.progress)):
        if expect.get(name) == NOTHING:
            yield from (f"a {name} stands: {record}" for record in told[-1:])
        elif name in expect:
            yield from _fields(name, expect[name], told[-1] if told else None)
    yield from _tiers(expect, results)
    if "ledger" in expect:
        exact = expect.get("ledger_exact") == "true"
        yield from _ledger(expect["ledger"], results.ledger, exact)
    if "answers" in expect:
        yield from _answers(expect["answers"], results.answers)
    for name in ("triggers", "suppressed"):
        if name in expect:
            yield from _all(name, expect[name], getattr(results, name))
    if "refused" in expect and sorted(results.refused) != sorted(expect["refused"]):
        yield f"refused are {sorted(results.refused)}, not {sorted(expect['refused'])}"
    if "outcomes" in expect and results.outcomes is not None:
        wanted = {name: int(count) for name, count in expect["outcomes"].items()}
        if dict(results.outcomes) != wanted:
            yield f"outcomes are {dict(results.outcomes)}, not {wanted}"


def _tiers(expect: Mapping[str, Any], results: Results) -> Iterator[str]:
    if "tier" in expect:
        tier = results.progress[-1].tier if results.progress else None
        if not _same(tier, expect["tier"]):
            yield f"tier is {tier}, not {expect['tier']}"
    if "tiers" in expect:
        told = [f"{change.kind} {change.tier}" for change in results.tiers]
        if told != list(expect["tiers"]):
            yield f"tier changes are {told}, not {list(expect['tiers'])}"
    yield from _changes(expect.get("changes", ()), results.tiers)


def _changes(wanted: Sequence[Mapping[str, Any]], changes: Sequence[TierChanged]) -> Iterator[str]:
    """Each wanted tier change occurs, in this order, by what is given of it."""
    left = iter(changes)
    for one in wanted:
        if not any(all(_same(_value(change, n), v) for n, v in one.items()) for change in left):
            told = "; ".join(f"{c.kind} {c.tier} at {c.effective_at_ms}" for c in changes)
            yield f"no tier change {dict(one)} in this order: {told or 'none'}"
            return


def _answers(wanted: Sequence[Mapping[str, Any]], answers: Sequence[CommandResult]) -> Iterator[str]:
    """All answers to commands, in order, each by what is given of it."""
    if len(wanted) != len(answers):
        told = ", ".join(f"{a.command_id} {a.refusal or a.status}" for a in answers) or "none"
        yield f"the answers are {told}; {len(wanted)} are wanted"
        return
    for number, (one, answer) in enumerate(zip(wanted, answers, strict=True), 1):
        yield from _fields(f"answer {number}", one, answer)


def _all(name: str, wanted: Sequence[Mapping[str, Any]], told: Sequence[Told]) -> Iterator[str]:
    """All that was told or kept back, in order, each by what is given of it."""
    if len(wanted) != len(told):
        said = ", ".join(f"{one.kind} {one.subject} at {_iso(one.recorded_at_ms)}" for one in told) or "none"
        yield f"the {name} are {said}; {len(wanted)} are wanted"
        return
    for number, (one, record) in enumerate(zip(wanted, told, strict=True), 1):
        yield from _fields(f"{name} {number}", {n: v for n, v in one.items() if n != "figures"}, record)
        figures = {n: str(v) for n, v in record.figures}
        for figure, value in one.get("figures", {}).items():
            if figures.get(figure) != value:
                yield f"{name} {number}.figures.{figure} is {figures.get(figure)}, not {value}"


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _fields(what: str, wanted: Mapping[str, Any], record: Any) -> Iterator[str]:
    for name, value in wanted.items():
        found = None if record is None and value != "0" else _value(record, name)
        if not _same(found, value):
            yield f"{what}.{name} is {found}, not {value}"


def _value(record: Any, name: str) -> Any:
    if record is None:
        return 0
    return getattr(record, name) if hasattr(record, name) else getattr(record, f"{name}_ms")


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, int) and isinstance(wanted, str) and "T" in wanted:
        return found == round(datetime.fromisoformat(wanted).timestamp() * 1000)
    return str(found) == str(wanted) or (found is None and wanted in ("", "null", "none"))


def _ledger(
    wanted: Sequence[Mapping[str, Any]], entries: Sequence[LedgerEntry], exact: bool
) -> Iterator[str]:
    """Each wanted entry occurs, in this order; with `exact`, and no other."""
    if exact and len(entries) != len(wanted):
        yield f"the ledger has {len(entries)} entries, not {len(wanted)}: {_told(entries)}"
    position = 0
    for number, one in enumerate(wanted, 1):
        while position < len(entries) and not _matches(one, entries[position]):
            if exact:
                yield f"entry {number} is {_told([entries[position]])}, not {dict(one)}"
                return
            position += 1
        if position == len(entries):
            yield f"no entry {number} {dict(one)} in this order: {_told(entries)}"
            return
        position += 1


def _matches(wanted: Mapping[str, Any], entry: LedgerEntry) -> bool:
    return all(
        _same(_of_entry(entry, name), value) for name, value in wanted.items() if name != "lines"
    ) and _lines(wanted.get("lines"), entry)


def _of_entry(entry: LedgerEntry, name: str) -> Any:
    short = {"from": "from_account", "to": "to_account", "lot": "lot_id"}.get(name, name)
    return _value(entry, short)


def _lines(wanted: Mapping[str, Any] | None, entry: LedgerEntry) -> bool:
    """`lines: {A: {net_minor: 14400}}`: the derivation's lines, by what is given of each."""
    found = {line.line_id: line for line in entry.derivation.lines}
    return all(
        name in found and all(_same(getattr(found[name], key), value) for key, value in line.items())
        for name, line in (wanted or {}).items()
    )


def _told(entries: Sequence[LedgerEntry]) -> str:
    return ", ".join(f"{e.reason} {e.points} {e.from_account}->{e.to_account}" for e in entries) or "nothing"
