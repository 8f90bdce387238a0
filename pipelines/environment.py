"""Settings from the environment: a name that nobody knows is refused, and what is wrong is told by its name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence

from pipelines.failure import Failure


def refuse_unknown(prefix: str, fields: Iterable[str]) -> None:
    """A Failure when a variable begins with the prefix and is none of the fields."""
    known = [f"{prefix}{name.upper()}" for name in fields]
    for variable in os.environ:
        if variable.startswith(prefix) and variable not in known:
            near = difflib.get_close_matches(variable, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise Failure(f"nobody knows the setting {variable}", hint)


def named(prefix: str, place: Sequence[object], otherwise: str) -> str:
    """The variable at which a validation found something wrong; `otherwise` when it was no single one."""
    return prefix + "_".join(str(part) for part in place).upper() if place else otherwise
