"""The text of a run file: converts a run to JSON and back. Pure; store.py reads and writes the files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import routing
from routing.evidence.model import (
    BAD_FIGURE,
    MOST_COST,
    MOST_COUNTED,
    MOST_MS,
    Counts,
    EndpointEvidence,
    counted,
    milliseconds,
    parse_utc,
    utc_text,
    why_bad,
)
from routing.types import Usage

from ..safe_text import one_line, safe_line
from ..stats.aggregates import NATIVE, TOKENS, Cell, cases_of, cells_of, totals_of
from ..stats.measures import Measures, measures_of, measures_row, tokens_row
from ..stats.quantiles import PERCENTILES
from ..stats.status import endpoints_of, evidence_of
from ..verdicts import ProbeResult, Run

VERSION = 1
MAX_FAILURES = 50
"""The most failures that a run file describes; its counts include all failures."""
_MOST_TOKENS = MOST_COUNTED * 1000
"""The largest plausible token count of a whole cell, which sums many probes."""
_PERCENTILES = tuple(f"p{percent}" for percent in PERCENTILES)
_CELL = tuple(row.name for row in fields(Cell))
_OF_TOTALS = frozenset({"tokens", "cost_usd", "costed", "times", "cost_per_1k_usd", "latency_unreliable"})
"""Fields of a cell that are written only for the total of an endpoint."""
_TIMES = {"total_ms": "", "first_token_ms": "first_token_"}
"""Column of a run file with percentiles -> prefix of their field names in EndpointEvidence."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One wrong or missing answer that a run file describes. Its `detail` is untrusted text."""

    endpoint: str
    case: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    """Content of a run file: its header, the counts that evidence is derived from, and the failures it describes."""

    path: str
    id: str
    attempt: int
    source: str
    started_at: datetime
    finished_at: datetime
    complete: bool
    totals: tuple[Cell, ...]
    """One cell per endpoint (`aggregates.totals_of`). They give the same status as all cells."""
    cases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Endpoint → the cases for which an answer was judged."""
    failures: tuple[Failure, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Endpoint → why its row is not used: it holds a figure that cannot be right."""

    @property
    def name(self) -> str:
        """`<run id>-<attempt>`."""
        return f"{self.id}-{self.attempt}"

    @property
    def evidence(self) -> dict[str, EndpointEvidence]:
        """Evidence of this run alone, by endpoint."""
        return evidence_of(self.totals, self.finished_at, self.name)


def rendered(run: Run, environment: Mapping[str, str]) -> str:
    """Text of the whole file: header, cells, totals per endpoint, and the first failures, redacted. One row a line."""
    failures = [probe for probe in run.probes if probe.verdict in {"fail", "error"}]
    answers = run.answers
    evidence, measures, cells = endpoints_of(run), measures_of(answers, run.references), cells_of(answers)
    return document(
        {"version": VERSION, "run": _header(run, environment)},
        {
            "cells": [_cell_row(cell) for cell in cells],
            "endpoints": [
                _measures_row(measures[total.endpoint], total)
                | {"cases": sorted(cases_of(cells, total.endpoint))}
                | _figures_row(total, evidence.get(total.endpoint))
                for total in totals_of(answers)
            ],
            "failures": [_failure_row(probe, environment) for probe in failures[:MAX_FAILURES]],
        },
    )


def parsed(text: str, path: str) -> StoredRun:
    """Parse a run file. Raises ValueError that says what is wrong."""
    try:
        return _stored(json.loads(text), path)
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
    except (TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _stored(data: Mapping[str, Any], path: str) -> StoredRun:
    if data["version"] != VERSION:
        told = f"version {data['version']!r}; this release reads version {VERSION}: upgrade pytest-kimiprobe"
        raise ValueError(told)
    header = data["run"]
    totals, refused = _totals(data)
    return StoredRun(
        path=path,
        id=str(header["id"]),
        attempt=counted(header["attempt"], "attempt"),
        source=str(header["source"]),
        started_at=parse_utc(header["started_at"]),
        finished_at=parse_utc(header["finished_at"]),
        complete=bool(header["complete"]),
        totals=tuple(total for total, _ in totals),
        cases={total.endpoint: cases for total, cases in totals},
        failures=tuple(_failure_from(row) for row in data["failures"]),
        refused=refused,
    )


def _totals(data: Mapping[str, Any]) -> tuple[list[tuple[Cell, frozenset[str]]], dict[str, str]]:
    """Total and judged cases of each endpoint, and why the rows of the others cannot be used.

    Raises the error of a row if none can be used.
    """
    found: list[tuple[Cell, frozenset[str]]] = []
    refused: dict[str, str] = {}
    for row in data["endpoints"]:
        name = str(row["endpoint"])
        try:
            total = replace(cell_from({"endpoint": name, **row["basis"]}), **_unsummed_from(row))
            found.append((total, frozenset(map(str, row["cases"]))))
        except BAD_FIGURE as error:
            refused[name] = why_bad(error)
            if len(refused) == len(data["endpoints"]):
                raise
    return found, refused


def cell_from(row: Mapping[str, Any]) -> Cell:
    """The cell of a row. Fields that are missing in the row are zero or empty."""
    tokens = row.get("tokens", {})
    names = ("costed", "calls", "valid_calls", "k2vv_calls", "k2vv_valid")
    sums: dict[str, Any] = {name: counted(row.get(name, 0), name) for name in names}
    return Cell(
        endpoint=str(row["endpoint"]),
        case=str(row.get("case", "")),
        mode=str(row.get("mode", "")),
        capability=str(row.get("capability", NATIVE)),
        verdicts=_counted(row["verdicts"]),
        reasons=_counted(row.get("reasons", {})),
        error_classes=_counted(row.get("error_classes", {})),
        tokens=Usage(
            **{name: counted(tokens.get(name.removesuffix("_tokens"), 0), name, most=_MOST_TOKENS) for name in TOKENS}
        ),
        cost_usd=_money(row.get("cost_usd", "0"), "cost_usd"),
        **sums,
    )


def _failure_from(row: Mapping[str, Any]) -> Failure:
    return Failure(*(str(row[name]) for name in ("endpoint", "case", "reason", "detail")))


def _unsummed_from(row: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of EndpointEvidence that are not sums: percentiles of times, and the cost of 1,000 calls."""
    cost = row["cost_per_1k_usd"]
    times = {
        f"{prefix}{name}_ms": milliseconds((row[column] or {})[name], f"{column}.{name}")
        for column, prefix in _TIMES.items()
        for name in _PERCENTILES
        if name in (row[column] or {})
    }
    return {
        "times": times,
        "cost_per_1k_usd": None if cost is None else _money(cost, "cost_per_1k_usd"),
        "latency_unreliable": bool(row.get("latency_unreliable", False)),
    }


def _counted(row: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): counted(count, str(name)) for name, count in row.items()}


def _money(value: Any, name: str) -> Decimal:
    amount = Decimal(value) if isinstance(value, str) and len(value) <= 40 else Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= MOST_COST:
        raise ValueError(f"{name} is not an amount of money")
    return amount


def _percentiles_row(times: Mapping[str, float], prefix: str) -> dict[str, float] | None:
    """The percentiles of one column; those that cannot be right, as after a jump of the clock, are left out."""
    found = {name: times.get(f"{prefix}{name}_ms") for name in _PERCENTILES}
    return {name: _short(time) for name, time in found.items() if time is not None and 0 <= time <= MOST_MS} or None


def _short(milliseconds: float) -> float:
    """The time rounded for the file: whole milliseconds from 100 on, because measured times are no more precise."""
    return round(milliseconds) if milliseconds >= 100 else milliseconds


def _header(run: Run, environment: Mapping[str, str]) -> dict[str, Any]:
    not_run = Counter(probe.reason for probe in run.answers if probe.verdict == "not_run")
    return {
        **_picked(run, "id", "attempt", "source", "suite", "complete", "lag_p95_ms"),
        "started_at": utc_text(run.started_at),
        "finished_at": utc_text(run.finished_at),
        "probes": len(run.answers),
        "not_run": dict(not_run),
        "kimiprobe": routing.__version__,
        **_provenance(environment),
    }


def _provenance(environment: Mapping[str, str]) -> dict[str, str]:
    """Commit and page of the workflow run, if GitHub's variables are set and valid."""
    sha = environment.get("GITHUB_SHA", "")
    found = {"git_sha": sha if re.fullmatch(r"[0-9a-f]{40}", sha) else "", "url": run_url(environment)}
    return {name: value for name, value in found.items() if value}


def run_url(environment: Mapping[str, str]) -> str:
    """Address of the workflow run's page; empty outside of GitHub or if a variable is not valid."""
    server, repository = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
    url = f"{server}/{repository}/actions/runs/{environment.get('GITHUB_RUN_ID', '')}"
    return url if re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+/actions/runs/[0-9]+", url) else ""


def _picked(item: Run | ProbeResult | Cell, *names: str) -> dict[str, Any]:
    """The values of the fields `names` of an item, by name, for a row of a run file."""
    return {name: getattr(item, name) for name in names}


def _failure_row(probe: ProbeResult, environment: Mapping[str, str]) -> dict[str, str]:
    return {
        **_picked(probe, "endpoint", "case", "mode", "verdict", "reason"),
        "id": one_line(probe.id),
        "detail": safe_line(probe.detail, environment=environment),
    }


def _cell_row(cell: Cell) -> dict[str, Any]:
    """The row of a cell. It is short, because years of runs stay in the repository.

    Empty fields are left out. The median has two digits, because more digits of a few probes would be noise. Exact
    times, tokens and cost are in the endpoint's row.
    """
    row = {
        **_picked(cell, *(name for name in _CELL if name not in _OF_TOTALS)),
        "capability": "" if cell.capability == NATIVE else cell.capability,
        "p50_ms": int(float(f"{cell.times.get('p50_ms', 0.0):.1e}")),
    }
    return {"verdicts": cell.verdicts, **_there(row)}


def _total_row(cell: Cell) -> dict[str, Any]:
    """An endpoint's total, with tokens and cost of all its probes."""
    row = _cell_row(cell)
    del row["endpoint"]
    row.pop("p50_ms", None)
    amounts = {
        "tokens": _there(tokens_row(cell.tokens)),
        "cost_usd": str(cell.cost_usd) if cell.cost_usd else "",
        "costed": cell.costed,
    }
    return row | _there(amounts)


def _there(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value}


def _measures_row(measures: Measures, total: Cell) -> dict[str, Any]:
    """The row of the measures, without figures that cells and total already hold."""
    row = measures_row(measures)
    for name in ("by_case", "reasons", "tokens", "cost_per_call_usd"):
        del row[name]
    return {**row, "basis": _total_row(total)}


def _figures_row(total: Cell, evidence: EndpointEvidence | None) -> dict[str, Any]:
    return {
        "endpoint": total.endpoint,
        "status": evidence.status if evidence else "unknown",
        **asdict(evidence.counts if evidence else Counts()),
        **{column: _percentiles_row(total.times, prefix) for column, prefix in _TIMES.items()},
        "cost_per_1k_usd": None if total.cost_per_1k_usd is None else str(total.cost_per_1k_usd),
    }


def document(head: Mapping[str, Any], tables: Mapping[str, Sequence[Any] | Mapping[str, Any]]) -> str:
    """JSON with sorted keys and one row of each table a line."""
    parts = {name: _json(value) for name, value in head.items()}
    parts |= {name: _table(rows) for name, rows in tables.items()}
    body = ",\n".join(f"{_json(name)}: {text}" for name, text in sorted(parts.items()))
    return f"{{\n{body}\n}}\n"


def _table(rows: Sequence[Any] | Mapping[str, Any]) -> str:
    if isinstance(rows, Mapping):
        lines, brackets = [f"{_json(name)}: {_json(row)}" for name, row in sorted(rows.items())], "{}"
    else:
        lines, brackets = [_json(row) for row in rows], "[]"
    body = ",\n".join(f"  {line}" for line in lines)
    return f"{brackets[0]}\n{body}\n{brackets[1]}" if lines else brackets


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
