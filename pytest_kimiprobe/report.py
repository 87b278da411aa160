"""What a run says to people: one row an endpoint, the causes, one recommendation. Pure: results in, lines out."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from routing.evidence import EndpointEvidence
from routing.reasons import meaning_of
from routing.types import Status

from .cells import endpoints_of
from .results import Change
from .safe_text import one_line
from .tables import Column, rendered
from .verdicts import PARITY, ProbeResult, Run

WIDTH = 80
_COLUMNS = (
    Column("endpoint"),
    Column("calls", right=True),
    Column("rescued", right=True),
    Column("failed", right=True),
    Column("p50", right=True),
    Column("p95", right=True),
    Column("$/1k", right=True),
    Column("status"),
)
_MARKED = {
    "simulator": "simulated: says nothing of real hosts",
    "replay": "replayed: recorded answers, judged again",
    "local": "local: base URLs point at this machine, which says nothing of real hosts",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; `tone` is `good`, `bad`, `warn` or empty."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """Money and time of a run; `span_s` from the first request to the last verdict."""

    usd: Decimal
    budget_usd: Decimal
    span_s: float
    cut_off_usd: Decimal = Decimal(0)
    """The part of `usd` that nobody has billed: what cut-off requests can have cost at most."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the report is made of."""

    run: Run
    evidence: Mapping[str, EndpointEvidence]
    spent: Spent
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    rerun: str = ""

    @classmethod
    def of(
        cls, run: Run, spent: Spent, *, rerun: str = "", changes: Sequence[Change] = (), notes: Sequence[str] = ()
    ) -> Summary:
        """Derive the evidence; `rerun` is the command without the id of the failure that it is completed with."""
        failed = next((probe for probe in run.probes if probe.verdict in {"fail", "error"}), None)
        line = f'{rerun} "{failed.id}"' if failed and rerun else ""
        return cls(run, endpoints_of(run), spent, changes, notes, line)


def terminal(summary: Summary) -> list[Line]:
    """The block that ends a run, at most 80 columns wide where names allow."""
    labels = labels_of(list(summary.evidence))
    lines = [Line(_MARKED[summary.run.source], "warn")] if summary.run.source in _MARKED else []
    rows = [_row(labels[name], summary.evidence[name], summary.run) for name in sorted(summary.evidence)]
    tones = ["", *(_tone(summary.evidence[name].status) for name in sorted(summary.evidence))]
    if rows:
        lines += [Line(text, tone) for text, tone in zip(rendered(_COLUMNS, rows), tones, strict=True)]
        lines += [Line(text) for text in _causes(summary, labels)]
    lines.append(Line(""))
    for head, text, tone in _facts(summary):
        lines += [Line(line, tone) for line in _folded(head, text)]
    return lines


def _folded(head: str, text: str) -> list[str]:
    """`head` and the text beside it, folded at spaces; commands and words too long for a line stay whole."""
    if head == "rerun one":
        return [head, f"  {text}"]
    wrapped = textwrap.wrap(text, WIDTH - 10, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{head if not place else '':<9} {line}" for place, line in enumerate(wrapped)]


def markdown(summary: Summary) -> str:
    """The same for `$GITHUB_STEP_SUMMARY`; foreign text stands in code spans only."""
    labels = labels_of(list(summary.evidence))
    lines = ["## kimiprobe", ""]
    if summary.run.source in _MARKED:
        lines += [f"**{_MARKED[summary.run.source]}**", ""]
    lines.append("| " + " | ".join(column.title for column in _COLUMNS) + " |")
    lines.append("|" + "|".join("---:" if column.right else "---" for column in _COLUMNS) + "|")
    for name in sorted(summary.evidence):
        cells = _row(labels[name], summary.evidence[name], summary.run)
        lines.append("| " + " | ".join(_code(cell) if place == 0 else cell for place, cell in enumerate(cells)) + " |")
    lines += ["", *(f"- **{head}** {_code(text)}" if head else f"  {_code(text)}" for head, text, _ in _facts(summary))]
    return "\n".join(lines) + "\n"


def labels_of(endpoints: Sequence[str]) -> dict[str, str]:
    """Short names that fit a table: the model id goes where it says nothing (`openrouter+novita/fp8`)."""
    short = {name: _short(name) for name in endpoints}
    taken = Counter(short.values())
    return {name: label if taken[label] == 1 else name for name, label in short.items()}


def recommendation(evidence: Mapping[str, EndpointEvidence]) -> EndpointEvidence | None:
    """The endpoint to use: the cheapest that works, measured on the same cases; None where none works.

    One that needs rescue comes after those that do not; an unknown cost is the dearest.
    """
    usable = [row for row in evidence.values() if row.status in {"works", "needs_rescue"}]
    dearest = Decimal("Infinity")
    return min(
        usable, key=lambda row: (row.status != "works", row.cost_per_1k_usd or dearest, row.endpoint), default=None
    )


def money(amount: Decimal | None) -> str:
    """USD with as many digits as matter."""
    if amount is None:
        return "-"
    return (
        f"{amount:.2f}"
        if amount >= 1 or not amount
        else f"{amount:.3f}"
        if amount >= Decimal("0.01")
        else f"{amount:.5f}"
    )


def seconds(milliseconds: float | None) -> str:
    """`1.9s`, `350ms`, or `-`."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds / 1000:.1f}s" if milliseconds >= 1000 else f"{milliseconds:.0f}ms"


def _row(label: str, row: EndpointEvidence, run: Run) -> tuple[str, ...]:
    counts = Counter(probe.verdict for probe in run.answers if probe.endpoint == row.endpoint)
    sent = sum(count for verdict, count in counts.items() if verdict not in {"not_run", "unsupported"})
    right = counts["pass"] + counts["rescued"]
    return (
        _middle_cut(label, 34),
        f"{right}/{sent}",
        str(counts["rescued"] or "."),
        str(counts["fail"] + counts["error"] or "."),
        seconds(row.p50_ms),
        seconds(row.p95_ms),
        money(row.cost_per_1k_usd),
        row.status.replace("_", " "),
    )


def _middle_cut(text: str, width: int) -> str:
    """The ends of a name tell it from its neighbours."""
    text = one_line(text, 200)
    return text if len(text) <= width else f"{text[: width // 2 - 1]}…{text[-(width - width // 2) :]}"


def _causes(summary: Summary, labels: Mapping[str, str]) -> list[str]:
    """Why probes failed or were not run, per endpoint, the most frequent first."""
    lines = []
    width = max(map(len, labels.values()), default=0)
    for name, label in sorted(labels.items()):
        status = summary.evidence[name].status
        wrong = [probe for probe in summary.run.probes if probe.endpoint == name and _went_wrong(probe, status)]
        reasons = Counter(_cause(probe) for probe in wrong).most_common(3)
        for place, (reason, count) in enumerate(reasons):
            lines.append(_cut(f"  {label if not place else '':<{min(width, 34)}}  {count}x {reason}"))
    return lines


def _cut(text: str) -> str:
    """Cut to the width of the report, seen to be cut."""
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _cause(probe: ProbeResult) -> str:
    """Where the reason alone says too little (which protocol?), its detail."""
    return probe.detail if probe.reason == "other_protocol" and probe.detail else meaning_of(probe.reason)


def _went_wrong(probe: ProbeResult, status: Status) -> bool:
    """What an endpoint cannot do is a cause only where that is all there is; a pair without halves is none."""
    if probe.verdict == "unsupported":
        return status == "unsupported"
    return probe.verdict in {"fail", "error"} or (probe.verdict == "not_run" and probe.mode != PARITY)


def _facts(summary: Summary) -> list[tuple[str, str, str]]:
    facts = []
    if summary.run.source != "replay":
        best = recommendation(summary.evidence)
        facts += _use(best, summary.evidence)
    facts += [("accuracy", text, "") for text in _accuracy(summary.evidence)]
    for change in summary.changes:
        since = f"   since {change.since:%Y-%m-%d}" if change.since else ""
        tone = "good" if change.after == "works" else "warn"
        facts.append(("changed", f"{change.endpoint}  {change.before} -> {change.after}{since}", tone))
    not_sent = Counter(probe.detail for probe in summary.run.answers if probe.verdict == "not_run")
    facts += [("not run", f"{count} probes: {detail}", "warn") for detail, count in sorted(not_sent.items())]
    facts.append(("cost", _cost(summary), ""))
    if summary.spent.cut_off_usd:
        facts.append(("", f"at most ${money(summary.spent.cut_off_usd)} of it for requests cut off", ""))
    facts += [("note", note, "warn") for note in summary.notes]
    if summary.rerun:
        facts.append(("rerun one", summary.rerun, ""))
    return facts


def _use(best: EndpointEvidence | None, evidence: Mapping[str, EndpointEvidence]) -> list[tuple[str, str, str]]:
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


def _tone(status: Status) -> str:
    return {"works": "good", "needs_rescue": "warn", "degraded": "warn", "broken": "bad", "down": "bad"}.get(status, "")


def _short(endpoint: str) -> str:
    head, _, upstream = endpoint.partition("+")
    provider = head.partition("/")[0]
    return f"{provider}+{upstream}" if upstream else provider


def _code(text: str) -> str:
    return "`" + one_line(text, 200).replace("`", "'").replace("|", "\\|") + "`"
