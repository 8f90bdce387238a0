"""The dead letters of a pipeline: which there are, which were redriven, and what this build says of each now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.audit.reading import Record, Topics
from pipelines.domain.facts import Tick
from pipelines.domain.merging import Handover
from pipelines.failure import Failure
from pipelines.processors.accounts import Accounts
from pipelines.topics import prefixed
from schemas import catalogue
from schemas.border import check_fact
from schemas.codec import Codec, DeadLetter, InvalidFact, Redrive


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant; what is empty or None leaves nothing out. Topics are without prefix.

    Instants are of the record set aside (its `recorded_at`), half open: from `since_ms`, before `until_ms`.
    """

    classes: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def means(self, letter: DeadLetter, prefix: str) -> bool:
        """Whether this one is meant."""
        return (
            (not self.classes or letter.error_class in self.classes)
            and (not self.topics or letter.topic.removeprefix(prefix) in self.topics)
            and (self.since_ms is None or letter.recorded_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.recorded_at_ms < self.until_ms)
        )


ALL = Wanted()


class DeadLetters:
    """The dead letters and redrives of one pipeline, as a committed reader sees them."""

    def __init__(self, topics: Topics, codec: Codec, prefix: str = "") -> None:
        self._topics = topics
        self._codec = codec
        self._prefix = prefix

    def read(self, wanted: Wanted = ALL) -> list[DeadLetter]:
        """Those that are wanted, by recorded time; one of each place, however often it was processed."""
        found: dict[str, DeadLetter] = {}

        def take(records: Sequence[Record]) -> None:
            for letter in map(self._codec.dead_letter, (record.value for record in records)):
                if wanted.means(letter, self._prefix):
                    found.setdefault(letter.place, letter)

        self._topics.read(prefixed(self._prefix, catalogue.DEAD_LETTERS), take)
        return sorted(found.values(), key=lambda x: (x.recorded_at_ms, x.topic, x.partition, x.offset))

    def one(self, place: str) -> DeadLetter:
        """The dead letter of the record that stood there: `commerce.orders.v1/3/91`; a Failure when there is none."""
        wanted = place if place.startswith(self._prefix) else prefixed(self._prefix, place)
        for letter in self.read():
            if letter.place == wanted:
                return letter
        raise Failure(f"there is no dead letter of {place}", "list them: `loyalty dead-letters list`")

    def redrives(self) -> Mapping[str, Redrive]:
        """What was redriven, by place."""
        found: dict[str, Redrive] = {}

        def take(records: Sequence[Record]) -> None:
            for redrive in map(self._codec.redrive, (record.value for record in records)):
                found[redrive.place] = redrive

        self._topics.read(prefixed(self._prefix, catalogue.REDRIVES), take)
        return found


class Forecast:
    """What would become of a dead letter's record now, as far as the record alone tells."""

    def __init__(self, codec: Codec, accounts: Accounts, prefix: str = "") -> None:
        self._codec = codec
        self._accounts = accounts
        self._prefix = prefix

    def refusal(self, letter: DeadLetter) -> str | None:
        """The error class that it would get again for certain; None when it can be applied, or its member's account
        will tell (ORDER_UNKNOWN, ORDER_FORGOTTEN of a return, MERGE_CYCLE, RETURN_...)."""
        topic = letter.topic.removeprefix(self._prefix)
        if topic not in catalogue.INPUTS:
            return "NOT_AN_INPUT"
        try:
            fact = self._codec.decode(topic, letter.value)
            check_fact(fact, letter.key, letter.recorded_at_ms)
        except InvalidFact as invalid:
            return invalid.error_class
        if isinstance(fact, Tick | Handover):
            return None
        refused = self._accounts.refusal(fact)
        return None if refused is None else refused.refused.value


def counted(letters: Iterable[DeadLetter], prefix: str) -> dict[tuple[str, str], int]:
    """How many of each topic (without prefix) and error class."""
    counts: dict[tuple[str, str], int] = {}
    for letter in letters:
        kind = letter.topic.removeprefix(prefix), letter.error_class
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))
