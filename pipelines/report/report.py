"""What stands on the topics, as one HTML file that loads nothing: every number in it is a query on the books, which are
filled from the topics (`audit.gathering`) or from the warehouse (`report.tables`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape

from pipelines.audit.books import Books
from pipelines.audit.verification import Finding
from pipelines.report.charts import Chart, Kind, Series, draw
from pipelines.report.summary import HERE, SAID, Origin, Source, Summary, rows, summary

SMALL_PER_MILLE = 2
COLOURS = {
    "BASE": "blue",
    "TIER_BONUS": "sky",
    "CAMPAIGN": "orange",
    "THRESHOLD": "amber",
    "ACTIVITY": "green",
    "REVIEW": "teal",
    "WELCOME": "violet",
    "REFERRAL": "pink",
    "BIRTHDAY": "lilac",
    "RETURN": "red",
    "CANCEL": "brown",
    "ACTIVITY_DELETED": "orange",
    "EDIT": "amber",
}
KIND_COLOURS = {
    "TIER_REACHED": "violet",
    "NEXT_TIER_NEAR": "lilac",
    "TIER_LAPSING": "pink",
    "POINTS_ACTIVATED": "blue",
    "POINTS_EXPIRING": "sky",
    "WIN_BACK_DUE": "red",
    "REVIEW_DUE": "teal",
    "BIRTHDAY": "amber",
    "STREAK_REACHED": "green",
    "SHOE_WORN": "orange",
}
SUPPRESSION_COLOURS = {
    "NO_CONSENT": "grey",
    "HOLDOUT": "violet",
    "NO_LONGER_TRUE": "amber",
    "FREQUENCY_CAP": "blue",
    "WITHDRAWN": "red",
}
TIER_COLOURS = ("sky", "blue", "navy", "violet", "pink", "teal")
ORIGINS = {
    Origin.COMPLETEJOURNEY: {
        "issued": "real baskets · simulated runs, reviews, profiles, enrolments",
        "taken-back": "simulated returns and edits, of real baskets",
        "tiers": "real baskets · simulated enrolments",
        "held": "real baskets · simulated returns, runs, deliveries",
        "pending": "real baskets · simulated deliveries and returns",
        "orders": "real baskets",
    },
    Origin.SIMULATED: {},
    Origin.PARTLY_SIMULATED: {},
    Origin.GIVEN: {},
}


def write_report(
    books: Books,
    figures: Mapping[str, str],
    path: Path,
    told: Summary | None = None,
    audited: Sequence[Finding] = (),
    source: Source = Source.TOPICS,
) -> Path:
    """Write the report of the books to `path`; `figures` (name and value) tell of the run, `audited` what was checked.

    The page says from where its numbers are.
    """
    page = render(books, figures, told or summary(books), audited, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def render(
    books: Books,
    figures: Mapping[str, str],
    told: Summary,
    audited: Sequence[Finding] = (),
    source: Source = Source.TOPICS,
) -> str:
    """The page; the views must have been entered, which `summary` does."""
    environment = Environment(
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": _words, "number": _number, "share": _share, "day": _day}
    drawings = [draw(chart) for chart in charts(books, told.origin)]
    return environment.from_string((HERE / "report.html").read_text(encoding="utf-8")).render(
        told=told,
        said=SAID[told.origin],
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=(HERE / "report.js").read_text(encoding="utf-8"),
        drawings={drawing.chart.key: drawing for drawing in drawings},
        colours=COLOURS,
        tier_colours=dict(zip((row.tier for row in told.tier_members), TIER_COLOURS * 9, strict=False)),
        campaigns=_records(books, "report_campaigns"),
        outcomes=("applied", "duplicate", "stale", "refused"),
        topics=_by_topic(told),
        kind_colours=KIND_COLOURS,
        audited=audited,
        source=source,
        in_memory=source is Source.MEMORY,
        figures=figures,
    )


def charts(books: Books, origin: Origin) -> list[Chart]:
    """The plots of the report; their numbers are those of the views, less what is too small to be seen."""
    made: list[Callable[[Books, Callable[..., Chart]], Chart]] = [
        _issued,
        _taken_back,
        _tiers,
        _held,
        _pending,
        _orders,
    ]
    if rows(books, "report_triggers"):
        made += [_sent, _suppressed]
    weeks = tuple(week for (week,) in sorted(rows(books, "report_weeks")))
    return [make(books, partial(_chart, origin, weeks)) for make in made]


def _chart(
    origin: Origin,
    weeks: tuple[date, ...],
    key: str,
    kind: Kind,
    title: str,
    said: str,
    unit: str,
    series: Iterable[Series],
) -> Chart:
    label = "" if origin is Origin.GIVEN else ORIGINS[origin].get(key, origin.value)
    return Chart(key, kind, title, said, label, unit, weeks, tuple(series))


def _issued(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "issued",
        Kind.BARS,
        "Points issued",
        "New points by the week from which they count, and why they were given. "
        "An order's count from the moment it was placed.",
        "points a week",
        _reasons((week, reason, issued) for week, reason, issued, _ in rows(books, "report_points_by_week")),
    )


def _taken_back(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "taken-back",
        Kind.BARS,
        "Points taken back",
        "What returns, cancellations, edits and deletions took away again. The scale is its own.",
        "points a week",
        _reasons((week, reason, back) for week, reason, _, back in rows(books, "report_points_by_week")),
    )


def _reasons(found: Iterable[tuple[date, str, int]]) -> list[Series]:
    """A series a reason, the greatest first; what is too small to be seen is one series, `other`."""
    by_reason: dict[str, list[int]] = {}
    for _, reason, points in found:
        by_reason.setdefault(reason, []).append(points)
    totals = {reason: sum(points) for reason, points in by_reason.items() if any(points)}
    least = sum(totals.values()) * SMALL_PER_MILLE // 1000
    large = sorted((r for r in totals if totals[r] >= least), key=lambda r: (-totals[r], r))
    small = [by_reason[reason] for reason in totals if reason not in large]
    series = [Series(_words(r), COLOURS.get(r, "grey"), tuple(by_reason[r])) for r in large]
    if small:
        series.append(Series("Other", "grey", tuple(map(sum, zip(*small, strict=True)))))
    return series


def _tiers(books: Books, chart: Callable[..., Chart]) -> Chart:
    by_tier: dict[str, list[int]] = {}
    for _, tier, members in rows(books, "report_members_by_week"):
        by_tier.setdefault(tier, []).append(members)
    series = [
        Series(tier, colour, tuple(members))
        for (tier, members), colour in zip(by_tier.items(), TIER_COLOURS * 9, strict=False)
    ]
    return chart(
        "tiers",
        Kind.AREAS,
        "Members by tier",
        "Enrolled members at the end of each week, by the tier that they were in then.",
        "members",
        series,
    )


def _held(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "held",
        Kind.AREAS,
        "Liability: the points that members hold",
        "The running sum of the ledger at the end of each week. Active points can be spent; pending points wait "
        "until an order can hardly come back.",
        "points",
        _columns(books, "report_liability", ("Active", "blue", 1), ("Pending", "amber", 1)),
    )


def _pending(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "pending",
        Kind.BARS,
        "Pending points: in and out",
        "Above the line what orders promised, below it what became active or was taken back before it did.",
        "points a week",
        _columns(
            books,
            "report_pending",
            ("Promised", "amber", 1),
            ("Became active", "blue", -1),
            ("Taken back", "red", -1),
        ),
    )


def _orders(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "orders",
        Kind.BARS,
        "Orders",
        "Orders by the week in which they were placed, each counted once.",
        "orders a week",
        _columns(books, "report_orders_by_week", ("Orders", "teal", 1)),
    )


def _sent(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "sent",
        Kind.BARS,
        "Triggers",
        "What members were to be told, by the week in which the gate let it pass, and what it was about.",
        "triggers a week",
        _stacked(rows(books, "report_sent_by_week"), KIND_COLOURS),
    )


def _suppressed(books: Books, chart: Callable[..., Chart]) -> Chart:
    return chart(
        "suppressed",
        Kind.BARS,
        "Not told, and why",
        "What was true of members and was kept from them, by the gate's first reason. "
        "Withdrawn is what had been sent and was not true any more. The scale is its own.",
        "triggers a week",
        _stacked(rows(books, "report_suppressed_by_week"), SUPPRESSION_COLOURS),
    )


def _stacked(found: Iterable[tuple[date, str, int]], colours: Mapping[str, str]) -> list[Series]:
    """A series a name, the greatest first."""
    by_name: dict[str, list[int]] = {}
    for _, name, count in found:
        by_name.setdefault(name, []).append(count)
    greatest = sorted(by_name, key=lambda name: (-sum(by_name[name]), name))
    return [Series(_words(name), colours.get(name, "grey"), tuple(by_name[name])) for name in greatest]


def _columns(books: Books, view: str, *wanted: tuple[str, str, int]) -> list[Series]:
    """A series a column of a view, after its week; a sign of -1 hangs it below the axis."""
    columns = list(zip(*rows(books, view), strict=True))[1:] or [() for _ in wanted]
    return [
        Series(name, colour, tuple(sign * value for value in column))
        for (name, colour, sign), column in zip(wanted, columns, strict=True)
    ]


def _records(books: Books, view: str) -> list[dict[str, Any]]:
    found = books.database.execute(f"SELECT * FROM {view}")
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _by_topic(told: Summary) -> dict[str, dict[str, int]]:
    topics: dict[str, dict[str, int]] = {}
    for row in told.facts:
        topics.setdefault(row.topic, {})[row.outcome] = row.records
    return topics


def _words(name: str) -> str:
    """A name of the ledger as a reader would write it: `TIER_BONUS` is `Tier bonus`."""
    return name.replace("_", " ").capitalize()


def _number(value: int) -> str:
    return f"{value:,}".replace("-", "−")


def _share(part: int, whole: int) -> str:
    """A part in per cent, with one decimal; of nothing, a dash."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
