"""Which endpoints are told apart, and how a report says so."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranking_order import told_apart

from pytest_kimiprobe.reporting.findings import details
from pytest_kimiprobe.reporting.json_report import document
from pytest_kimiprobe.reporting.summary import Spent, Summary
from pytest_kimiprobe.reporting.terminal import markdown, screen
from pytest_kimiprobe.stats.measures import Rate, wilson
from pytest_kimiprobe.stats.ranking import OWN, Place, Ranking, rank
from pytest_kimiprobe.verdicts import ProbeResult, Run

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RATES = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.integers(1, 300).flatmap(lambda judged: st.builds(Rate, st.integers(0, judged), st.just(judged))),
    min_size=1,
)


def test_groups_overlap_within_and_are_ordered() -> None:
    """The best first; one that overlaps two groups stands in both; of unjudged ones nothing is said."""
    found = rank({"a": Rate(100, 100), "b": Rate(99, 100), "c": Rate(90, 100), "d": Rate(80, 100), "e": Rate(20, 100)})
    assert found.groups == (("a", "b", "c"), ("c", "d"), ("e",))
    assert [str(found.place(name)) for name in "abcde"] == ["1", "1", "1-2", "2", "3"]
    assert told_apart(found, "a", "d")
    assert not told_apart(found, "c", "d")
    assert rank({"a": Rate()}) == Ranking(())
    assert rank({"a": Rate()}).place("a") is None


@given(RATES)
def test_two_are_told_apart_exactly_where_no_group_holds_both(rates: dict[str, Rate]) -> None:
    """And then neither their own intervals overlap, nor is the lower share placed before the higher."""
    found = rank(rates)
    for one, other in combinations(sorted(rates), 2):
        together = any(one in group and other in group for group in found.groups)
        assert told_apart(found, one, other) is not together
        here, there = rates[one].interval, rates[other].interval
        assert here is not None
        assert there is not None
        if not together:
            assert not here.overlaps(there)
            first, second = found.place(one), found.place(other)
            assert first is not None
            assert second is not None
            assert (first.first < second.first) is (
                rates[one].right / rates[one].judged > rates[other].right / rates[other].judged
            )


@given(RATES)
def test_the_groups_of_an_endpoint_follow_one_another(rates: dict[str, Rate]) -> None:
    """So two numbers say all; and no group lies within another."""
    found = rank(rates)
    for name in rates:
        numbers = [number for number, group in enumerate(found.groups, 1) if name in group]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert found.place(name) == Place(numbers[0], numbers[-1])
    assert not any(set(one) <= set(other) for one in found.groups for other in found.groups if one != other)


@pytest.mark.parametrize(("endpoints", "confidence"), [(2, 0.95), (3, 0.98333), (8, 0.99375), (16, 0.996875)])
def test_the_more_endpoints_the_wider_the_intervals(endpoints: int, confidence: float) -> None:
    """Bonferroni: with one in twenty shared among all, an order is wrong in at most one run of twenty."""
    found = rank({str(number): Rate(50, 100) for number in range(endpoints)})
    assert found.confidence == pytest.approx(confidence, abs=1e-5)


def test_of_many_a_pair_is_not_told_apart_by_its_own_intervals_alone() -> None:
    """Two hosts alone differ; among sixteen the same two do not, for some pair would differ so much by chance."""
    two = {"a": Rate(95, 100), "b": Rate(80, 100)}
    alone, among = rank(two), rank(two | {str(number): Rate(500, 1000) for number in range(14)})
    assert told_apart(alone, "a", "b")
    assert not told_apart(among, "a", "b")


def test_of_leaks_less_is_better() -> None:
    """The turned rate is ranked."""
    assert rank({"a": Rate(90, 100), "b": Rate(1, 100)}, less_is_better=True).groups == (("b",), ("a",))


def test_wilson_at_another_level() -> None:
    """Against scipy's binomtest(42, 50).proportion_ci(0.99, "wilson")."""
    found = wilson(42, 50, 2.5758293035489)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.668518, 0.931819), abs=1e-6)


def a_summary(*rights: int, judged: int = 40) -> Summary:
    """One endpoint a number: so many of `judged` are right."""
    probes = [
        ProbeResult(f"{host}-{n}", "weather", f"openrouter/m+host{host}/fp8", "plain", n, verdict, "ok")
        for host, right in enumerate(rights)
        for n in range(judged)
        for verdict in (("pass" if n < right else "fail"),)
    ]
    run = Run("1", 1, "live", "core", NOW, NOW, True, tuple(probes))
    return Summary.of(run, Spent(Decimal(0), Decimal(1), 1.0, 0.1))


def text(summary: Summary) -> str:
    return "\n".join(line.text for line in screen(summary, further=True))


def test_the_report_names_who_cannot_be_told_apart() -> None:
    """In the table by a rank that is shared, below it by name, with the level that this is said at."""
    shown = text(a_summary(40, 39, 20, 2))
    ranks = dict(re.findall(r"^(openrouter\S+) .*\(\S+\) +(\S+) ", shown, re.MULTILINE))
    assert ranks == {
        "openrouter+host0/fp8": "1",
        "openrouter+host1/fp8": "1",
        "openrouter+host2/fp8": "2",
        "openrouter+host3/fp8": "3",
    }
    assert "alike     rank 1: openrouter+host0/fp8, openrouter+host1/fp8\n" in shown
    assert "not distinguishable within a rank: their intervals overlap (98.8% each" in " ".join(shown.split())


def test_of_two_endpoints_the_shown_intervals_decide() -> None:
    """No other level is told."""
    found = [text for _, text, _ in details(a_summary(40, 39)) if "distinguishable" in text]
    assert found == ["not distinguishable within a rank: their intervals overlap"]
    assert rank({"a": Rate(1, 2), "b": Rate(1, 2)}).confidence == OWN


def test_where_all_differ_nobody_is_alike() -> None:
    """Nor where there is one alone."""
    assert "alike" not in text(a_summary(40, 2))
    assert "alike" not in text(a_summary(40))


def test_only_some_shared_ranks_are_told_by_name() -> None:
    """The table has all."""
    shown = " ".join(text(a_summary(*range(0, 400, 20), judged=400)).split())
    assert "rank 1: " in shown
    assert "more ranks that are shared" in shown


def test_an_endpoint_that_cannot_be_used_never_has_the_first_rank() -> None:
    """A few answers that were all right reach it, while most requests were refused."""
    refused = [
        ProbeResult(f"e{n}", "weather", "openrouter/m+b/fp8", "plain", n, "error", "rate_limited") for n in range(41)
    ]
    right = [
        ProbeResult(f"{host}{n}", "weather", f"openrouter/m+{host}/fp8", "plain", n + 41, "pass", "ok")
        for host, count in (("a", 54), ("b", 13))
        for n in range(count)
    ]
    run = Run("1", 1, "live", "core", NOW, NOW, True, (*refused, *right))
    shown = text(Summary.of(run, Spent(Decimal(0), Decimal(1), 1.0, 0.1)))
    assert re.search(r"^openrouter\+a/fp8 +100.0 % \(\S+\) +1\b", shown, re.MULTILINE)
    assert re.search(r"^openrouter\+b/fp8 +100.0 % \(\S+\) +- ", shown, re.MULTILINE)


def test_markdown_and_json_say_the_same() -> None:
    """Ranks in the table, the sentence below it; groups by every rate in the document."""
    summary = a_summary(40, 39, 2)
    page = markdown(summary)
    assert "| first try, 95 % | rank |" in page
    assert "- **alike** `rank 1: openrouter+host0/fp8, openrouter+host1/fp8`" in page
    found = json.loads(json.dumps(document(summary), default=str))["rankings"]
    assert list(found) == ["first_try", "availability", "trigger", "leak", "schema", "k2vv_compatible"]
    assert found["first_try"] == {
        "confidence": 0.983333,
        "groups": [["openrouter/m+host0/fp8", "openrouter/m+host1/fp8"], ["openrouter/m+host2/fp8"]],
    }
    assert found["schema"]["groups"] == []
