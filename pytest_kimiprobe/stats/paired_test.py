"""Compares two endpoints on the same probes: paired outcomes, McNemar's exact test, cost and latency ratio. Pure.

A pair is two judged probes of one case, mode, repeat and load, one at each endpoint. As in every table, only the probes
count that the statuses rest on, and right means right at the first try. Rescued answers are counted separately. If a
probe has an error or was not run, its partner is left unpaired.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..verdicts import ProbeResult, Run
from .aggregates import judged_basis
from .measures import Measures, Rate, is_right, measures_of, rate_text
from .quantiles import rounded

ALPHA = 0.05


class NotCompared(ValueError):
    """Raised if an endpoint to compare was not probed in this run; the message lists those that were."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of comparing the endpoints A and B.

    `both`, `only_a`, `only_b` and `neither` count pairs by the endpoints that were right. `unpaired` counts judged
    probes without a partner at the other endpoint. `latency_ratio` is the time at A divided by the time at B.
    """

    a: Measures
    b: Measures
    both: int
    only_a: int
    only_b: int
    neither: int
    unpaired: int
    latency_ratio: float | None
    rescued: tuple[int, int] = (0, 0)
    """Number of pairs whose answer was right only after rescue: at A, and at B."""

    @property
    def pairs(self) -> int:
        """Number of probes that were judged at both endpoints."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided p: the chance of a split this uneven if both endpoints are equally good."""
        return mcnemar(self.only_a, self.only_b)

    @property
    def rates(self) -> tuple[Rate, Rate]:
        """Two shares of the pairs: those with a right answer at A, and those with a right answer at B."""
        return Rate(self.both + self.only_a, self.pairs), Rate(self.both + self.only_b, self.pairs)

    @property
    def overlap(self) -> bool:
        """Whether the Wilson intervals of the two `rates` overlap; true if there are no pairs."""
        one, other = (rate.interval for rate in self.rates)
        return one is None or other is None or one.overlaps(other)

    @property
    def better(self) -> str:
        """Id of the better endpoint; empty if the intervals overlap or the p-value is at least `ALPHA`."""
        if self.overlap or self.p_value >= ALPHA:
            return ""
        return self.a.endpoint if self.only_a > self.only_b else self.b.endpoint

    @property
    def cost_ratio(self) -> float | None:
        """Cost of a right answer at A divided by that at B; None if either is unknown, or if that at B is zero."""
        a, b = self.a.cost_per_success, self.b.cost_per_success
        return float(a / b) if a is not None and b else None


def comparison_row(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    return {
        "a": found.a.endpoint,
        "b": found.b.endpoint,
        "pairs": found.pairs,
        "both_right": found.both,
        "only_a_right": found.only_a,
        "only_b_right": found.only_b,
        "neither_right": found.neither,
        "rescued": list(found.rescued),
        "unpaired": found.unpaired,
        "mcnemar_p": round(found.p_value, 6),
        "intervals_overlap": found.overlap,
        "better": found.better or None,
        "cost_per_success_ratio": rounded(found.cost_ratio, 4),
        "latency_ratio": rounded(found.latency_ratio, 4),
    }


def told(found: Comparison) -> list[tuple[str, str]]:
    """The comparison as lines of a report, each a heading and a text. An empty heading continues the one before."""
    a, b = found.a.endpoint, found.b.endpoint
    lines = [("pairs", f"A {a}"), ("", f"B {b}")]
    if not found.pairs:
        return [*lines, ("", f"no probe was judged at both ({found.unpaired} without a partner)")]
    split = f"{found.both} both right, {found.only_a} only A, {found.only_b} only B, {found.neither} neither"
    lines.append(("", f"of {found.pairs} pairs at the first try: {split}"))
    if any(found.rescued):
        lines.append(("", f"right after rescue: {found.rescued[0]} at A, {found.rescued[1]} at B"))
    if found.unpaired:
        lines.append(("", f"{found.unpaired} probes were judged at one of the two only and are left out"))
    one, other = (rate_text(rate) for rate in found.rates)
    lines += [("", f"A {one}; B {other}"), ("", f"McNemar's exact p {found.p_value:.3g}")]
    result = f"better: {found.better}" if found.better else "not distinguishable"
    why = "the intervals overlap" if found.overlap else "the split may be chance" if not found.better else ""
    lines.append(("", f"{result}{f': {why}' if why else ''}"))
    ratios = [("a successful call costs", "much", found.cost_ratio), ("an answer takes", "long", found.latency_ratio)]
    lines += [
        ("", f"{what} {ratio:.2f} times as {how} at A as at B") for what, how, ratio in ratios if ratio is not None
    ]
    return lines


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact two-sided p-value: each pair that differs counts as the toss of a fair coin."""
    total = only_a + only_b
    tail = sum(math.comb(total, count) for count in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * tail / 2**total))


def compare(run: Run, a: str, b: str) -> Comparison:
    """Compare the endpoints `a` and `b` of a run. Raises NotCompared if one of them was not probed."""
    measures = measures_of(run.answers, run.references)
    for name in (a, b):
        if name not in measures:
            raise NotCompared(f"{name!r} was not probed in this run; available: {', '.join(measures) or 'none'}")
    here, there = _keyed(run.answers, a), _keyed(run.answers, b)
    shared = here.keys() & there.keys()
    counts = Counter((is_right(here[key], lenient=False), is_right(there[key], lenient=False)) for key in shared)
    return Comparison(
        a=measures[a],
        b=measures[b],
        both=counts[True, True],
        only_a=counts[True, False],
        only_b=counts[False, True],
        neither=counts[False, False],
        unpaired=len(here) + len(there) - 2 * len(shared),
        latency_ratio=_latency_ratio([(here[key], there[key]) for key in shared]),
        rescued=(_rescued(here[key] for key in shared), _rescued(there[key] for key in shared)),
    )


def _rescued(probes: Iterable[ProbeResult]) -> int:
    return sum(is_right(probe, lenient=True) and not is_right(probe, lenient=False) for probe in probes)


def _keyed(probes: Sequence[ProbeResult], endpoint: str) -> dict[tuple[str, str, int, str], ProbeResult]:
    mine = judged_basis([probe for probe in probes if probe.endpoint == endpoint])
    return {(probe.case, probe.mode, probe.repeat, probe.load): probe for probe in mine}


def _latency_ratio(pairs: Sequence[tuple[ProbeResult, ProbeResult]]) -> float | None:
    """Geometric mean, over the pairs, of the time at A divided by the time at B. None if no pair has both times.

    If A is twice as slow in one pair and twice as fast in another, it is 1.
    """
    logs = [math.log(a.total_ms / b.total_ms) for a, b in pairs if a.total_ms and b.total_ms]
    return math.exp(sum(logs) / len(logs)) if logs else None
