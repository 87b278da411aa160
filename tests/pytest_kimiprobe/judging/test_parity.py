"""Parity: the same request plain and streamed."""

from __future__ import annotations

import pytest

from pytest_kimiprobe.cases.model import Case, Parity
from pytest_kimiprobe.judging.parity import Half, compare
from pytest_kimiprobe.stats.aggregates import cells_of
from pytest_kimiprobe.stats.status import endpoints_of
from pytest_kimiprobe.verdicts import PARITY, ProbeResult, Run, Verdict
from routing.evidence.model import parse_utc
from routing.types import ToolCall

PARIS = ToolCall("a", "get_weather", {"city": "Paris"}, '{"city": "Paris"}')
CITY = ToolCall("b", "get_weather", {"city": "Paris, France"}, '{"city":"Paris, France"}')
SPACED = ToolCall("c", "get_weather", {"city": "Paris"}, '{ "city":"Paris" }')
TIME = ToolCall("d", "get_time", {}, "{}")


def word(parity: Parity, plain: Half, stream: Half) -> tuple[Verdict, str]:
    found = compare(Case("c", [], parity=parity), plain, stream)
    return found.verdict, found.reason


@pytest.mark.parametrize(
    ("parity", "plain", "stream", "expected"),
    [
        ("calls", Half("pass", (PARIS,)), Half("pass", (CITY,)), ("pass", "ok")),
        ("arguments", Half("pass", (PARIS,)), Half("pass", (SPACED,)), ("pass", "ok")),
        ("arguments", Half("pass", (PARIS,)), Half("pass", (CITY,)), ("fail", "not_alike")),
        ("calls", Half("pass", (PARIS, TIME)), Half("pass", (TIME, PARIS)), ("pass", "ok")),
        ("calls", Half("pass", (PARIS, TIME)), Half("pass", (PARIS,)), ("fail", "not_alike")),
        ("calls", Half("pass", (PARIS,)), Half("pass", ()), ("fail", "not_alike")),
        ("calls", Half("pass", (PARIS,)), Half("rescued", (PARIS,)), ("pass", "ok")),
        ("calls", Half("pass", (PARIS,)), Half("fail"), ("fail", "not_alike")),
        ("calls", Half("fail"), Half("fail"), ("pass", "ok")),
        ("calls", Half("pass", (PARIS,)), Half("error"), ("not_run", "no_pair")),
        ("calls", Half("unsupported"), Half("unsupported"), ("not_run", "no_pair")),
        ("calls", Half("pass", (PARIS,)), Half(), ("not_run", "no_pair")),
    ],
)
def test_a_pair_is_judged_by_what_may_be_delivered(
    parity: Parity, plain: Half, stream: Half, expected: tuple[str, str]
) -> None:
    """Names, or names and arguments as JSON; order and ids do not matter."""
    assert word(parity, plain, stream) == expected


def test_a_verdict_on_a_pair_counts_for_no_status() -> None:
    """It repeats what two answers said."""
    good = ProbeResult("1", "c", "e", "plain", 1, "pass", "ok")
    pair = ProbeResult("2", "c", "e", PARITY, 1, "fail", "not_alike")
    moment = parse_utc("2026-11-23T05:00:00Z")
    run = Run("r", 1, "live", "core", moment, moment, complete=True, probes=(good, pair))
    assert len(cells_of(run.answers)) == 1
    assert endpoints_of(run)["e"].status == "works"
