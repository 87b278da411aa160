"""The status of an endpoint by the cells of one run, and its evidence. Every threshold is here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from routing.evidence.model import Counts, EndpointEvidence
from routing.types import Status

from ..verdicts import Run
from .aggregates import Cell, added, basis, counts_of, totals_of

WORKS_AT = 0.95
"""The lowest share of right answers, among the judged ones, at which an endpoint works."""
DEGRADED_AT = 0.80
"""The lowest share at which it is degraded. Below, it is broken."""
LEAST_JUDGED = 10
"""With fewer judged calls, an endpoint is neither recommended nor called bad."""
ANSWERED_AT = 0.50
"""An endpoint that answers less than this share of its probes is degraded, even if its answers are right."""


def endpoints_of(run: Run) -> dict[str, EndpointEvidence]:
    """Evidence of this run alone by endpoint, with its status. Endpoints that the run did not probe are left out.

    Counts are those that the status rests on (see `basis`).
    """
    return evidence_of(totals_of(run.answers), run.finished_at, f"{run.id}-{run.attempt}")


def shown_status(row: EndpointEvidence) -> Status:
    """The status that a run shows: below 10 judged calls `unknown` instead of `degraded` or `broken`.

    It stays `degraded` if fewer than half of at least 10 requests were answered. What is recorded is the status by the
    thresholds alone: a router distrusts an endpoint by few calls already.
    """
    counts = row.counts
    if row.status not in {"degraded", "broken"} or counts.judged >= LEAST_JUDGED:
        return row.status
    unanswered = counts.requests >= LEAST_JUDGED and counts.judged < counts.requests * ANSWERED_AT
    return row.status if unanswered and row.status == "degraded" else "unknown"


def evidence_of(totals: Iterable[Cell], probed_at: datetime, run: str) -> dict[str, EndpointEvidence]:
    """Evidence per endpoint from the totals of one run; `window` holds the same counts."""
    ran = [total for total in totals if total.verdicts.keys() - {"not_run"}]
    return {total.endpoint: _evidence(total, probed_at, run) for total in ran}


def _evidence(total: Cell, probed_at: datetime, run: str) -> EndpointEvidence:
    counts, times = counts_of([total]), dict[str, Any](total.times)
    return EndpointEvidence(
        endpoint=total.endpoint,
        status=status_of([total]),
        probed_at=probed_at,
        counts=counts,
        window=counts,
        cost_per_1k_usd=total.cost_per_1k_usd,
        latency_unreliable=total.latency_unreliable,
        reasons=total.reasons,
        run=run,
        calls=total.calls,
        valid_calls=total.valid_calls,
        k2vv_calls=total.k2vv_calls,
        k2vv_valid=total.k2vv_valid,
        **times,
    )


def status_of(cells: Sequence[Cell]) -> Status:
    """The status of one endpoint by the cells of one run.

    If nothing was judged, errors decide: `retired` if each says that the model is gone, `down` if each is the
    provider's, else `unknown`. Without errors it is `unsupported` if any probe was, else `unknown`.

    Otherwise the share of right answers decides: `works`, `degraded` or `broken`. It is `needs_rescue` if the share for
    `works` is reached only together with rescued answers. Probes that were not run never count.
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
