"""Avro in the Confluent wire format <-> facts and results.

A value is a zero byte, the schema's id as four big-endian bytes, and the Avro body. A body is read with the schema
that wrote it and seen through this build's, so that what a newer writer added never reaches the rules.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Final, NamedTuple

from fastavro import parse_schema, schemaless_reader

from pipelines.domain.facts import (
    CommandKind,
    Consent,
    Engagement,
    EngagementKind,
    EngagementStatus,
    Fact,
    Member,
    Order,
    OrderLine,
    OrderStatus,
    PointsCommand,
    Return,
    ReturnLine,
    ReturnStatus,
    Tick,
    Verification,
)
from pipelines.domain.ledger import (
    Balance,
    CommandResult,
    Derivation,
    LedgerAccount,
    LedgerEntry,
    Reason,
    Term,
    TierChange,
    TierChanged,
    TierProgress,
)
from pipelines.domain.liability import LiabilityDay, LiabilityPart, Movements
from pipelines.domain.merging import Handover, HandoverKind
from pipelines.domain.triggers.announcing import SuppressedTrigger, Told, Trigger
from schemas import catalogue
from schemas.writing import writer

_HEAD: Final = struct.Struct(">bI")


class InvalidFact(Exception):
    """A record that can never be applied; `error_class` is a stable word, the message has the values."""

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(f"{error_class}: {message}")
        self.error_class = error_class
        self.message = message


class DeadLetter(NamedTuple):
    """A record as it came, and why it is not applied."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    recorded_at_ms: int
    error_class: str
    message: str

    @property
    def place(self) -> str:
        """Where the record stood: what names this dead letter. Two of one place are of one record."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Redrive(NamedTuple):
    """A dead letter's record was sent once more to where it stood."""

    topic: str
    partition: int
    offset: int
    recorded_at_ms: int
    error_class: str
    redriven_at_ms: int

    @property
    def place(self) -> str:
        """The place of the dead letter."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class _Words(dict[str, Any]):
    """The members of an enumeration by their words; a look-up takes a third of what the enumeration's call does."""

    def __init__(self, kind: Any) -> None:
        super().__init__((word.value, word) for word in kind)
        self._kind = kind

    def __missing__(self, word: str) -> Any:
        return self._kind(word)  # which says what it does not know


_ORDER_STATUS: Final = _Words(OrderStatus)
_RETURN_STATUS: Final = _Words(ReturnStatus)
_KIND: Final = _Words(EngagementKind)
_STATUS: Final = _Words(EngagementStatus)
_VERIFICATION: Final = _Words(Verification)
_ACCOUNT: Final = _Words(LedgerAccount)
_REASON: Final = _Words(Reason)

Input = Fact | Tick | Handover
Result = LedgerEntry | TierChanged | TierProgress | LiabilityPart
Record = Input | Result | LiabilityDay | Balance | CommandResult | DeadLetter | Redrive | Told


def _order(d: dict[str, Any]) -> Order:
    lines = [
        OrderLine(
            x["line_id"],
            x["sku"],
            x["category"],
            x["quantity"],
            x["gross_minor"],
            x["discount_minor"],
            x["eligible"],
        )
        for x in d["lines"]
    ]
    return Order(
        d["event_id"],
        d["member_id"],
        d["occurred_at"],
        d["recorded_at"],
        d["order_id"],
        d["version"],
        _ORDER_STATUS[d["status"]],
        d["placed_at"],
        d["paid_at"],
        d["delivered_at"],
        d["cancelled_at"],
        d["market"],
        d["currency"],
        tuple(lines),
        d["order_discount_minor"],
        d["paid_with_points_minor"],
        d["shipping_minor"],
        d["tax_minor"],
    )


def _return(d: dict[str, Any]) -> Return:
    return Return(
        d["event_id"],
        d["member_id"],
        d["occurred_at"],
        d["recorded_at"],
        d["return_id"],
        d["order_id"],
        d["version"],
        _RETURN_STATUS[d["status"]],
        d["requested_at"],
        d["settled_at"],
        tuple(ReturnLine(x["line_id"], x["quantity"], x["refund_minor"]) for x in d["lines"]),
    )


def _engagement(d: dict[str, Any]) -> Engagement:
    return Engagement(
        d["event_id"],
        d["member_id"],
        d["occurred_at"],
        d["recorded_at"],
        d["engagement_id"],
        d["version"],
        _KIND[d["kind"]],
        _STATUS[d["status"]],
        d["zone"],
        d["distance_m"],
        d["duration_s"],
        _VERIFICATION[d["verification"]],
        d["subject"],
    )


def _member(d: dict[str, Any]) -> Member:
    return Member(
        d["event_id"],
        d["member_id"],
        d["occurred_at"],
        d["recorded_at"],
        d["version"],
        d["enrolled_at"],
        d["market"],
        d["zone"],
        d["birthday_month"],
        d["birthday_day"],
        tuple(Consent(x["purpose"], x["granted_at"], x["withdrawn_at"]) for x in d["consents"]),
        d["erased_at"],
        d["merged_into"],
    )


def _command(d: dict[str, Any]) -> PointsCommand:
    return PointsCommand(
        d["event_id"],
        d["member_id"],
        d["occurred_at"],
        d["recorded_at"],
        d["command_id"],
        CommandKind(d["kind"]),
        d["subject_id"],
        d["points"],
        d["actor"],
        d["reason"],
        d["ticket"],
    )


def _tick(d: dict[str, Any]) -> Tick:
    return Tick(d["at"])


@cache
def _written(fields: tuple[str, ...]) -> tuple[str, ...]:
    """What the fields of a named tuple are called in its schema."""
    return tuple(name.removesuffix("_ms") for name in fields)


def _named(kind: Any, d: dict[str, Any]) -> Any:
    """The fields of a record as its named tuple calls them."""
    return kind(*(d[name] for name in _written(kind._fields)))


def _told_entry(d: dict[str, Any]) -> LedgerEntry:
    """An entry; of its derivation the formula and the inputs, which say what time does with the lot."""
    told = d["derivation"]
    inputs = tuple((x["name"], x["value"]) for x in told["inputs"])
    d["derivation"] = Derivation(told["formula"], inputs, (), (), told["granted_before"], told["target"], ())
    entry: LedgerEntry = _named(LedgerEntry, d)
    return entry._replace(
        from_account=_ACCOUNT[entry.from_account],
        to_account=_ACCOUNT[entry.to_account],
        reason=_REASON[entry.reason],
        caused_by=tuple(entry.caused_by),
    )


def _told_change(d: dict[str, Any]) -> TierChanged:
    change: TierChanged = _named(TierChanged, d)
    return change._replace(kind=TierChange(change.kind), caused_by=tuple(change.caused_by))


def _told_progress(d: dict[str, Any]) -> TierProgress:
    progress: TierProgress = _named(TierProgress, d)
    return progress


def _told_part(d: dict[str, Any]) -> LiabilityPart:
    return LiabilityPart(d["market"], d["day"], d["partition"], _named(Movements, d))


_RESULTS: Final[dict[str, Callable[[dict[str, Any]], Result]]] = {
    catalogue.LEDGER: _told_entry,
    catalogue.TIERS: _told_change,
    catalogue.TIER_PROGRESS: _told_progress,
    catalogue.LIABILITY_PARTS: _told_part,
}

_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Fact | Tick]]] = {
    catalogue.ORDERS: _order,
    catalogue.RETURNS: _return,
    catalogue.ENGAGEMENTS: _engagement,
    catalogue.MEMBERS: _member,
    catalogue.COMMANDS: _command,
    catalogue.CLOCK: _tick,
}


def _as_it_is(record: Any) -> Any:
    """A named tuple whose fields, and theirs, are in the schema's order."""
    return record


def _entry(entry: LedgerEntry) -> tuple[Any, ...]:
    """The exact terms of a derivation may be larger than an Avro number: they are written as text."""
    derivation = entry.derivation
    if not derivation.terms:
        return entry
    return (*entry[:-1], (*derivation[:3], _exactly(derivation.terms), *derivation[4:]))


@lru_cache(maxsize=8)
def _exactly(terms: tuple[Term, ...]) -> tuple[tuple[str, str, str, str, int], ...]:
    """Remembered, for each entry of an order has all its terms."""
    return tuple(
        [
            (term.reason, term.rule_id, str(term.numerator), str(term.denominator), term.points)
            for term in terms
        ]
    )


def _with_figures(trigger: Trigger | SuppressedTrigger) -> tuple[Any, ...]:
    figures = [
        (name, None, value) if isinstance(value, str) else (name, value, None)
        for name, value in trigger.figures
    ]
    return trigger._replace(figures=tuple(figures))  # type: ignore[arg-type]


def _part(part: LiabilityPart) -> tuple[Any, ...]:
    return (part.market, part.day, part.partition, *part.moves)


_ENCODERS: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    Order: (catalogue.ORDERS, _as_it_is),
    Return: (catalogue.RETURNS, _as_it_is),
    Engagement: (catalogue.ENGAGEMENTS, _as_it_is),
    Member: (catalogue.MEMBERS, _as_it_is),
    PointsCommand: (catalogue.COMMANDS, _as_it_is),
    Tick: (catalogue.CLOCK, _as_it_is),
    LedgerEntry: (catalogue.LEDGER, _entry),
    Balance: (catalogue.BALANCES, _as_it_is),
    TierChanged: (catalogue.TIERS, _as_it_is),
    TierProgress: (catalogue.TIER_PROGRESS, _as_it_is),
    CommandResult: (catalogue.COMMAND_RESULTS, _as_it_is),
    DeadLetter: (catalogue.DEAD_LETTERS, _as_it_is),
    Handover: (catalogue.HANDOVERS, _as_it_is),
    Trigger: (catalogue.TRIGGERS, _with_figures),
    SuppressedTrigger: (catalogue.SUPPRESSED_TRIGGERS, _with_figures),
    Redrive: (catalogue.REDRIVES, _as_it_is),
    LiabilityPart: (catalogue.LIABILITY_PARTS, _part),
    LiabilityDay: (catalogue.LIABILITY, _as_it_is),
}


def topic_of(record: Record) -> str:
    """Where a record of this type is written."""
    return _ENCODERS[type(record)][0]


class Codec:
    """Encodes with this build's schemas under their registered ids; decodes what any registered schema wrote.

    `writer_schema` gives the schema of an id that is not this build's, LookupError when there is none.
    """

    def __init__(self, ids: Mapping[str, int], writer_schema: Callable[[int], str]) -> None:
        self._writers = {
            kind: (_HEAD.pack(0, ids[topic]), shaped, writer(catalogue.parsed(topic)))
            for kind, (topic, shaped) in _ENCODERS.items()
        }
        self._own: dict[str, Any] = {
            topic: parse_schema(catalogue.parsed(topic)) for topic in catalogue.TOPICS
        }
        self._by_id: dict[int, Any] = {ids[topic]: self._own[topic] for topic in catalogue.TOPICS}
        self._writer_schema = writer_schema

    @classmethod
    def offline(cls) -> Codec:
        """A codec with ids of its own, for work without a registry."""

        def none(schema_id: int) -> str:
            raise LookupError(schema_id)

        return cls({topic: n for n, topic in enumerate(catalogue.TOPICS, 1)}, none)

    def encode(self, record: Record) -> bytes:
        """The value of a record in the wire format."""
        head, shaped, write = self._writers[type(record)]
        fields = self._handed_over(record) if isinstance(record, Handover) else shaped(record)
        return head + write(fields)

    def _handed_over(self, handover: Handover) -> tuple[Any, ...]:
        *told, records, fact, source = handover
        topic, value = (None, None) if fact is None else (topic_of(fact), self.encode(fact))
        shaped = [(kind.decode(), name, state) for kind, name, state in records]
        return (*told, tuple(shaped), topic, value, source)

    def _handover(self, d: dict[str, Any]) -> Handover:
        topic = d["fact_topic"]
        if topic is not None and topic not in catalogue.FACTS:
            raise InvalidFact("WRONG_SCHEMA", f"a handover of {topic}, which is no topic of facts")
        fact: Any = None if topic is None else self.decode(topic, d["fact_value"])
        return Handover(
            d["member_id"],
            d["from_member_id"],
            HandoverKind(d["kind"]),
            d["recorded_at"],
            d["event_id"],
            d["cause"],
            tuple(d["path"]),
            tuple((x["kind"].encode(), x["name"], x["value"]) for x in d["records"]),
            fact,
            d["source"],
        )

    def decode(self, topic: str, value: bytes | None) -> Input:
        """The fact in a value of that topic, or what one account sends another; InvalidFact when there is none."""
        try:
            if topic == catalogue.HANDOVERS:
                return self._handover(self.body(topic, value))
            return _DECODERS[topic](self.body(topic, value))
        except ValueError as error:
            raise InvalidFact("UNKNOWN_ENUM", str(error)) from error

    def result(self, topic: str, value: bytes | None) -> Result:
        """What a pipeline said, in a value of that topic; InvalidFact when it cannot be read."""
        try:
            return _RESULTS[topic](self.body(topic, value))
        except ValueError as error:
            raise InvalidFact("UNKNOWN_ENUM", str(error)) from error

    def dead_letter(self, value: bytes | None) -> DeadLetter:
        """The dead letter in a value; InvalidFact when it cannot be read."""
        body = self.body(catalogue.DEAD_LETTERS, value)
        headers = tuple((header["name"], header["value"]) for header in body["headers"])
        letter: DeadLetter = _named(DeadLetter, body | {"headers": headers})
        return letter

    def redrive(self, value: bytes | None) -> Redrive:
        """The redrive in a value; InvalidFact when it cannot be read."""
        told: Redrive = _named(Redrive, self.body(catalogue.REDRIVES, value))
        return told

    def body(self, topic: str, value: bytes | None) -> dict[str, Any]:
        """The Avro body of a value, through this build's schema."""
        if value is None:
            raise InvalidFact("NULL_VALUE", f"a record of {topic} has no value")
        if len(value) < _HEAD.size:
            raise InvalidFact("TRUNCATED", f"{len(value)} bytes are too few")
        magic, schema_id = _HEAD.unpack_from(value)
        if magic != 0:
            raise InvalidFact("BAD_MAGIC", f"the first byte is {value[0]}, not 0")
        reader = self._own[topic]
        writer: Any = self._by_id.get(schema_id) or self._learn(schema_id)
        name = writer.get("name", "no record") if isinstance(writer, dict) else "no record"
        if name != reader["name"]:
            raise InvalidFact("WRONG_SCHEMA", f"schema {schema_id} is of {name}, not {reader['name']}")
        return _read(value, writer, reader)

    def _learn(self, schema_id: int) -> Any:
        try:
            text = self._writer_schema(schema_id)
        except LookupError as error:
            raise InvalidFact("UNKNOWN_SCHEMA", f"the registry knows no schema {schema_id}") from error
        try:
            self._by_id[schema_id] = parse_schema(catalogue.plain(json.loads(text)))
        except Exception as error:  # a registry also holds what is not Avro
            raise InvalidFact("WRONG_SCHEMA", f"schema {schema_id} is not Avro: {error}") from error
        return self._by_id[schema_id]


def _read(value: bytes, writer: Any, reader: Any) -> dict[str, Any]:
    stream = BytesIO(value)
    stream.seek(_HEAD.size)
    try:
        body: Any = schemaless_reader(stream, writer, None if writer is reader else reader)
    except Exception as error:  # damaged bytes raise EOFError, IndexError, UnicodeDecodeError and more
        raise InvalidFact("UNDECODABLE", f"{type(error).__name__}: {error}") from error
    if (left := len(value) - stream.tell()) != 0:
        raise InvalidFact("TRAILING_BYTES", f"{left} bytes are left over")
    fields: dict[str, Any] = body
    return fields
