"""`loyalty verify`: the auditor reads every topic, recomputes all points and says if the books are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from prometheus_client import write_to_textfile
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.audit.books import Books
from pipelines.audit.gathering import TopicNames, gather, topic_names
from pipelines.audit.reading import Extent, RegistrySchemas, Topics
from pipelines.audit.rules import enter_rules
from pipelines.audit.verification import Finding, figures, findings, recompute
from pipelines.cli.options import AsJson, ProgrammeFile, TopicPrefix
from pipelines.failure import Failure
from pipelines.local.endpoints import endpoints
from pipelines.report.report import write_report
from pipelines.runtime import metrics
from pipelines.topics import ACCOUNTS, prefixed


class Cluster(NamedTuple):
    """Where the records are: a Kafka, its registry, and what the topics are called there."""

    topics: Topics
    schemas: RegistrySchemas
    names: TopicNames


class Report(NamedTuple):
    """What an audit found."""

    extents: Sequence[Extent]
    figures: dict[str, int]
    findings: Sequence[Finding]

    @property
    def clean(self) -> bool:
        return not any(finding.wrong for finding in self.findings)


def cluster(given_prefix: str | None) -> Cluster:
    """The cluster that the environment, or else the local stack, names."""
    found, prefix = endpoints(), given_prefix or ""
    return Cluster(
        Topics(found.bootstrap_servers),
        RegistrySchemas(found.schema_registry_url),
        topic_names(prefix),
    )


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    programme: ProgrammeFile = Path("reference"),
    topic_prefix: TopicPrefix = None,
    derivations: Annotated[
        bool, typer.Option("--derivations", help="Check every entry's own derivation too; slower.")
    ] = False,
    report_to: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML report of the topics and the audit here.")
    ] = None,
    as_json: AsJson = False,
    textfile: Annotated[
        Path | None,
        typer.Option(help="Tell Prometheus too: a .prom file for the node exporter's textfile collector."),
    ] = None,
) -> None:
    """Audit the ledger: it closes, balances equal it, and points recomputed from the facts equal it.

    When members were told anything, the gate too: consent, holdout, caps, quiet hours, and every reason not to tell.

    Exit code 1 when a check failed.
    """
    group = prefixed(topic_prefix or "", ACCOUNTS.group)

    def draw(books: Books, found: Sequence[Finding]) -> None:
        if report_to is not None:
            write_report(books, {}, report_to, audited=found)

    report = audit(cluster(topic_prefix), group, programme, derivations, Console(stderr=True), draw)
    if textfile is not None:
        write_textfile(report, textfile)
    if as_json:
        print_json(report)
    else:
        print_tables(report, Console(highlight=False))
    if not report.clean:
        raise typer.Exit(1)


def write_textfile(report: Report, path: Path) -> None:
    """Leave what was found, and when, where the node exporter looks; whole or not at all."""
    metrics.DIFFERENCES.set(sum(finding.wrong for finding in report.findings))
    metrics.VERIFIED_AT.set_to_current_time()
    try:
        write_to_textfile(str(path), metrics.VERIFIED)
    except OSError as error:
        what = f"{path} cannot be written: {error.strerror}"
        raise Failure(what, "give a file in a directory that is there and writable") from error


def audit(
    place: Cluster,
    group: str,
    programme: Path,
    derivations: bool,
    console: Console,
    then: Callable[[Books, Sequence[Finding]], None] = lambda books, found: None,
) -> Report:
    """Read, recompute, compare; the worker should have caught up. `then` sees the books before they close."""
    with Books() as books, reading(console) as advance:
        enter_rules(books, programme)
        extents = gather(books, place.topics, place.schemas, place.names, group, advance, derivations)
        recompute(books)
        report = Report(extents, figures(books), findings(books))
        then(books, report.findings)
        return report


@contextmanager
def reading(console: Console) -> Iterator[Callable[[str, int], None]]:
    """Show how many records have been read, as it is told of them."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        read = bar.add_task("records read, and looked through", total=None)
        yield lambda _, count: bar.advance(read, count)


def print_json(report: Report) -> None:
    """For scripts: everything, offenders included."""
    document = {
        "clean": report.clean,
        "figures": report.figures,
        "checks": [f._asdict() | {"first": [o._asdict() for o in f.first]} for f in report.findings],
        "topics": [extent._asdict() for extent in report.extents],
    }
    typer.echo(json.dumps(document, indent=2))


def print_tables(report: Report, console: Console) -> None:
    """For people: what was looked at, what holds and what does not, with the first offenders."""
    console.print(_topics(report.extents), _figures(report.figures), checks_table(report.findings))
    for finding in report.findings:
        for offender in finding.first:
            console.print(f"[red]{finding.check}[/]: {escape(offender.who)} {escape(offender.what)}")
        if finding.wrong > len(finding.first):
            console.print(f"[red]{finding.check}[/]: … and {finding.wrong - len(finding.first):,} more")
    if report.clean:
        console.print("[bold green]The books are right.[/]")
    else:
        wrong = sum(1 for finding in report.findings if finding.wrong)
        console.print(f"[bold red]{wrong} of {len(report.findings)} checks failed.[/]")


def _topics(extents: Sequence[Extent]) -> Table:
    table = Table("topic", title="Read to the last stable offset")
    for name in ("records", "not visible", "in an open transaction"):
        table.add_column(name, justify="right")
    for extent in extents:
        row = (extent.records, extent.not_visible, extent.open_records)
        table.add_row(extent.topic, *(f"{number:,}" for number in row))
    return table


def _figures(told: dict[str, int]) -> Table:
    table = Table("figure", title="In numbers")
    table.add_column("", justify="right")
    for name, number in told.items():
        table.add_row(name, f"{number:,}")
    return table


def checks_table(found: Sequence[Finding]) -> Table:
    """What each check promises, how much it looked at, and how much of it is wrong."""
    table = Table("check", "promise", title="Checks")
    table.add_column("looked at", justify="right")
    table.add_column("wrong", justify="right")
    for one in found:
        wrong = f"[bold red]{one.wrong:,}[/]" if one.wrong else "[green]0[/]"
        table.add_row(one.check, escape(one.promise), f"{one.looked_at:,}", wrong)
    return table
