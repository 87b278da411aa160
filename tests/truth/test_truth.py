"""The truth test: personas whose rates are known, and whether a run finds them.

The rows of the published tables stand as personas (tests/truth/recovery.py says how); each of 200 seeds is a run of
every core case that asks for a call, plain and streamed, eight times each, at every host. `python bench/truth.py`
prints the same at length, and for as many requests as the published rows rest on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from played import BEHAVIOURS, packaged, requests
from recovery import PARAMETERS, Recovery, own, published, recovered
from shared_data import DATA

SEEDS = range(1, 201)
REPEATS = 8


@pytest.fixture(scope="module")
def found() -> Recovery:
    hosts = published() if DATA.is_dir() else own()
    cases = [case for case in packaged("core") if case.expect.wants_call and not case.emulate_tools]
    asked = requests(cases, "moonshot/kimi-k2.6")
    with untraced():
        return recovered(hosts, asked, SEEDS, REPEATS)


@contextmanager
def untraced() -> Iterator[None]:
    """Two million draws of the same lines: measuring their coverage takes three times as long as they do."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def test_95_percent_intervals_hold_the_truth_95_times_in_100(found: Recovery) -> None:
    """Pooled over all parameters, with and without the rates of exactly 1, which no interval can miss."""
    assert 0.94 <= found.pooled.coverage <= 0.96
    assert 0.94 <= found.pooled.coverage_of_all <= 0.96
    assert found.pooled.certain_hit == found.pooled.certain


@pytest.mark.parametrize("measure", [*PARAMETERS, "first_try"])
def test_each_measure_alone_is_near_its_95_percent(found: Recovery, measure: str) -> None:
    """Within two points: Wilson's interval is near its level on average over rates, not at each of them."""
    assert 0.93 <= found.of(measure).coverage <= 0.97


def test_pairs_that_are_told_apart_are_in_the_right_order(found: Recovery) -> None:
    """By schema accuracy every one; by all rates together at most two of some fifty thousand.

    None is wrong as these lines are written. Five runs of a hundred may have one by construction; many rates of the
    published rows are so near each other that about 0.4 are expected. Whoever edits a core case draws anew.
    """
    assert found.order["schema"].wrong == 0
    assert sum(order.wrong for order in found.order.values()) <= 2
    assert min(order.told for order in found.order.values()) > 1000


def test_pairs_whose_intervals_overlap_are_never_told_apart(found: Recovery) -> None:
    """They share a rank."""
    assert found.alike_but_told == 0
    assert all(order.told <= order.apart < order.pairs for order in found.order.values())


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
