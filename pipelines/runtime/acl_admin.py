"""Makes a cluster's ACLs as the grants say: what is missing is added, what is too much removed when asked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from pipelines.connection import security
from pipelines.failure import Failure
from pipelines.grants import ROLES, Grant, grants

TIMEOUT_S: Final = 30
POLL_S: Final = 0.1
FROM_ANYWHERE: Final = "*"


@dataclass(frozen=True, slots=True)
class AclPlan:
    """What `apply` would do: add what is missing, and remove what is too much when asked."""

    add: tuple[Grant, ...]
    too_much: tuple[AclBinding, ...]

    @property
    def empty(self) -> bool:
        return not (self.add or self.too_much)


def make_plan(admin: AdminClient, prefix: str = "", roles: Iterable[str] = tuple(ROLES)) -> AclPlan:
    """Compare the ACLs of these roles' principals with what they should be; others' are not looked at."""
    _check_may_ask(admin)
    wanted = [grant for role in roles for grant in grants(role, prefix)]
    found = {acl for principal in {grant.principal for grant in wanted} for acl in _found(admin, principal)}
    bindings = {_binding(grant): grant for grant in wanted}
    return AclPlan(
        tuple(grant for binding, grant in bindings.items() if binding not in found),
        tuple(sorted((acl for acl in found if acl not in bindings), key=told)),
    )


def told(acl: AclBinding) -> str:
    """An ACL in words."""
    every = "*" if acl.resource_pattern_type is ResourcePatternType.PREFIXED else ""
    kind, place = acl.restype.name.lower().replace("_", " "), "" if acl.host == "*" else f" from {acl.host}"
    return (
        f"{acl.permission_type.name} {acl.principal} {acl.operation.name} on {kind} {acl.name}{every}{place}"
    )


def apply(admin: AdminClient, plan: AclPlan, *, remove: bool = False) -> None:
    """Carry the plan out, and return when the brokers say so."""
    if plan.add:
        _done(admin.create_acls([_binding(grant) for grant in plan.add], request_timeout=TIMEOUT_S))
    gone = plan.too_much if remove else ()
    if gone:
        _done(admin.delete_acls([_only(acl) for acl in gone], request_timeout=TIMEOUT_S))
    _wait_until_told(admin, plan.add, gone)


def _wait_until_told(admin: AdminClient, add: tuple[Grant, ...], gone: tuple[AclBinding, ...]) -> None:
    new = {_binding(grant) for grant in add}
    principals = {acl.principal for acl in (*new, *gone)}
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        found = {acl for principal in principals for acl in _found(admin, principal)}
        if new <= found and not found & set(gone):
            return
        time.sleep(POLL_S)
    raise Failure(f"the brokers do not show the change after {TIMEOUT_S} s", "run `loyalty acls plan` again")


def _check_may_ask(admin: AdminClient) -> None:
    """A Failure for whoever may not see ACLs: the client would be told that there are none."""
    asked = admin.describe_cluster(include_authorized_operations=True, request_timeout=TIMEOUT_S)
    may = asked.result(timeout=TIMEOUT_S).authorized_operations or ()
    if AclOperation.DESCRIBE not in may:
        what = f"{security().whom} may not see the cluster's ACLs"
        raise Failure(what, "connect as somebody who may DESCRIBE and ALTER the cluster")


def _binding(grant: Grant) -> AclBinding:
    return AclBinding(
        ResourceType[grant.kind],
        grant.name,
        ResourcePatternType[grant.pattern],
        grant.principal,
        FROM_ANYWHERE,
        AclOperation[grant.operation],
        AclPermissionType.ALLOW,
    )


def _only(acl: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        acl.restype,
        acl.name,
        acl.resource_pattern_type,
        acl.principal,
        acl.host,
        acl.operation,
        acl.permission_type,
    )


def _found(admin: AdminClient, principal: str) -> list[AclBinding]:
    every = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        principal,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    try:
        return list(admin.describe_acls(every, request_timeout=TIMEOUT_S).result())
    except KafkaException as error:
        raise _refused(error) from error


def _done(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        try:
            future.result()
        except KafkaException as error:
            raise _refused(error) from error


def _refused(error: KafkaException) -> Failure:
    code, text = error.args[0].code(), error.args[0].str()
    if code == KafkaError.SECURITY_DISABLED:
        return Failure("this cluster has no authorizer: everybody may do everything", "see docs/SECURITY.md")
    return Failure(
        f"the ACLs cannot be read or changed: {text}", "connect as somebody who may ALTER the cluster"
    )
