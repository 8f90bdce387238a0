"""The topic catalogue: every topic, why it is configured as it is, and the changelogs of the stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas import catalogue

PARTITIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A join over one store. The store's name is its own: were it to follow from the topics read, as the engine would
    have it, adding one would start an empty store."""

    name: str
    group: str
    store: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def changelog(self, prefix: str) -> str:
        """The changelog of the store, as the engine names it."""
        return f"changelog__{prefixed(prefix, self.group)}--{self.store}--default"

    def inputs(self, prefix: str, partitions: int) -> list[tuple[str, int]]:
        """Every partition of the topics that it reads."""
        return [(prefixed(prefix, name), number) for name in self.reads for number in range(partitions)]

    def topics(self, prefix: str) -> frozenset[str]:
        """All that it reads and writes, with its changelog: what must be as the catalogue says before it starts."""
        named = {prefixed(prefix, name) for name in (*self.reads, *self.writes)}
        return frozenset({*named, self.changelog(prefix)})


ACCOUNTS: Final = Pipeline(
    "accounts",
    "loyalty-accounts-v1",
    "accounts-v1",
    catalogue.INPUTS,
    (catalogue.HANDOVERS, *catalogue.OUTPUTS),
)
TRIGGERS: Final = Pipeline(
    "triggers", "loyalty-triggers-v1", "triggers-v1", catalogue.WATCHED, catalogue.TOLD
)
LIABILITY: Final = Pipeline(
    "liability",
    "loyalty-liability-v1",
    "liability-v1",
    (catalogue.LEDGER, catalogue.LIABILITY_PARTS),
    catalogue.OWED,
)
OF_MEMBERS: Final = (ACCOUNTS, TRIGGERS)
"""Those whose state and changelogs hold something of single members."""
PIPELINES: Final = {pipeline.name: pipeline for pipeline in (*OF_MEMBERS, LIABILITY)}

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS

_FOR_EVER: Final[dict[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "message.timestamp.type": "CreateTime",
}
"""A log that can be replayed. Records carry the time of the world: time-based retention would delete history."""

_LATEST: Final[dict[str, str]] = {
    "cleanup.policy": "compact",
    "segment.ms": str(6 * _HOUR_MS),
    "max.compaction.lag.ms": str(3 * _DAY_MS),
    "delete.retention.ms": str(7 * _DAY_MS),
    "message.timestamp.type": "CreateTime",
}
"""The last record of each key, with a bound on how long an older one stays (compaction has none by default)."""

ACCOUNT_BYTES_MAX: Final = 16 << 20
"""The largest account that can be kept or handed over in one record. Five years of a very active member are 0.1 MB."""

_LARGE: Final = {"max.message.bytes": str(ACCOUNT_BYTES_MAX)}
"""For what is as large as an account, or larger than the fact that it comes of, which a broker takes up to 1 MiB: a
dead letter is the fact and more, a ledger entry has a step for each line of its order."""

_OWN: Final[dict[str, dict[str, str]]] = dict.fromkeys(
    (catalogue.HANDOVERS, catalogue.LEDGER, catalogue.DEAD_LETTERS), _LARGE
)
"""What single topics need besides."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be; `name` may carry a prefix that keeps whole pipelines apart on one cluster."""

    name: str
    config: Mapping[str, str]


def prefixed(prefix: str, name: str) -> str:
    return f"{prefix}{name}"


def topics(prefix: str = "", replication: int = 1) -> tuple[Topic, ...]:
    """All topics of a pipeline; two copies must be in sync where there are three."""
    durable = {"min.insync.replicas": "2" if replication >= 3 else "1"}
    compacted = {catalogue.BALANCES, catalogue.TIER_PROGRESS, *catalogue.OWED}
    named = [
        Topic(
            prefixed(prefix, name),
            (_LATEST if name in compacted else _FOR_EVER) | _OWN.get(name, {}) | durable,
        )
        for name in catalogue.TOPICS
    ]
    changelogs = [Topic(p.changelog(prefix), _LATEST | _LARGE | durable) for p in PIPELINES.values()]
    return (*named, *changelogs)
