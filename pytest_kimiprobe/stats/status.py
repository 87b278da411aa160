"""Computes the status and the evidence of an endpoint from the cells of one run, with all thresholds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from routing.evidence.model import Counts, EndpointEvidence
from routing.types import Status

from ..verdicts import Run
from .aggregates import Cell, added, basis, counts_of, totals_of

WORKS_AT = 0.95
"""The lowest share of right answers, among the judged ones, at which the status of an endpoint is `works`."""
DEGRADED_AT = 0.80
"""The lowest share of right answers at which an endpoint is `degraded`. Below this share it is `broken`."""
LEAST_JUDGED = 10
"""The fewest judged calls with which an endpoint can be recommended, or shown as `broken`."""
ANSWERED_AT = 0.50
"""An endpoint that answers less than this share of its probes is `degraded`, even if its answers are right."""


def endpoints_of(run: Run) -> dict[str, EndpointEvidence]:
    """Endpoint → its evidence from this run alone, with its status. Endpoints that were not probed are left out.

    The counts include only the cells that the status rests on (`basis`). Statuses are `unknown` if no request reached a
    host.
    """
    found = evidence_of(totals_of(run.answers), run.finished_at, f"{run.id}-{run.attempt}")
    return found if run.reached else {name: replace(row, status="unknown") for name, row in found.items()}


def shown_status(row: EndpointEvidence) -> Status:
    """The status that a report shows: with fewer than 10 judged calls, `unknown` instead of `degraded` or `broken`.

    `degraded` is still shown if fewer than half of at least 10 requests were answered. Results record the status that
    follows from the thresholds alone, because a few bad calls are enough for a router to distrust an endpoint.
    """
    counts = row.counts
    if row.status not in {"degraded", "broken"} or counts.judged >= LEAST_JUDGED:
        return row.status
    unanswered = counts.requests >= LEAST_JUDGED and counts.judged < counts.requests * ANSWERED_AT
    return row.status if unanswered and row.status == "degraded" else "unknown"


def evidence_of(totals: Iterable[Cell], probed_at: datetime, run: str) -> dict[str, EndpointEvidence]:
    """Endpoint → its evidence from one run, whose totals are given. `window` and `counts` are the same.

    Endpoints none of whose probes were run are left out.
    """
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

    If no answer was judged, the errors decide. The status is `retired` if every error says that the model is gone. It
    is `down` if every error says that or is the provider's, else `unknown`. If there are no errors either, it is
    `unsupported` if any probe was unsupported, else `unknown`.

    Otherwise the share of right answers decides: `works`, `degraded` or `broken`. The status is `needs_rescue` if the
    share for `works` is reached only when rescued answers count as right. It is `degraded` instead of `works` if errors
    of the provider left too few answers (`ANSWERED_AT`). Probes that were not run never count.
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
