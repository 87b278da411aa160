"""A run as counts: one cell per endpoint, case and mode, and the cells that a status rests on. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from routing.evidence.model import Counts
from routing.reasons import reason_of
from routing.types import Usage

from ..verdicts import JUDGED, ProbeResult
from .quantiles import percentiles

NATIVE, EMULATED = "tools", "tools:emulated"
NO_TOKENS = Usage(0, 0)
TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
"""Counts of a usage that results and reports hold."""
RAN = (*sorted(JUDGED), "error")
"""Verdicts on probes that were sent, or judged again."""
_MICRO = Decimal("0.000001")
_MOST_USD = 1000
_MOST_COUNTED = 10**9
"""The most tokens of one answer. An answer that reports more is left out of the sums."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Counts of one endpoint, case and mode. `reasons` and `error_classes` leave out probes that passed.

    `costed` is the number of probes whose cost is known; `cost_usd` is their sum. `times` are percentiles by their
    names in `EndpointEvidence` (`p50_ms`). An endpoint's total has three figures that cannot be summed from cells: its
    times, `cost_per_1k_usd`, and whether its times are unreliable.
    """

    endpoint: str
    case: str
    mode: str
    capability: str = NATIVE
    verdicts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    error_classes: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    tokens: Usage = NO_TOKENS
    cost_usd: Decimal = Decimal(0)
    costed: int = 0
    calls: int = 0
    valid_calls: int = 0
    k2vv_calls: int = 0
    k2vv_valid: int = 0
    cost_per_1k_usd: Decimal | None = None
    latency_unreliable: bool = False


C = TypeVar("C", Cell, ProbeResult)


def cells_of(probes: Iterable[ProbeResult]) -> tuple[Cell, ...]:
    """One cell per endpoint, case, mode and capability, sorted."""
    groups = grouped(probes, lambda probe: (probe.endpoint, probe.case, probe.mode, probe.capability))
    return tuple(_cell(key, group) for key, group in sorted(groups.items()))


def totals_of(probes: Iterable[ProbeResult]) -> tuple[Cell, ...]:
    """One total per endpoint, sorted."""
    groups = sorted(grouped(probes, endpoint_of).items())
    return tuple(replace(_sum(endpoint, cells_of(group)), **_unsummable(group)) for endpoint, group in groups)


def basis(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that an endpoint's status rests on: those of native tool calls.

    If none of these ran, because the endpoint has no native tools: those of tools described in the prompt.
    """
    return _native_first(cells, lambda cell: any(map(cell.verdicts.get, RAN)))


def basis_of(probes: Sequence[ProbeResult]) -> list[ProbeResult]:
    """The probes of one endpoint that its status rests on: see `basis`."""
    return _native_first(probes, lambda probe: probe.verdict in RAN)


def judged_basis(probes: Sequence[ProbeResult]) -> list[ProbeResult]:
    """Those of `basis_of` that were judged."""
    return [probe for probe in basis_of(probes) if probe.verdict in JUDGED]


def _native_first(items: Sequence[C], ran: Callable[[C], object]) -> list[C]:
    native = [item for item in items if item.capability != EMULATED]
    emulated = [item for item in items if item.capability == EMULATED]
    return native if any(map(ran, native)) or not emulated else emulated


def cases_of(cells: Iterable[Cell], endpoint: str) -> set[str]:
    """The cases for which an answer of this endpoint was judged."""
    return {cell.case for cell in cells if cell.endpoint == endpoint and any(map(cell.verdicts.get, JUDGED))}


def counts_of(cells: Sequence[Cell]) -> Counts:
    """Counts of the cells in `basis(cells)`. With emulated tools a rescued call is right, and counts as passed."""
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
    """One cell per endpoint with the sums of its basis; tokens and cost are those of all its cells: money was spent.

    Verdicts, reasons and error classes come from `basis`; calls, tokens and cost from all cells. Evidence and status do
    not change.
    """
    return tuple(_sum(endpoint, group) for endpoint, group in sorted(grouped(cells, endpoint_of).items()))


def _sum(endpoint: str, cells: Sequence[Cell]) -> Cell:
    chosen = basis(cells)
    names = ("calls", "valid_calls", "k2vv_calls", "k2vv_valid")
    return Cell(
        endpoint=endpoint,
        case="",
        mode="",
        capability=chosen[0].capability,
        verdicts=added(cell.verdicts for cell in chosen),
        reasons=added(cell.reasons for cell in chosen),
        error_classes=added(cell.error_classes for cell in chosen),
        tokens=sum((cell.tokens for cell in cells), NO_TOKENS),
        cost_usd=sum((cell.cost_usd for cell in cells), Decimal(0)),
        costed=sum(cell.costed for cell in cells),
        **{name: sum(getattr(cell, name) for cell in chosen) for name in names},
    )


def _cell(key: tuple[str, str, str, str], probes: Sequence[ProbeResult]) -> Cell:
    endpoint, case, mode, capability = key
    wrong = [probe for probe in probes if probe.verdict in {"rescued", "fail", "error"}]
    costs = costs_of(probes)
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
        times=_times("", (probe.total_ms for probe in judged)),
        tokens=tokens_of(probes),
        cost_usd=sum(costs, Decimal(0)),
        costed=len(costs),
        calls=sum(probe.calls for probe in probes),
        valid_calls=sum(probe.valid_calls for probe in probes),
        k2vv_calls=len(k2vv),
        k2vv_valid=sum(k2vv),
    )


def _times(prefix: str, values: Iterable[float | None]) -> dict[str, float]:
    return {f"{prefix}{name}_ms": value for name, value in percentiles(values).items()}


def _unsummable(probes: Sequence[ProbeResult]) -> dict[str, Any]:
    """Figures of a total that are not sums of its cells, by the answers that its status rests on."""
    judged = judged_basis(probes)
    costs = costs_of(judged)
    times = _times("", (probe.total_ms for probe in judged))
    return {
        "times": times | _times("first_token_", (probe.first_token_ms for probe in judged)),
        "cost_per_1k_usd": (sum(costs, Decimal(0)) * 1000 / len(costs)).quantize(_MICRO) if costs else None,
        "latency_unreliable": are_unreliable(judged),
    }


def is_credible_cost(cost: Decimal | None) -> bool:
    """Whether a cost is known and plausible."""
    return cost is not None and cost.is_finite() and 0 <= cost <= _MOST_USD


def are_unreliable(judged: Sequence[ProbeResult]) -> bool:
    """Whether this machine distorts more than one in twenty of the times, and so also their 95th percentile."""
    return sum(probe.unreliable for probe in judged) * 20 > len(judged)


def tokens_of(probes: Iterable[ProbeResult]) -> Usage:
    """Sum of the usages that are known and plausible."""
    usages = [probe.usage for probe in probes if probe.usage is not None]
    credible = [one for one in usages if all(0 <= getattr(one, name) <= _MOST_COUNTED for name in TOKENS)]
    return sum(credible, NO_TOKENS)


def costs_of(probes: Iterable[ProbeResult]) -> list[Decimal]:
    """Costs of probes that are known and plausible."""
    return [probe.cost_usd for probe in probes if probe.cost_usd is not None and is_credible_cost(probe.cost_usd)]


def _class(probe: ProbeResult) -> str:
    return probe.error_class or reason_of(probe.reason).error_class or "unknown"


def endpoint_of(item: ProbeResult | Cell) -> str:
    return item.endpoint


def grouped(items: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
