"""Findings of a run as sentences: causes of failures, the endpoint to use, cost, comparisons. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from routing.evidence.model import EndpointEvidence
from routing.reasons import reason_of
from routing.tokens import ASSUMED_REQUEST, request_text

from ..stats.aggregates import EMULATED, RAN, basis_of, endpoint_of, grouped
from ..stats.measures import rate_text, wilson
from ..stats.paired_test import told
from ..stats.ranking import OWN
from ..stats.status import LEAST_JUDGED
from ..verdicts import HONEST_MS, JUDGED, PARITY, ProbeResult, Verdict
from .endpoint_table import labels_of, money
from .summary import Summary

Fact: TypeAlias = tuple[str, str, str]
"""Heading (empty if the fact belongs to the heading before), text, and tone: `good`, `bad`, `warn` or empty."""
UNTIMED = frozenset({"simulator", "replay"})
"""Sources whose times say nothing of this machine."""
_NOUNS: Mapping[Verdict, str] = {"pass": "passed", "rescued": "rescued", "fail": "failed", "error": "errors"}
_GROUPS = 3
"""The most shared ranks whose endpoints are listed by name; the table shows all ranks."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why answers were not right at the first try, how many, and at which endpoints, the most affected first."""

    text: str
    count: int
    endpoints: tuple[str, ...]


def causes(summary: Summary) -> list[Cause]:
    """Every cause once, the most frequent first; the causes of rescued answers come after all others."""
    found: dict[tuple[bool, str], Counter[str]] = {}
    pairs = [probe for probe in summary.run.probes if probe.mode == PARITY]
    for probe in (*_counted(summary), *pairs):
        if _went_wrong(probe, summary):
            found.setdefault((probe.verdict == "rescued", _cause(probe)), Counter())[probe.endpoint] += 1
    ordered = sorted(found.items(), key=lambda row: (row[0][0], -row[1].total(), row[0][1]))
    return [Cause(text, hosts.total(), tuple(name for name, _ in hosts.most_common())) for (_, text), hosts in ordered]


def facts(summary: Summary) -> list[Fact]:
    """What the screen says below its table, the most important first."""
    found = _beside(summary)
    if summary.run.source != "replay":
        found += _use(summary)
    compared = summary.comparison
    found += [(head, text, "") for head, text in (told(compared) if compared else ())]
    found += [*_changed(summary), *_not_sent(summary)]
    if summary.run.source != "replay":
        found.append(("cost", _cost(summary), ""))
    return [*found, *(("note", note, "warn") for note in (*_late(summary), *summary.notes))]


def details(summary: Summary) -> list[Fact]:
    """What is shown if pytest is asked for more: accuracy, endpoints that cannot be told apart, effects of load."""
    found: list[Fact] = [("accuracy", text, "") for text in _accuracy(summary)]
    return [*found, *_alike(summary), *(("crowd", text, "warn") for text in _worse_in_a_crowd(summary))]


def _beside(summary: Summary) -> list[Fact]:
    """The line for requests that the table does not count. Table and line together make up all requests."""
    counted = {probe.id for probe in _counted(summary)}
    verdicts = Counter(one.verdict for one in summary.run.answers if one.verdict in RAN and one.id not in counted)
    if not verdicts:
        return []
    told = ", ".join(f"{verdicts[verdict]} {noun}" for verdict, noun in _NOUNS.items() if verdicts[verdict])
    requests = f"{verdicts.total()} request{'' if verdicts.total() == 1 else 's'}"
    return [("also", f"{requests} with tools described in the prompt: {told}", "")]


def _counted(summary: Summary) -> Iterator[ProbeResult]:
    """The probes that the table counts."""
    for group in grouped(summary.run.answers, endpoint_of).values():
        yield from basis_of(group)


def _cause(probe: ProbeResult) -> str:
    """The reason's meaning; its detail if the reason alone says too little."""
    return probe.detail if probe.reason == "other_protocol" and probe.detail else reason_of(probe.reason).meaning


def _went_wrong(probe: ProbeResult, summary: Summary) -> bool:
    """Whether the probe counts for a cause. Unsupported probes count only if the endpoint supports no probe at all."""
    if probe.verdict == "unsupported":
        row = summary.evidence.get(probe.endpoint)
        return row is not None and row.status == "unsupported"
    return probe.verdict in {"fail", "error"} or (probe.verdict == "rescued" and probe.capability != EMULATED)


def _changed(summary: Summary) -> Iterator[Fact]:
    """One line for each change of status since the run before, with the endpoints that changed so."""
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
    alike = [(number, group) for number, group in enumerate(ranking.groups, 1) if len(group) > 1]
    for place, (number, group) in enumerate(alike[:_GROUPS]):
        names = ", ".join(labels.get(name, name) for name in group)
        yield "alike" if not place else "", f"rank {number}: {names}", ""
    if len(alike) > _GROUPS:
        yield "", f"and {len(alike) - _GROUPS} more ranks that are shared", ""
    if alike:
        level = "" if ranking.confidence == OWN else f" ({ranking.confidence:.1%} each, so that all hold together)"
        yield "", f"not distinguishable within a rank: their intervals overlap{level}", ""


def _worse_in_a_crowd(summary: Summary) -> list[str]:
    lines = []
    for name, row in summary.measures.items():
        alone, crowd = row.by_load.get("alone"), row.by_load.get("crowd")
        if alone and crowd and (crowd.share or 0.0) < (alone.share or 0.0):
            lines.append(f"{name}: {rate_text(crowd)} among concurrent requests, {rate_text(alone)} alone")
    return lines


def _late(summary: Summary) -> list[str]:
    """How many answers of the endpoints marked with `?` were delayed by this machine; empty if none is marked."""
    late = [name for name, row in summary.measures.items() if row.latency_unreliable]
    if not late or summary.run.source in UNTIMED:
        return []
    judged = [probe for probe in _counted(summary) if probe.endpoint in late and probe.verdict in JUDGED]
    share = f"{sum(probe.unreliable for probe in judged)} of {len(judged)} answers by more than {HONEST_MS:.0f} ms"
    endpoints = f"{len(late)} endpoint{'' if len(late) == 1 else 's'}"
    return [f"latencies of {endpoints} are unreliable (?): this machine delayed {share}"]


def _use(summary: Summary) -> list[Fact]:
    best = summary.best
    if best is not None:
        return [("use", best.endpoint, "good"), ("", f"{_right(best)}; {_cheapest(best, summary)}", "")]
    few = next(
        (row for name in summary.order if 0 < (row := summary.evidence[name]).counts.judged < LEAST_JUDGED), None
    )
    if few:
        one = few.counts.judged == 1
        told = f"{few.counts.judged} call{'' if one else 's'} of {few.endpoint} {'was' if one else 'were'} judged"
        return [("use", f"no recommendation yet: {told}; a recommendation needs {LEAST_JUDGED}", "warn")]
    return [("use", "nothing: no endpoint works" if summary.evidence else "nothing: no endpoint was probed", "bad")]


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
    estimated = f", ${money(spent.estimated_usd)} of it estimated" if spent.estimated_usd else ""
    return f"${money(spent.usd)}{limit}{estimated}{' (simulated money)' if simulated else ''}"


def requests_of(summary: Summary) -> int:
    """Number of probes that were sent, or judged again; verdicts on pairs are not counted."""
    return sum(probe.verdict in RAN for probe in summary.run.answers)


def pairs_of(summary: Summary) -> int:
    """Number of verdicts on pairs of a plain and a streamed answer, both of which were sent."""
    return sum(probe.mode == PARITY and probe.verdict in RAN for probe in summary.run.probes)
