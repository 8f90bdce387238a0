"""`loyalty warehouse`: ask the analysts' tables, keep them in order, hold them against Kafka."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Printed

from pipelines.audit.reading import RegistrySchemas, Topics
from pipelines.cli.options import AsJson, ProgrammeFile, TopicPrefix
from pipelines.failure import Failure
from pipelines.local.endpoints import endpoints, home_dir
from pipelines.report.report import write_report
from pipelines.report.summary import Source
from pipelines.report.tables import books_of
from pipelines.warehouse import duck
from pipelines.warehouse.lake import Lake
from pipelines.warehouse.maintenance import maintain
from pipelines.warehouse.postgres import Postgres
from pipelines.warehouse.rebuilding import drop_before, rebuild
from pipelines.warehouse.running import settings_of
from pipelines.warehouse.upkeep import tell_maintained, tell_verified
from pipelines.warehouse.verification import Range, Verdict, verify, verify_postgres

SHOWN = 100


class SinkName(StrEnum):
    """A sink, as `loyalty run` calls it."""

    WAREHOUSE = "warehouse"
    POSTGRES = "postgres"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The analysts' tables.", no_args_is_help=True)
    group.command("query")(query)
    group.command("open")(open_)
    group.command("tables")(tables)
    group.command("report")(report)
    group.command("maintain")(maintain_)
    group.command("verify")(verify_)
    group.command("rebuild")(rebuild_)
    group.command("drop-old")(drop_old)
    app.add_typer(group, name="warehouse")


def _lake(topic_prefix: str | None) -> Lake:
    return Lake(settings_of(home_dir(), topic_prefix or ""))


def query(
    sql: Annotated[
        str,
        typer.Argument(help="One question, in DuckDB's SQL; `loyalty warehouse tables` names what there is."),
    ],
    as_json: AsJson = False,
    topic_prefix: TopicPrefix = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    rows: Annotated[
        int, typer.Option(help="Print at most so many rows of a table for people.", min=1)
    ] = SHOWN,
) -> None:
    """Ask the newest snapshots of all tables, and the models over them. Nothing is changed, whatever is asked."""
    with duck.ask(_lake(topic_prefix)) as database:
        names, found = _asked(database, sql)
    if as_json:
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in found], default=str, indent=2))
    elif as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([names, *found])
    else:
        _print_rows(names, found, rows)


def _asked(database: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    try:
        found = database.execute(sql)
        return [column[0] for column in found.description or ()], found.fetchall()
    except duckdb.Error as error:
        raise Failure(
            f"the question cannot be answered: {error}",
            "see `loyalty warehouse tables` for tables and columns",
        ) from error


def _print_rows(names: Sequence[str], found: Sequence[tuple[Any, ...]], most: int) -> None:
    table = Printed(*(escape(name) for name in names))
    for row in found[:most]:
        table.add_row(*("" if value is None else escape(_told(value)) for value in row))
    console = Console(highlight=False)
    console.print(table)
    if len(found) > most:
        console.print(f"{most:,} of {len(found):,} rows; give --rows, --csv or --json for more")


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def open_(
    file: Annotated[Path, typer.Argument(help="The DuckDB file to write.")] = Path("loyalty.duckdb"),
    topic_prefix: TopicPrefix = None,
) -> None:
    """Write a DuckDB file with all tables and models as they are now, to be opened by any tool that reads it."""
    with Console(stderr=True).status("copying the warehouse"):
        duck.copy_to(_lake(topic_prefix), file)
    typer.echo(f"{file}: {file.stat().st_size / 1e6:,.1f} MB, written by DuckDB {duckdb.__version__}")


def report(
    file: Annotated[Path, typer.Argument(help="The HTML file to write.")] = Path("report/loyalty.html"),
    programme: ProgrammeFile = Path("reference"),
    topic_prefix: TopicPrefix = None,
) -> None:
    """Draw the report from the tables as they are now: points, tiers, orders and triggers by week, in one file.

    The programme says which tiers, campaigns and bonuses there are. Kafka is not asked.
    """
    with (
        Console(stderr=True).status("reading the warehouse"),
        books_of(_lake(topic_prefix), programme, topic_prefix or "") as books,
    ):
        write_report(books, {}, file, source=Source.WAREHOUSE)
    typer.echo(f"{file}: {file.stat().st_size / 1e6:,.1f} MB")


def tables(topic_prefix: TopicPrefix = None, as_json: AsJson = False) -> None:
    """Say what there is to ask: tables and models, their columns, and what each is."""
    with duck.ask(_lake(topic_prefix)) as database:
        found = database.execute("""
            SELECT v.view_name, v.comment, c.column_name, c.data_type, c.comment FROM duckdb_views() v
            JOIN duckdb_columns() c ON c.table_name = v.view_name WHERE NOT v.internal
            ORDER BY v.view_name, c.column_index""").fetchall()
    if as_json:
        names = ("table", "what", "column", "type", "means")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in found], indent=2))
        return
    console, last = Console(highlight=False), None
    for name, what, column, kind, means in found:
        if name != last:
            console.print(f"\n[bold]{name}[/]  {escape(what or '')}")
        last = name
        short = kind if len(kind) <= 30 else kind.split("(")[0] + "(…)" * ("(" in kind)
        console.print(f"  {column}  [dim]{escape(short)}[/]  {escape(means or '')}", soft_wrap=True)


def maintain_(
    keep_hours: Annotated[int, typer.Option(help="Snapshots older than this are expired.", min=1)] = 72,
    orphan_hours: Annotated[
        int, typer.Option(help="Files of no snapshot are removed when older than this.", min=1)
    ] = 24,
    topic_prefix: TopicPrefix = None,
    as_json: AsJson = False,
) -> None:
    """Compact small files, expire old snapshots, remove what killed sinks left; the sink may run meanwhile."""
    lake = _lake(topic_prefix)
    there = [table for table in lake.tables if lake.there(table) is not None]
    done = []
    with Console(stderr=True).status("") as status:
        for table in there:
            status.update(f"keeping {table.name} in order")
            done.append(maintain(lake, table, timedelta(hours=keep_hours), timedelta(hours=orphan_hours)))
    tell_maintained(lake.catalogue, lake.settings)
    if as_json:
        typer.echo(json.dumps([kept._asdict() for kept in done], indent=2))
        return
    printed = Printed("table")
    for name in ("files before", "files after", "snapshots expired", "files removed"):
        printed.add_column(name, justify="right")
    for kept in done:
        printed.add_row(kept.table, *(f"{figure:,}" for figure in kept[1:]))
    Console(highlight=False).print(printed)


def verify_(
    topic_prefix: TopicPrefix = None,
    record: Annotated[
        bool, typer.Option("--record", help="Leave the result with the tables: the sink tells Prometheus.")
    ] = False,
    sink: Annotated[SinkName, typer.Option(help="Whose tables.")] = SinkName.WAREHOUSE,
    as_json: AsJson = False,
) -> None:
    """Hold every table against its topic, by partition and offset range; sums by account and day; the data's own rules.

    Exit code 1 when anything is wrong. What the sink has not read yet is not wrong, but said.
    """
    if record and sink is SinkName.POSTGRES:
        raise Failure("only the result of the warehouse's own tables is recorded", "leave --record away")
    chosen, found = settings_of(home_dir(), topic_prefix or ""), endpoints()
    columns = (
        SpinnerColumn(),
        TextColumn("records compared"),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        against = (
            Topics(found.bootstrap_servers),
            RegistrySchemas(found.schema_registry_url),
            topic_prefix or "",
            lambda records: bar.advance(task, records),
        )
        if sink is SinkName.POSTGRES:
            verdict = verify_postgres(Postgres(chosen), *against)
        else:
            lake = Lake(chosen)
            verdict = verify(lake, *against)
            if record:
                tell_verified(lake.catalogue, chosen, verdict.differences)
    if as_json:
        _print_json(verdict)
    else:
        _print_verdict(verdict, Console(highlight=False))
    if not verdict.clean:
        raise typer.Exit(1)


def rebuild_(topic_prefix: TopicPrefix = None, as_json: AsJson = False) -> None:
    """Make all tables anew from the topics, verify them, and put them into service at once; the old ones stay beside.

    Until then everybody sees the tables of before; if it ends early, they stay in service, and the next begins anew.
    A running sink ends with exit code 75, and goes on in the new tables when it is started again.
    """
    found = endpoints()
    with Console(stderr=True).status("") as status:
        done = rebuild(
            settings_of(home_dir(), topic_prefix or ""),
            found.bootstrap_servers,
            found.schema_registry_url,
            topic_prefix or "",
            status.update,
        )
    if as_json:
        rows = [{"table": name, "before": before, "now": now} for name, before, now in done.rows]
        told = {"in_service": done.in_service, "before": done.before, "seconds": done.seconds, "rows": rows}
        typer.echo(json.dumps(told, indent=2))
        return
    printed = Printed("table", title=f"{done.in_service} is in service")
    printed.add_column("rows before", justify="right")
    printed.add_column("rows now", justify="right")
    for name, before, now in done.rows:
        printed.add_row(name, f"{before:,}", f"{now:,}")
    console = Console(highlight=False)
    console.print(printed)
    console.print(f"{done.seconds:,.0f} s; {done.before} stays until `loyalty warehouse drop-old`")


def drop_old(topic_prefix: TopicPrefix = None) -> None:
    """Drop the tables that rebuilds have put out of service, with their files. Whoever still reads them loses them."""
    with Console(stderr=True).status("dropping"):
        dropped = drop_before(settings_of(home_dir(), topic_prefix or ""))
    typer.echo(f"dropped: {', '.join(dropped)}" if dropped else "there is nothing out of service")


def _print_json(verdict: Verdict) -> None:
    document = {
        "clean": verdict.clean,
        "ranges": [one._asdict() for one in verdict.ranges],
        "checks": [one._asdict() for one in verdict.checks],
    }
    typer.echo(json.dumps(document, indent=2))


def _print_verdict(verdict: Verdict, console: Console) -> None:
    by_table: dict[str, list[Range]] = {}
    for one in verdict.ranges:
        by_table.setdefault(one.table, []).append(one)
    printed = Printed("table", title="Against the topics")
    for name in ("partitions", "records", "rows", "missing", "extra", "not read yet"):
        printed.add_column(name, justify="right")
    for name, ranges in by_table.items():
        sums = [sum(getattr(r, f) for r in ranges) for f in ("records", "rows", "missing", "extra", "behind")]
        printed.add_row(name, str(len(ranges)), *(f"{figure:,}" for figure in sums))
    checks = Printed("check", "promise", title="Checks")
    checks.add_column("looked at", justify="right")
    checks.add_column("wrong", justify="right")
    for check in verdict.checks:
        wrong = f"[bold red]{check.wrong:,}[/]" if check.wrong else "[green]0[/]"
        checks.add_row(check.check, escape(check.promise), f"{check.looked_at:,}", wrong)
    console.print(printed, checks)
    for bad in (r for r in verdict.ranges if r.missing or r.extra):
        console.print(
            f"[red]{bad.table}[/] partition {bad.partition}, offsets {bad.first} to {bad.until - 1}: "
            f"{bad.missing:,} records without a row, {bad.extra:,} rows without a record or twice"
        )
    for check in verdict.checks:
        for what in check.first:
            console.print(f"[red]{check.check}[/]: {escape(what)}")
    right = "[bold green]The warehouse is what the topics say.[/]"
    console.print(right if verdict.clean else "[bold red]The warehouse is not what the topics say.[/]")
