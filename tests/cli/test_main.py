"""The command line as a user meets it: help for all, wrong arguments named, failures in two lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from pipelines.cli import main
from pipelines.cli.main import MODULES, build

COMMANDS = [command for commands in MODULES.values() for command in commands]


def loyalty(*arguments: object) -> int:
    """Run the command here; its exit code."""
    before = sys.argv
    sys.argv = ["loyalty", *map(str, arguments)]
    try:
        main.main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = before
        structlog.reset_defaults()
    return 0


def test_every_command_is_found_in_the_module_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    app = build()
    given = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    given |= {group.name for group in app.registered_groups if group.name}

    assert given == set(COMMANDS)
    assert loyalty("--help") == 0
    said = capsys.readouterr().out
    assert all(f" {command} " in said for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert loyalty(command, "--help") == 0
    assert f"loyalty {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("nosuch",), ("member",), ("feed", "simulate", "--members", "0")])
def test_a_wrong_argument_is_exit_code_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert loyalty(*arguments) == 2
    assert "Usage: loyalty" in capsys.readouterr().err


def test_a_failure_is_what_and_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text('{"order": {}}\n')

    assert loyalty("feed", file, "--dry-run") == 1

    error, do = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and "facts.jsonl:1: order.event_id is missing" in error
    assert do.strip() == "do: correct the line; nothing was sent"


def test_a_programme_that_tries_nothing_has_no_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    assert loyalty("experiments", "report", "--programme", "demo") == 1

    error, do = capsys.readouterr().err.splitlines()[-2:]
    assert "the programme demo tries nothing" in error
    assert "--programme FILE" in do


@pytest.mark.parametrize("arguments", [("--days", 0), ("--uplift", 0), ("--uplift", 100)])
def test_an_experiment_is_asked_within_reason(
    arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert loyalty("experiments", "report", *arguments) == 2
    assert "Usage: loyalty experiments report" in capsys.readouterr().err


def test_an_interrupt_is_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "build", interrupted)

    assert loyalty("status") == 130
    assert capsys.readouterr().err == ""


def test_a_worker_starts_without_a_warning_from_a_library() -> None:
    run = subprocess.run(  # a process of its own: this one has the libraries loaded
        [sys.executable, "-m", "pipelines.cli.main", "run", "accounts", "--programme", "nosuch.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "Warning" not in run.stderr
    assert run.stderr.startswith("error: ")


def test_a_dry_run_counts_and_the_same_seed_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        assert loyalty("feed", "simulate", "--members", 5, "--days", 90, "--dry-run", "--json") == 0
        told.append(json.loads(capsys.readouterr().out))

    assert told[0] == told[1]
    assert told[0]["topics"]["loyalty.members.v1"] >= 5
    assert told[0]["facts"] == sum(n for t, n in told[0]["topics"].items() if t != "loyalty.clock.v1")


def test_schemas_and_vectors_are_checked_without_a_broker(capsys: pytest.CaptureFixture[str]) -> None:
    vectors = Path(__file__).parent.parent / "vectors" / "6-tiers.yaml"

    assert loyalty("schemas", "check") == 0
    assert loyalty("conformance", vectors) == 0
    assert "0 failed" in capsys.readouterr().out


def test_a_programme_with_a_mistake_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nversions: 3\n")

    assert loyalty("run", "accounts", "--programme", file, "--state-dir", tmp_path) == 1
    assert "mine.yaml" in capsys.readouterr().err
