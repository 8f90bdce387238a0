"""`loyalty torture`: faults on purpose on a cluster of its own, and the proof that nothing was lost or doubled."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.cli.main import INTERRUPTED
from pipelines.cli.options import AsJson
from pipelines.failure import Failure
from pipelines.local.endpoints import home_dir
from pipelines.runtime.signals import told_by_signals
from pipelines.torture.faults import ALL, chosen
from pipelines.torture.matrix import MATRIX, where
from pipelines.torture.page import by_fault, write_page
from pipelines.torture.run import Result, Run, Struck


def register(app: typer.Typer) -> None:
    app.command()(torture)


def torture(
    seed: Annotated[int, typer.Option(help="Decides the facts, the faults, their order and targets.")] = 1,
    minutes: Annotated[
        float, typer.Option(help="For how long faults are struck; draining and judging follow.", min=0.1)
    ] = 5.0,
    only: Annotated[
        str, typer.Option(help="Only these faults, by number or name, with commas: F6,broker-killed.")
    ] = "",
    rate: Annotated[float, typer.Option(help="Facts a second.", min=1, max=2_000)] = 40.0,
    workers: Annotated[int, typer.Option(help="Workers of the accounts.", min=1, max=8)] = 3,
    list_them: Annotated[bool, typer.Option("--list", help="List the faults, and do nothing.")] = False,
    result: Annotated[Path | None, typer.Option(help="Write the run as JSON here too.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write the tables of this run into a page with marks for them: docs/RELIABILITY.md."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Strike faults while facts come in, then drain and judge: was anything lost, doubled or altered?

    Starts three brokers and a registry of its own under LOYALTY_HOME (about 2.5 GB of memory with the workers), and
    stops them at the end. Facts come late, twice, out of order, and some are bad. Exit code 1 when anything was found.
    """
    if list_them:
        Console().print(_list(), _elsewhere())
        return
    words = tuple(word.strip() for word in only.split(",") if word.strip())
    console = Console(stderr=True, highlight=False)
    if report is not None and not report.is_file():
        raise Failure(f"there is no page {report}", "give a page that has the marks, as docs/RELIABILITY.md")
    run = Run(home_dir() / "torture", seed, minutes, chosen(words), rate, workers, words)
    console.print(f"seed {seed}; the same again: [bold]{_command(run)}[/]", soft_wrap=True)
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"[dim]{_clock(time.monotonic() - began)}[/] {escape(text)}")

    with told_by_signals() as told:
        found = run(told, tell, lambda struck: console.print(_line(struck), soft_wrap=True))
    if result is not None:
        result.write_text(json.dumps(found.document(), indent=1) + "\n")
    if report is not None and not found.interrupted:
        write_page(report, found.document(), _command(run))
    if as_json:
        print(json.dumps(found.document()))
    _conclude(found, run, console)


def _conclude(found: Result, run: Run, console: Console) -> None:
    if found.struck:
        console.print(_by_fault(found))
    if found.verdicts and not found.interrupted:
        console.print(_verdicts(found), _figures(found))
    for finding in found.findings:
        console.print(f"[bold red]found:[/] {escape(finding)}", soft_wrap=True)
    if found.interrupted:
        console.print(
            f"interrupted after {len(found.struck)} steps, of which {sum(s.ok for s in found.struck)} recovered: "
            "all processes are stopped, and the ledger was not judged. "
            f"What they left lies in {run.home}.",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED)
    if not found.clean:
        console.print(f"logs: {run.home / 'logs'}; the same again: {_command(run)}", soft_wrap=True)
        raise typer.Exit(1)
    faults = sum(len(s.faults) for s in found.struck)
    console.print(f"[bold green]{faults} faults, nothing lost, nothing doubled.[/]")


def _command(run: Run) -> str:
    only = f" --only {','.join(run.only)}" if run.only else ""
    return (
        f"loyalty torture --seed {run.seed} --minutes {run.minutes:g} --rate {run.rate:g} "
        f"--workers {run.workers}{only}"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _line(struck: Struck) -> str:
    took = "-" if struck.recovered_s is None else f"{struck.recovered_s:.1f} s"
    colour = "green" if struck.ok else "bold red"
    exits = f" [dim]({escape(', '.join(struck.exits))})[/]" if struck.exits else ""
    names = " + ".join(f"{n} {name}" for n, name in zip(struck.faults, struck.names, strict=True))
    return (
        f"[dim]{_clock(struck.at_s)}[/] {struck.number:>3} [bold]{names}[/] {escape(struck.target)}: "
        f"[{colour}]{escape(struck.outcome)}[/] {took}{exits}"
    )


def _list() -> Table:
    table = Table("fault", "name", "required", title="Faults")
    for fault in sorted(ALL, key=lambda f: (int(f.number[1:]), f.name)):
        table.add_row(fault.number, fault.name, fault.required)
    return table


def _elsewhere() -> Table:
    """What a run strikes by no fault of its own: by the feed, or not at all."""
    table = Table("fault", "what", "where it is shown", title="Without a fault of their own")
    own = {fault.number for fault in ALL}
    for row in MATRIX:
        if row.number not in own:
            table.add_row(row.number, row.what, escape(where(row).replace("`", "")))
    return table


def _by_fault(found: Result) -> Table:
    table = Table("fault", "name", title="Faults, and seconds until all was committed again")
    for name in ("struck", "recovered", "median", "worst"):
        table.add_column(name, justify="right")
    for row in by_fault(found.document()):
        table.add_row(*row)
    return table


def _verdicts(found: Result) -> Table:
    table = Table("oracle", "check", "promise", title="Judged")
    table.add_column("looked at", justify="right")
    table.add_column("wrong", justify="right")
    for one in sorted(found.verdicts, key=lambda v: (int(v.oracle[1:]), v.check)):
        wrong = f"[bold red]{one.wrong:,}[/]" if one.wrong else "[green]0[/]"
        table.add_row(one.oracle, one.check, escape(one.promise), f"{one.looked_at:,}", wrong)
    return table


def _figures(found: Result) -> Table:
    table = Table("figure", title="In numbers")
    table.add_column("", justify="right")
    for name, number in found.figures.items():
        if not name.endswith("looked at"):
            table.add_row(name, f"{number:,}")
    for code, count in found.exits_by_code.items():
        table.add_row(f"exits with {code}", f"{count:,}")
    return table
