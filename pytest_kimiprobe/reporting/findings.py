"""Findings of a run as sentences: causes of failures, the endpoint to use, cost, comparisons. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from routing.evidence.model import EndpointEvidence
from routing.reasons import reason_of
from routing.tokens import ASSUMED_REQUEST, request_text

from ..stats.aggregates import EMULATED, basis_of, endpoint_of, grouped
from ..stats.measures import rate_text, wilson
from ..stats.paired_test import told
from ..stats.ranking import OWN
from ..stats.status import LEAST_JUDGED
from ..verdicts import PARITY, ProbeResult
from .endpoint_table import labels_of, money
from .summary import Summary

Fact: TypeAlias = tuple[str, str, str]
"""Heading (empty if the fact belongs to the heading before), text, and tone: `good`, `bad`, `warn` or empty."""
UNTIMED = frozenset({"simulator", "replay"})
"""Sources whose times are not those of real hosts."""
_GROUPS = 3
"""The number of ranks that are named; the table shows all."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why answers were not right at the first try, how many, and at which endpoints, the most affected first."""

    text: str
    count: int
    endpoints: tuple[str, ...]


def causes(summary: Summary) -> list[Cause]:
    """Every cause once, the most frequent first. Rescues count as causes, too."""
    found: dict[str, Counter[str]] = {}
    pairs = [probe for probe in summary.run.probes if probe.mode == PARITY]
    for probe in (*_counted(summary), *pairs):
        if _went_wrong(probe, summary):
            found.setdefault(_cause(probe), Counter())[probe.endpoint] += 1
    rows = [Cause(text, hosts.total(), tuple(name for name, _ in hosts.most_common())) for text, hosts in found.items()]
    return sorted(rows, key=lambda cause: (-cause.count, cause.text))


def facts(summary: Summary) -> list[Fact]:
    """The facts below the table of the screen, the most important first."""
    found = [] if summary.run.source == "replay" else _use(summary)
    compared = summary.comparison
    found += [(head, text, "") for head, text in (told(compared) if compared else ())]
    found += [*_changed(summary), *_not_sent(summary)]
    if summary.run.source != "replay":
        found.append(("cost", _cost(summary), ""))
    return [*found, *(("note", note, "warn") for note in (*_late(summary), *summary.notes))]


def details(summary: Summary) -> list[Fact]:
    """Further facts for `-v`: accuracy, endpoints that are not distinguishable, effects of load."""
    beside = len(summary.run.answers) - sum(1 for _ in _counted(summary))
    told = f"{beside} probes that describe tools in the prompt: the table counts native tool calls"
    found: list[Fact] = [("beside", told, "")] if beside else []
    found += [("accuracy", text, "") for text in _accuracy(summary)]
    return [*found, *_alike(summary), *(("crowd", text, "warn") for text in _worse_in_a_crowd(summary))]


def _counted(summary: Summary) -> Iterator[ProbeResult]:
    """The probes that the table counts."""
    for group in grouped(summary.run.answers, endpoint_of).values():
        yield from basis_of(group)


def _cause(probe: ProbeResult) -> str:
    """The reason's meaning; its detail if the reason alone says too little."""
    return probe.detail if probe.reason == "other_protocol" and probe.detail else reason_of(probe.reason).meaning


def _went_wrong(probe: ProbeResult, summary: Summary) -> bool:
    """Whether the probe counts as a cause. Unsupported probes count only if the endpoint supports no probe at all."""
    if probe.verdict == "unsupported":
        row = summary.evidence.get(probe.endpoint)
        return row is not None and row.status == "unsupported"
    return probe.verdict in {"fail", "error"} or (probe.verdict == "rescued" and probe.capability != EMULATED)


def _changed(summary: Summary) -> Iterator[Fact]:
    """One line for each change that some endpoints share; the table shows the status of a first run."""
    groups: dict[tuple[str, str], list[str]] = {}
    labels = labels_of(list(summary.evidence))
    for change in summary.changes:
        if change.since is not None:
            groups.setdefault((change.before, change.after), []).append(labels.get(change.endpoint, change.endpoint))
    for (before, after), names in groups.items():
        yield "note", f"{before} -> {after}: {', '.join(names)}", "good" if after == "works" else "warn"


def _not_sent(summary: Summary) -> Iterator[Fact]:
    found = Counter(probe.detail for probe in summary.run.answers if probe.verdict == "not_run")
    for detail, count in sorted(found.items()):
        yield "note", f"{count} not run: {detail}", "warn"


def _alike(summary: Summary) -> Iterator[Fact]:
    """The endpoints that this number of probes cannot distinguish, by rank, and the reason."""
    ranking, labels = summary.ranking, labels_of(list(summary.evidence))
    alike = [
        (number, _usable(group, summary) if number == 1 else group) for number, group in enumerate(ranking.groups, 1)
    ]
    alike = [(number, group) for number, group in alike if len(group) > 1]
    for place, (number, group) in enumerate(alike[:_GROUPS]):
        names = ", ".join(labels.get(name, name) for name in group)
        yield "alike" if not place else "", f"rank {number}: {names}", ""
    if len(alike) > _GROUPS:
        yield "", f"and {len(alike) - _GROUPS} more ranks that are shared", ""
    if alike:
        level = "" if ranking.confidence == OWN else f" ({ranking.confidence:.1%} each, so that all hold together)"
        yield "", f"not distinguishable within a rank: their intervals overlap{level}", ""


def _usable(names: Sequence[str], summary: Summary) -> tuple[str, ...]:
    """Endpoints that may have the first rank. Others are left out: with few answers a broken one may seem the best."""
    return tuple(name for name in names if summary.evidence[name].status not in {"broken", "down"})


def _worse_in_a_crowd(summary: Summary) -> list[str]:
    lines = []
    for name, row in summary.measures.items():
        alone, crowd = row.by_load.get("alone"), row.by_load.get("crowd")
        if alone and crowd and (crowd.share or 0.0) < (alone.share or 0.0):
            lines.append(f"{name}: {rate_text(crowd)} among concurrent requests, {rate_text(alone)} alone")
    return lines


def _late(summary: Summary) -> list[str]:
    late = sum(row.latency_unreliable for row in summary.measures.values())
    if not late or summary.run.source in UNTIMED:
        return []
    return [
        f"latencies of {late} endpoints are unreliable (?): this machine was {summary.run.lag_p95_ms:.0f} ms late (p95)"
    ]


def _use(summary: Summary) -> list[Fact]:
    best = summary.best
    if best is None:
        return [("use", "nothing: no endpoint works" if summary.evidence else "nothing: no endpoint was probed", "bad")]
    if best.counts.judged < LEAST_JUDGED:
        told = f"{best.counts.judged} calls of {best.endpoint} were judged; a recommendation needs {LEAST_JUDGED}"
        return [("use", f"no recommendation yet: {told}", "warn")]
    return [("use", best.endpoint, "good"), ("", f"{_right(best)}; {_cheapest(best, summary)}", "")]


def _right(best: EndpointEvidence) -> str:
    """The number of right calls, the number of judged calls, and the 95 % interval."""
    counts, works = best.counts, best.status == "works"
    right = counts.passed + (0 if works else counts.rescued)
    interval = wilson(right, counts.judged)
    assert interval is not None  # noqa: S101 - for the type checker: some were judged
    span = f"({interval.low * 100:.1f} to {interval.high * 100:.1f} %)".replace(".0 ", " ")
    return f"{right} of {counts.judged} right {span}{'' if works else f', {counts.rescued} of them after rescue'}"


def _cheapest(best: EndpointEvidence, summary: Summary) -> str:
    price = summary.prices.get(best.endpoint)
    known = "; its price is not known" if price is None else f", ${price:.5f} for {request_text(ASSUMED_REQUEST)}"
    return f"cheapest that works{known}"


def _accuracy(summary: Summary) -> list[str]:
    evidence = summary.evidence.values()
    calls, valid = sum(row.calls for row in evidence), sum(row.valid_calls for row in evidence)
    counted, k2vv = sum(row.k2vv_calls for row in evidence), sum(row.k2vv_valid for row in evidence)
    lines = []
    if calls:
        lines.append(f"{valid} of {calls} tool calls have valid arguments ({valid / calls:.1%}), strictly")
    if counted:
        lines.append(f"k2vv_compatible {k2vv / counted:.1%} (K2VV's formula, not its cases)")
    return lines


def _cost(summary: Summary) -> str:
    spent, simulated = summary.spent, summary.run.source == "simulator"
    limit = f" of the ${money(spent.budget_usd)} budget" if spent.budget_usd.is_finite() else ""
    cut_off = f", at most ${money(spent.cut_off_usd)} of it for cut-off requests" if spent.cut_off_usd else ""
    return f"${money(spent.usd)}{limit}{cut_off}{' (simulated money)' if simulated else ''}"


def requests_of(summary: Summary) -> int:
    """Number of probes that were sent, or judged again. Verdicts on pairs do not count."""
    return sum(probe.verdict not in {"unsupported", "not_run"} for probe in summary.run.answers)


def pairs_of(summary: Summary) -> int:
    """Number of verdicts on pairs of a plain and a streamed answer."""
    return sum(probe.mode == PARITY for probe in summary.run.probes)
