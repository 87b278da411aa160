"""The numbers of a report, each against a figure worked out elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.stats.aggregates import totals_of
from pytest_kimiprobe.stats.measures import (
    Interval,
    Rate,
    Trigger,
    measures_of,
    measures_row,
    pass_power,
    rate_text,
    wilson,
)
from pytest_kimiprobe.verdicts import ProbeResult
from routing.types import Usage

HOST, REFERENCE = "openrouter/moonshotai/kimi-k2.6", "moonshot/kimi-k2.6"


def probe(verdict: Any = "pass", endpoint: str = HOST, repeat: int = 1, **more: Any) -> ProbeResult:
    reason = {"pass": "ok", "rescued": "rescued_text", "fail": "wrong_tool"}.get(verdict, "timeout")
    facts = {"case": "weather", "mode": "plain", "reason": reason} | more
    return ProbeResult(id=f"{endpoint}-{repeat}", endpoint=endpoint, repeat=repeat, verdict=verdict, **facts)


@pytest.mark.parametrize(
    ("right", "judged", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (914, 1270, 0.6943, 0.7437),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_wilsons_interval(right: int, judged: int, low: float, high: float) -> None:
    """Against R's binom::binom.confint(method="wilson")."""
    found = wilson(right, judged)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_judged_has_no_interval() -> None:
    """No data is not zero."""
    assert wilson(0, 0) is None
    assert rate_text(Rate()) == "-"


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_share(judged: int, data: st.DataObject) -> None:
    """And stays within 0 and 1."""
    right = data.draw(st.integers(0, judged))
    found = wilson(right, judged)
    assert found is not None
    assert 0 <= found.low <= right / judged <= found.high <= 1


def test_published_neighbours_overlap_and_far_ones_do_not() -> None:
    """72.4 and 72.0 % of 1270 are not distinguishable; 72 and 95 % are."""
    volc, together, good = (wilson(right, 1270) for right in (925, 914, 1206))
    assert volc is not None
    assert together is not None
    assert good is not None
    assert volc.overlaps(together)
    assert not together.overlaps(good)
    assert Interval(0, 0.5).overlaps(Interval(0.5, 1))


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(1, 9))
def test_pass_power_counts_the_subsets(tries: list[bool], k: int) -> None:
    """pass^k is the share of all choices of k tries that hold right ones only."""
    chosen = [all(subset) for subset in combinations(tries, k)]
    expected = sum(chosen) / len(chosen) if chosen else None
    found = pass_power([Rate(sum(tries), len(tries))], k)
    assert found == expected if expected is None else math.isclose(found or 0.0, expected)


def test_pass_power_is_of_cases_and_modes() -> None:
    """A case that fails once of two and one that never fails: 50 %."""
    probes = [probe(repeat=1), probe("fail", repeat=2), *(probe(case="time", repeat=n) for n in (1, 2))]
    assert measures_of(probes, {})[HOST].pass_power == {2: 0.5}


def test_trigger_f1_is_k2vvs() -> None:
    """TP both call, FP only here, FN only there: 2PR / (P + R)."""
    here = ["tool_calls"] * 6 + ["stop"] * 4
    there = ["tool_calls"] * 5 + ["stop"] * 3 + ["tool_calls"] * 2
    probes = [probe(repeat=n, finish_reason=reason) for n, reason in enumerate(here)]
    probes += [probe(endpoint=REFERENCE, repeat=n, finish_reason=reason) for n, reason in enumerate(there)]
    found = measures_of(probes, {HOST: REFERENCE, REFERENCE: REFERENCE})
    assert found[HOST].trigger == Trigger(both=5, only_here=1, only_there=2, neither=2)
    precision, recall = 5 / 6, 5 / 7
    assert Trigger(5, 1, 2, 2).f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert found[REFERENCE].trigger is None


def test_errors_have_no_place_in_the_f1() -> None:
    """A request without an answer says nothing of triggering."""
    probes = [probe("error"), probe(endpoint=REFERENCE, finish_reason="tool_calls")]
    assert measures_of(probes, {HOST: REFERENCE})[HOST].trigger == Trigger()
    assert Trigger().f1 is None


def test_a_wrong_answer_is_paid_for_too() -> None:
    """Cost of a success is what all cost, over the right ones."""
    cost = Decimal("0.001")
    probes = [probe(cost_usd=cost), probe("fail", cost_usd=cost), probe("rescued", cost_usd=cost), probe("error")]
    found = measures_of(probes, {})[HOST]
    assert found.cost_per_call == cost
    assert found.cost_per_success == Decimal("0.0015")
    assert measures_of([probe("fail", cost_usd=cost)], {})[HOST].cost_per_success is None


def test_rescued_counts_apart_and_errors_not_at_all() -> None:
    """First try: 1 of 3 as it came, 2 of 3 with rescue; of emulated tools a rescue is the right answer."""
    found = measures_of([probe(), probe("rescued"), probe("fail"), probe("error"), probe("not_run")], {})[HOST]
    assert (found.strict, found.lenient) == (Rate(1, 3), Rate(2, 3))
    emulated = measures_of([probe("rescued", capability="tools:emulated")], {})[HOST]
    assert emulated.strict == Rate(1, 1)


def test_by_case_load_and_reason() -> None:
    """The request type tells where it fails; the load, whether only among others."""
    probes = [
        probe(load="alone"),
        probe("fail", load="crowd"),
        probe("fail", case="time", load="crowd"),
        probe("error", refusals=3),
    ]
    found = measures_of(probes, {})[HOST]
    assert found.by_case == {"time": Rate(0, 1), "weather": Rate(1, 2)}
    assert found.by_load == {"alone": Rate(1, 1), "crowd": Rate(0, 2)}
    assert found.reasons == {"wrong_tool": 2, "timeout": 1}
    assert found.refusals == 3


def test_tokens_times_and_accuracies_are_summed() -> None:
    """Strict counts calls, k2vv_compatible answers."""
    probes = [
        probe(
            total_ms=100.0 * n,
            first_token_ms=10.0 * n,
            usage=Usage(10, 5, 4, 2),
            calls=2,
            valid_calls=1,
            k2vv_valid=True,
        )
        for n in range(1, 21)
    ]
    found = measures_of(probes, {})[HOST]
    assert found.tokens == Usage(200, 100, 80, 40)
    assert found.k2vv == Rate(20, 20)


def test_all_figures_of_a_row_count_the_probes_that_the_status_rests_on() -> None:
    """Cost, times and accuracies of tools described in the prompt are left out where native tools were called."""
    facts: dict[str, Any] = {
        "cost_usd": Decimal("0.001"),
        "total_ms": 100.0,
        "calls": 1,
        "valid_calls": 1,
        "k2vv_valid": True,
    }
    aside: dict[str, Any] = {
        "cost_usd": Decimal(1),
        "total_ms": 9000.0,
        "late_ms": 99.0,
        "calls": 1,
        "k2vv_valid": False,
    }
    native = [probe(repeat=n, **facts) for n in range(10)]
    emulated = [probe("rescued", repeat=n, case="json", capability="tools:emulated", **aside) for n in range(10)]
    alone, both = (measures_of(probes, {})[HOST] for probes in (native, native + emulated))
    assert measures_row(both) == measures_row(alone) | {"by_case": {"json": [10, 10], "weather": [10, 10]}}
    (alone_total,), (both_total,) = totals_of(native), totals_of(native + emulated)
    assert both_total == replace(alone_total, cost_usd=both_total.cost_usd, costed=20)
    (unanswered,) = totals_of([probe("error", error_class="provider"), *emulated])
    assert (unanswered.times, unanswered.cost_per_1k_usd) == ({}, None)


@pytest.mark.parametrize(("late", "unreliable"), [(1, False), (2, True)])
def test_more_than_one_late_answer_in_twenty_spoils_the_percentile(late: int, unreliable: bool) -> None:
    """The endpoint's latencies are then marked."""
    probes = [probe(late_ms=50.0 if n < late else 1.0) for n in range(20)]
    assert measures_of(probes, {})[HOST].latency_unreliable is unreliable


def test_as_json_shares_have_four_digits_and_money_is_text() -> None:
    """What nobody measured is null."""
    row = measures_row(measures_of([probe(), probe(), probe("fail", cost_usd=Decimal("0.00001"))], {})[HOST])
    assert row["first_try"] == {"right": 2, "judged": 3, "share": 0.6667, "interval95": [0.2077, 0.9385]}
    assert row["cost_per_call_usd"] == "0.000010000"
    assert row["cost_per_success_usd"] is None
    assert row["trigger"] is None


def test_rates_with_a_true_value() -> None:
    """Availability leaves out what is not the provider's doing; trigger asks only where a call is right; a leak is a call."""
    found = measures_of(
        [
            probe(wants_call=True, calls=2, valid_calls=2),
            probe("fail", wants_call=True, calls=2, valid_calls=1),
            probe("rescued", wants_call=True, leaked=True),
            probe("fail", wants_call=True),
            probe(),
            probe("rescued", capability="tools:emulated", wants_call=True, leaked=True),
            probe("error", error_class="provider"),
            probe("error", reason="rate_limited"),
            probe("error", error_class="account"),
            probe("not_run", reason="budget"),
        ],
        {},
    )[HOST]
    assert found.answered == Rate(5, 7)
    assert found.triggered == Rate(3, 4)
    assert found.leaked == Rate(1, 3)
    assert found.schema == Rate(1, 2)
    assert measures_row(found)["rates"]["trigger"]["share"] == 0.75


def test_times_have_intervals_of_their_own() -> None:
    """Of the percentiles that are shown; an open end is null."""
    row = measures_row(measures_of([probe(total_ms=10.04 * n) for n in range(1, 11)], {})[HOST])
    assert row["times_interval95_ms"] == {"total_p50": [20.1, 90.4], "total_p95": [80.3, None]}
