"""Parity: plain and streamed answers to the same request are compared."""

from __future__ import annotations

import pytest

from pytest_kimiprobe.cases.model import Case, Parity
from pytest_kimiprobe.judging.parity import PairAnswer, compare
from pytest_kimiprobe.stats.aggregates import cells_of
from pytest_kimiprobe.stats.status import endpoints_of
from pytest_kimiprobe.verdicts import PARITY, ProbeResult, Run, Verdict
from routing.evidence.model import parse_utc
from routing.types import ToolCall

PARIS = ToolCall("a", "get_weather", {"city": "Paris"}, '{"city": "Paris"}')
CITY = ToolCall("b", "get_weather", {"city": "Paris, France"}, '{"city":"Paris, France"}')
SPACED = ToolCall("c", "get_weather", {"city": "Paris"}, '{ "city":"Paris" }')
TIME = ToolCall("d", "get_time", {}, "{}")


def word(parity: Parity, plain: PairAnswer, stream: PairAnswer) -> tuple[Verdict, str]:
    found = compare(Case("c", [], parity=parity), plain, stream)
    return found.verdict, found.reason


@pytest.mark.parametrize(
    ("parity", "plain", "stream", "expected"),
    [
        ("calls", PairAnswer("pass", (PARIS,)), PairAnswer("pass", (CITY,)), ("pass", "ok")),
        ("arguments", PairAnswer("pass", (PARIS,)), PairAnswer("pass", (SPACED,)), ("pass", "ok")),
        ("arguments", PairAnswer("pass", (PARIS,)), PairAnswer("pass", (CITY,)), ("fail", "not_alike")),
        ("calls", PairAnswer("pass", (PARIS, TIME)), PairAnswer("pass", (TIME, PARIS)), ("pass", "ok")),
        ("calls", PairAnswer("pass", (PARIS, TIME)), PairAnswer("pass", (PARIS,)), ("fail", "not_alike")),
        ("calls", PairAnswer("pass", (PARIS,)), PairAnswer("pass", ()), ("fail", "not_alike")),
        ("calls", PairAnswer("pass", (PARIS,)), PairAnswer("rescued", (PARIS,)), ("pass", "ok")),
        ("calls", PairAnswer("pass", (PARIS,)), PairAnswer("fail"), ("fail", "not_alike")),
        ("calls", PairAnswer("fail"), PairAnswer("fail"), ("pass", "ok")),
        ("calls", PairAnswer("pass", (PARIS,)), PairAnswer("error"), ("not_run", "no_pair")),
        ("calls", PairAnswer("unsupported"), PairAnswer("unsupported"), ("not_run", "no_pair")),
        ("calls", PairAnswer("pass", (PARIS,)), PairAnswer(), ("not_run", "no_pair")),
    ],
)
def test_a_pair_is_judged_by_what_may_be_delivered(
    parity: Parity, plain: PairAnswer, stream: PairAnswer, expected: tuple[str, str]
) -> None:
    """Names, or names and arguments as JSON, are compared; order and ids do not matter."""
    assert word(parity, plain, stream) == expected


def test_a_verdict_on_a_pair_counts_for_no_status() -> None:
    """A pair repeats two answers that are counted already."""
    good = ProbeResult("1", "c", "e", "plain", 1, "pass", "ok")
    pair = ProbeResult("2", "c", "e", PARITY, 1, "fail", "not_alike")
    moment = parse_utc("2026-11-23T05:00:00Z")
    run = Run("r", 1, "live", "core", moment, moment, complete=True, probes=(good, pair))
    assert len(cells_of(run.answers)) == 1
    assert endpoints_of(run)["e"].status == "works"
