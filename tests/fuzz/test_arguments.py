"""Any arguments at all: done, a Failure, or a usage error; never a traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.test_main import loyalty

COMMANDS = [
    ("member",),
    ("explain",),
    ("verify",),
    ("down",),
    ("status",),
    ("clock",),
    ("run",),
    ("run", "accounts"),
    ("feed",),
    ("feed", "simulate", "--members", "2", "--days", "3", "--dry-run"),
    ("conformance",),
    ("topics", "plan"),
    ("topics", "apply"),
    ("schemas", "check"),
    ("schemas", "register"),
    ("dead-letters",),
    ("dead-letters", "list"),
    ("dead-letters", "show"),
    ("dead-letters", "redrive"),
]
"""All but those that start a stack."""
OPTIONS = [
    "--json",
    "--help",
    "--at",
    "--known-at",
    "--last",
    "--programme",
    "--topic-prefix",
    "--replica",
    "--state-dir",
]
OPTIONS += [
    "--every",
    "--workers",
    "--partitions",
    "--replication",
    "--class",
    "--topic",
    "--since",
    "--until",
    "--place",
]
OPTIONS += [
    "--yes",
    "--seed",
    "--start",
    "--late",
    "--limit",
    "--metrics-port",
    "--until-caught-up",
    "--nosuch",
    "-x",
    "--",
]
WORDS = [
    "",
    "0",
    "-1",
    "1",
    "9" * 25,
    "nan",
    "2026-03-01T00:00:00Z",
    "2026-03-01",
    "reference",
    "demo",
    "m-1",
    "a/b/c",
    "é",
]
WORDS += [
    "accounts",
    "triggers",
    "completejourney.nosuch",
    "\x1b[31m",
    "[red]x[/]",
    "[/]",
    "{}",
    "%s",
    ".",
    "..",
    "/dev/null",
    "\udcff",
]
arguments = st.lists(
    st.one_of(
        st.sampled_from(OPTIONS),
        st.sampled_from(WORDS),
        st.text(st.characters(exclude_characters="\0"), max_size=6),
    ),
    max_size=5,
)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a stack nor addresses, and no network should something ask for it all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOYALTY_HOME", str(tmp_path / "home"))
    for variable in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"):
        monkeypatch.delenv(variable, raising=False)

    def refused(*_: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refused)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command=st.sampled_from(COMMANDS), more=arguments)
def test_a_command_ends_in_0_1_or_2(nowhere: None, command: tuple[str, ...], more: list[str]) -> None:
    assert loyalty(*command, *more) in (0, 1, 2)
