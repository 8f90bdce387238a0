"""Runs the same vectors end to end: facts into Kafka, the real worker, results read back as committed.

Vectors with the same programme run together, each with names of its own before its members and entities; a topic
prefix keeps every run apart from all else on the cluster.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from pipelines.audit.reading import Decoder, Record, RegistrySchemas, Topics
from pipelines.conformance.compare import Results, differences
from pipelines.conformance.vectors import Vector
from pipelines.domain.facts import Engagement, EngagementKind, Fact, Member, Order, PointsCommand, Return
from pipelines.domain.ledger import (
    Balance,
    CommandResult,
    Derivation,
    DerivedLine,
    LedgerAccount,
    LedgerEntry,
    NoBalance,
    NoProgress,
    Reason,
    TierChange,
    TierChanged,
    TierProgress,
)
from pipelines.domain.triggers.announcing import SuppressedTrigger, Trigger
from pipelines.runtime.producers import Sender
from pipelines.runtime.settings import settings
from pipelines.runtime.ticks import send_tick
from pipelines.runtime.topic_admin import connect as connect_admin
from pipelines.runtime.topic_admin import ensure_topics
from pipelines.topics import prefixed, topics
from pipelines.worker import run_worker
from schemas import catalogue
from schemas.codec import Codec, topic_of
from schemas.registry import connect

PARTITIONS: Final = 2
AHEAD: Final = {"message.timestamp.after.max.ms": str((1 << 63) - 1)}
"""Vectors live in years to come; elsewhere it is well that the broker refuses a record an hour ahead of its clock."""

_BETWEEN: Final = ":"


def check_all(
    vectors: Sequence[Vector], bootstrap: str, registry_url: str, state_dir: Path
) -> dict[str, list[str]]:
    """What is wrong with each vector's results, through Kafka; an empty list where nothing is."""
    codec = connect(registry_url, register=True)
    wrong: dict[str, list[str]] = {}
    for (_, until_ms), some in groupby(sorted(vectors, key=_together), key=_together):
        batch = list(some)
        prefix = f"conformance-{token_hex(4)}-"
        try:
            results = _run(batch, until_ms, bootstrap, registry_url, codec, prefix, state_dir / prefix)
        finally:
            _forget(bootstrap, prefix, state_dir / prefix)
        wrong |= {v.name: differences(v, results.get(v.name, Results())) for v in batch}
    return wrong


def _together(vector: Vector) -> tuple[str, int]:
    return vector.programme_text, vector.until_ms or 0


def _forget(bootstrap: str, prefix: str, state_dir: Path) -> None:
    """Remove the run's topics and state; its group has a name of its own, and expires."""
    admin: AdminClient = connect_admin(bootstrap)
    there = admin.list_topics(timeout=30).topics
    names = [topic.name for topic in topics(prefix) if topic.name in there]
    for future in admin.delete_topics(names, operation_timeout=30).values() if names else ():
        future.result()
    shutil.rmtree(state_dir, ignore_errors=True)


def _run(
    batch: Sequence[Vector],
    until_ms: int,
    bootstrap: str,
    registry_url: str,
    codec: Codec,
    prefix: str,
    state_dir: Path,
) -> dict[str, Results]:
    ensure_topics(bootstrap, PARTITIONS, prefix, AHEAD)
    chosen = settings(
        bootstrap_servers=bootstrap,
        schema_registry_url=registry_url,
        state_dir=state_dir,
        replica="conformance",
        topic_prefix=prefix,
        commit_interval_ms=100,
    )
    phases = _phases(batch)
    for place, facts in enumerate(phases, 1):
        _send(facts, until_ms if place == len(phases) else 0, bootstrap, codec, prefix)
        run_worker(chosen, batch[0].programme, until_caught_up=True)
    if any(vector.looks_at_triggers for vector in batch):
        watching = chosen.model_copy(update={"processor": "triggers", "state_dir": state_dir / "triggers"})
        run_worker(watching, batch[0].programme, until_caught_up=True)
    return _read(bootstrap, registry_url, prefix)


def _phases(batch: Sequence[Vector]) -> list[list[Fact]]:
    """The facts in as many runs as it takes: members on two partitions are one person only when each has what the
    other sent, so a vector's next fact waits for that."""
    phases: dict[int, list[Fact]] = defaultdict(list)
    for vector in batch:
        phase = 0
        for fact in (*vector.members, *vector.given):
            phases[phase].append(_named(fact, vector.name))
            phase += isinstance(fact, Member) and fact.version > 1
    return [phases[phase] for phase in sorted(phases)]


def _send(facts: Sequence[Fact], until_ms: int, bootstrap: str, codec: Codec, prefix: str) -> None:
    """By recorded time over all vectors: topics are read together by their heads' timestamps, so that one vector's
    later fact, first in its topic, would otherwise hold back another's earlier one."""
    sender = Sender(bootstrap, "the vectors' facts")
    for fact in sorted(facts, key=lambda f: f.recorded_at_ms):
        key, at_ms = fact.member_id, fact.recorded_at_ms
        sender.send(prefixed(prefix, topic_of(fact)), codec.encode(fact), key=key, timestamp=at_ms)
    if until_ms:
        send_tick(sender, codec, until_ms, PARTITIONS, prefix)
    sender.flush()


def _named(fact: Fact, vector: str) -> Fact:
    """The fact with the vector's name before its member and its entity."""
    own: dict[str, Any] = {"member_id": f"{vector}{_BETWEEN}{fact.member_id}"}
    if isinstance(fact, Member) and fact.merged_into is not None:
        own["merged_into"] = f"{vector}{_BETWEEN}{fact.merged_into}"
    if isinstance(fact, Order | Return):
        own["order_id"] = f"{vector}{_BETWEEN}{fact.order_id}"
    if isinstance(fact, Return):
        own["return_id"] = f"{vector}{_BETWEEN}{fact.return_id}"
    if isinstance(fact, Engagement):
        own["engagement_id"] = f"{vector}{_BETWEEN}{fact.engagement_id}"
        if fact.kind is EngagementKind.RUN and fact.subject is not None:
            own["subject"] = f"{vector}{_BETWEEN}{fact.subject}"
    if isinstance(fact, PointsCommand):
        own["command_id"] = f"{vector}{_BETWEEN}{fact.command_id}"
        if fact.subject_id is not None:
            own["subject_id"] = f"{vector}{_BETWEEN}{fact.subject_id}"
    return fact._replace(**own)


def _read(bootstrap: str, registry_url: str, prefix: str) -> dict[str, Results]:
    reader, schemas = Topics(bootstrap), RegistrySchemas(registry_url)
    results: dict[str, Results] = {}
    makers: Mapping[str, Any] = {
        catalogue.LEDGER: _entry,
        catalogue.BALANCES: _balance,
        catalogue.TIERS: _change,
        catalogue.TIER_PROGRESS: _progress,
        catalogue.COMMAND_RESULTS: _answer,
        catalogue.TRIGGERS: _trigger,
        catalogue.SUPPRESSED_TRIGGERS: _suppressed,
    }
    for topic, make in makers.items():
        decoder = Decoder(schemas)

        removed = NoBalance if topic == catalogue.BALANCES else NoProgress

        def take(
            records: Iterable[Record],
            make: Any = make,
            decoder: Decoder = decoder,
            removed: type[NoBalance | NoProgress] = removed,
        ) -> None:
            for record in records:
                member_id = (record.key or b"").decode()
                told = make(decoder.decode(record.value)) if record.value else removed(member_id, 0)
                results.setdefault(member_id.split(_BETWEEN)[0], Results()).take(told)

        reader.read(prefixed(prefix, topic), take)
    decoder = Decoder(schemas)

    def refused(records: Iterable[Record]) -> None:
        for record in records:
            vector = (record.key or b"").decode().split(_BETWEEN)[0]
            results.setdefault(vector, Results()).refused.append(decoder.decode(record.value)["error_class"])

    reader.read(prefixed(prefix, catalogue.DEAD_LETTERS), refused)
    return results


def _instants(told: Mapping[str, Any], record: Any) -> dict[str, Any]:
    """The fields of a record as its named tuple calls them."""
    return {name: told[name.removesuffix("_ms")] for name in record._fields}


def _entry(told: dict[str, Any]) -> LedgerEntry:
    derivation = told["derivation"]
    told["derivation"] = Derivation(
        derivation["formula"],
        (),
        tuple(DerivedLine(**line) for line in derivation["lines"]),
        (),
        derivation["granted_before"],
        derivation["target"],
        (),
    )
    lot = told["lot_id"].split(_BETWEEN)
    told["lot_id"] = _BETWEEN.join([lot[0], *lot[2:]])
    entry = LedgerEntry(**_instants(told, LedgerEntry))
    return entry._replace(
        reason=Reason(entry.reason),
        from_account=LedgerAccount(entry.from_account),
        to_account=LedgerAccount(entry.to_account),
    )


def _balance(told: dict[str, Any]) -> Balance:
    return Balance(**_instants(told, Balance))


def _change(told: dict[str, Any]) -> TierChanged:
    change = TierChanged(**_instants(told, TierChanged))
    return change._replace(kind=TierChange(change.kind))


def _answer(told: dict[str, Any]) -> CommandResult:
    for name in ("command_id", "subject_id"):
        told[name] = None if told[name] is None else told[name].split(_BETWEEN, 1)[1]
    return CommandResult(**_instants(told, CommandResult))


def _progress(told: dict[str, Any]) -> TierProgress:
    return TierProgress(**_instants(told, TierProgress))


def _trigger(told: dict[str, Any]) -> Trigger:
    return Trigger(**_instants(_with_figures(told), Trigger))


def _suppressed(told: dict[str, Any]) -> SuppressedTrigger:
    return SuppressedTrigger(**_instants(_with_figures(told), SuppressedTrigger))


def _with_figures(told: dict[str, Any]) -> dict[str, Any]:
    """Figures as pairs; no vector's name, which stands before members and entities."""
    vector = told["member_id"].split(_BETWEEN)[0] + _BETWEEN
    found = [(f["name"], f["text"] if f["whole"] is None else f["whole"]) for f in told["figures"]]
    told["figures"] = [(n, v.replace(vector, "") if isinstance(v, str) else v) for n, v in found]
    for name in ("subject", "trigger_id"):
        told[name] = told[name].replace(vector, "")
    return told
