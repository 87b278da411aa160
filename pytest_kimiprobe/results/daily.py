"""The roll-up: one line per endpoint and day in `daily/YYYY-MM.jsonl`, derived from the run files.

    {"v": 1, "day": "2026-11-23", "endpoint": "...", "runs": ["77-1"], "status": "works", "judged": 50, "passed": 49,
     "rescued": 0, "failed": 1, "errors": 0, "reasons": {"wrong_tool": 1}, "p50_ms": 1900, "p95_ms": 4100,
     "cost_usd": "0.031", "costed": 50, "calls": 50, "valid_calls": 50, "k2vv_calls": 40, "k2vv_valid": 40}

Counts are those of all runs of the day, status and times those of its newest. Years of it fit into memory. Days whose
run files are still kept are computed again; earlier ones stay unchanged. The same runs give the same text, so that two
writers never disagree.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from routing.evidence.model import EndpointEvidence

from ..safe_text import one_line
from ..stats.aggregates import Cell, added
from .run_file import StoredRun
from .store import KEPT_FOR, atomic_write, counted, load_runs

VERSION = 1
FOLDER = "daily"
Line = Mapping[str, Any]


def refresh_daily(folder: Path, now: datetime, problems: list[str]) -> list[Path]:
    """Bring the roll-up up to date with the run files; returns the files that changed.

    A torn line is named in `problems`, and computed again if the run files of its day exist. A file of a newer release
    is named and not changed. Raises ResultsError if a file cannot be written; its old content is then kept.
    """
    since = (now - KEPT_FOR).date()
    # Of the first day, some runs may be missing from those read.
    reached = {key: line for key, line in lines_of(_runs(folder, since, now)).items() if key[0] > since.isoformat()}
    written = []
    for month in sorted({day[:7] for day, _ in reached}):
        path = folder / FOLDER / f"{month}.jsonl"
        torn: list[str] = []
        known = read_month(path, torn)
        problems += torn
        if known is None:
            continue
        kept = {key: line for key, line in known.items() if key[0] <= since.isoformat()}
        if torn:
            first = date.fromisoformat(f"{month}-01")
            kept |= lines_of(_runs(folder, first, now))
        rows = {key: line for key, line in {**kept, **reached}.items() if key[0].startswith(month)}
        text = rendered(rows)
        if not path.exists() or path.read_text("utf-8", "replace") != text:
            atomic_write(path, text)
            written.append(path)
    return written


def lines_of(runs: Iterable[StoredRun]) -> dict[tuple[str, str], Line]:
    """Day and endpoint → the line of the roll-up that sums the runs of that day."""
    days: dict[tuple[str, str], list[tuple[StoredRun, Cell, EndpointEvidence]]] = defaultdict(list)
    for run in runs:
        cells = {cell.endpoint: cell for cell in run.totals}
        for endpoint, row in run.evidence.items():
            days[run.started_at.astimezone(UTC).date().isoformat(), endpoint].append((run, cells[endpoint], row))
    return {key: _line(key, found) for key, found in days.items()}


def rendered(lines: Mapping[tuple[str, str], Line]) -> str:
    """The text of a file, sorted by day and endpoint."""
    return "".join(f"{json.dumps(line, sort_keys=True, allow_nan=False)}\n" for _, line in sorted(lines.items()))


def read_month(path: Path, problems: list[str]) -> dict[tuple[str, str], Line] | None:
    """The lines of one monthly file by day and endpoint, empty if there is no file; None if a newer release wrote it.

    Torn lines are left out, and named in `problems`.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: skipped: {one_line(str(error))}")
        return {}
    lines: dict[tuple[str, str], Line] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        try:
            line = json.loads(raw)
            if line["v"] > VERSION:
                problems.append(f"{path}: version {line['v']!r}; this release reads version {VERSION}: left as it is")
                return None
            lines[str(date.fromisoformat(line["day"])), str(line["endpoint"])] = line
        except (ValueError, KeyError, TypeError, RecursionError):
            problems.append(f"{path}:{number}: not a line of the roll-up; left out")
    return lines


def _runs(folder: Path, since: date, now: datetime) -> Iterator[StoredRun]:
    # Files that cannot be read are named when latest.json is computed from the same files.
    yield from counted(load_runs(folder, datetime.combine(since, time(), UTC), []), now)


def _line(key: tuple[str, str], found: Sequence[tuple[StoredRun, Cell, EndpointEvidence]]) -> Line:
    ordered = sorted(found, key=lambda one: (one[0].started_at, one[0].name))
    newest = next((row for _, _, row in reversed(ordered) if row.counts.judged), ordered[-1][2])
    counts = added(asdict(row.counts) for _, _, row in ordered)
    names = ("costed", "calls", "valid_calls", "k2vv_calls", "k2vv_valid")
    line = {
        "v": VERSION,
        "day": key[0],
        "endpoint": key[1],
        "runs": [run.name for run, _, _ in ordered],
        "status": ordered[-1][2].status,
        **counts,
        "reasons": added(cell.reasons for _, cell, _ in ordered),
        **newest.times,
        "latency_unreliable": newest.latency_unreliable,
        "cost_usd": str(sum(cell.cost_usd for _, cell, _ in ordered)),
        **{name: sum(getattr(cell, name) for _, cell, _ in ordered) for name in names},
    }
    return {name: value for name, value in line.items() if name in _ALWAYS or value}


_ALWAYS = frozenset({"v", "day", "endpoint", "runs", "status", "judged", "passed", "errors"})
