"""What is brought about by `make drills` on a real worker, and how: alerts, refusals of a worker, and procedures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PROCEDURES_PAGE: Final = Path(__file__).parents[2] / "runbooks/procedures.md"

ALERTS: Final[Mapping[str, str]] = {
    "LoyaltyBrokersUnreachable": "the only broker is killed",
    "LoyaltyBuildsDiffer": "a second worker runs another programme",
    "LoyaltyClockStopped": "nobody ticks",
    "LoyaltyCommitsStalled": "a record blocks the worker for ten minutes",
    "LoyaltyDeadLetters": "thirty records that are no facts",
    "LoyaltyFreshnessBurn": "each write of state takes 0.6 s",
    "LoyaltyHotPartition": "thousands of facts of one partition, on a worker with a slow disk",
    "LoyaltyLagGrowing": "thousands of facts of one partition, on a worker with a slow disk",
    "LoyaltyLedgerDrift": "the workers ran with twice the points of the programme in force",
    "LoyaltyOutputsBurn": "a record blocks the worker for ten minutes",
    "LoyaltyRebalanceStorm": "somebody joins the group and leaves it again and again",
    "LoyaltyRestoreStalled": "the disk hangs in the middle of a restore",
    "LoyaltySinkBehind": "the catalogue's database is away (15 s of lag call, not 15 min)",
    "LoyaltyStateDiskFilling": "something else writes to the disk of the state",
    "LoyaltyTimersBurn": "a clock that is hours behind",
    "LoyaltyTransactionStuck": "a writer dies in its transaction, whose time-out is long",
    "LoyaltyVerifyStale": "the last verification is a day old",
    "LoyaltyWarehouseDrift": "somebody deletes rows of a table",
    "LoyaltyWarehouseMaintenanceStale": "the last maintenance is a day old",
    "LoyaltyWarehouseVerifyStale": "the last verification is a day old",
    "LoyaltyWorkerDown": "the worker is killed",
    "LoyaltyWorkerHangs": "a record blocks the worker for ten minutes",
    "LoyaltyWorkerRestarts": "a build that dies in its fifth commit, and a supervisor",
}

REFUSALS: Final[Mapping[str, str]] = {
    "LoyaltyDeadLettersInARow": "orders in a currency that the programme does not know",
    "LoyaltyInputGap": "somebody deletes records that were not processed",
    "LoyaltyStateWithoutOffsets": "somebody deletes the group",
    "LoyaltyWorkerFenced": "a twin of the worker is started",
}
"""What a worker itself points to when it refuses or ends."""

PROCEDURES: Final[Mapping[str, str]] = {
    "Replay": "points anew, beside",
    "Restore state": "the state directory is lost",
    "Roll back a programme version": "a version with twice the points is in force",
    "Roll back a build": "a build with a slow disk is rolled out",
    "Schema change": "the schemas are there already",
    "New market": "orders in Swedish crowns come before the programme knows them",
    "More partitions": "points anew, in more partitions",
    "Broker loss": "one of three brokers is killed",
    "Redrive dead letters": "orders in Swedish crowns came before the programme knew them",
    "Rotate credentials": "the workers' password is to be another",
    "Erase a member": "a member asks for it",
    "Warehouse drift": "rows of a table are gone",
    "Disaster recovery from topics alone": "state, results and the group are gone",
}

FAULTS: Final[Mapping[str, str]] = {**ALERTS, **REFUSALS, **PROCEDURES}

NOT_DRILLED: Final[Mapping[str, str]] = {
    "Capacity": "nothing is at fault: it adds up measured figures, which docs/CAPACITY.md names",
    "Stuck transaction": "see LoyaltyTransactionStuck",
    "Poison pill": "see LoyaltyDeadLetters, LoyaltyDeadLettersInARow and LoyaltyWorkerRestarts",
}


def procedures() -> list[str]:
    """The headings of runbooks/procedures.md."""
    return re.findall(r"^## (.*)$", PROCEDURES_PAGE.read_text(), re.MULTILINE)
