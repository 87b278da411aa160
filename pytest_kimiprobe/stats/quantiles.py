"""Percentiles of measured times by nearest rank, with confidence intervals; no distribution is assumed. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

PERCENTILES = (50, 95)
"""The percentiles of times that results, evidence and reports hold."""
_ALPHA = 0.05
_LEAST = 0.94


def percentiles(values: Iterable[float | None]) -> dict[str, float]:
    """The percentiles `p50` and `p95` of the values that are not None; empty if there are none.

    Each is one of the measured values (nearest rank), rounded to one decimal.
    """
    known = sorted(value for value in values if value is not None)
    return {f"p{percent}": round(nearest_rank(known, percent / 100), 1) for percent in PERCENTILES if known}


def rounded(value: float | None, digits: int) -> float | None:
    """The value rounded for JSON; None stays None."""
    return None if value is None else round(value, digits)


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """95 % confidence interval of a percentile, in milliseconds. An end is None if too few values bound it."""

    low: float | None
    high: float | None


def quantile_interval(values: Iterable[float | None], share: float) -> TimeInterval | None:
    """95 % confidence interval of the quantile at `share` (0 < share < 1); None if nothing was measured.

    The ends are two of the measured values. The number of values below the true quantile is binomial, for any
    distribution of the values (David and Nagaraja, Order Statistics, 7.1). Few values cannot give exactly 95 %. So of
    the pairs of ranks with a coverage of at least 94 %, the one nearest to 95 % is used.
    """
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    low, high = _ranks(len(known), share)
    return TimeInterval(known[low - 1] if low else None, known[high - 1] if high <= len(known) else None)


@lru_cache(maxsize=4096)
def _ranks(count: int, share: float) -> tuple[int, int]:
    """Ranks of the two values that bound the quantile at `share`, among `count` sorted values counted from 1.

    Rank 0 means that the lower end is open, and rank `count` + 1 that the upper end is.

    The quantile lies between rank a and rank b if at least a and fewer than b values are below it.
    """
    up_to = [*accumulate(_binomial(count, number, share) for number in range(count)), 1.0]
    low, high = bisect_right(up_to, _ALPHA / 2), bisect_left(up_to, 1 - _ALPHA / 2) + 1
    near = [(a, b) for a in (low, low + 1) for b in (high - 1, high) if a < b]

    def coverage(pair: tuple[int, int]) -> float:
        return up_to[pair[1] - 1] - (up_to[pair[0] - 1] if pair[0] else 0.0)

    enough = [pair for pair in near if coverage(pair) >= _LEAST]
    return min(enough, key=lambda pair: abs(coverage(pair) - 1 + _ALPHA))


def _binomial(count: int, number: int, share: float) -> float:
    """The probability that exactly `number` of `count` values lie below the quantile at `share`."""
    choices = math.lgamma(count + 1) - math.lgamma(number + 1) - math.lgamma(count - number + 1)
    return math.exp(choices + number * math.log(share) + (count - number) * math.log1p(-share))


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The quantile at `share` (0..1): the smallest v in `ordered` such that at least this share of it is <= v."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]
