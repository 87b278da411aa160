"""A run summed up: one cell per endpoint, case and mode, and what the cells say of an endpoint. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from routing.evidence.model import Counts, EndpointEvidence
from routing.reasons import error_class_of
from routing.types import Status, Usage

from .verdicts import JUDGED, ProbeResult, Run

WORKS_AT = 0.95
"""Share of judged answers that were right, from which on an endpoint works."""
DEGRADED_AT = 0.80
"""From here on it is degraded; below, broken."""
ANSWERED_AT = 0.50
"""An endpoint that answers fewer than this share of the probes that reached it is degraded, however right it is."""
NATIVE, EMULATED = "tools", "tools:emulated"
NO_TOKENS = Usage(0, 0)
_MICRO = Decimal("0.000001")
_MOST_USD = 1000
_MOST_COUNTED = 10**9
"""Per probe; what an answer claims beyond is left out of the sums."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds, by nearest rank: values that were measured, not interpolated."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Percentiles | None:
        """Of the values that are there; None without any."""
        known = sorted(value for value in values if value is not None)
        return cls(_rank(known, 0.50), _rank(known, 0.95)) if known else None


@dataclass(frozen=True, slots=True)
class Cell:
    """What one endpoint did with one case in one mode. `reasons` and `error_classes` leave out what passed.

    `costed` is the number of probes whose cost is known; `cost_usd` is their sum.
    """

    endpoint: str
    case: str
    mode: str
    capability: str = NATIVE
    verdicts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    error_classes: Mapping[str, int] = field(default_factory=dict)
    total_ms: Percentiles | None = None
    first_token_ms: Percentiles | None = None
    tokens: Usage = NO_TOKENS
    cost_usd: Decimal = Decimal(0)
    costed: int = 0
    calls: int = 0
    valid_calls: int = 0
    k2vv_calls: int = 0
    k2vv_valid: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Times and cost of one endpoint over a run's judged probes: percentiles of cells cannot be merged."""

    endpoint: str
    total_ms: Percentiles | None = None
    first_token_ms: Percentiles | None = None
    cost_per_1k_usd: Decimal | None = None
    latency_unreliable: bool = False
    """Whether more than one in twenty of its times is our own slowness."""


def cells_of(probes: Iterable[ProbeResult]) -> tuple[Cell, ...]:
    """One cell per endpoint, case, mode and capability, sorted."""
    groups = _grouped(probes, lambda probe: (probe.endpoint, probe.case, probe.mode, probe.capability))
    return tuple(_cell(key, group) for key, group in sorted(groups.items()))


def figures_of(probes: Iterable[ProbeResult]) -> tuple[Figures, ...]:
    """One row per endpoint, sorted."""
    return tuple(_figures(endpoint, group) for endpoint, group in sorted(_grouped(probes, _endpoint).items()))


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
    for endpoint, group in _grouped(cells, _endpoint).items():
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
            p50_ms=times.total_ms.p50 if times.total_ms else None,
            p95_ms=times.total_ms.p95 if times.total_ms else None,
            cost_per_1k_usd=times.cost_per_1k_usd,
            latency_unreliable=times.latency_unreliable,
            reasons=_summed(cell.reasons for cell in basis(group)),
            run=run,
            first_token_p50_ms=times.first_token_ms.p50 if times.first_token_ms else None,
            first_token_p95_ms=times.first_token_ms.p95 if times.first_token_ms else None,
            calls=sum(cell.calls for cell in group),
            valid_calls=sum(cell.valid_calls for cell in group),
            k2vv_calls=sum(cell.k2vv_calls for cell in group),
            k2vv_valid=sum(cell.k2vv_valid for cell in group),
        )
    return found


def status_of(cells: Sequence[Cell]) -> Status:
    """The status of one endpoint by the cells of one run.

    Nothing judged: only answers that the model is gone read `retired`; only failures of the provider `down`; nothing
    but `unsupported` is that; anything else (an account's error, nothing run) is `unknown`. Otherwise by the share of
    right answers: `works`, `needs_rescue` where it reaches that only with rescued ones, `degraded`, `broken`; rescued
    ones save an endpoint from `broken` only when almost all are right. What was not run never counts.
    """
    chosen = basis(cells)
    counts = counts_of(chosen)
    classes = _summed(cell.error_classes for cell in chosen)
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


def basis(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that an endpoint's status rests on: those of native tool calls.

    Where it has none that ran (an endpoint without native tools), those of tools described in the prompt.
    """
    native = [cell for cell in cells if cell.capability != EMULATED]
    ran = any(cell.verdicts.get(verdict) for cell in native for verdict in (*JUDGED, "error"))
    emulated = [cell for cell in cells if cell.capability == EMULATED]
    return native if ran or not emulated else emulated


def cases_of(cells: Iterable[Cell], endpoint: str) -> set[str]:
    """The cases of which an answer of this endpoint was judged."""
    return {cell.case for cell in cells if cell.endpoint == endpoint and any(map(cell.verdicts.get, JUDGED))}


def counts_of(cells: Sequence[Cell]) -> Counts:
    """Counts of the cells in `basis(cells)`; with emulated tools a rescued call is the right answer: passed."""
    passed = rescued = failed = errors = 0
    for cell in basis(cells):
        verdicts = cell.verdicts
        expected = verdicts.get("rescued", 0) if cell.capability == EMULATED else 0
        passed += verdicts.get("pass", 0) + expected
        rescued += verdicts.get("rescued", 0) - expected
        failed += verdicts.get("fail", 0)
        errors += verdicts.get("error", 0)
    return Counts(passed + rescued + failed, passed, rescued, failed, errors)


def summed(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """One cell per endpoint: verdicts, reasons and classes of its basis, calls, tokens and cost of all its cells.

    Evidence and status are the same by these as by the cells they are made of.
    """
    return tuple(_sum(endpoint, group) for endpoint, group in sorted(_grouped(cells, _endpoint).items()))


def _sum(endpoint: str, cells: Sequence[Cell]) -> Cell:
    chosen = basis(cells)
    names = ("costed", "calls", "valid_calls", "k2vv_calls", "k2vv_valid")
    tokens = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return Cell(
        endpoint=endpoint,
        case="",
        mode="",
        capability=chosen[0].capability,
        verdicts=_summed(cell.verdicts for cell in chosen),
        reasons=_summed(cell.reasons for cell in chosen),
        error_classes=_summed(cell.error_classes for cell in chosen),
        tokens=Usage(*(sum(getattr(cell.tokens, name) for cell in cells) for name in tokens)),
        cost_usd=sum((cell.cost_usd for cell in cells), Decimal(0)),
        **{name: sum(getattr(cell, name) for cell in cells) for name in names},
    )


def _cell(key: tuple[str, str, str, str], probes: Sequence[ProbeResult]) -> Cell:
    endpoint, case, mode, capability = key
    wrong = [probe for probe in probes if probe.verdict in {"rescued", "fail", "error"}]
    usages = [probe.usage for probe in probes if probe.usage and is_credible(probe.usage)]
    costs = _costs(probes)
    k2vv = [probe.k2vv_valid for probe in probes if probe.k2vv_valid is not None]
    judged = [probe for probe in probes if probe.verdict in JUDGED]
    return Cell(
        endpoint=endpoint,
        case=case,
        mode=mode,
        capability=capability,
        verdicts=dict(Counter(probe.verdict for probe in probes)),
        reasons=dict(Counter(probe.reason for probe in wrong)),
        error_classes=dict(Counter(_class(probe) for probe in wrong if probe.verdict == "error")),
        total_ms=Percentiles.of(probe.total_ms for probe in judged),
        first_token_ms=Percentiles.of(probe.first_token_ms for probe in judged),
        tokens=sum(usages, Usage(0, 0)),
        cost_usd=sum(costs, Decimal(0)),
        costed=len(costs),
        calls=sum(probe.calls for probe in probes),
        valid_calls=sum(probe.valid_calls for probe in probes),
        k2vv_calls=len(k2vv),
        k2vv_valid=sum(k2vv),
    )


def _figures(endpoint: str, probes: Sequence[ProbeResult]) -> Figures:
    judged = [probe for probe in probes if probe.verdict in JUDGED]
    costs = _costs(judged)
    return Figures(
        endpoint,
        Percentiles.of(probe.total_ms for probe in judged),
        Percentiles.of(probe.first_token_ms for probe in judged),
        (sum(costs, Decimal(0)) * 1000 / len(costs)).quantize(_MICRO) if costs else None,
        sum(probe.unreliable for probe in judged) * 20 > len(judged),
    )


def is_credible_cost(cost: Decimal | None) -> bool:
    """Whether a cost is known and can be true."""
    return cost is not None and cost.is_finite() and 0 <= cost <= _MOST_USD


def is_credible(usage: Usage | None) -> bool:
    """Whether a usage is known and can be true."""
    if usage is None:
        return False
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens)
    return all(0 <= count <= _MOST_COUNTED for count in counts)


def _costs(probes: Iterable[ProbeResult]) -> list[Decimal]:
    """What probes cost, where that is known and can be true."""
    return [probe.cost_usd for probe in probes if probe.cost_usd is not None and is_credible_cost(probe.cost_usd)]


def _class(probe: ProbeResult) -> str:
    return probe.error_class or error_class_of(probe.reason) or "unknown"


def _endpoint(item: ProbeResult | Cell) -> str:
    return item.endpoint


def _grouped(items: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _rank(ordered: Sequence[float], share: float) -> float:
    return round(ordered[max(math.ceil(share * len(ordered)), 1) - 1], 1)
