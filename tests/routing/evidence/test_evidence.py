"""Reading latest.json: which values a run can have measured, and how long they are trusted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routing.errors import EvidenceError
from routing.evidence.model import EndpointEvidence, loads, utc_text

NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
ENDPOINT = "openrouter/moonshotai/kimi-k2.6"


def text(**more: Any) -> str:
    row = {"status": "works", "probed_at": utc_text(NOW), "judged": 60, "passed": 59, "failed": 1, **more}
    head = {"version": 1, "generated_at": utc_text(NOW), "run": "r-1", "source": "live"}
    return json.dumps({**head, "endpoints": {ENDPOINT: row}})


def read(**more: Any) -> EndpointEvidence:
    return loads(text(**more), origin="latest.json").endpoints[ENDPOINT]


def test_a_row_is_read() -> None:
    """Missing fields count as not measured; a cost may be a JSON number too."""
    row = read(cost_per_1k_usd=0.61, p50_ms=1900)
    assert (row.counts.judged, str(row.cost_per_1k_usd), row.p50_ms, row.window_days) == (60, "0.61", 1900.0, 7)


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(timedelta(hours=23), "works"), (timedelta(days=2), "unknown"), (timedelta(days=40_000), "unknown")],
)
def test_evidence_from_the_future_is_not_trusted(ahead: timedelta, expected: str) -> None:
    """A clock may be off by a day; evidence of the year 2136 must not be fresh until then."""
    assert read(probed_at=utc_text(NOW + ahead)).status_at(NOW) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"passed": 1000},
        {"passed": 60},
        {"judged": "60"},
        {"judged": True},
        {"judged": 60.0},
        {"failed": -1, "passed": 61},
        {"errors": 10**10},
        {"window": {"days": 7, "judged": 60, "passed": 10**6}},
        {"window": {"days": 99_999}},
        {"window": {"days": 0}},
        {"window": {"days": "7"}},
        {"p50_ms": "evil"},
        {"p95_ms": -1},
        {"p50_ms": float("nan")},
        {"first_token_p50_ms": float("inf")},
        {"cost_per_1k_usd": "1e9999999"},
        {"cost_per_1k_usd": "NaN"},
        {"cost_per_1k_usd": "-1"},
        {"cost_per_1k_usd": "1000001"},
        {"cost_per_1k_usd": [1]},
        {"cost_per_1k_usd": "0." + "0" * 99},
        {"reasons": {"wrong_tool": "3"}},
        {"calls": -1},
        {"probed_at": "2026-11-23T05:30:00"},
    ],
)
def test_impossible_measurements_are_refused(more: dict[str, Any]) -> None:
    """Counts are non-negative and add up, a window is 1 to 31 days, times and costs are bounded numbers."""
    with pytest.raises(EvidenceError, match=r"^latest\.json: unreadable"):
        read(**more)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"p95_ms": 1e30}, "p95_ms is not a time"),
        ({"p95_ms": -1}, "p95_ms is not a time"),
        ({"p95_ms": 2e9}, "p95_ms is not a time"),
        ({"judged": 1}, "add up"),
        ({"cost_per_1k_usd": "NaN"}, "amount of money"),
        ({"status": "splendid"}, "status"),
        ({"probed_at": None}, "probed_at is not a time"),
        (None, "is not an object"),
        ("works", "is not an object"),
    ],
    ids=repr,
)
def test_a_row_with_a_bad_figure_costs_that_row_only(bad: Any, why: str) -> None:
    """The other rows are used; the refused one is unknown, and its reason is kept."""
    data = json.loads(text())
    good = data["endpoints"][ENDPOINT]
    data["endpoints"] |= {"bad": {**good, **bad} if isinstance(bad, dict) else bad, "other": good}
    found = loads(json.dumps(data))
    assert list(found.endpoints) == [ENDPOINT, "other"]
    assert found.status_at("bad", NOW) == "unknown"
    assert list(found.refused) == ["bad"]
    assert why in found.refused["bad"]


@pytest.mark.parametrize("source", ["simulator", "replay", "banana", 7, ["live"]])
def test_evidence_from_simulator_or_replay_is_refused(source: Any) -> None:
    """Simulated and replayed answers never influence a router."""
    data = json.loads(text()) | {"source": source}
    with pytest.raises(EvidenceError, match="unreadable"):
        loads(json.dumps(data), origin="latest.json")
