"""Checks a results folder: each run file agrees with itself, and each derived file with the run files.

Run files are written by the monitor, but anyone may commit one. The check finds counts that do not add up, statuses
that do not follow from the counts, and impossible times. It also finds copies of one run under several ids.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from routing.errors import ConfigError
from routing.evidence.model import CLOCK_SKEW

from ..safe_text import one_line
from ..stats.aggregates import Cell, cases_of, counts_of, summed
from ..stats.status import status_of
from . import daily, store
from .run_file import StoredRun, cell_from, parsed

LONGEST_RUN = timedelta(days=1)
_UNREADABLE = (ConfigError, ValueError, LookupError, TypeError, AttributeError)
"""Errors that a file of another form can cause."""
_SUMS = ("verdicts", "reasons", "error_classes", "calls", "valid_calls", "k2vv_calls", "k2vv_valid")
"""Fields of an endpoint's total that are sums of its cells."""


@dataclass(frozen=True, slots=True)
class CheckedResults:
    """Result of a check: the number of files that were read, and a sentence for each problem."""

    runs: int
    derived: int
    problems: tuple[str, ...]


def check(folder: Path, now: datetime) -> CheckedResults:
    """Check all run files and derived files of a results folder."""
    problems: list[str] = []
    runs: list[StoredRun] = []
    contents: dict[str, list[str]] = defaultdict(list)
    paths = list(store.run_files(folder / "runs", date.min))
    for path in paths:
        name = path.relative_to(folder).as_posix()
        problems += [f"{name}: {problem}" for problem in run_problems(path, now)]
        with suppress(*_UNREADABLE):
            text = store.read_run(path)
            runs.append(parsed(text, str(path)))
            problems += [f"{name}: {endpoint}: {why}" for endpoint, why in runs[-1].refused.items()]
            contents[_content(json.loads(text))].append(name)
    problems += [f"{same[-1]}: is a copy of {same[0]}" for same in contents.values() if len(same) > 1]
    derived = [*_latest(folder), *_months(folder, runs, now)]
    problems += [problem for problem in derived if problem]
    return CheckedResults(len(paths), len(derived), tuple(one_line(problem, 400) for problem in problems))


def run_problems(path: Path, now: datetime) -> list[str]:
    """What is wrong with one run file: it cannot be read, or it contradicts itself or its path."""
    try:
        text = store.read_run(path)
        return [*_header_problems(parsed(text, str(path)), path, now), *_count_problems(json.loads(text))]
    except _UNREADABLE as error:
        return [str(error).removeprefix(f"{path}: ")]


def _header_problems(run: StoredRun, path: Path, now: datetime) -> Iterator[str]:
    started = run.started_at.astimezone(UTC)
    stem = f"{started:%H%M%SZ}-{store.safe_name(run.id)}-{run.attempt}"
    if path.parts[-4:-1] != (f"{started:%Y}", f"{started:%m}", f"{started:%d}") or not path.name.startswith(stem):
        yield f"its path is not that of run {run.name}, which started at {started:%Y-%m-%d %H:%M:%S}"
    if run.source not in store.RECORDED:
        yield f"a run of source {run.source!r} is not evidence"
    if not run.started_at <= run.finished_at <= run.started_at + LONGEST_RUN:
        yield "its times are not those of a run: it must end after its start, within a day"
    if run.finished_at > now + CLOCK_SKEW:
        yield f"it ends in the future ({run.finished_at:%Y-%m-%d %H:%M})"


def _count_problems(document: Mapping[str, Any]) -> Iterator[str]:
    """What in the endpoints' rows does not follow from the cells of the same file."""
    cells = tuple(cell_from(row) for row in document["cells"])
    totals = {total.endpoint: total for total in summed(cells)}
    named = [str(row["endpoint"]) for row in document["endpoints"]]
    if sorted(named) != sorted(totals):
        yield "its endpoints are not those of its cells"
    for row in document["endpoints"]:
        total = totals.get(str(row["endpoint"]))
        if total is not None:
            yield from (
                f"{total.endpoint}: {what} does not follow from the cells" for what in _wrong(row, total, cells)
            )
    named_failures = len(document["failures"])
    counted = sum(cell.verdicts.get("fail", 0) + cell.verdicts.get("error", 0) for cell in cells)
    if named_failures > counted + sum(row.get("mode") == "parity" for row in document["failures"]):
        yield f"it names {named_failures} failures, but its cells count {counted}"


def _wrong(row: Mapping[str, Any], total: Cell, cells: Sequence[Cell]) -> Iterator[str]:
    basis = cell_from({"endpoint": total.endpoint, **row["basis"]})
    yield from (name for name in _SUMS if getattr(basis, name) != getattr(total, name))
    counts = counts_of([total])
    names = ("judged", "passed", "rescued", "failed", "errors")
    yield from (name for name in names if row[name] != getattr(counts, name))
    ran = total.verdicts.keys() - {"not_run"}
    if row["status"] != (status_of([total]) if ran else "unknown"):
        yield f"status {row['status']}"
    if row["cases"] != sorted(cases_of(cells, total.endpoint)):
        yield "the list of cases"


def _content(document: Mapping[str, Any]) -> str:
    """Hash of what a run measured, which no two runs share: start, end, cells and endpoints without its id."""
    header = document["run"]
    parts = [header["started_at"], header["finished_at"], document["cells"], document["endpoints"]]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _latest(folder: Path) -> Iterator[str]:
    """For latest.json, if it is there: what is wrong with it, or an empty text."""
    path = folder / "latest.json"
    if not path.exists():
        return
    try:
        at = store.read_latest(path).generated_at
        if at is None:
            yield "latest.json: does not say when it was generated"
            return
        runs = store.load_runs(folder, at - store.KEPT_FOR, [])
        known = [run for run in runs if run.finished_at <= at + CLOCK_SKEW]
        same = path.read_text("utf-8") == store.dumps(store.readable(store.latest(known, at), []))
        yield "" if same else "latest.json: is not what the run files give; `kimiprobe record` derives it again"
    except ConfigError as error:
        yield str(error).replace(str(path), "latest.json")


def _months(folder: Path, runs: Sequence[StoredRun], now: datetime) -> Iterator[str]:
    """For each file of the roll-up: which of its lines do not follow from the run files, or an empty text.

    Lines of days without run files cannot be checked.
    """
    expected = daily.lines_of(store.counted(runs, now))
    days = {day for day, _ in expected}
    for path in sorted((folder / daily.FOLDER).glob("*.jsonl")):
        found: list[str] = []
        lines = daily.read_month(path, found) or {}
        wrong = sorted(key for key, line in lines.items() if key[0] in days and line != expected.get(key))
        wrong += sorted(key for key in expected if key[0].startswith(path.stem) and key not in lines)
        found += [f"the line of {day} and {endpoint} is not what the run files give" for day, endpoint in wrong[:3]]
        yield "; ".join([f"{daily.FOLDER}/{path.name}: {found[0]}", *found[1:]]) if found else ""
