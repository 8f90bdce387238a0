"""Logs are lines that a machine reads, say which record they are about, and hold no secret and no member."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from pipelines.failure import Failure
from pipelines.runtime import logs
from tests.support.driver import Driver
from tests.support.facts import member, order


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    before = logging.root.handlers[:], logging.root.level
    yield io.StringIO()
    structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = before


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_each_line_is_json(stream: io.StringIO) -> None:
    logs.configure(stream)

    structlog.get_logger().info("worker started", replica="w0")
    logging.getLogger("quixstreams").warning("state is %s", "slow")

    ours, theirs = lines(stream)
    assert (ours["event"], ours["replica"], ours["level"]) == ("worker started", "w0", "info")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("state is slow", "quixstreams", "warning")


def test_pretty_can_be_asked_for(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, "pretty")
    logs.configure(stream)

    structlog.get_logger().info("worker started", replica="w0")

    assert "worker started" in stream.getvalue()
    assert "replica=w0" in stream.getvalue()


def test_a_shape_that_nobody_knows_is_an_error(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, "xml")

    with pytest.raises(Failure, match="LOYALTY_LOG is 'xml'"):
        logs.configure(stream)


@pytest.mark.parametrize(
    "said",
    [
        {"sasl_password": "hunter2"},
        {"api_key": "hunter2"},
        {"registry": "https://worker:hunter2@registry:8081/apis"},
        {"error": "sasl.password=hunter2 was refused"},
        {"event": "ssl.key.password: hunter2"},
    ],
)
def test_a_secret_is_not_logged(stream: io.StringIO, said: dict[str, str]) -> None:
    logs.configure(stream)

    structlog.get_logger().error(**{"event": "refused", **said})

    (line,) = lines(stream)
    assert "hunter2" not in json.dumps(line)
    assert logs.HIDDEN in json.dumps(line)


def test_a_dead_letter_says_where_it_lies_and_whose_it_is_without_naming_the_member(partition: Any) -> None:
    driver = Driver(partition)
    late = order("O1", "2026-01-01T10:00:00Z", recorded="2026-03-01T00:00:00Z")

    with capture_logs() as logged:
        driver.play([member("2026-01-01T00:00:00Z"), late])
        driver.pipe("commerce.orders.v1", b"m-1", b"garbage", 0)

    refused, unreadable = logged
    assert refused["event"] == unreadable["event"] == "dead letter"
    assert (refused["topic"], refused["partition"], refused["offset"]) == ("commerce.orders.v1", 0, 0)
    assert (refused["error_class"], refused["event_id"]) == ("LATE", late.event_id)
    assert unreadable["error_class"] == "BAD_MAGIC"
    assert refused["member"] == unreadable["member"] == logs.pseudonym("m-1") == logs.pseudonym(b"m-1")
    assert "m-1" not in json.dumps(logged, default=str)


def test_no_key_has_no_pseudonym() -> None:
    assert logs.pseudonym(None) is None
