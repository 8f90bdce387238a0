"""`loyalty top`: the figures of a moment from what real workers said, and the screen that shows them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path

import httpx
import pytest

from pipelines.operations.alerts import ALERTS
from pipelines.operations.looks import Look, Recent, Unanswered, figures, quantile, rate, read
from pipelines.operations.screen import Seen, Top
from pipelines.operations.thresholds import NOT_SEEN, SEEN, past
from pipelines.operations.watching import START, Workers
from tests.cli.test_main import loyalty

SCRAPED = Path(__file__).parent / "scraped"
URL = "http://w0/metrics"
FIRST_S = 1_795_591_080.9
SECOND_S = FIRST_S + 4.0


def look(name: str, at_s: float) -> Look:
    """What a worker under load said."""
    found = read((SCRAPED / name).read_text(), URL, at_s)
    assert isinstance(found, Look)
    return found


FIRST, SECOND = look("first.txt", FIRST_S), look("second.txt", SECOND_S)


def changed(name: str, value: float, **labels: str) -> Look:
    """The second look, with all series of a name, or those with these labels, at another value."""
    samples = [
        s._replace(value=value) if s.name == name and labels.items() <= s.labels.items() else s
        for s in SECOND.samples
    ]
    return replace(SECOND, samples=tuple(samples))


def names(*looks: Look | Unanswered) -> list[str]:
    return [found.alert for found in past(looks)]


def test_the_figures_are_what_the_worker_said() -> None:
    told = figures(SECOND, FIRST, START)

    assert (told.processor, told.replica, told.build) == ("accounts", "worker-0", "0.1.0")
    assert (told.programme, told.partitions, told.restoring) == ("reference 2026-1", 4, 0)
    assert (told.transactions, told.aborts) == (98, 0)
    assert told.dead_letters == {"LATE": 47}
    assert told.lag_records == 101
    assert told.lag_seconds == pytest.approx(57.27, abs=0.01)
    assert told.state_bytes == 17_376_009
    assert told.since_tick == (inf, inf), "the ticks of a replayed history are old"


def test_a_rate_is_what_two_looks_differ_by_a_second() -> None:
    grown = SECOND.total("loyalty_facts_total") - FIRST.total("loyalty_facts_total")

    assert grown > 100
    assert rate(SECOND, FIRST, "loyalty_facts_total") == pytest.approx(grown / 4)
    assert rate(FIRST, None, "loyalty_facts_total") is None


@pytest.mark.parametrize(("share", "value"), [(0.2, 0.5), (0.4, 1.0), (0.6, 1.5), (0.8, 2.0), (0.9, inf)])
def test_a_quantile_lies_on_a_straight_line_within_its_bucket(share: float, value: float) -> None:
    buckets = [(1.0, 4.0), (2.0, 8.0), (inf, 10.0)]

    assert quantile(buckets, share) == pytest.approx(value)


def test_nothing_measured_has_no_quantile() -> None:
    assert quantile([], 0.5) is None
    assert quantile([(1.0, 0.0), (inf, 0.0)], 0.5) is None
    assert figures(SECOND, FIRST, SECOND).since_tick is None


def test_a_worker_that_began_anew_is_not_compared_with_what_it_was() -> None:
    recent = Recent()
    recent.take(FIRST)
    recent.take(SECOND)
    assert recent.since(10) is FIRST
    assert recent.since(3) is None

    anew = replace(changed("process_start_time_seconds", SECOND_S), at_s=SECOND_S + 1)
    recent.take(anew)

    assert recent.since(10) is None


def test_what_no_worker_says_is_told_apart() -> None:
    assert read("<html>", URL, 0.0) == Unanswered(URL, "says nothing that Prometheus can read")
    assert read("up 1\n", URL, 0.0) == Unanswered(URL, "tells of no worker of a pipeline")


def test_every_alert_is_seen_or_said_not_to_be() -> None:
    assert {*SEEN, *NOT_SEEN} == {alert.name for alert in ALERTS}
    assert not {*SEEN} & {*NOT_SEEN}


def healthy(seen: Look = SECOND) -> Look:
    """The second look, had its ticks been made at their instants."""
    ticked = [s._replace(value=SECOND_S) if s.name == "loyalty_clock_seconds" else s for s in seen.samples]
    return replace(seen, samples=tuple(ticked))


def test_a_worker_that_does_its_work_is_past_nothing() -> None:
    assert names(healthy()) == []


def test_old_ticks_are_a_stopped_clock() -> None:
    assert names(SECOND) == ["LoyaltyClockStopped"]


@pytest.mark.parametrize(
    ("name", "at_most", "alert"),
    [
        ("loyalty_lag_seconds", 120.0, "LoyaltyLagGrowing"),
        ("loyalty_open_transaction_seconds", 60.0, "LoyaltyTransactionStuck"),
    ],
)
def test_past_its_threshold_is_above_it(name: str, at_most: float, alert: str) -> None:
    assert names(healthy(changed(name, at_most))) == []
    assert set(names(healthy(changed(name, at_most + 1)))) == {alert}


def test_no_poll_for_two_minutes_is_a_worker_that_hangs() -> None:
    name = "loyalty_last_poll_time_seconds"

    assert names(healthy(changed(name, SECOND_S - 120))) == []
    assert names(healthy(changed(name, SECOND_S - 121))) == ["LoyaltyWorkerHangs"]
    assert names(healthy(changed(name, 0.0))) == [], "it has not begun to ask"


def test_no_commit_is_wrong_only_while_records_wait() -> None:
    idle = replace(healthy(), at_s=SECOND_S + 50)
    assert names(idle) == []

    waiting = replace(healthy(changed("loyalty_lag_records", 1.0)), at_s=SECOND_S + 60)
    assert "LoyaltyCommitsStalled" in names(waiting)


def test_a_partition_with_ten_times_the_lag_of_the_others_is_hot() -> None:
    topic = {"partition": "2", "topic": "commerce.orders.v1"}

    assert names(healthy(changed("loyalty_lag_records", 1_000.0, **topic))) == []
    assert names(healthy(changed("loyalty_lag_records", 1_001.0, **topic))) == ["LoyaltyHotPartition"]
    assert names(healthy(changed("loyalty_lag_records", 5_000.0))) == []


def test_two_builds_of_one_pipeline_differ() -> None:
    newer = [
        s._replace(labels={**s.labels, "version": "0.2.0"}) if s.name == "loyalty_build_info" else s
        for s in healthy().samples
    ]

    assert names(healthy(), replace(SECOND, samples=tuple(newer))) == ["LoyaltyBuildsDiffer"]


class Saying(BaseHTTPRequestHandler):
    """What the worker said, to whoever asks for /metrics."""

    def do_GET(self) -> None:
        found = self.path == "/metrics"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write((SCRAPED / "second.txt").read_bytes() if found else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the library's
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Saying) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_once_prints_a_picture_and_ends(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert loyalty("top", "--metrics", f"{address}/metrics", "--once") == 0

    said = capsys.readouterr().out
    assert "accounts worker-0" in said
    assert "LATE 47" in said
    assert "LoyaltyClockStopped accounts" in said


def test_once_fails_when_one_does_not_answer_and_shows_the_others(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here, nowhere = f"{address}/metrics", f"{address}/elsewhere"

    assert loyalty("top", "--metrics", here, "--metrics", nowhere, "--once") == 1

    said = capsys.readouterr()
    assert "accounts worker-0" in said.out
    assert f"LoyaltyWorkerDown {nowhere}" in said.out
    assert "/elsewhere answers 404" in said.err
    assert "do: start the worker with --metrics-port" in said.err


@pytest.mark.parametrize("wrong", ["9100", "ftp://h/metrics", "http://"])
def test_what_is_no_address_is_a_usage_error(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert loyalty("top", "--metrics", wrong, "--once") == 2
    assert "is no address" in capsys.readouterr().err


def test_a_live_view_needs_a_terminal(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert loyalty("top", "--metrics", f"{address}/metrics") == 1
    assert "add --once" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_the_screen_draws_what_is_seen_again_and_again_and_ends_cleanly(address: str, key: str) -> None:
    looked: list[float] = []

    async def watched(client: httpx.Client) -> Top:
        workers = Workers(client, [f"{address}/metrics"])

        def look() -> Seen:
            looked.append(SECOND_S + len(looked))
            return workers.look(looked[-1])

        app = Top(look)
        async with app.run_test(size=(100, 30)) as pilot:
            while len(looked) < 3:
                await pilot.pause(0.05)
            assert "worker-0" in app.export_screenshot()
            await pilot.press(key)
        return app

    with httpx.Client() as client:
        app = asyncio.run(watched(client))

    assert app.return_code == 0
