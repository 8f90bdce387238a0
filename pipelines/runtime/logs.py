"""How a process logs: one JSON object a line, or words in colour on a terminal; never a secret, never a member's id.

ERROR wakes somebody, WARNING is read first, INFO is a change of state. What concerns a record says which: topic,
partition and offset lead to it, `member` is a pseudonym that is the same on every line about one member.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from pipelines.failure import Failure

VARIABLE: Final = "LOYALTY_LOG"
SHAPES: Final = ("json", "pretty")
HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"password|passwd|secret|token|credential|authorization|sasl|api[._-]?key", re.IGNORECASE
)
_USER_INFO: Final = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_PAIR: Final = re.compile(r"(?i)\b((?:[\w.]*(?:password|secret|token))\s*[=:]\s*)\S+")
Event = MutableMapping[str, Any]


def pseudonym(member: bytes | str | None) -> str | None:
    """What stands for a member in logs: it cannot be read back, and is the same each time."""
    if member is None:
        return None
    raw = member.encode() if isinstance(member, str) else member
    return f"m:{hashlib.sha256(raw).hexdigest()[:12]}"


def configure(stream: TextIO) -> None:
    """Log to this stream, the libraries' messages too: as LOYALTY_LOG says, else pretty on a terminal and else JSON."""
    shape = os.environ.get(VARIABLE) or ("pretty" if stream.isatty() else "json")
    if shape not in SHAPES:
        raise Failure(f"{VARIABLE} is {shape!r}", f"choose one of: {', '.join(SHAPES)}")
    renderer: Any = structlog.processors.JSONRenderer(sort_keys=False)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    if shape == "pretty":
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    else:
        shared.append(structlog.processors.dict_tracebacks)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _take_over_the_libraries(stream, shared, renderer)


def _take_over_the_libraries(stream: TextIO, shared: list[Any], renderer: Any) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def hide_secrets(_: Any, __: str, event: Event) -> Event:
    """A processor: nothing under a secret's name, no user and password of an address, no `password=...` in a text."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = _SECRET_PAIR.sub(rf"\1{HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", value))
    return event
