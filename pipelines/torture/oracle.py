"""Whether anything was lost, doubled or altered: read from the topics, computed again, by none of the pipeline's rules.

The auditor recomputes the ledger in SQL from the facts on the topics. This module holds those facts against what the
feed was acknowledged, the dead letters against what was bad on purpose, and local state against its changelog.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.audit.books import Books
from pipelines.audit.gathering import TopicNames, gather
from pipelines.audit.reading import Decoder, Extent, Record, RegistrySchemas, Topics
from pipelines.audit.rules import enter_rules
from pipelines.audit.verification import Finding, findings, recompute

SHOWN: Final = 5
OF_CHECKS: Final = {
    "entry-ids": "O2",
    "transactions": "O4",
    "accounts": "O4",
    "chain": "O8",
    "balances": "O4",
    "lots": "O1",
    "pending": "O1",
    "components": "O1",
    "tiers": "O1",
    "refused": "O3",
    "dead-letters": "O3",
    "late": "O3",
    "processed": "O3",
    "derivations": "O1",
    "answers": "O2",
    "decisions": "O4",
    "given-back": "O4",
    "debt": "O4",
    "transfers": "O1",
}
"""The oracle that the auditor's checks of the ledger belong to."""
MAY_BE_TOLD: Final = "O10"
"""That of all others: of the gate, and of those who were erased."""
RULED: Final = frozenset(
    {
        "LATE",
        "ORDER_FORGOTTEN",
        "ORDER_UNKNOWN",
        "RETURN_EXCEEDS_ORDER",
        "RETURN_OF_UNKNOWN_LINE",
        "UNKNOWN_CURRENCY",
        "MERGE_CYCLE",
        "MERGED_INTO_ERASED",
    }
)
"""The error classes of facts that can be read, and that a rule refuses."""

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Verdict(NamedTuple):
    """What one oracle found by one check: how much it looked at, how much of it is wrong, and the first of that."""

    oracle: str
    check: str
    promise: str
    looked_at: int
    wrong: int
    first: tuple[str, ...]


class Acknowledged(NamedTuple):
    """A record as the feed was told: where it stands, its sum, and whether it is bad on purpose."""

    place: Place
    digest: str
    bad: bool


class Letter(NamedTuple):
    """A dead letter: the record it names, that record's sum, and why."""

    place: Place
    digest: str
    error_class: str


class Entry(NamedTuple):
    """What the oracle needs of a ledger entry."""

    entry_id: str
    member_id: str
    points: int
    from_account: str
    to_account: str


def verdict(oracle: str, check: str, promise: str, looked_at: int, wrong: Iterable[str]) -> Verdict:
    """A verdict with the first of what is wrong."""
    found = list(wrong)
    return Verdict(oracle, check, promise, looked_at, len(found), tuple(found[:SHOWN]))


def acknowledged_stand(
    sent: Sequence[Acknowledged], found: Mapping[Place, str], uncertain: Iterable[tuple[str, str]]
) -> Verdict:
    """What was acknowledged stands where it was said, unaltered, and nothing that nobody sent.

    A record may stand twice: brokers forget the sequence numbers of a sender whose records' timestamps are older than
    `producer.id.expiration.ms`, a day, and those of a simulated year are; when a leader dies, its heir then appends a
    retry once more. To the pipeline that is a duplicate like any other. A retry may be acknowledged without an offset.
    """
    placed = {one.place: one for one in sent if one.place[2] >= 0}
    missing = [f"{_at(place)}: acknowledged, and gone" for place in placed if place not in found]
    altered = [
        f"{_at(place)}: altered"
        for place, one in placed.items()
        if found.get(place, one.digest) != one.digest
    ]
    unplaced = Counter((one.place[0], one.digest) for one in sent if one.place[2] < 0)
    spare = unplaced + Counter(uncertain)
    known = {(one.place[0], one.digest) for one in placed.values()}
    extra = []
    for place, digest in found.items():
        what = place[0], digest
        if place in placed:
            continue
        unplaced[what] -= 1
        spare[what] -= 1
        if spare[what] < 0 and what not in known:
            extra.append(f"{_at(place)}: nobody sent it")
    gone = [f"{topic} {digest}: acknowledged, and gone" for (topic, digest), n in unplaced.items() if n > 0]
    promise = "Every acknowledged fact stands on its topic, unaltered, and nothing that nobody sent."
    return verdict("O3", "acknowledged", promise, len(sent), [*missing, *gone, *altered, *extra])


def bad_set_aside(sent: Sequence[Acknowledged], letters: Sequence[Letter]) -> Verdict:
    """Each bad record is one dead letter with its bytes; of the good ones, only what a rule refuses."""
    by_place: dict[Place, list[Letter]] = {}
    for letter in letters:
        by_place.setdefault(letter.place, []).append(letter)
    placed = [one for one in sent if one.place[2] >= 0]
    wrong = [problem for one in placed for problem in _letter_problems(one, by_place.get(one.place, []))]
    promise = (
        "Every bad record is one dead letter, byte for byte; of the good ones only those that a rule refuses."
    )
    return verdict("O3", "set-aside", promise, len(placed), wrong)


def _letter_problems(one: Acknowledged, letters: Sequence[Letter]) -> Iterable[str]:
    if one.bad and not letters:
        yield f"{_at(one.place)}: bad, and in no dead letter"
    if len(letters) > 1:
        yield f"{_at(one.place)}: {len(letters)} dead letters"
    for letter in letters:
        if letter.digest != one.digest:
            yield f"{_at(one.place)}: its dead letter has other bytes"
        if one.bad == (letter.error_class in RULED):
            yield f"{_at(one.place)}: {'bad' if one.bad else 'good'}, and refused as {letter.error_class}"


def entries_once(entries: Sequence[Entry]) -> Verdict:
    """No entry id stands twice for whoever reads committed."""
    seen = Counter(entry.entry_id for entry in entries)
    wrong = [f"{name} stands {count} times" for name, count in seen.items() if count > 1]
    return verdict("O2", "ids", "No entry id stands twice under read_committed.", len(entries), wrong)


def balances_equal(entries: Sequence[Entry], balances: Mapping[str, int]) -> Verdict:
    """Every member's last balance of active points is what the entries add up to."""
    active: Counter[str] = Counter()
    for entry in entries:
        active[entry.member_id] += entry.points * (
            (entry.to_account == "ACTIVE") - (entry.from_account == "ACTIVE")
        )
    members = active.keys() | balances.keys()
    wrong = [
        f"{member}: balance {balances.get(member, 0)}, entries {active[member]}"
        for member in sorted(members)
        if balances.get(member, 0) != active[member]
    ]
    return verdict("O4", "sums", "Every last balance is the sum of its entries.", len(members), wrong)


def state_agrees(
    name: str, held: Mapping[int, Sequence[str]], folded: Mapping[int, str], promise: str
) -> Verdict:
    """Of every partition that has state, somebody holds exactly what its changelog folds to (sums of both)."""
    wrong = [
        f"partition {partition}: the changelog folds to {digest[:8]}, held: {[h[:8] for h in held.get(partition, ())]}"
        for partition, digest in sorted(folded.items())
        if digest not in held.get(partition, ())
    ]
    return verdict("O5", name, promise, len(folded), wrong)


def transactions_ended(extents: Iterable[Extent]) -> Verdict:
    """No topic has records in an open transaction."""
    looked = list(extents)
    wrong = [f"{e.topic}: {e.open_records} records in an open transaction" for e in looked if e.open_records]
    return verdict("O7", "ended", "No transaction is left open on any topic.", len(looked), wrong)


def audited(finding: Finding) -> Verdict:
    """The auditor's finding as a verdict."""
    first = tuple(f"{who}: {what}" for who, what in finding.first)
    return Verdict(
        OF_CHECKS.get(finding.check, MAY_BE_TOLD),
        finding.check,
        finding.promise,
        finding.looked_at,
        finding.wrong,
        first,
    )


def _at(place: Place) -> str:
    return f"{place[0]} {place[1]}/{place[2]}"


class Court:
    """Reads one cluster to its ends, and judges."""

    def __init__(self, bootstrap: str, registry: str, names: TopicNames, digest: Callable[..., str]) -> None:
        self._topics, self._schemas, self._names = Topics(bootstrap), RegistrySchemas(registry), names
        self._digest = digest

    def judge(
        self, group: str, sent: Sequence[Acknowledged], uncertain: Iterable[tuple[str, str]], programme: Path
    ) -> list[Verdict]:
        """Every verdict on what stands on the topics; the workers must have caught up."""
        entries = self._entries()
        verdicts = [
            acknowledged_stand(sent, self._records(self._names[:5]), uncertain),
            bad_set_aside(sent, self._letters()),
            entries_once(entries),
            balances_equal(entries, self._balances()),
        ]
        with Books() as books:
            enter_rules(books, programme)
            told = lambda _topic, _count: None  # noqa: E731
            extents = gather(books, self._topics, self._schemas, self._names, group, told, True)
            recompute(books)
            found = findings(books)
        verdicts.append(transactions_ended(extents))
        verdicts += [audited(one) for one in found]
        return verdicts

    def aborted(self, topic: str, uncommitted: int) -> int:
        """How many records of a topic stand in aborted transactions, given how many stand there at all."""
        return uncommitted - self._topics.read(topic, lambda _: None).records

    def fold(self, changelog: str) -> dict[int, str]:
        """The sum of what a changelog folds to, by partition: the last value of every key."""
        last: dict[int, dict[bytes, bytes | None]] = {}

        def take(records: Sequence[Record]) -> None:
            for record in records:
                last.setdefault(record.partition, {})[record.key or b""] = record.value

        self._topics.read(changelog, take)
        return {partition: content_digest(kept.items()) for partition, kept in last.items()}

    def _records(self, topics: Sequence[str]) -> dict[Place, str]:
        found: dict[Place, str] = {}
        for topic in topics:
            self._topics.read(topic, lambda some, topic=topic: self._note(topic, some, found))  # type: ignore[misc]
        return found

    def _note(self, topic: str, records: Sequence[Record], into: dict[Place, str]) -> None:
        into.update({(topic, r.partition, r.offset): self._digest(r.key, r.value) for r in records})

    def _decoded(self, topic: str) -> list[dict[str, Any]]:
        decoder = Decoder(self._schemas)
        rows: list[dict[str, Any]] = []

        def take(records: Sequence[Record]) -> None:
            rows.extend(decoder.decode(record.value) for record in records if record.value is not None)

        self._topics.read(topic, take)
        return rows

    def _letters(self) -> list[Letter]:
        return [
            Letter(
                (row["topic"], row["partition"], row["offset"]),
                self._digest(row["key"], row["value"]),
                row["error_class"],
            )
            for row in self._decoded(self._names.dead_letters)
        ]

    def _entries(self) -> list[Entry]:
        return [Entry(*(row[name] for name in Entry._fields)) for row in self._decoded(self._names.ledger)]

    def _balances(self) -> dict[str, int]:
        return {row["member_id"]: row["active"] for row in self._decoded(self._names.balances)}


def content_digest(items: Iterable[tuple[bytes, bytes | None]]) -> str:
    """One sum of keys and values, in the order of keys; a key without a value is not there."""
    total = sha256()
    for key, value in sorted((key, value) for key, value in items if value is not None):
        for part in (key, value):
            total.update(len(part).to_bytes(4, "big") + part)
    return total.hexdigest()
