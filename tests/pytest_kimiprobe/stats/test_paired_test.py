"""Two endpoints, pair by pair."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from pytest_kimiprobe.stats.measures import Rate
from pytest_kimiprobe.stats.paired_test import NotCompared, compare, comparison_row, mcnemar, told
from pytest_kimiprobe.verdicts import ProbeResult, Run, Verdict

A, B = "openrouter/moonshotai/kimi-k2.6", "moonshot/kimi-k2.6"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
WORDS: dict[str, Verdict] = {"+": "pass", "r": "rescued", "-": "fail", "e": "error", "n": "not_run"}


def a_run(a: str, b: str, **more: Any) -> Run:
    """One letter a probe: + pass, r rescued, - fail, e error, n not run."""
    probes = [
        ProbeResult(f"{name}-{n}", "weather", name, "plain", n, WORDS[letter], "ok", **more)
        for name, letters in ((A, a), (B, b))
        for n, letter in enumerate(letters)
    ]
    return Run("1", 1, "live", "core", NOW, NOW, True, tuple(probes))


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 0.0625), (0, 6, 0.03125), (10, 2, 0.038574), (15, 5, 0.041389), (3, 4, 1.0)],
)
def test_mcnemars_exact_p(only_a: int, only_b: int, p: float) -> None:
    """Against R's binom.test(min, n, 0.5)."""
    assert mcnemar(only_a, only_b) == pytest.approx(p, abs=1e-6)


def test_pairs_are_the_same_probe_at_both() -> None:
    """Errors and probes that were not run make no pair; right is right at the first try, as in every table."""
    found = compare(a_run("+r-+-e+", "++++--n"), A, B)
    assert (found.both, found.only_a, found.only_b, found.neither) == (2, 0, 2, 1)
    assert (found.unpaired, found.rescued) == (2, (1, 0))
    assert ("", "right after rescue: 1 at A, 0 at B") in told(found)
    assert comparison_row(found)["rescued"] == [1, 0]


def test_probes_that_the_table_does_not_count_make_no_pair() -> None:
    """Tools described in the prompt count only at an endpoint without native ones."""
    run, aside = a_run("+-+", "++-"), a_run("rrrr", "----", capability="tools:emulated")
    emulated = tuple(replace(probe, case="json") for probe in aside.probes)
    both = compare(replace(run, probes=run.probes + emulated), A, B)
    assert comparison_row(both) == comparison_row(compare(run, A, B))
    assert compare(aside, A, B).rates == (Rate(4, 4), Rate(0, 4))


def test_overlapping_intervals_are_not_distinguishable() -> None:
    """Whatever the split of the pairs that differ."""
    found = compare(a_run("+" * 28 + "-" * 2, "+" * 20 + "-" * 8 + "+" * 2), A, B)
    assert found.overlap
    assert found.better == ""
    assert ("", "not distinguishable: the intervals overlap") in told(found)


def test_a_clear_difference_names_the_better_one() -> None:
    """Intervals apart and a small p."""
    found = compare(a_run("-" * 25 + "+" * 5, "+" * 30), A, B)
    assert found.better == B
    assert found.p_value < 1e-6
    assert ("", f"better: {B}") in told(found)


def test_swapping_the_two_mirrors_the_answer() -> None:
    """Neither place is favoured."""
    run = a_run("-" * 25 + "+" * 5, "+" * 30)
    one, other = compare(run, A, B), compare(run, B, A)
    assert (one.only_a, one.only_b, one.p_value, one.better) == (
        other.only_b,
        other.only_a,
        other.p_value,
        other.better,
    )


def test_cost_and_latency_ratio() -> None:
    """Cost of a success; geometric mean of the pairs' times."""
    run = a_run("+-+-", "++++", cost_usd=Decimal("0.001"), total_ms=100.0)
    found = compare(run, A, B)
    assert found.cost_ratio == pytest.approx(2.0)
    assert found.latency_ratio == pytest.approx(1.0)
    row = comparison_row(found)
    assert (row["a"], row["pairs"], row["cost_per_success_ratio"], row["latency_ratio"]) == (A, 4, 2.0, 1.0)


def test_without_pairs_nothing_is_claimed() -> None:
    """All errors at one of the two."""
    found = compare(a_run("eee", "+++"), A, B)
    assert (found.pairs, found.better, found.cost_ratio) == (0, "", None)
    assert "no probe was judged at both" in told(found)[-1][1]


def test_an_endpoint_that_was_not_probed_is_named_with_those_that_were() -> None:
    """No empty table."""
    with pytest.raises(NotCompared, match=rf"'groq/x' was not probed in this run; available: {B}, {A}"):
        compare(a_run("+", "+"), A, "groq/x")
