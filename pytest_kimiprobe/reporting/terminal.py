"""How a run is shown to people: one row an endpoint, the causes, what was found. Pure: a summary in, lines out."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from routing.types import Status

from ..safe_text import one_line
from ..stats.measures import rate_text
from ..tables import Column, rendered
from .findings import PLAYED, causes, facts
from .summary import Summary, labels_of, money, seconds

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
_MEASURED = (
    Column("endpoint"),
    Column("first try, 95 %", right=True),
    Column("rank", right=True),
    Column("pass^2", right=True),
    Column("F1", right=True),
    Column("$/1k ok", right=True),
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


def terminal(summary: Summary) -> list[Line]:
    """The block that ends a run, at most 80 columns wide where names allow."""
    labels = labels_of(list(summary.evidence))
    lines = [Line(_MARKED[summary.run.source], "warn")] if summary.run.source in _MARKED else []
    rows = [_row(labels[name], name, summary) for name in sorted(summary.evidence)]
    tones = ["", *(_tone(summary.evidence[name].status) for name in sorted(summary.evidence))]
    if rows:
        lines += [Line(text, tone) for text, tone in zip(_fitted(_COLUMNS, rows), tones, strict=True)]
        lines += [Line(text) for text in _causes(summary, labels)]
        lines += [Line(text) for text in ("", *_fitted(_MEASURED, _measured(summary, labels)))]
    lines.append(Line(""))
    for head, text, tone in facts(summary):
        lines += [Line(line, tone) for line in _folded(head, text)]
    return lines


def _causes(summary: Summary, labels: Mapping[str, str]) -> list[str]:
    width = min(max(map(len, labels.values()), default=0), 34)
    lines = []
    for name, label in sorted(labels.items()):
        for place, (reason, count) in enumerate(causes(summary, name)):
            lines.append(_cut(f"  {label if not place else '':<{width}}  {count}x {reason}"))
    return lines


def _cut(text: str) -> str:
    """Cut to the width of the report, seen to be cut."""
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table, drawn closer together where it would else be too wide."""
    lines = rendered(columns, rows)
    return lines if max(map(len, lines)) <= WIDTH else rendered(columns, rows, gap=" ")


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
    lines += _markdown_table(_COLUMNS, [_row(labels[name], name, summary) for name in sorted(summary.evidence)])
    lines += ["", *_markdown_table(_MEASURED, _measured(summary, labels))]
    lines += ["", *(f"- **{head}** {_code(text)}" if head else f"  {_code(text)}" for head, text, _ in facts(summary))]
    return "\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(column.title for column in columns) + " |"]
    lines.append("|" + "|".join("---:" if column.right else "---" for column in columns) + "|")
    lines.extend(
        "| " + " | ".join(_code(cell) if place == 0 else cell for place, cell in enumerate(cells)) + " |"
        for cells in rows
    )
    return lines


def _measured(summary: Summary, labels: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Right at the first try with its interval and rank, pass^2, trigger F1 against the reference, cost of 1,000 right."""
    rows: list[tuple[str, ...]] = []
    ranking = summary.ranking
    for name in sorted(summary.evidence):
        measured = summary.measures[name]
        power, f1 = measured.pass_power.get(2), measured.trigger.f1 if measured.trigger else None
        cost = measured.cost_per_success
        rows.append(
            (
                _middle_cut(labels[name], 34),
                rate_text(measured.strict),
                str(ranking.place(name) or "-"),
                "-" if power is None else f"{power * 100:.0f} %",
                "-" if f1 is None else f"{f1:.2f}",
                money(None if cost is None else cost * 1000),
            )
        )
    return rows


def _row(label: str, name: str, summary: Summary) -> tuple[str, ...]:
    row = summary.evidence[name]
    doubtful = "?" if row.latency_unreliable and summary.run.source not in PLAYED else ""
    counts = Counter(probe.verdict for probe in summary.run.answers if probe.endpoint == name)
    sent = sum(count for verdict, count in counts.items() if verdict not in {"not_run", "unsupported"})
    right = counts["pass"] + counts["rescued"]
    return (
        _middle_cut(label, 34),
        f"{right}/{sent}",
        str(counts["rescued"] or "."),
        str(counts["fail"] + counts["error"] or "."),
        seconds(row.p50_ms) + doubtful,
        seconds(row.p95_ms) + doubtful,
        money(row.cost_per_1k_usd),
        row.status.replace("_", " "),
    )


def _middle_cut(text: str, width: int) -> str:
    """The ends of a name tell it from its neighbours."""
    text = one_line(text, 200)
    return text if len(text) <= width else f"{text[: width // 2 - 1]}…{text[-(width - width // 2) :]}"


def _tone(status: Status) -> str:
    return {"works": "good", "needs_rescue": "warn", "degraded": "warn", "broken": "bad", "down": "bad"}.get(status, "")


def _code(text: str) -> str:
    return "`" + one_line(text, 200).replace("`", "'").replace("|", "\\|") + "`"
