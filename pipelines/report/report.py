"""The demo in one HTML file that needs no network: every number in it is a query on the topics."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, select_autoescape
from plotly.offline import get_plotlyjs

from pipelines.audit.books import Books

_HERE = files("pipelines.report")
_COLOURS = ("#1f5fbf", "#e07a1f", "#2f9e6e", "#b3437c", "#7a5fc9", "#8a7a2f", "#4aa3c9", "#c94a4a", "#6b6b6b")


def rows(books: Books, view: str) -> list[tuple[Any, ...]]:
    """All rows of a view of the report."""
    return books.rows(f"SELECT * FROM {view}")


def write_report(books: Books, figures: dict[str, str], path: Path) -> Path:
    """Write the report of the books, with `figures` (name and value) at its head."""
    books.database.execute((_HERE / "figures.sql").read_text())
    template = Environment(autoescape=select_autoescape(default=True)).from_string((_HERE / "report.html").read_text())
    reasons = rows(books, "report_points_by_reason")
    page = template.render(
        figures=figures,
        plotly=get_plotlyjs(),
        plots=[
            ("Points issued and taken back, by week", _NOTE_MIXED, _by_week(books)),
            ("Members by tier", _NOTE_SIMULATED.format("Enrolments"), _by_tier(books)),
            ("Liability: points that members hold", _NOTE_MIXED, _liability(books)),
            ("Orders by week", "Real baskets.", _orders(books)),
        ],
        reasons=reasons,
        tiers=rows(books, "report_points_by_tier"),
        dead_letters=rows(books, "report_dead_letters"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
    return path


_NOTE_SIMULATED = "{} are simulated from a seed."
_NOTE_MIXED = "Baskets are real; returns, runs, reviews, profiles, enrolments and deliveries are simulated from a seed."


def _by_week(books: Books) -> str:
    figure = go.Figure()
    found = rows(books, "report_points_by_week")
    for colour, reason in zip(_COLOURS * 3, sorted({row[1] for row in found}), strict=False):
        weeks = [(week, points) for week, name, points in found if name == reason]
        figure.add_bar(x=[w for w, _ in weeks], y=[p for _, p in weeks], name=reason, marker_color=colour)
    figure.update_layout(barmode="relative")
    return _html(figure, "points a week")


def _by_tier(books: Books) -> str:
    figure = go.Figure()
    found = rows(books, "report_members_by_tier")
    for colour, tier in zip(_COLOURS, dict.fromkeys(row[1] for row in found), strict=False):
        days = [(day, members) for day, name, members in found if name == tier]
        figure.add_scatter(
            x=[d for d, _ in days], y=[m for _, m in days], name=tier, stackgroup="one", line={"color": colour}
        )
    return _html(figure, "members")


def _liability(books: Books) -> str:
    figure = go.Figure()
    found = rows(books, "report_liability_by_day")
    days = [row[0] for row in found]
    for colour, name, column in ((_COLOURS[0], "active", 1), (_COLOURS[1], "pending", 2)):
        figure.add_scatter(x=days, y=[row[column] for row in found], name=name, stackgroup="one", line={"color": colour})
    return _html(figure, "points")


def _orders(books: Books) -> str:
    found = rows(books, "report_orders_by_week")
    figure = go.Figure(go.Bar(x=[w for w, _ in found], y=[n for _, n in found], marker_color=_COLOURS[2]))
    return _html(figure, "orders a week")


def _html(figure: go.Figure, unit: str) -> str:
    figure.update_layout(
        template="plotly_white",
        height=380,
        margin={"l": 70, "r": 20, "t": 10, "b": 40},
        yaxis={"title": unit, "tickformat": ","},
        legend={"orientation": "h", "y": -0.15},
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="x unified",
    )
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
    return html
