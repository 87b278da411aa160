"""Quality and cost of one endpoint, computed from its probes: rates with intervals, times, tokens and USD. Pure.

Quality is measured at the first try: a request that was answered is not sent again. If a case describes its tools in
the prompt, a rescued call is the right answer. In all other cases rescued calls are counted separately.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any

from routing.types import Usage

from ..verdicts import JUDGED, ProbeResult
from .aggregates import (
    EMULATED,
    NO_TOKENS,
    TOKENS,
    are_unreliable,
    basis_of,
    costs_of,
    endpoint_of,
    error_class_of,
    grouped,
    is_credible_cost,
    judged_basis,
    tokens_of,
)
from .quantiles import PERCENTILES, TimeInterval, quantile_interval, rounded

_Z95 = 1.959963984540054
_CALLED = "tool_calls"
_NANO = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Interval:
    """Confidence interval of a share, 95 % unless `wilson` was called with another `z`. Both ends are 0..1."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals have a value in common. If so, the two shares are not distinguishable."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True)
class Rate:
    """A share as two counts: `right` of `judged` answers have the measured property, for example are right."""

    right: int = 0
    judged: int = 0

    @property
    def share(self) -> float | None:
        """`right` divided by `judged`, 0..1; None if nothing was judged."""
        return self.right / self.judged if self.judged else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % confidence interval of `share`; None if nothing was judged."""
        return wilson(self.right, self.judged)


@dataclass(frozen=True, slots=True)
class Trigger:
    """How far an endpoint and the reference endpoint call tools for the same requests, as K2 Vendor Verifier counts it.

    The fields count requests by who called a tool: `both` endpoints, only this one (`only_here`), only the reference
    (`only_there`), or `neither`.
    """

    both: int = 0
    only_here: int = 0
    only_there: int = 0
    neither: int = 0

    @property
    def f1(self) -> float | None:
        """F1 score, with the reference's calls as the truth: 2PR / (P + R) for precision P and recall R.

        None if neither endpoint called a tool for any request.
        """
        wrong = self.only_here + self.only_there
        return 2 * self.both / (2 * self.both + wrong) if self.both or wrong else None


@dataclass(frozen=True, slots=True)
class Measures:
    """Quality, time and cost figures of one endpoint in one run.

    The figures count only the probes that the status rests on (`aggregates.basis`). Three of them count all probes:
    `by_case`, `tokens` and `refusals` (the number of HTTP 429 answers). `strict` is the rate of answers that were right
    at the first try; `lenient` counts rescued answers as right, too. `by_case` counts as `lenient` does, `by_load` as
    `strict` does. `pass_power` maps k to pass^k: the chance that k tries of one case are all right.

    Each persona of the simulator sets the true values of four rates. `answered` is the availability: only errors of the
    provider lower it. `triggered`: of the answers that should call a tool, those that call one in any form. `leaked`:
    of the answers that call a tool, those with a call or its markers in the text. `schema`: of the answers with
    structured calls, those whose calls are all strictly valid. The last three count native tools only.
    """

    endpoint: str
    strict: Rate = Rate()
    lenient: Rate = Rate()
    by_case: Mapping[str, Rate] = field(default_factory=dict)
    by_load: Mapping[str, Rate] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    tokens: Usage = NO_TOKENS
    cost_usd: Decimal = Decimal(0)
    costed: int = 0
    right_costed: int = 0
    pass_power: Mapping[int, float] = field(default_factory=dict)
    trigger: Trigger | None = None
    k2vv: Rate = Rate()
    refusals: int = 0
    latency_unreliable: bool = False
    answered: Rate = Rate()
    triggered: Rate = Rate()
    leaked: Rate = Rate()
    schema: Rate = Rate()
    time_intervals: Mapping[str, TimeInterval] = field(default_factory=dict)

    @property
    def rates(self) -> dict[str, Rate]:
        """The rates that a report shows besides `strict`, by name. Low is good for `leak`, high for the others."""
        return {
            "availability": self.answered,
            "trigger": self.triggered,
            "leak": self.leaked,
            "schema": self.schema,
            "k2vv_compatible": self.k2vv,
        }

    @property
    def cost_per_call(self) -> Decimal | None:
        """Mean cost in USD of the probes whose cost is known; None if no cost is known."""
        return self.cost_usd / self.costed if self.costed else None

    @property
    def cost_per_success(self) -> Decimal | None:
        """USD spent for each right answer: the cost of all answers, divided by the number of right ones.

        Rescued answers count as right. None if no right answer has a known cost.
        """
        return self.cost_usd / self.right_costed if self.right_costed else None


def wilson(right: int, judged: int, z: float = _Z95) -> Interval | None:
    """Wilson's confidence interval of `right` / `judged`, without continuity correction; None if nothing was judged.

    `z` is the normal quantile that sets the confidence; the default gives 95 %. The coverage is near 95 % on average,
    but not for each true share (docs/decisions.md).
    """
    if not judged:
        return None
    share, squared = right / judged, z**2
    middle = share + squared / (2 * judged)
    half = z * math.sqrt(share * (1 - share) / judged + squared / (4 * judged**2))
    bottom = 1 + squared / judged
    low = 0.0 if right == 0 else max((middle - half) / bottom, 0.0)
    return Interval(low, 1.0 if right == judged else min((middle + half) / bottom, 1.0))


def rate_text(rate: Rate) -> str:
    """Text of a rate with its 95 % interval: `96.0 % (90.2-98.4)`, or `-` if nothing was judged."""
    share, interval = rate.share, rate.interval
    if share is None or interval is None:
        return "-"
    return f"{share * 100:.1f} % ({interval.low * 100:.1f}-{interval.high * 100:.1f})"


def pass_power(tries: Iterable[Rate], k: int) -> float | None:
    """pass^k, the chance that k tries of one case are all right; `tries` holds one rate for each case.

    It is the mean over cases of C(c, k) / C(n, k), for c right of n tries. None if no case was tried k times.
    """
    known = [math.comb(rate.right, k) / math.comb(rate.judged, k) for rate in tries if rate.judged >= k]
    return sum(known) / len(known) if known else None


def measures_of(probes: Sequence[ProbeResult], references: Mapping[str, str]) -> dict[str, Measures]:
    """Endpoint → its measures, sorted. `references` maps an endpoint to the reference endpoint of its model."""
    groups = grouped(probes, endpoint_of)
    calling = {endpoint: _calling(group) for endpoint, group in groups.items()}
    found = {}
    for endpoint, group in sorted(groups.items()):
        reference = references.get(endpoint, "")
        trigger = _trigger(calling[endpoint], calling[reference]) if reference in calling else None
        found[endpoint] = _measures(endpoint, group, trigger if reference != endpoint else None)
    return found


def is_right(probe: ProbeResult, *, lenient: bool) -> bool:
    """Whether the answer was right.

    A rescued answer counts as right if `lenient` is true, or if the case describes its tools in the prompt.
    """
    return probe.verdict == "pass" or (probe.verdict == "rescued" and (lenient or probe.capability == EMULATED))


def rate_of(probes: Iterable[ProbeResult], *, lenient: bool) -> Rate:
    """The rate of right answers (`is_right`) among the probes that were judged."""
    judged = [probe for probe in probes if probe.verdict in JUDGED]
    return Rate(sum(is_right(probe, lenient=lenient) for probe in judged), len(judged))


def measures_row(row: Measures) -> dict[str, Any]:
    """The measures as JSON: shares 0..1 rounded to four digits, USD as text, None if nothing was measured."""
    return {
        "first_try": _rate_row(row.strict),
        "first_try_with_rescue": _rate_row(row.lenient),
        "by_case": {case: [rate.right, rate.judged] for case, rate in row.by_case.items()},
        "by_load": {load: [rate.right, rate.judged] for load, rate in row.by_load.items()},
        "reasons": dict(sorted(row.reasons.items())),
        "pass_power": {str(k): round(power, 4) for k, power in row.pass_power.items()},
        "rates": {name: _rate_row(rate) for name, rate in row.rates.items()},
        "times_interval95_ms": {
            name: [rounded(one.low, 1), rounded(one.high, 1)] for name, one in row.time_intervals.items()
        },
        "trigger": None if row.trigger is None else {"f1": rounded(row.trigger.f1, 4), **asdict(row.trigger)},
        "tokens": tokens_row(row.tokens),
        "cost_per_call_usd": _usd(row.cost_per_call),
        "cost_per_success_usd": _usd(row.cost_per_success),
        "refusals": row.refusals,
        "latency_unreliable": row.latency_unreliable,
    }


def tokens_row(tokens: Usage) -> dict[str, int]:
    """The token counts as JSON, by the names `prompt`, `completion`, `cached` and `reasoning`."""
    return {name.removesuffix("_tokens"): getattr(tokens, name) for name in TOKENS}


def _rate_row(rate: Rate) -> dict[str, Any]:
    interval = rate.interval
    return {
        "right": rate.right,
        "judged": rate.judged,
        "share": rounded(rate.share, 4),
        "interval95": None if interval is None else [round(interval.low, 4), round(interval.high, 4)],
    }


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount.quantize(_NANO))


def _measures(endpoint: str, probes: Sequence[ProbeResult], trigger: Trigger | None) -> Measures:
    basis, judged = basis_of(probes), judged_basis(probes)
    costs = costs_of(basis)
    k2vv = [probe.k2vv_valid for probe in basis if probe.k2vv_valid is not None]
    native = [probe for probe in judged if probe.capability != EMULATED]
    asked = [probe for probe in native if probe.wants_call]
    called = [probe for probe in native if _called(probe)]
    structured = [probe for probe in native if probe.calls]
    return Measures(
        endpoint=endpoint,
        strict=rate_of(judged, lenient=False),
        lenient=rate_of(judged, lenient=True),
        by_case=_rates((probe for probe in probes if probe.verdict in JUDGED), "case", lenient=True),
        by_load=_rates(judged, "load", lenient=False),
        reasons=dict(Counter(probe.reason for probe in basis if probe.verdict in {"rescued", "fail", "error"})),
        tokens=tokens_of(probes),
        cost_usd=sum(costs, Decimal(0)),
        costed=len(costs),
        right_costed=sum(is_right(probe, lenient=True) for probe in basis if is_credible_cost(probe.cost_usd)),
        pass_power=_powers(judged),
        trigger=trigger,
        k2vv=Rate(sum(k2vv), len(k2vv)),
        refusals=sum(probe.refusals for probe in probes),
        latency_unreliable=are_unreliable(judged),
        answered=Rate(len(judged), len(judged) + sum(map(_unanswered, basis))),
        triggered=Rate(sum(map(_called, asked)), len(asked)),
        leaked=Rate(sum(probe.leaked for probe in called), len(called)),
        schema=Rate(sum(probe.calls == probe.valid_calls for probe in structured), len(structured)),
        time_intervals=_time_intervals(judged),
    )


def _time_intervals(judged: Sequence[ProbeResult]) -> dict[str, TimeInterval]:
    """95 % intervals of the measured percentiles of times, by name: `total_p50`, `first_token_p50` and so on."""
    times = {"total": [probe.total_ms for probe in judged], "first_token": [probe.first_token_ms for probe in judged]}
    found = {
        f"{name}_p{percent}": quantile_interval(values, percent / 100)
        for name, values in times.items()
        for percent in PERCENTILES
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def _called(probe: ProbeResult) -> bool:
    """Whether the answer contains a tool call, as a structured call or as text."""
    return probe.calls > 0 or probe.leaked


def _unanswered(probe: ProbeResult) -> bool:
    """Whether the probe has no answer because of an error of the provider."""
    return probe.verdict == "error" and error_class_of(probe) == "provider"


def _rates(probes: Iterable[ProbeResult], name: str, *, lenient: bool) -> dict[str, Rate]:
    groups = grouped(probes, attrgetter(name))
    return {key: rate_of(group, lenient=lenient) for key, group in sorted(groups.items()) if key}


def _powers(judged: Sequence[ProbeResult]) -> dict[int, float]:
    """pass^k for k = 2, 4 and 8, without those k for which no case has k tries. Tries are repeats in one mode."""
    tries = [rate_of(group, lenient=True) for group in grouped(judged, attrgetter("case", "mode")).values()]
    powers = {k: pass_power(tries, k) for k in (2, 4, 8)}
    return {k: power for k, power in powers.items() if power is not None}


def _calling(probes: Iterable[ProbeResult]) -> dict[tuple[str, ...], bool]:
    """Request (case, mode, repeat, load) → whether the finish reason of its answer is `tool_calls`.

    Answers without a finish reason and probes with tools described in the prompt are left out.
    """
    return {
        (probe.case, probe.mode, str(probe.repeat), probe.load): probe.finish_reason == _CALLED
        for probe in probes
        if probe.finish_reason is not None and probe.capability != EMULATED
    }


def _trigger(here: Mapping[tuple[str, ...], bool], there: Mapping[tuple[str, ...], bool]) -> Trigger:
    pairs = Counter((called, there[request]) for request, called in here.items() if request in there)
    return Trigger(pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False])
