"""The document that `--kimiprobe-json` writes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from decimal import Decimal
from typing import Any

from routing.evidence.model import EndpointEvidence, utc_text
from routing.types import JsonObject

from ..stats.aggregates import TOKENS
from ..stats.measures import measures_row
from ..stats.paired_test import comparison_row
from ..stats.quantiles import rounded
from ..stats.ranking import ranking_row, rankings
from ..verdicts import ProbeResult
from .summary import Summary

VERSION = 1
_NOT_SHOWN = frozenset({"capability", "calls", "valid_calls", "k2vv_valid", "late_ms", "wants_call", "leaked"})
"""Fields of a probe that are used only to compute the figures of its endpoint."""
_OF_PROBE = tuple(field.name for field in fields(ProbeResult) if field.name not in _NOT_SHOWN)


def document(summary: Summary) -> JsonObject:
    """The document. It holds model output unchanged: treat it as untrusted."""
    run = summary.run
    return {
        "version": VERSION,
        "run": run.id,
        "source": run.source,
        "suite": run.suite,
        "started_at": utc_text(run.started_at),
        "finished_at": utc_text(run.finished_at),
        "complete": run.complete,
        "span_s": round(summary.spent.span_s, 3),
        "cpu_s": round(summary.spent.cpu_s, 3),
        "spent_usd": str(summary.spent.usd),
        "lag_p95_ms": run.lag_p95_ms,
        "probes": [_probe(probe) for probe in run.probes],
        "endpoints": [
            measures_row(summary.measures[name]) | _endpoint(summary.evidence[name])
            for name in sorted(summary.evidence)
        ],
        "rankings": {name: ranking_row(ranking) for name, ranking in rankings(summary.measures).items()},
        "comparison": comparison_row(summary.comparison) if summary.comparison else None,
    }


def _probe(probe: ProbeResult) -> JsonObject:
    usage = probe.usage
    return {
        **{name: getattr(probe, name) for name in _OF_PROBE},
        "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in probe.tool_calls],
        "first_token_ms": rounded(probe.first_token_ms, 1),
        "total_ms": rounded(probe.total_ms, 1),
        "usage": None if usage is None else {name: getattr(usage, name) for name in TOKENS},
        "cost_usd": _number(probe.cost_usd),
        "unreliable": probe.unreliable,
    }


def _endpoint(row: EndpointEvidence) -> JsonObject:
    return {
        "endpoint": row.endpoint,
        "status": row.status,
        "requests": row.counts.requests,
        **asdict(row.counts),
        **row.times,
        "cost_per_1k": _number(row.cost_per_1k_usd),
        "schema_accuracy": row.schema_accuracy,
        "k2vv_compatible": row.k2vv_compatible,
    }


def lines_of(document: Mapping[str, Any]) -> str:
    """JSON in which each row of a list has a line. Indenting the whole document takes ten times as long."""
    members = (f"{json.dumps(name)}: {_rows(value)}" for name, value in document.items())
    return "{" + ",\n".join(members) + "}\n"


def _rows(value: object) -> str:
    if not isinstance(value, list):
        return json.dumps(value, default=str)
    return "[\n " + ",\n ".join(json.dumps(row, default=str) for row in value) + "]" if value else "[]"


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
