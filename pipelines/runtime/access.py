"""Whether a worker may do what it will have to do: asked before it starts, and again when it had to stop, so that the
ACL that is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from pipelines.connection import kafka_client, security
from pipelines.failure import Failure
from pipelines.grants import Grant, grants
from pipelines.runtime.settings import Settings

TIMEOUT_S: Final = 15.0
DO: Final = (
    "run `loyalty acls plan`, then `apply`, as somebody who may alter the cluster; then start it again"
)


def check_access(admin: AdminClient, settings: Settings) -> None:
    """A Failure that names every ACL of the worker that the brokers do not grant.

    A group that is not there yet tells nothing; and without a user there is nothing to ask.
    """
    if security().protocol != "SASL_SSL":
        return
    wanted = grants(settings.processor, settings.topic_prefix)
    of = {
        kind: [grant for grant in wanted if grant.kind == kind]
        for kind in ("TOPIC", "GROUP", "TRANSACTIONAL_ID")
    }
    missing = [
        *_of_topics(admin, of["TOPIC"]),
        *_of_groups(admin, of["GROUP"]),
        *_of_transactions(settings, of["TRANSACTIONAL_ID"]),
    ]
    if missing:
        told = "; ".join(str(grant) for grant in missing)
        raise Failure(f"{security().whom} may not do what this worker has to: it lacks {told}", DO)


def refusal(settings: Settings) -> Failure | None:
    """Why a worker had to stop, when it is that it may not do something any more; None when it is anything else.

    The engine's own error does not say: it is often of what failed behind the refusal, such as the abort.
    """
    admin = AdminClient({**kafka_client(settings.bootstrap_servers), "log_level": 0})
    try:
        check_access(admin, settings)
    except Failure as named:
        return named
    except KafkaException:
        return None
    return None


def _of_topics(admin: AdminClient, wanted: list[Grant]) -> Iterator[Grant]:
    names = TopicCollection(sorted({grant.name for grant in wanted}))
    asked = admin.describe_topics(names, include_authorized_operations=True, request_timeout=TIMEOUT_S)
    may: dict[str, set[str]] = {}
    for name, future in asked.items():
        try:
            may[name] = {operation.name for operation in future.result().authorized_operations or ()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                may[name] = set()
            elif error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # the next guard tells of that
                raise
    yield from (grant for grant in wanted if grant.name in may and grant.operation not in may[grant.name])


def _of_groups(admin: AdminClient, wanted: list[Grant]) -> Iterator[Grant]:
    asked = admin.describe_consumer_groups(
        [grant.name for grant in wanted], include_authorized_operations=True, request_timeout=TIMEOUT_S
    )
    for grant in wanted:
        try:
            may = asked[grant.name].result().authorized_operations or ()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                yield grant
            continue
        if AclOperation[grant.operation] not in may:
            yield grant


def _of_transactions(settings: Settings, wanted: list[Grant]) -> Iterator[Grant]:
    """Of a transactional id nobody can ask but by beginning with one: with one beside the worker's own, which fences
    nobody."""
    beside = {"transactional.id": f"{settings.transactional_id}-asked", "log_level": 0}
    producer = Producer(kafka_client(settings.bootstrap_servers) | beside)
    try:
        producer.init_transactions(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            raise
        yield from wanted
