"""Intervals of percentiles: ranks of what was measured."""

from __future__ import annotations

import math
import random

import pytest

from pytest_kimiprobe.stats.quantiles import TimeInterval, quantile_interval


@pytest.mark.parametrize(
    ("count", "share", "low", "high"),
    [
        (400, 0.5, 181, 220),
        (400, 0.95, 372, 389),
        (59, 0.5, 22, 37),
        (10, 0.5, 2, 9),
        (10, 0.95, 8, None),
        (1, 0.5, None, None),
    ],
)
def test_ranks(count: int, share: float, low: float | None, high: float | None) -> None:
    """Ends whose exact binomial coverage is nearest 95 %; an end that so few values cannot bound is open."""
    assert quantile_interval(range(count, 0, -1), share) == TimeInterval(low, high)


@pytest.mark.parametrize("count", [5, 20, 59, 250, 1000])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_the_chosen_ranks_cover_at_least_94_percent(count: int, share: float) -> None:
    """By the binomial sum itself, term by term."""
    found = quantile_interval(range(1, count + 1), share)
    assert found is not None
    below = range(int(found.low or 0), int(found.high or count + 1))
    assert sum(math.comb(count, n) * share**n * (1 - share) ** (count - n) for n in below) >= 0.94


def test_the_order_of_times_does_not_matter_and_missing_ones_are_left_out() -> None:
    """None is no time."""
    times = [float(n) for n in range(100)]
    shuffled: list[float | None] = [*times, None]
    random.Random(1).shuffle(shuffled)
    assert quantile_interval(shuffled, 0.5) == quantile_interval(times, 0.5)
    assert quantile_interval([None], 0.5) is None
