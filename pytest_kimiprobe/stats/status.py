"""The status of an endpoint by the cells of one run, and its evidence. Every threshold is here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from routing.evidence.model import Counts, EndpointEvidence
from routing.types import Status

from ..verdicts import Run
from .aggregates import Cell, Figures, added, basis, cells_of, counts_of, endpoint_of, figures_of, grouped

WORKS_AT = 0.95
"""Share of judged answers that were right, from which on an endpoint works."""
DEGRADED_AT = 0.80
"""From here on it is degraded; below, broken."""
LEAST_JUDGED = 10
"""Judged calls below which nothing is recommended and nothing is called bad."""
ANSWERED_AT = 0.50
"""An endpoint that answers fewer than this share of the probes that reached it is degraded, however right it is."""


def endpoints_of(run: Run) -> dict[str, EndpointEvidence]:
    """What this run alone says of each endpoint, with its status; endpoints that it did not come to are left out.

    Counts are those that the status rests on (see `basis`).
    """
    return evidence_of(cells_of(run.answers), figures_of(run.answers), run.finished_at, f"{run.id}-{run.attempt}")


def evidence_of(
    cells: Iterable[Cell], figures: Iterable[Figures], probed_at: datetime, run: str
) -> dict[str, EndpointEvidence]:
    """Evidence per endpoint from the cells of one run; `window` holds the same counts."""
    known = {row.endpoint: row for row in figures}
    found = {}
    for endpoint, group in grouped(cells, endpoint_of).items():
        if not any(verdict != "not_run" for cell in group for verdict in cell.verdicts):
            continue
        times = known.get(endpoint, Figures(endpoint))
        counts = counts_of(group)
        found[endpoint] = EndpointEvidence(
            endpoint=endpoint,
            status=status_of(group),
            probed_at=probed_at,
            counts=counts,
            window=counts,
            cost_per_1k_usd=times.cost_per_1k_usd,
            latency_unreliable=times.latency_unreliable,
            reasons=added(cell.reasons for cell in basis(group)),
            run=run,
            **_times(times),
            calls=sum(cell.calls for cell in group),
            valid_calls=sum(cell.valid_calls for cell in group),
            k2vv_calls=sum(cell.k2vv_calls for cell in group),
            k2vv_valid=sum(cell.k2vv_valid for cell in group),
        )
    return found


def _times(figures: Figures) -> dict[str, Any]:
    """Percentiles by the names of EndpointEvidence: `p50_ms`, `first_token_p50_ms`."""
    total = {f"{name}_ms": value for name, value in figures.total_ms.items()}
    return total | {f"first_token_{name}_ms": value for name, value in figures.first_token_ms.items()}


def status_of(cells: Sequence[Cell]) -> Status:
    """The status of one endpoint by the cells of one run.

    Nothing judged: only answers that the model is gone read `retired`; only failures of the provider `down`; nothing
    but `unsupported` is that; anything else (an account's error, nothing run) is `unknown`. Otherwise by the share of
    right answers: `works`, `needs_rescue` where it reaches that only with rescued ones, `degraded`, `broken`; rescued
    ones save an endpoint from `broken` only when almost all are right. What was not run never counts.
    """
    chosen = basis(cells)
    counts = counts_of(chosen)
    classes = added(cell.error_classes for cell in chosen)
    if not counts.judged:
        return _status_unjudged(chosen, counts, classes)
    strict, lenient = counts.pass_rate() or 0.0, counts.pass_rate(accept_rescued=True) or 0.0
    if strict >= WORKS_AT:
        answered = counts.judged / (counts.judged + classes.get("provider", 0))
        return "works" if answered >= ANSWERED_AT else "degraded"
    if lenient >= WORKS_AT:
        return "needs_rescue"
    return "degraded" if strict >= DEGRADED_AT else "broken"


def _status_unjudged(cells: Sequence[Cell], counts: Counts, classes: Mapping[str, int]) -> Status:
    gone = sum(cell.reasons.get("model_retired", 0) for cell in cells)
    if counts.errors:
        if gone == counts.errors:
            return "retired"
        return "down" if gone + classes.get("provider", 0) == counts.errors else "unknown"
    return "unsupported" if any(cell.verdicts.get("unsupported") for cell in cells) else "unknown"
