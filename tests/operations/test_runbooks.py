"""Runbooks can be followed: their commands are commands, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelines.cli.main import build
from pipelines.operations.alerts import ALERTS
from tests.operations.commands import fenced_commands
from tests.operations.drilled import REFUSALS

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "runbooks").glob("*.md"))


@pytest.fixture(scope="module")
def loyalty() -> Any:
    return typer.main.get_command(build())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_of_a_runbook_is_understood_as_it_stands(page: Path, loyalty: Any) -> None:
    for program, *arguments in fenced_commands(page.read_text()):
        assert program == "loyalty", f"{page.name}: {program}"
        command = loyalty
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context(command.name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_link_of_a_runbook_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve()
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^## (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target


def test_there_is_a_runbook_for_each_alert_and_refusal_and_no_other() -> None:
    pages = {page.stem for page in PAGES if page.stem.startswith("Loyalty")}

    assert pages == {alert.name for alert in ALERTS} | REFUSALS.keys()


def test_each_runbook_is_listed() -> None:
    listed = (ROOT / "runbooks/README.md").read_text()

    assert all(f"]({page.name})" in listed for page in PAGES if page.stem != "README")
