"""Workers that end by SIGKILL at a named point of a commit."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from random import Random
from typing import Final

from pipelines.torture.fault import Fault, Strike, Unmet
from pipelines.torture.faults.workers import log_size, told_since
from pipelines.torture.ground import Ground
from pipelines.torture.kill_points import LAST_WORDS, LAUNCHER, KillPoint

DEAD_S: Final = 60.0
PASSAGE_MAX: Final = 8


def killed_at(point: KillPoint) -> Strike:
    """A worker in another's place that dies there, in one of its first commits; then the other comes back."""

    @contextlib.contextmanager
    def strike(ground: Ground, rnd: Random) -> Iterator[str]:
        replica = rnd.choice(ground.workers.replicas("accounts"))
        passage = rnd.randint(1, PASSAGE_MAX)
        _die(ground, replica, point, passage)
        yield f"{replica}, at {point} of commit {passage}"

    return strike


def _die(ground: Ground, replica: str, point: KillPoint, passage: int) -> None:
    mark = log_size(ground, replica)
    with ground.workers.stood_in(replica, (LAUNCHER, str(point), str(passage))) as worker:
        try:
            code = worker.wait(DEAD_S)
        except subprocess.TimeoutExpired as still:
            raise Unmet(f"{replica} did not come to {point} {passage} times within {DEAD_S:.0f} s") from still
    if code != -signal.SIGKILL or not told_since(ground, replica, mark, f"{LAST_WORDS}{point} "):
        raise Unmet(f"{replica} ended with {code} before {point}")


UNSEEN: Final = "Nothing of the transaction is seen; it starts again and goes on where it had committed"
BEHIND: Final = "All of the transaction is seen, once; the state catches up from the changelog"

FAULTS: Final = tuple(
    Fault(
        "F2" if point.visible else "F1",
        f"killed-at-{point.lower()}",
        BEHIND if point.visible else UNSEEN,
        killed_at(point),
        alone=True,
    )
    for point in KillPoint
)
