"""A file of JSON lines: every field as the schemas have it, and a bad line named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.domain.facts import Engagement, Member, Order, PointsCommand, Return, Tick
from pipelines.failure import Failure
from pipelines.feeds.jsonl import read
from tests.support.facts import ms

COMMON = {
    "event_id": "e-1",
    "member_id": "m-1",
    "occurred_at": "2026-03-01T12:00:00Z",
    "recorded_at": "2026-03-01T13:00:01+01:00",
    "version": 1,
}
ORDER = {
    **COMMON,
    "order_id": "O1",
    "status": "PAID",
    "placed_at": "2026-03-01T12:00:00Z",
    "paid_at": "2026-03-01T12:00:00Z",
    "market": "CH",
    "currency": "EUR",
    "lines": [
        {
            "line_id": "1",
            "sku": "trail-1",
            "category": "trail",
            "quantity": 1,
            "gross_minor": 16000,
            "discount_minor": 0,
            "eligible": True,
        }
    ],
}
RETURN = {
    **COMMON,
    "return_id": "R1",
    "order_id": "O1",
    "status": "REQUESTED",
    "requested_at": "2026-03-01T12:00:00Z",
    "lines": [{"line_id": "1", "quantity": 1, "refund_minor": 16000}],
}
RUN = {
    **COMMON,
    "engagement_id": "E1",
    "kind": "RUN",
    "status": "RECORDED",
    "zone": "Europe/Zurich",
    "distance_m": 5000,
    "duration_s": 1500,
    "verification": "GPS",
}
MEMBER = {
    **COMMON,
    "enrolled_at": "2026-03-01T12:00:00Z",
    "market": "CH",
    "zone": "Europe/Zurich",
    "consents": [{"purpose": "marketing", "granted_at": "2026-03-01T12:00:00Z"}],
}

COMMAND = {k: v for k, v in COMMON.items() if k != "version"} | {
    "command_id": "C1",
    "kind": "REDEEM",
    "points": 100,
}


def written(tmp_path: Path, *lines: object) -> Path:
    file = tmp_path / "facts.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


def test_every_kind_of_fact_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"member": MEMBER},
        "",
        {"order": ORDER},
        {"return": RETURN},
        {"engagement": RUN},
        {"command": COMMAND},
        {"tick": {"at": "2026-03-02T00:00:00Z"}},
    )

    arrivals = read(file)

    assert [type(a.fact) for a in arrivals] == [Member, Order, Return, Engagement, PointsCommand, Tick]
    assert [a.at_ms for a in arrivals[:4]] == [ms("2026-03-01T12:00:01Z")] * 4
    assert arrivals[1].fact.lines[0].gross_minor == 160_00  # type: ignore[union-attr]
    assert arrivals[0].fact.consents[0].granted_at_ms == ms("2026-03-01T12:00:00Z")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not JSON"),
        ("[]", "one of order, return, engagement, member, command, tick is wanted"),
        ({"coupon": {}}, "one of order"),
        ({"order": 3}, "order has no fields"),
        ({"order": ORDER | {"colour": "red"}}, "order has no field 'colour'; its fields are event_id"),
        ({"order": {k: v for k, v in ORDER.items() if k != "currency"}}, "order.currency is missing"),
        ({"order": ORDER | {"placed_at": "yesterday"}}, "placed_at is 'yesterday'"),
        ({"order": ORDER | {"placed_at": "2026-03-01T12:00:00"}}, "without a zone"),
        ({"order": ORDER | {"status": "LOST"}}, "order.status"),
        ({"order": ORDER | {"version": 0}}, "BAD_VERSION"),
        ({"order": ORDER | {"currency": "euro"}}, "CURRENCY"),
        ({"engagement": RUN | {"zone": "Mars/Olympus"}}, "ZONE"),
        ({"member": MEMBER | {"consents": ["marketing"]}}, "member.consents"),
        ({"command": COMMAND | {"points": 0}}, "NO_POINTS"),
        ({"tick": {}}, "tick.at is missing"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_given(tmp_path: Path, line: object, told: str) -> None:
    file = written(tmp_path, {"member": MEMBER}, line)

    with pytest.raises(Failure, match=rf"facts\.jsonl:2: .*{told}"):
        read(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        read(tmp_path / "none.jsonl")
