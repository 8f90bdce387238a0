"""Options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
ProgrammeFile = Annotated[
    Path,
    typer.Option(
        "--programme", help="A programme file, or the name of one that comes along: reference, demo."
    ),
]
TopicPrefix = Annotated[
    str | None,
    typer.Option(help="Put before every topic and group name: a whole pipeline apart from the others."),
]


def instant_ms(option: str, text: str | None) -> int | None:
    """The milliseconds of an instant that an option gives, None of none; a usage error when it is no instant."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no instant; 2026-03-01T00:00:00Z is one", param_hint=option
        ) from error
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no zone; end it with Z, or an offset", param_hint=option)
    return round(at.timestamp() * 1000)
