"""What a report is made of, and how it names endpoints, money and time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from routing.evidence import EndpointEvidence

from ..results.store import Change
from ..stats.measures import Measures, measures_of
from ..stats.paired_test import Comparison
from ..stats.ranking import Ranking, rank
from ..stats.status import endpoints_of
from ..verdicts import Run


@dataclass(frozen=True, slots=True)
class Spent:
    """Money and time of a run; `span_s` from the first request to the last verdict, `cpu_s` our own work in it."""

    usd: Decimal
    budget_usd: Decimal
    span_s: float
    cpu_s: float
    cut_off_usd: Decimal = Decimal(0)
    """The part of `usd` that nobody has billed: what cut-off requests can have cost at most."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the report is made of."""

    run: Run
    evidence: Mapping[str, EndpointEvidence]
    spent: Spent
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    rerun: str = ""
    measures: Mapping[str, Measures] = field(default_factory=dict)
    comparison: Comparison | None = None

    @property
    def ranking(self) -> Ranking:
        """Which endpoints differ in what was right at the first try."""
        return rank({name: row.strict for name, row in self.measures.items()})

    @classmethod
    def of(
        cls,
        run: Run,
        spent: Spent,
        *,
        rerun: str = "",
        changes: Sequence[Change] = (),
        notes: Sequence[str] = (),
        comparison: Comparison | None = None,
    ) -> Summary:
        """Derive the evidence; `rerun` is the command without the id of the failure that it is completed with."""
        failed = next((probe for probe in run.probes if probe.verdict in {"fail", "error"}), None)
        line = f'{rerun} "{failed.id}"' if failed and rerun else ""
        measures = measures_of(run.answers, run.references)
        return cls(run, endpoints_of(run), spent, changes, notes, line, measures, comparison)


def labels_of(endpoints: Sequence[str]) -> dict[str, str]:
    """Short names that fit a table: the model id goes where it says nothing (`openrouter+novita/fp8`)."""
    short = {name: _short(name) for name in endpoints}
    taken = Counter(short.values())
    return {name: label if taken[label] == 1 else name for name, label in short.items()}


def recommendation(evidence: Mapping[str, EndpointEvidence]) -> EndpointEvidence | None:
    """The endpoint to use: the cheapest that works, measured on the same cases; None where none works.

    One that needs rescue comes after those that do not; an unknown cost is the dearest.
    """
    usable = [row for row in evidence.values() if row.status in {"works", "needs_rescue"}]
    dearest = Decimal("Infinity")
    return min(
        usable, key=lambda row: (row.status != "works", row.cost_per_1k_usd or dearest, row.endpoint), default=None
    )


def money(amount: Decimal | None) -> str:
    """USD with as many digits as matter."""
    if amount is None:
        return "-"
    return (
        f"{amount:.2f}"
        if amount >= 1 or not amount
        else f"{amount:.3f}"
        if amount >= Decimal("0.01")
        else f"{amount:.5f}"
    )


def seconds(milliseconds: float | None) -> str:
    """`1.9s`, `350ms`, or `-`."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds / 1000:.1f}s" if milliseconds >= 1000 else f"{milliseconds:.0f}ms"


def _short(endpoint: str) -> str:
    head, _, upstream = endpoint.partition("+")
    provider = head.partition("/")[0]
    return f"{provider}+{upstream}" if upstream else provider
