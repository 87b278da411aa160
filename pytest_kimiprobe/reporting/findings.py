"""What a run found, in sentences: causes, the endpoint to use, accuracy, comparisons, cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from routing.evidence import EndpointEvidence
from routing.reasons import meaning_of
from routing.types import Status

from ..stats.measures import rate_text
from ..stats.paired_test import told
from ..stats.ranking import OWN
from ..verdicts import PARITY, ProbeResult, Run
from .summary import Summary, labels_of, money, recommendation

Fact: TypeAlias = tuple[str, str, str]
"""A heading, empty where it goes on; a text; a tone: `good`, `bad`, `warn` or empty."""
PLAYED = frozenset({"simulator", "replay"})
"""Sources whose times are nobody's."""
_GROUPS = 3
"""So many ranks are told by name; the table shows all."""


def causes(summary: Summary, endpoint: str) -> list[tuple[str, int]]:
    """Why probes of an endpoint failed or were not run, and how many; the three most frequent."""
    status = summary.evidence[endpoint].status
    wrong = (probe for probe in summary.run.probes if probe.endpoint == endpoint and _went_wrong(probe, status))
    return Counter(map(_cause, wrong)).most_common(3)


def facts(summary: Summary) -> list[Fact]:
    """What to know of the run, the most important first."""
    played, compared = summary.run.source == "replay", summary.comparison
    found = [] if played else _use(recommendation(summary.evidence), summary.evidence)
    found += [("accuracy", text, "") for text in _accuracy(summary.evidence)]
    found += _alike(summary)
    found += [("crowd", text, "warn") for text in _worse_in_a_crowd(summary)]
    found += [(head, text, "") for head, text in (told(compared) if compared else ())]
    found += [*_changed(summary), *_not_sent(summary.run), ("cost", _cost(summary), "")]
    if summary.spent.cut_off_usd:
        found.append(("", f"at most ${money(summary.spent.cut_off_usd)} of it for requests whose cost nobody told", ""))
    found += [("note", note, "warn") for note in (*_late(summary), *summary.notes)]
    return [*found, ("rerun one", summary.rerun, "")] if summary.rerun else found


def _cause(probe: ProbeResult) -> str:
    """Where the reason alone says too little (which protocol?), its detail."""
    return probe.detail if probe.reason == "other_protocol" and probe.detail else meaning_of(probe.reason)


def _went_wrong(probe: ProbeResult, status: Status) -> bool:
    """What an endpoint cannot do is a cause only where that is all there is; a pair without halves is none."""
    if probe.verdict == "unsupported":
        return status == "unsupported"
    return probe.verdict in {"fail", "error"} or (probe.verdict == "not_run" and probe.mode != PARITY)


def _changed(summary: Summary) -> Iterator[Fact]:
    for change in summary.changes:
        since = f"   since {change.since:%Y-%m-%d}" if change.since else ""
        tone = "good" if change.after == "works" else "warn"
        yield "changed", f"{change.endpoint}  {change.before} -> {change.after}{since}", tone


def _not_sent(run: Run) -> Iterator[Fact]:
    found = Counter(probe.detail for probe in run.answers if probe.verdict == "not_run")
    for detail, count in sorted(found.items()):
        yield "not run", f"{count} probes: {detail}", "warn"


def _alike(summary: Summary) -> Iterator[Fact]:
    """Which endpoints so many probes cannot tell apart, and by what that is said."""
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
            lines.append(f"{name}: {rate_text(crowd)} among others at once, {rate_text(alone)} alone")
    return lines


def _late(summary: Summary) -> list[str]:
    late = sum(row.latency_unreliable for row in summary.measures.values())
    if not late or summary.run.source in PLAYED:
        return []
    return [
        f"latencies of {late} endpoints are unreliable (?): this machine was {summary.run.lag_p95_ms:.0f} ms late (p95)"
    ]


def _use(best: EndpointEvidence | None, evidence: Mapping[str, EndpointEvidence]) -> list[Fact]:
    if best is None:
        return [("use", "nothing: no endpoint works" if evidence else "nothing: no endpoint was probed", "bad")]
    price = f", ${money(best.cost_per_1k_usd)} per 1k calls" if best.cost_per_1k_usd is not None else ""
    rescue = "; needs rescue" if best.status == "needs_rescue" else ""
    return [("use", best.endpoint, "good"), ("", f"cheapest that works{price}{rescue}", "")]


def _accuracy(evidence: Mapping[str, EndpointEvidence]) -> list[str]:
    calls = sum(row.calls for row in evidence.values())
    valid = sum(row.valid_calls for row in evidence.values())
    counted = sum(row.k2vv_calls for row in evidence.values())
    k2vv = sum(row.k2vv_valid for row in evidence.values())
    lines = []
    if calls:
        lines.append(f"{valid} of {calls} tool calls have valid arguments ({valid / calls:.1%}), strictly")
    if counted:
        lines.append(f"k2vv_compatible {k2vv / counted:.1%} (K2VV's formula, not its cases)")
    return lines


def _cost(summary: Summary) -> str:
    spent, sent = summary.spent, _sent_ms(summary.run)
    if summary.run.source == "replay":
        return f"nothing: {len(summary.run.probes)} recorded exchanges in {spent.span_s:.1f} s"
    alone = sum(sent) / 1000
    paid = f"${money(spent.usd)} of ${money(spent.budget_usd)}"
    return f"{paid}   {len(sent)} requests in {spent.span_s:.1f} s (one by one: {alone:.1f} s)"


def _sent_ms(run: Run) -> list[float]:
    sent = (probe for probe in run.probes if probe.verdict not in {"unsupported", "not_run"})
    return [probe.total_ms for probe in sent if probe.total_ms is not None]
