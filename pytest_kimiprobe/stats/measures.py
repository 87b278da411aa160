"""Measures of one endpoint over its probes: rates with intervals, causes, times, tokens, money. Pure.

Quality is measured at the first try: no answered request is sent again. If a case describes its tools in the prompt, a
rescued call is the right answer; in all other cases rescued calls are counted apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any

from routing.reasons import reason_of
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
    """95 % confidence interval of a share; both ends are 0..1."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether both intervals hold a common value; the two shares are then not distinguishable."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True)
class Rate:
    """Share of right answers: `right` of `judged`."""

    right: int = 0
    judged: int = 0

    @property
    def share(self) -> float | None:
        """The share, 0..1; None if nothing was judged."""
        return self.right / self.judged if self.judged else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval; None if nothing was judged."""
        return wilson(self.right, self.judged)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Agreement with the reference endpoint on which requests call a tool, as the K2 Vendor Verifier counts it.

    Counts of requests: `both` endpoints called, only this one (`only_here`), only the reference (`only_there`), or
    `neither`.
    """

    both: int = 0
    only_here: int = 0
    only_there: int = 0
    neither: int = 0

    @property
    def f1(self) -> float | None:
        """F1 score, 2PR / (P + R) with precision P and recall R; None if neither endpoint ever called."""
        wrong = self.only_here + self.only_there
        return 2 * self.both / (2 * self.both + wrong) if self.both or wrong else None


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one endpoint over one run.

    All figures count the probes that the status rests on (`aggregates.basis`), with three exceptions that count all:
    `by_case`, `tokens` and `refusals`, the 429s after which a request was sent again. `strict` counts what was right at
    the first try, `lenient` also what was rescued. `by_case` is lenient, `by_load` strict. `pass_power` maps k to
    pass^k: the chance that k tries of one case are all right.

    The true values of four rates are parameters of the simulator's personas. `answered` is availability: only errors
    of the provider count against it. `triggered`: answers that called a tool in any form, of those that should.
    `leaked`: answers with calls or markers in the text, of those that called. `schema`: answers whose calls are all
    strictly valid, of those with structured calls. The last three count native tools only.
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
        """The rates of a report beside the first try, by name. A low `leak` is good; of the others a high value."""
        return {
            "availability": self.answered,
            "trigger": self.triggered,
            "leak": self.leaked,
            "schema": self.schema,
            "k2vv_compatible": self.k2vv,
        }

    @property
    def cost_per_call(self) -> Decimal | None:
        """Mean USD of the probes whose cost is known."""
        return self.cost_usd / self.costed if self.costed else None

    @property
    def cost_per_success(self) -> Decimal | None:
        """USD spent for each right answer, including the cost of wrong ones. None if there was no right answer."""
        return self.cost_usd / self.right_costed if self.right_costed else None


def wilson(right: int, judged: int, z: float = _Z95) -> Interval | None:
    """Wilson's interval of a share, without continuity correction; None if nothing was judged.

    The default `z` gives 95 %. The coverage is near 95 % on average, but not for each true share (docs/decisions.md).
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
    """`96.0 % (90.2-98.4)`, or `-` if nothing was judged."""
    share, interval = rate.share, rate.interval
    if share is None or interval is None:
        return "-"
    return f"{share * 100:.1f} % ({interval.low * 100:.1f}-{interval.high * 100:.1f})"


def pass_power(tries: Iterable[Rate], k: int) -> float | None:
    """pass^k: the mean over cases of C(c, k) / C(n, k), for c right of n tries. None if no case was tried k times."""
    known = [math.comb(rate.right, k) / math.comb(rate.judged, k) for rate in tries if rate.judged >= k]
    return sum(known) / len(known) if known else None


def measures_of(probes: Sequence[ProbeResult], references: Mapping[str, str]) -> dict[str, Measures]:
    """One row per endpoint, sorted; `references` maps an endpoint to the reference endpoint of its model."""
    groups = grouped(probes, endpoint_of)
    calling = {endpoint: _calling(group) for endpoint, group in groups.items()}
    found = {}
    for endpoint, group in sorted(groups.items()):
        reference = references.get(endpoint, "")
        trigger = _trigger(calling[endpoint], calling[reference]) if reference in calling else None
        found[endpoint] = _measures(endpoint, group, trigger if reference != endpoint else None)
    return found


def is_right(probe: ProbeResult, *, lenient: bool) -> bool:
    """Whether the answer was right; `lenient` counts rescued answers as right, too."""
    return probe.verdict == "pass" or (probe.verdict == "rescued" and (lenient or probe.capability == EMULATED))


def rate_of(probes: Iterable[ProbeResult], *, lenient: bool) -> Rate:
    """The rate of right answers among the judged ones."""
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
        "trigger": _trigger_row(row.trigger),
        "tokens": tokens_row(row.tokens),
        "cost_per_call_usd": _usd(row.cost_per_call),
        "cost_per_success_usd": _usd(row.cost_per_success),
        "refusals": row.refusals,
        "latency_unreliable": row.latency_unreliable,
    }


def tokens_row(tokens: Usage) -> dict[str, int]:
    """The tokens as JSON: `prompt`, `completion`, `cached`, `reasoning`."""
    return {name.removesuffix("_tokens"): getattr(tokens, name) for name in TOKENS}


def _rate_row(rate: Rate) -> dict[str, Any]:
    interval = rate.interval
    return {
        "right": rate.right,
        "judged": rate.judged,
        "share": rounded(rate.share, 4),
        "interval95": None if interval is None else [round(interval.low, 4), round(interval.high, 4)],
    }


def _trigger_row(trigger: Trigger | None) -> dict[str, Any] | None:
    if trigger is None:
        return None
    return {"f1": rounded(trigger.f1, 4), **asdict(trigger)}


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
    """Intervals of the percentiles that have values, by name: `total_p50`, `first_token_p50` and so on."""
    times = {"total": [probe.total_ms for probe in judged], "first_token": [probe.first_token_ms for probe in judged]}
    found = {
        f"{name}_p{percent}": quantile_interval(values, percent / 100)
        for name, values in times.items()
        for percent in PERCENTILES
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def _called(probe: ProbeResult) -> bool:
    """Whether the answer calls a tool, in the structured field or in a text."""
    return probe.calls > 0 or probe.leaked


def _unanswered(probe: ProbeResult) -> bool:
    """Whether the answer is missing through the provider's fault."""
    return probe.verdict == "error" and (probe.error_class or reason_of(probe.reason).error_class) == "provider"


def _rates(probes: Iterable[ProbeResult], name: str, *, lenient: bool) -> dict[str, Rate]:
    groups = grouped(probes, attrgetter(name))
    return {key: rate_of(group, lenient=lenient) for key, group in sorted(groups.items()) if key}


def _powers(judged: Sequence[ProbeResult]) -> dict[int, float]:
    """pass^k for each k of 2, 4 and 8 that a case was tried at least k times. Tries are repeats in one mode."""
    tries = [rate_of(group, lenient=True) for group in grouped(judged, attrgetter("case", "mode")).values()]
    powers = {k: pass_power(tries, k) for k in (2, 4, 8)}
    return {k: power for k, power in powers.items() if power is not None}


def _calling(probes: Iterable[ProbeResult]) -> dict[tuple[str, ...], bool]:
    """Request → whether its finish reason was `tool_calls`. Answers without a finish reason are left out."""
    return {
        (probe.case, probe.mode, str(probe.repeat), probe.load): probe.finish_reason == _CALLED
        for probe in probes
        if probe.finish_reason is not None and probe.capability != EMULATED
    }


def _trigger(here: Mapping[tuple[str, ...], bool], there: Mapping[tuple[str, ...], bool]) -> Trigger:
    pairs = Counter((called, there[request]) for request, called in here.items() if request in there)
    return Trigger(pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False])
