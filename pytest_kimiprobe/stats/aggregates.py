"""Counts of a run: one `Cell` per endpoint, case, mode and capability, and the cells that a status rests on. Pure."""

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
"""The token counts (fields of `Usage`) that results and reports contain."""
RAN = (*sorted(JUDGED), "error")
"""The verdicts of probes that were sent, or whose recorded answer was judged again."""
_MICRO = Decimal("0.000001")
_MOST_USD = 1000
_MOST_COUNTED = 10**9
"""The largest plausible token count of one answer. A usage with a larger count is left out of the sums."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Counts of the probes of one endpoint, case, mode and capability.

    `reasons` counts rescued, wrong and missing answers by reason code; `error_classes` counts the missing ones.
    `costed` is the number of probes whose cost is known, and `cost_usd` is the sum of these costs.
    `times` are percentiles in milliseconds, by their names in `EndpointEvidence` (`p50_ms`).

    The total of an endpoint is also a cell, with empty `case` and `mode`. Three of its figures cannot be summed from
    other cells: `times`, `cost_per_1k_usd` and `latency_unreliable`.
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
    """Count the probes: one cell per endpoint, case, mode and capability, sorted by these four."""
    groups = grouped(probes, lambda probe: (probe.endpoint, probe.case, probe.mode, probe.capability))
    return tuple(_cell(key, group) for key, group in sorted(groups.items()))


def totals_of(probes: Iterable[ProbeResult]) -> tuple[Cell, ...]:
    """One cell per endpoint with its totals, sorted: sums as in `summed`, and figures that cannot be summed."""
    groups = sorted(grouped(probes, endpoint_of).items())
    return tuple(replace(_sum(endpoint, cells_of(group)), **_unsummable(group)) for endpoint, group in groups)


def basis(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that an endpoint's status rests on: those of native tool calls.

    If none of these ran, because the endpoint has no native tools, it is the cells with tools described in the prompt.
    """
    return _native_first(cells, lambda cell: any(map(cell.verdicts.get, RAN)))


def basis_of(probes: Sequence[ProbeResult]) -> list[ProbeResult]:
    """The probes of one endpoint that its status rests on, chosen by the rule of `basis`."""
    return _native_first(probes, lambda probe: probe.verdict in RAN)


def judged_basis(probes: Sequence[ProbeResult]) -> list[ProbeResult]:
    """The judged probes among those that the status of one endpoint rests on (`basis_of`)."""
    return [probe for probe in basis_of(probes) if probe.verdict in JUDGED]


def _native_first(items: Sequence[C], ran: Callable[[C], object]) -> list[C]:
    native = [item for item in items if item.capability != EMULATED]
    emulated = [item for item in items if item.capability == EMULATED]
    return native if any(map(ran, native)) or not emulated else emulated


def cases_of(cells: Iterable[Cell], endpoint: str) -> set[str]:
    """The cases for which an answer of this endpoint was judged."""
    return {cell.case for cell in cells if cell.endpoint == endpoint and any(map(cell.verdicts.get, JUDGED))}


def counts_of(cells: Sequence[Cell]) -> Counts:
    """Number of passed, rescued, failed and missing answers in `basis(cells)`.

    If the tools are described in the prompt, a rescued call is right and counts as passed.
    """
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
    """One cell per endpoint with the sums of its cells, sorted by endpoint.

    Verdicts, reasons, error classes and calls are summed over `basis`. Tokens and cost are summed over all cells,
    because all of them cost money. The sums give the same evidence and status as the cells.
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
        error_classes=dict(Counter(error_class_of(probe) for probe in wrong if probe.verdict == "error")),
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
    """Figures of an endpoint's total that are not sums of cells, computed from the judged probes of its basis."""
    judged = judged_basis(probes)
    costs = costs_of(judged)
    times = _times("", (probe.total_ms for probe in judged))
    return {
        "times": times | _times("first_token_", (probe.first_token_ms for probe in judged)),
        "cost_per_1k_usd": (sum(costs, Decimal(0)) * 1000 / len(costs)).quantize(_MICRO) if costs else None,
        "latency_unreliable": are_unreliable(judged),
    }


def is_credible_cost(cost: Decimal | None) -> bool:
    """Whether a cost is known and plausible: a number from 0 to 1,000 USD."""
    return cost is not None and cost.is_finite() and 0 <= cost <= _MOST_USD


def are_unreliable(judged: Sequence[ProbeResult]) -> bool:
    """Whether this machine delayed more than one in twenty judged probes, which also distorts the 95th percentile."""
    return sum(probe.unreliable for probe in judged) * 20 > len(judged)


def tokens_of(probes: Iterable[ProbeResult]) -> Usage:
    """Sum of the token counts of the probes; usages that are unknown or implausible are left out."""
    usages = [probe.usage for probe in probes if probe.usage is not None]
    credible = [one for one in usages if all(0 <= getattr(one, name) <= _MOST_COUNTED for name in TOKENS)]
    return sum(credible, NO_TOKENS)


def costs_of(probes: Iterable[ProbeResult]) -> list[Decimal]:
    """Costs in USD of the probes whose cost is known and plausible (`is_credible_cost`)."""
    return [probe.cost_usd for probe in probes if probe.cost_usd is not None and is_credible_cost(probe.cost_usd)]


def error_class_of(probe: ProbeResult) -> str:
    """The error class of the probe, else that of its reason, else `unknown`."""
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
