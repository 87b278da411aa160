"""What a run leaves behind: the JSON file, the recorded run, the step summary; and exchanges in words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routing.errors import ConfigError
from routing.evidence.model import EndpointEvidence, Evidence, loads, utc_text
from routing.exchange import Exchange
from routing.flags.source import Flags, find_flags
from routing.types import Answer, JsonObject

from .compare import Comparison, NotCompared, compare, comparison_row
from .config import options
from .daily import refresh_daily
from .measures import measures_row
from .ranking import ranking_row, rankings
from .report import markdown
from .results import RECORDED, Change, atomic_write, changes, refresh_latest, run_paths, write_run
from .safe_text import one_line, redact
from .summary import Summary
from .verdicts import ProbeResult, Run

if TYPE_CHECKING:
    from .pytest_items.session import ProbeSession

VERSION = 1
_SHOWN = 4000
_STREAM_SHOWN = 400
_WRITERS = 20
"""So often results are derived anew while others write, at most."""


def write(probes: ProbeSession, *, complete: bool) -> tuple[Summary, bool]:
    """Write all that was asked for; returns the summary, and whether something could not be written."""
    run = probes.run(complete=complete)
    notes = [] if complete else ["incomplete: the run was interrupted; what was judged is kept"]
    notes += probes.refusals()
    changed: list[Change] = []
    told, failed = _recorded(probes)
    notes += told
    measured = _summary(probes, run)

    def summary() -> Summary:
        return replace(measured, changes=changed, notes=[*notes, *measured.notes])

    def into_results() -> None:
        if folder := options.value(probes.config, "results"):
            found, note = record(Path(folder), run)
            changed.extend(found)
            notes.extend([note] if note else [])

    def into_json() -> None:
        if path := options.value(probes.config, "json"):
            atomic_write(Path(path), lines_of(document(summary())))

    def into_step_summary() -> None:
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(markdown(summary()))

    for written in (into_results, into_json, into_step_summary):  # one that fails must not cost the others
        if problem := _problem(written):
            notes.append(f"NOT WRITTEN: {problem}")
            failed = True
    return summary(), failed


def lines_of(document: Mapping[str, Any]) -> str:
    """JSON in which each row of a list has a line: indenting all of it takes ten times as long."""
    members = (f"{json.dumps(name)}: {_rows(value)}" for name, value in document.items())
    return "{" + ",\n".join(members) + "}\n"


def _rows(value: object) -> str:
    if not isinstance(value, list):
        return json.dumps(value, default=str)
    return "[\n " + ",\n ".join(json.dumps(row, default=str) for row in value) + "]" if value else "[]"


def _problem(write_one: Callable[[], None]) -> str:
    """Why something could not be written; empty where it was."""
    try:
        write_one()
    except ConfigError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _recorded(probes: ProbeSession) -> tuple[list[str], bool]:
    """Write the cassettes that were asked for; what is told of it, and whether it failed."""
    recorder, scope = probes.recorder, probes.scope
    if recorder is None:
        return [], False
    keys = {f"{name}_KEY": scope.environment.get(row.key_env, "") for name, row in scope.catalog.providers.items()}
    try:
        count = recorder.write(probes.kept.results, {**os.environ, **scope.environment, **keys})
    except ConfigError as error:
        return [f"NOT RECORDED: {error}"], True
    return [f"recorded: {count} cassettes in {recorder.folder}"], False


def _summary(probes: ProbeSession, run: Run) -> Summary:
    """With the comparison that was asked for, or why there is none."""
    comparison, told = _compared(probes, run)
    notes = [told] if told else []
    return Summary.of(run, probes.money(), rerun=probes.scope.rerun(), notes=notes, comparison=comparison)


def _compared(probes: ProbeSession, run: Run) -> tuple[Comparison | None, str]:
    """The comparison that was asked for, or why there is none."""
    if not probes.scope.compared:
        return None, ""
    try:
        return compare(run, *probes.scope.compared), ""
    except NotCompared as problem:
        return None, f"nothing to compare: {problem}"


def record(folder: Path, run: Run) -> tuple[list[Change], str]:
    """Write the run into `folder`; returns what changed, or a note why the run is no evidence.

    Raises ResultsError where the folder cannot be written.
    """
    if run.source not in RECORDED:
        return [], f"not recorded in {folder}: a {run.source} run is no evidence"
    if run.source == "local" and not _test_environment(folder):
        return [], (
            f"not recorded in {folder}: base URLs point at this machine; "
            "only with `environment: test` in flags.yaml is that evidence"
        )
    before = _known(folder / "latest.json")
    write_run(folder, run)
    after, problems, known = Evidence(), list[str](), set[Path]()
    # Whoever writes last must have seen all: a run that another process wrote meanwhile is counted in once more.
    for _ in range(_WRITERS):
        if (seen := run_paths(folder, now := datetime.now(UTC))) == known:
            break
        known, problems = seen, []
        after = refresh_latest(folder, now, problems)
        refresh_daily(folder, now, problems)
    return changes(before, after), "; ".join(problems)


def _test_environment(folder: Path) -> bool:
    path = find_flags(folder.absolute().parent)
    return path is not None and Flags.load(path).environment == "test"


def _known(path: Path) -> Evidence:
    """The former evidence; none where there is none or it cannot be read: it is derived anew anyway."""
    try:
        return loads(path.read_text("utf-8"), origin=str(path))
    except (OSError, ConfigError, UnicodeDecodeError):
        return Evidence()


def document(summary: Summary) -> JsonObject:
    """What `--kimiprobe-json` writes. Model output stands in it as it came: treat it as hostile."""
    run = summary.run
    return {
        "version": VERSION,
        "run": run.id,
        "source": run.source,
        "suite": run.suite,
        "started_at": utc_text(run.started_at),
        "finished_at": utc_text(run.finished_at),
        "complete": run.complete,
        "span_s": round(summary.spent.span_s, 3),
        "cpu_s": round(summary.spent.cpu_s, 3),
        "spent_usd": str(summary.spent.usd),
        "lag_p95_ms": run.lag_p95_ms,
        "probes": [_probe(probe) for probe in run.probes],
        "endpoints": [
            measures_row(summary.measures[name]) | _endpoint(summary.evidence[name], run)
            for name in sorted(summary.evidence)
        ],
        "rankings": {name: ranking_row(ranking) for name, ranking in rankings(summary.measures).items()},
        "comparison": comparison_row(summary.comparison) if summary.comparison else None,
    }


def _probe(probe: ProbeResult) -> JsonObject:
    usage = probe.usage
    return {
        "id": probe.id,
        "case": probe.case,
        "endpoint": probe.endpoint,
        "mode": probe.mode,
        "repeat": probe.repeat,
        "verdict": probe.verdict,
        "reason": probe.reason,
        "detail": probe.detail,
        "error_class": probe.error_class,
        "finish_reason": probe.finish_reason,
        "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in probe.tool_calls],
        "text": probe.text,
        "first_token_ms": _rounded(probe.first_token_ms),
        "total_ms": _rounded(probe.total_ms),
        "usage": None
        if usage is None
        else {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "cost_usd": _number(probe.cost_usd),
        "cost_origin": probe.cost_origin,
        "upstream": probe.upstream,
        "load": probe.load,
        "at_once": probe.at_once,
        "refusals": probe.refusals,
        "unreliable": probe.unreliable,
    }


def _endpoint(row: EndpointEvidence, run: Run) -> JsonObject:
    counts = dict.fromkeys(("pass", "rescued", "fail", "error"), 0)
    for probe in run.answers:
        if probe.endpoint == row.endpoint and probe.verdict in counts:
            counts[probe.verdict] += 1
    return {
        "endpoint": row.endpoint,
        "status": row.status,
        "judged": counts["pass"] + counts["rescued"] + counts["fail"],
        "passed": counts["pass"],
        "rescued": counts["rescued"],
        "failed": counts["fail"],
        "errors": counts["error"],
        "p50_ms": row.p50_ms,
        "p95_ms": row.p95_ms,
        "cost_per_1k": _number(row.cost_per_1k_usd),
        "schema_accuracy": row.schema_accuracy,
        "k2vv_compatible": row.k2vv_compatible,
    }


def exchange_lines(name: str, done: Exchange, environment: Mapping[str, str]) -> Iterator[str]:
    """One exchange in words, keys taken out and made inert, as `--kimiprobe-verbose` prints it."""
    request = json.dumps(done.request, ensure_ascii=False)
    body = done.body.decode("utf-8", "replace")
    first = f", first token {done.first_token_ms:.0f} ms" if done.first_token_ms is not None else ""
    yield f"--- {name}"
    yield f"> {one_line(redact(request, environment), _SHOWN)}"
    if body:
        shown = _SHOWN if done.first_token_ms is None else _STREAM_SHOWN
        yield f"< HTTP {done.status}: {one_line(redact(body, environment), shown)}"
    if done.answer is not None and done.first_token_ms is not None:
        yield f"= {one_line(redact(_assembled(done.answer), environment), _SHOWN)}"
    if done.error is not None:
        yield f"! {one_line(redact(str(done.error), environment), _SHOWN)}"
    yield f"  {done.total_ms:.0f} ms{first}"


def _assembled(answer: Answer) -> str:
    """What a stream came to."""
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
    whole = {"text": answer.text, "tool_calls": calls, "finish_reason": answer.finish_reason}
    return json.dumps(whole, ensure_ascii=False, default=str)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
