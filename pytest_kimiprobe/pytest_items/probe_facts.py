"""Facts about the probes behind pytest's items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ..cases.plan import Planned, ProbePlan
from ..verdicts import PARITY, ProbeMode, ProbeResult
from .items import CaseProbe, PairProbe, RowProbe, planned_of


def planned_by(item: pytest.Item) -> Planned | None:
    """The probe of an item, from a case file or from a test function with `@case`; None for other items."""
    return item.planned if isinstance(item, CaseProbe) else planned_of(item)


def to_send(items: Sequence[pytest.Item]) -> list[tuple[pytest.Item, ProbePlan]]:
    """The items that send a request, each with its plan. Items with a skip mark are left out."""
    planned = ((item, planned_by(item)) for item in items if not is_skipped(item))
    return [(item, found.plan) for item, found in planned if found and not found.unsent]


def is_skipped(item: pytest.Item) -> bool:
    """Whether the item has the unconditional `skip` mark."""
    return item.get_closest_marker("skip") is not None


def of_plan(item: pytest.Item) -> dict[str, Any]:
    """Fields of a result that describe the probe of an item."""
    planned = planned_by(item)
    if planned is None:
        raise TypeError(f"not a probe: {item.nodeid}")
    return facts_of(planned.plan, planned.plan.mode)


def of_pair(pair: PairProbe) -> dict[str, Any]:
    """Fields of a result that describe a pair."""
    return facts_of(pair.plan, PARITY)


def facts_of(plan: ProbePlan, mode: ProbeMode) -> dict[str, Any]:
    """Fields of a result that describe a planned probe."""
    return {
        "case": plan.case.name,
        "endpoint": plan.endpoint.id,
        "mode": mode,
        "repeat": plan.repeat,
        "capability": plan.case.capability,
        "load": plan.load,
        "wants_call": plan.case.expect.wants_call,
    }


def of_row(probe: RowProbe) -> dict[str, Any]:
    """Fields of a result that describe a recorded row."""
    row = probe.row
    return {"case": row.id, "endpoint": row.endpoint, "mode": "stream" if row.stream else "plain", "repeat": 1}


def properties(result: ProbeResult) -> list[tuple[str, object]]:
    """Properties for JUnit XML and for the progress letter of an item."""
    facts: list[tuple[str, object]] = [("kimiprobe_verdict", result.verdict), ("kimiprobe_endpoint", result.endpoint)]
    if result.total_ms is not None:
        facts.append(("latency_ms", round(result.total_ms, 1)))
    return facts
