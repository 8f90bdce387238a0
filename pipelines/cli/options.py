"""Options that several commands share."""

from __future__ import annotations

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
