"""The data of a report, and the order of its endpoints. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from routing.evidence.model import EndpointEvidence
from routing.selection import price_order
from routing.types import Status

from ..results.last_run import failures_of
from ..results.store import Change
from ..stats.measures import Measures, measures_of
from ..stats.paired_test import Comparison
from ..stats.ranking import Ranking, rank
from ..stats.status import DEGRADED_AT, LEAST_JUDGED, endpoints_of, shown_status
from ..verdicts import ProbeResult, Run

_BEST_FIRST: tuple[Status, ...] = ("works", "needs_rescue", "degraded", "unknown", "broken", "down")
USABLE: frozenset[Status] = frozenset({"works", "needs_rescue"})
"""Statuses of endpoints that can be recommended."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Money and time of a run: `span_s` from the first request to the last verdict, `cpu_s` the CPU time in it."""

    usd: Decimal
    budget_usd: Decimal
    span_s: float
    cpu_s: float
    estimated_usd: Decimal = Decimal(0)
    """The part of `usd` that is an estimate, because the host reported no tokens."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The data of a report. `prices`: USD of the assumed request by endpoint; None if no price is known."""

    run: Run
    evidence: Mapping[str, EndpointEvidence]
    spent: Spent
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    measures: Mapping[str, Measures] = field(default_factory=dict)
    comparison: Comparison | None = None
    prices: Mapping[str, Decimal | None] = field(default_factory=dict)
    hosts: str = ""
    """The hosts that answered, for the first line; empty if the source says enough."""
    model: str = ""
    rerun: str = "kimiprobe rerun"
    """The command that reruns a failure; the number of the failure is added."""

    @property
    def ranking(self) -> Ranking:
        """The ranking of the endpoints by the rate of answers that were right at the first try.

        By few answers a bad endpoint cannot be told from the best. So the first rank needs 80 % of requests right.
        """
        counts = {name: row.counts for name, row in self.evidence.items()}
        leading = [name for name, one in counts.items() if one.passed >= DEGRADED_AT * one.requests]
        return rank({name: row.strict for name, row in self.measures.items()}).led_by(leading)

    @property
    def statuses(self) -> dict[str, Status]:
        """Endpoint -> status on the screen: `unknown` instead of a bad status if too few calls were judged."""
        return {name: shown_status(row) for name, row in self.evidence.items()}

    @property
    def order(self) -> list[str]:
        """Endpoints by recommendation, best first: by status, then by the price of the assumed request."""
        statuses = self.statuses
        return sorted(self.evidence, key=lambda name: self._place(name, statuses[name]))

    @property
    def best(self) -> EndpointEvidence | None:
        """The endpoint to use: the cheapest that works, else the cheapest that works with rescue.

        It has enough judged calls. None if there is nothing to use.
        """
        rows = (self.evidence[name] for name in self.order)
        return next((row for row in rows if row.status in USABLE and row.counts.judged >= LEAST_JUDGED), None)

    @property
    def failures(self) -> list[ProbeResult]:
        """Failures as `kimiprobe rerun` numbers them."""
        return failures_of(self.run)

    def _place(self, endpoint: str, status: Status) -> tuple[int, tuple[Decimal, bool, str]]:
        place = _BEST_FIRST.index(status) if status in _BEST_FIRST else len(_BEST_FIRST)
        is_reference = self.run.references.get(endpoint) == endpoint
        return place, price_order(self.prices.get(endpoint), endpoint, is_reference=is_reference)

    @classmethod
    def of(cls, run: Run, spent: Spent) -> Summary:
        """A summary with the evidence and the measures of the run."""
        return cls(run, endpoints_of(run), spent, measures=measures_of(run.answers, run.references))
