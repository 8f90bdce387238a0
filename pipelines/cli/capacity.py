"""`loyalty capacity`: partitions, workers and bytes for so many members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from pipelines.cli.options import AsJson
from pipelines.failure import Failure
from pipelines.operations.capacity import MEASURED, Capacity, Demand, Figures, capacity, shown


def register(app: typer.Typer) -> None:
    app.command(name="capacity")(needed)


def needed(
    members: Annotated[int, typer.Option(help="How many members there are to be.", min=1)],
    facts_per_year: Annotated[
        float | None,
        typer.Option(
            help="Facts of a member in a year; as many as the simulated ones when not given.", min=0.1
        ),
    ] = None,
    years: Annotated[float, typer.Option(help="How long they have been members, on average.", min=0.1)] = 3.0,
    peak: Annotated[float, typer.Option(help="The busiest minute, in times of the mean.", min=1)] = 10.0,
    busy: Annotated[
        float, typer.Option(help="Share of its core that a worker may use then.", min=0.05, max=1)
    ] = 0.5,
    copies: Annotated[int, typer.Option(help="Copies that the brokers keep.", min=1)] = 3,
    restore_minutes: Annotated[
        float, typer.Option(help="How long a worker without its disk may take to restore.", min=0.1)
    ] = 30.0,
    figures: Annotated[
        Path, typer.Option(help="What was measured: benchmarks/capacity.py writes it.")
    ] = MEASURED,
    as_json: AsJson = False,
) -> None:
    """Say how many partitions, workers and bytes so many members need, and by which sum."""
    measured = _read(figures)
    demand = Demand(
        members=members,
        facts_per_member_year=facts_per_year or measured.facts_per_member_year,
        years=years,
        peak=peak,
        busy=busy,
        copies=copies,
        restore_s_max=restore_minutes * 60,
    )
    answer = capacity(demand, measured)
    if as_json:
        print(answer.model_dump_json())
    else:
        _show(answer)


def _read(figures: Path) -> Figures:
    try:
        return Figures.model_validate(json.loads(figures.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise Failure(
            f"{figures} gives no figures: {error}", "measure them: benchmarks/capacity.py on a running stack"
        ) from None


def _show(answer: Capacity) -> None:
    table = Table(f"{answer.demand.members:,} members", "", "by")
    for line in answer.lines:
        table.add_row(line.name, shown(line.value, line.unit), line.how)
    Console().print(table)
