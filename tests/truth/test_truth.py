"""The truth test: personas whose rates are known, and whether a run finds them.

Each row of the published tables is a persona (tests/truth/recovery.py says how). Each seed is a run of every core case
that asks for a call, plain and streamed, eight times each, at every host. `make test` runs 10 seeds, `make nightly`
runs 200 as well. `python bench/truth.py` prints the same at length, and for as many requests as the published rows
rest on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from played import BEHAVIOURS, packaged, requests
from recovery import PARAMETERS, Recovery, own, published, recovered
from shared_data import DATA

SEEDS = 10
REPEATS = 8


@dataclass(frozen=True, slots=True)
class Runs:
    """What so many seeds came to, and how far a coverage may be from 95 %."""

    found: Recovery
    seeds: int
    pooled: float
    alone: float


@pytest.fixture(scope="module", params=[SEEDS, pytest.param(200, marks=pytest.mark.nightly)], ids="{} seeds".format)
def runs(request: pytest.FixtureRequest) -> Runs:
    hosts = published() if DATA.is_dir() else own()
    cases = [case for case in packaged("core") if case.expect.wants_call and not case.emulate_tools]
    asked = requests(cases, "moonshot/kimi-k2.6")
    with untraced():
        found = recovered(hosts, asked, range(1, request.param + 1), REPEATS)
    few = request.param == SEEDS
    return Runs(found, request.param, pooled=0.02 if few else 0.01, alone=0.04 if few else 0.02)


@contextmanager
def untraced() -> Iterator[None]:
    """Two million draws of the same lines: measuring their coverage takes three times as long as they do."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def test_95_percent_intervals_hold_the_truth_95_times_in_100(runs: Runs) -> None:
    """Pooled over all parameters, with and without the rates of exactly 1, which no interval can miss."""
    found = runs.found
    assert found.pooled.coverage == pytest.approx(0.95, abs=runs.pooled)
    assert found.pooled.coverage_of_all == pytest.approx(0.95, abs=runs.pooled)
    assert found.pooled.certain_hit == found.pooled.certain


@pytest.mark.parametrize("measure", [*PARAMETERS, "first_try"])
def test_each_measure_alone_is_near_its_95_percent(runs: Runs, measure: str) -> None:
    """Within two points of 200 seeds: Wilson's interval is near its level on average over rates, not at each of them."""
    assert runs.found.of(measure).coverage == pytest.approx(0.95, abs=runs.alone)


def test_pairs_that_are_told_apart_are_in_the_right_order(runs: Runs) -> None:
    """By schema accuracy every one; by all rates together at most two of some fifty thousand.

    None is wrong as these lines are written. Five runs of a hundred may have one by construction; many rates of the
    published rows are so near each other that about 0.4 are expected. Whoever edits a core case draws anew.
    """
    order = runs.found.order
    assert order["schema"].wrong == 0
    assert sum(one.wrong for one in order.values()) <= 2
    assert min(one.told for one in order.values()) > 5 * runs.seeds


def test_pairs_whose_intervals_overlap_are_never_told_apart(runs: Runs) -> None:
    """They share a rank."""
    assert runs.found.alike_but_told == 0
    assert all(order.told <= order.apart < order.pairs for order in runs.found.order.values())


def test_each_behaviour_is_seen_for_what_it_is() -> None:
    """On every core case that asks for a call, plain and streamed: else a rate would not be what it is called."""
    cases = [case for case in packaged("core") if case.expect.wants_call and not case.emulate_tools]
    asked = requests(cases, "openrouter/moonshotai/kimi-k2.6+novita/fp8")
    assert len(asked) == 2 * len(cases)
    for one in asked:
        healthy, silent, leaked, broken, down = (one.result(name) for name in BEHAVIOURS)
        assert (healthy.verdict, healthy.leaked) == ("pass", False), one.plan.name
        assert healthy.calls == healthy.valid_calls > 0
        assert healthy.k2vv_valid
        assert (silent.verdict, silent.calls, silent.leaked) == ("fail", 0, False), one.plan.name
        assert (leaked.verdict in {"rescued", "fail"}, leaked.leaked, leaked.calls) == (True, True, 0), one.plan.name
        assert (broken.verdict, broken.k2vv_valid, broken.leaked) == ("fail", False, False), one.plan.name
        assert broken.calls > broken.valid_calls
        assert (down.verdict, down.error_class) == ("error", "provider"), one.plan.name
