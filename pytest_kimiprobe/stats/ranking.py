"""Ranks endpoints by a rate, and says which of them a run cannot distinguish. Pure.

Each rate is shown with its own 95 % interval. Among many endpoints some of these intervals miss the true value. So
ranks use wider intervals: in at least 95 runs of 100, all of them contain their true values (Bonferroni). One endpoint
is ranked above another only if their wider intervals do not overlap. So in these runs every such order is right.
Endpoints whose own intervals overlap are never ordered. If a run has only two endpoints, their own intervals are used.
A wrong order is then unlikely: together, they must miss the true values by at least the gap between them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from .measures import Interval, Measures, Rate, wilson

OWN = 0.95
"""Confidence (0..1) of the interval that is shown with a rate, and of all the wider intervals together."""


@dataclass(frozen=True, slots=True)
class Place:
    """The rank of an endpoint: it is in the groups `first` to `last` of a `Ranking`. Group 1 is the best."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Groups of endpoints, best first. Endpoints of one group are not distinguishable; one may be in several groups.

    Two endpoints are distinguishable exactly if no group contains both. `confidence` (0..1) is that of each single
    interval that decided this.
    Endpoints without a judged answer are in no group.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    confidence: float = OWN

    def place(self, endpoint: str) -> Place | None:
        """The rank of an endpoint; None if none of its answers was judged. Its groups are always consecutive."""
        found = [number for number, group in enumerate(self.groups, 1) if endpoint in group]
        return Place(found[0], found[-1]) if found else None

    def led_by(self, names: Collection[str]) -> Ranking:
        """This ranking with only the endpoints `names` left in the first group, which may become empty."""
        first = tuple(tuple(name for name in group if name in names) for group in self.groups[:1])
        return replace(self, groups=first + self.groups[1:])


def rank(rates: Mapping[str, Rate], *, less_is_better: bool = False) -> Ranking:
    """The ranking of the endpoints in `rates`, highest rate first, or lowest first if `less_is_better`."""
    known = {name: _turned(rate) if less_is_better else rate for name, rate in rates.items() if rate.judged}
    confidence = 1 - (1 - OWN) / len(known) if len(known) > 2 else OWN
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spans = {name: span for name, rate in known.items() if (span := wilson(rate.right, rate.judged, z))}
    order = sorted(spans, key=lambda name: (-(known[name].share or 0.0), -spans[name].low, name))
    return Ranking(_groups(spans, order), confidence)


def rankings(measures: Mapping[str, Measures]) -> dict[str, Ranking]:
    """One ranking for each rate of a report: `first_try`, and each name of `Measures.rates`."""
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
    """Groups of names whose intervals all overlap one another; no group is contained in another group.

    Intervals that all overlap have a common point, and the highest of their lower ends is one. So it is enough to
    collect, for each lower end, the intervals that contain it.
    """
    seen: list[tuple[str, ...]] = []
    for lowest in sorted({span.low for span in spans.values()}, reverse=True):
        group = tuple(name for name in order if spans[name].low <= lowest <= spans[name].high)
        if not any(set(group) <= set(other) for other in seen):
            seen = [other for other in seen if not set(other) <= set(group)]
            seen.append(group)
    return tuple(seen)
