"""Makes the topics as the catalogue says: what is missing is created, what differs is altered or refused."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import MappingProxyType

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from pipelines.connection import PREFIX, kafka_client, security
from pipelines.failure import Failure
from pipelines.topics import Topic, topics

TIMEOUT_S = 30
POLL_S = 0.1
TRY_S = 5.0
_FOR_GOOD = (KafkaError._AUTHENTICATION, KafkaError._SSL)
NOTHING_MORE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Setting:
    """A topic's setting that is not what it should be."""

    topic: str
    name: str
    found: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do, and what it would refuse."""

    partitions: int
    replication: int
    create: tuple[Topic, ...]
    alter: tuple[Setting, ...]
    wrong_partitions: tuple[tuple[str, int], ...]

    @property
    def empty(self) -> bool:
        return not (self.create or self.alter or self.wrong_partitions)


def connect(bootstrap: str) -> AdminClient:
    """An admin client of a cluster that answers."""
    refused: list[KafkaError] = []
    admin = AdminClient({**kafka_client(bootstrap), "log_level": 0, "error_cb": refused.append})
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            admin.list_topics(timeout=min(TRY_S, TIMEOUT_S))
            return admin
        except KafkaException as error:
            admin.poll(0)  # why, if it is known
            why = next((e for e in refused if e.code() in _FOR_GOOD), None)
            if why is not None:
                raise _shut_out(bootstrap, why) from error
            if time.monotonic() > deadline:
                what = f"no Kafka answers at {bootstrap}: {error.args[0].str()}"
                raise Failure(what, "start it: `loyalty up`") from error


def _shut_out(bootstrap: str, why: KafkaError) -> Failure:
    what = f"Kafka at {bootstrap} and {security().whom} do not come together: {why.str()}"
    return Failure(
        what, f"check the user, its password and the authorities' file: {PREFIX}* (docs/SECURITY.md)"
    )


def make_plan(
    admin: AdminClient,
    partitions: int,
    replication: int | None = None,
    prefix: str = "",
    more: Mapping[str, str] = NOTHING_MORE,
    only: Collection[str] | None = None,
) -> Plan:
    """Compare the cluster with the catalogue, and `more` settings. Copies: as found, else one a broker, at most three.

    With `only`, of these topics, for whoever may see no others.
    """
    cluster = admin.list_topics(timeout=TIMEOUT_S)
    copies = replication or _copies(cluster, {topic.name for topic in topics(prefix)})
    meant = [topic for topic in topics(prefix, copies) if only is None or topic.name in only]
    wanted = [replace(topic, config={**topic.config, **more}) for topic in meant]
    there = [topic for topic in wanted if topic.name in cluster.topics]
    counts = {topic.name: len(cluster.topics[topic.name].partitions) for topic in there}
    return Plan(
        partitions,
        copies,
        tuple(topic for topic in wanted if topic not in there),
        tuple(_differences(admin, there)),
        tuple((name, count) for name, count in counts.items() if count != partitions),
    )


def _copies(cluster: ClusterMetadata, names: Collection[str]) -> int:
    """One a broker that answers, at most three; but no fewer than there are: who is away still counts."""
    there = [cluster.topics[name].partitions.values() for name in names if name in cluster.topics]
    kept = [len(partition.replicas) for partitions in there for partition in partitions]
    return max([min(3, len(cluster.brokers)), *kept])


def _differences(admin: AdminClient, there: list[Topic]) -> list[Setting]:
    found = _describe(admin, {topic.name for topic in there})
    return [
        Setting(topic.name, name, found[topic.name][name].value, wanted)
        for topic in there
        for name, wanted in topic.config.items()
        if found[topic.name][name].value != wanted
    ]


def apply(admin: AdminClient, plan: Plan) -> None:
    """Carry the plan out, and return when the brokers say so: a change reaches each of them by itself.

    A partition count is never changed, for it says where each member's state is.
    """
    if plan.wrong_partitions:
        found = ", ".join(f"{name} has {count}" for name, count in plan.wrong_partitions)
        what = f"{plan.partitions} partitions are wanted, but {found}"
        raise Failure(what, "give --partitions as they are; changing them means a new pipeline and a replay")
    new = [NewTopic(t.name, plan.partitions, plan.replication, config=dict(t.config)) for t in plan.create]
    if new:
        for name, future in admin.create_topics(new, request_timeout=TIMEOUT_S).items():
            _made(name, future)
    if plan.alter:
        _alter(admin, plan.alter)
    if not plan.empty:
        _wait_until_told(admin, plan)


def _made(name: str, future: Future[None]) -> None:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        what = f"{name} was made in this moment by somebody else"
        raise Failure(what, "run `loyalty topics plan` to see how, then `apply` again") from error


def _wait_until_told(admin: AdminClient, plan: Plan) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        cluster = admin.list_topics(timeout=TIMEOUT_S).topics
        known = [topic for topic in plan.create if topic.name in cluster]
        if len(known) == len(plan.create) and not _pending(admin, plan.alter):
            return
        time.sleep(POLL_S)
    raise Failure(
        f"the brokers do not show the change after {TIMEOUT_S} s", "run `loyalty topics plan` again"
    )


def _pending(admin: AdminClient, settings: tuple[Setting, ...]) -> bool:
    found = _describe(admin, {setting.topic for setting in settings})
    return any(found[setting.topic][setting.name].value != setting.wanted for setting in settings)


def _describe(admin: AdminClient, names: set[str]) -> dict[str, dict[str, ConfigEntry]]:
    if not names:
        return {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(names)]
    answers = admin.describe_configs(asked, request_timeout=TIMEOUT_S)
    return {resource.name: future.result() for resource, future in answers.items()}


def _alter(admin: AdminClient, settings: tuple[Setting, ...]) -> None:
    by_topic: dict[str, list[ConfigEntry]] = {}
    for setting in settings:
        entry = ConfigEntry(setting.name, setting.wanted, incremental_operation=AlterConfigOpType.SET)
        by_topic.setdefault(setting.topic, []).append(entry)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for name, entries in by_topic.items()
    ]
    for future in admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_S).values():
        future.result()


def ensure_topics(
    bootstrap: str, partitions: int, prefix: str = "", more: Mapping[str, str] = NOTHING_MORE
) -> int:
    """Have all topics there, and answer how many partitions they have: those found, or `partitions` when new."""
    admin = connect(bootstrap)
    plan = make_plan(admin, partitions, prefix=prefix, more=more)
    found = {count for _, count in plan.wrong_partitions}
    if len(found) == 1 and not plan.create:
        return found.pop()
    apply(admin, plan)
    return partitions
