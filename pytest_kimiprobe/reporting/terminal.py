"""The screen that ends a run, at most 80 columns wide, and the same as Markdown. Pure: a summary in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..safe_text import one_line
from ..stats.measures import rate_text
from ..tables import WIDTH, Column, folded, middle_cut, rendered, shown
from .endpoint_table import COLUMNS, cells, labels_of, money
from .findings import UNTIMED, Cause, causes, details, facts, pairs_of, requests_of
from .markdown import cell, code, table
from .summary import Summary

_INDENT = 6
_DETAIL_INDENT = 10
_HEIGHT = 24
"""Lines of a screen; pytest's last line is one of them."""
_CAUSES = (2, 6)
"""Fewest and most lines for causes; with more causes the last line counts the others."""
_SHORTEST = 14
"""The smallest width of the endpoints' names, in columns."""
_MEASURED = (
    Column("endpoint", shorten="middle"),
    Column("first try, 95 %", right=True),
    Column("rank", right=True),
    Column("pass^2", right=True),
    Column("F1", right=True),
    Column("$/1k ok", right=True),
)
_TONES = {"works": "good", "needs_rescue": "warn", "degraded": "warn", "broken": "bad", "down": "bad"}
_HOSTS = {
    "simulator": "simulated hosts",
    "replay": "recorded answers, judged again",
    "local": "hosts on this machine (local), which say nothing of real hosts",
    "live": "real hosts",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; `tone` is `good`, `bad`, `warn` or empty."""

    text: str
    tone: str = ""


def screen(summary: Summary, *, quiet: bool = False, further: bool = False) -> list[Line]:
    """The lines that end a run. `quiet` leaves out causes and the next step; `further` adds the further tables."""
    head = [Line(_hosts(summary), "" if summary.run.source == "live" else "warn"), Line(_what(summary))]
    if summary.evidence:
        rows = _rows(summary)
        tones = ["", *(_TONES.get(summary.statuses[name], "") for name in summary.order)]
        head += [Line(""), *(Line(*pair) for pair in zip(rendered(COLUMNS, rows), tones, strict=True)), Line("")]
    if further and summary.evidence:
        head += [*map(Line, rendered(_MEASURED, _measured(summary))), Line("")]
        told = [(folded(title, said, _DETAIL_INDENT), tone) for title, said, tone in details(summary)]
        head += [Line(text, tone) for texts, tone in told for text in texts]
    tail = [Line(text, tone) for title, said, tone in facts(summary) for text in folded(title, said, _INDENT)]
    if quiet:
        return head + tail
    if summary.failures:
        line = f"{'next':<{_INDENT}}{summary.rerun} 1"
        more = f"   the first of {len(summary.failures)} failures, in full"
        tail.append(Line(line + more if len(line + more) <= WIDTH else line))
    fewest, most = _CAUSES
    room = min(max(_HEIGHT - 1 - len(head) - len(tail), fewest), most)
    return head + _why(summary, len(causes(summary)) if further else room) + tail


def _hosts(summary: Summary) -> str:
    return f"kimiprobe: {summary.hosts or _HOSTS[summary.run.source]}"


def _what(summary: Summary) -> str:
    count, many = requests_of(summary), len(summary.evidence)
    endpoints = f"{many} endpoint{'' if many == 1 else 's'}"
    pairs = pairs_of(summary)
    beside = f" and {pairs} pair{'' if pairs == 1 else 's'}" if pairs else ""
    if summary.run.source == "replay":
        return f"{endpoints}, {count} recorded answers{beside} judged in {summary.spent.span_s:.1f} s"
    model = f"{summary.model}, " if summary.model else ""
    return f"{summary.run.suite} suite, {model}{endpoints}, {count} requests{beside} in {summary.spent.span_s:.1f} s"


def _why(summary: Summary, room: int) -> list[Line]:
    """The causes that explain most of what was not right, each with its count and its endpoints, in `room` lines."""
    found = causes(summary)
    told = found if len(found) <= room else found[: room - 1]
    labels = labels_of(list(summary.evidence))
    texts = [_cause(cause, [labels.get(name, name) for name in cause.endpoints]) for cause in told]
    if rest := found[len(told) :]:
        texts.append(f"{sum(cause.count for cause in rest)}x for {len(rest)} more causes; -v lists them")
    return [Line(f"{'' if place else 'why':<{_INDENT}}{text}") for place, text in enumerate(texts)]


def _cause(cause: Cause, labels: Sequence[str]) -> str:
    beside = f" +{len(labels) - 1}" if len(labels) > 1 else ""
    room = WIDTH - _INDENT - len(beside) - 2
    text = middle_cut(f"{cause.count}x {one_line(cause.text)}", room - _SHORTEST)
    return f"{text}: {middle_cut(one_line(labels[0]), room - len(text))}{beside}"


def _rows(summary: Summary) -> list[tuple[str, ...]]:
    labels = labels_of(list(summary.evidence))
    timed = summary.run.source not in UNTIMED
    found = ((name, summary.evidence[name]) for name in summary.order)
    return [
        cells(labels[name], row, summary.statuses[name], doubtful=timed and row.latency_unreliable)
        for name, row in found
    ]


def markdown(summary: Summary) -> str:
    """The summary as Markdown for `$GITHUB_STEP_SUMMARY`. Untrusted text is in code spans only."""
    lines = ["## kimiprobe", "", f"**{_hosts(summary).partition(': ')[2]}**", "", _what(summary), ""]
    lines += [_markdown_table(COLUMNS, _rows(summary)), "", _markdown_table(_MEASURED, _measured(summary)), ""]
    lines += [
        f"- {cause.count}x {code(cause.text)}: {code(', '.join(cause.endpoints), 400)}" for cause in causes(summary)
    ]
    found = [*facts(summary), *details(summary)]
    lines += [f"- **{head}** {code(text, 400)}" if head else f"  {code(text, 400)}" for head, text, _ in found]
    return "\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    kept, texts = shown(columns, rows)
    return table([column.title for column in kept], [[cell(name), *others] for name, *others in texts])


def _measured(summary: Summary) -> list[tuple[str, ...]]:
    """Rows of the further table: first try and interval, rank, pass^2, trigger F1, cost of 1,000 right answers."""
    rows: list[tuple[str, ...]] = []
    ranking, labels = summary.ranking, labels_of(list(summary.evidence))
    for name in summary.order:
        measured, place = summary.measures[name], ranking.place(name)
        power, f1 = measured.pass_power.get(2), measured.trigger.f1 if measured.trigger else None
        cost = measured.cost_per_success
        rows.append(
            (
                one_line(labels[name]),
                rate_text(measured.strict),
                "-" if place is None else str(place),
                "-" if power is None else f"{power * 100:.0f} %",
                "-" if f1 is None else f"{f1:.2f}",
                money(None if cost is None else cost * 1000),
            )
        )
    return rows
