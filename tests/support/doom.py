"""A command that ends by SIGKILL right before the nth call of a function of the product:

    python -m tests.support.doom pipelines.warehouse.rebuilding swap 1 warehouse rebuild ...

A method is named `Class.method`. The product has no switch for this: the function is wrapped in the process that is to
die, and the command line behind it is then run as it is.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from functools import wraps
from importlib import import_module
from typing import Any


def arm(module: str, name: str, call: int) -> None:
    """Have this process die right before that call."""
    *owners, last = name.split(".")
    owner: Any = import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    function, left = getattr(owner, last), call

    @wraps(function)
    def doomed(*given: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **more)

    setattr(owner, last, doomed)


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    del sys.argv[1:4]
    runpy.run_module("pipelines.cli.main", run_name="__main__", alter_sys=True)
