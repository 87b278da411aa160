"""Which endpoints a run can tell apart, and their order. Pure.

Each rate is shown with its own 95 % interval. Among many endpoints some of these intervals miss the true value. So
ranks use wider intervals, which hold for all endpoints together in at least 95 runs of 100 (Bonferroni). An order is
claimed only if these do not overlap, so all claimed orders of such a run are right. Endpoints whose own intervals
overlap are never ordered. For two endpoints their own intervals are used: an order is wrong only if both miss towards
each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from .measures import Interval, Measures, Rate, wilson

OWN = 0.95
"""Confidence of the interval that is shown with a rate, and of all wider intervals together."""


@dataclass(frozen=True, slots=True)
class Place:
    """The rank of an endpoint: the groups `first` to `last`, counted from 1, the best."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Groups of endpoints, best first. Endpoints of one group are not distinguishable; one may be in several groups.

    Two endpoints are distinguishable exactly if no group holds both. `confidence` (0..1) is that of each interval used.
    Endpoints without a judged answer are in no group.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    confidence: float = OWN

    def place(self, endpoint: str) -> Place | None:
        """The groups of an endpoint, which follow one another; None if none of its answers was judged."""
        found = [number for number, group in enumerate(self.groups, 1) if endpoint in group]
        return Place(found[0], found[-1]) if found else None

    def led_by(self, names: Collection[str]) -> Ranking:
        """The same groups, with only these endpoints in the first one, which may become empty."""
        first = tuple(tuple(name for name in group if name in names) for group in self.groups[:1])
        return replace(self, groups=first + self.groups[1:])


def rank(rates: Mapping[str, Rate], *, less_is_better: bool = False) -> Ranking:
    """The ranking of endpoints by a rate."""
    known = {name: _turned(rate) if less_is_better else rate for name, rate in rates.items() if rate.judged}
    confidence = 1 - (1 - OWN) / len(known) if len(known) > 2 else OWN
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spans = {name: span for name, rate in known.items() if (span := wilson(rate.right, rate.judged, z))}
    order = sorted(spans, key=lambda name: (-(known[name].share or 0.0), -spans[name].low, name))
    return Ranking(_groups(spans, order), confidence)


def rankings(measures: Mapping[str, Measures]) -> dict[str, Ranking]:
    """Rankings by `first_try` and by every other rate of a report."""
    found = {"first_try": rank({name: row.strict for name, row in measures.items()})}
    for kind in Measures("").rates:
        found[kind] = rank({name: row.rates[kind] for name, row in measures.items()}, less_is_better=kind == "leak")
    return found


def ranking_row(ranking: Ranking) -> dict[str, Any]:
    """The ranking as JSON: groups of endpoints that are not distinguishable, best first."""
    return {"confidence": round(ranking.confidence, 6), "groups": [list(group) for group in ranking.groups]}


def _turned(rate: Rate) -> Rate:
    return Rate(rate.judged - rate.right, rate.judged)


def _groups(spans: Mapping[str, Interval], order: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The largest groups in which any two intervals overlap. Such a group holds all intervals that cover a point.

    It is enough to look at the points at which an interval begins.
    """
    seen: list[tuple[str, ...]] = []
    for lowest in sorted({span.low for span in spans.values()}, reverse=True):
        group = tuple(name for name in order if spans[name].low <= lowest <= spans[name].high)
        if not any(set(group) <= set(other) for other in seen):
            seen = [other for other in seen if not set(other) <= set(group)]
            seen.append(group)
    return tuple(seen)
