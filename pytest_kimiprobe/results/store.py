"""The results folder: one file a run under `runs/`, and `latest.json`, which is derived from them for the router.

    results/runs/2026/11/23/051740Z-<run id>-<attempt>.json     written once, never changed by another run
    results/latest.json                                         see routing.evidence; recomputed, never merged

A run file holds counts per endpoint, case and mode (`cells`), and times and cost per endpoint (`endpoints`). It
describes some failures, each in a redacted line; raw exchanges stay out of the repository. One row a line and sorted
keys keep diffs readable. Runs of the simulator and replays are never stored here.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from operator import add
from pathlib import Path
from typing import Any

from routing.errors import ConfigError, EvidenceError
from routing.evidence.model import CLOCK_SKEW, FRESH_FOR, VERSION, Counts, EndpointEvidence, Evidence, loads, utc_text
from routing.parsing.safe_read import read_regular
from routing.types import Status

from ..atomic_files import replace_files
from ..safe_text import one_line
from ..stats.quantiles import rounded
from ..stats.status import LEAST_JUDGED
from ..verdicts import Run
from .run_file import StoredRun, document, parsed, rendered

RECORDED = frozenset({"live", "local"})
KEPT_FOR = timedelta(days=30)
"""An endpoint that was not probed for this long is left out of latest.json. It is `unknown` long before."""
MAX_BYTES = 8 << 20
"""The largest run file in bytes that is read. Ours hold a few hundred bytes a cell."""
_MAX_NAME = 80
FILE_NAME = re.compile(r"[0-9]{6}Z-[A-Za-z0-9_-]{1,90}-[0-9]{1,6}(?:\.[0-9]{1,4})?\.json")
"""Pattern of the file names that `write_run` gives to run files."""


class ResultsError(ConfigError):
    """Results cannot be written, or must not be. `where` names the path; its old content is kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """An endpoint whose status changed. `since` is the time of the last probe before; None if it was never probed."""

    endpoint: str
    before: Status
    after: Status
    since: datetime | None


def write_run(folder: Path, run: Run, *, environment: Mapping[str, str] | None = None) -> Path:
    """Write the run's file under `folder` and return its path. Writing the same run again replaces only its own file.

    Raises ResultsError for runs of the simulator and replays, and if the folder cannot be written.
    """
    environment = os.environ if environment is None else environment
    if run.source not in RECORDED:
        raise ResultsError(f"a run of source {run.source!r} is not evidence and is not recorded", where=str(folder))
    path = _free_path(folder / "runs", run)
    atomic_write(path, rendered(run, environment))
    return path


def load_runs(folder: Path, since: datetime | None, problems: list[str]) -> list[StoredRun]:
    """All runs that started at `since` or later, oldest first.

    A file that is torn, foreign or of a newer version is skipped, named in `problems` and never changed. So is a row
    with a figure that cannot be right. Folders of earlier days are not listed.
    """
    runs = []
    for path in run_files(folder / "runs", since.date() if since else date.min):
        try:
            run = parsed(read_run(path), str(path))
        except (ConfigError, ValueError) as error:
            told = str(error).removeprefix(f"{path}: ")
            problems.append(f"{one_line(str(path), 400)}: skipped: {one_line(told)}")
            continue
        if run.source not in RECORDED:
            problems.append(
                f"{one_line(str(path), 400)}: skipped: a run of source {one_line(run.source, 20)!r} is not evidence"
            )
        elif since is None or run.started_at >= since:
            runs.append(run)
            problems += [f"{one_line(str(path), 400)}: {_skipped(name, why)}" for name, why in run.refused.items()]
    return sorted(runs, key=_order)


def _skipped(endpoint: str, why: str) -> str:
    return f"{one_line(endpoint, 200)}: skipped: {one_line(why)}"


def read_run(path: Path) -> str:
    """The text of a run file. Raises ResultsError for another name, no regular file, too many bytes, not UTF-8."""
    if not FILE_NAME.fullmatch(path.name):
        raise ResultsError("is not named as run files are", where=str(path))
    try:
        return read_regular(path, error=ResultsError, max_bytes=MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise ResultsError("is not UTF-8", where=str(path)) from None


def counted(runs: Iterable[StoredRun], now: datetime) -> list[StoredRun]:
    """The runs that are evidence, oldest first: complete ones, not from the future, local ones only if none is live."""
    # A run whose start or end is dated further ahead would stay the newest for a long time.
    dated = (run for run in runs if run.complete and max(run.started_at, run.finished_at) <= now + CLOCK_SKEW)
    known = sorted(dated, key=_order)
    source = "live" if any(run.source == "live" for run in known) else "local"
    return [run for run in known if run.source == source]


def latest(runs: Iterable[StoredRun], now: datetime) -> Evidence:
    """Evidence of each endpoint: its newest complete run, and the counts of the last 7 days (`FRESH_FOR`).

    If an earlier run is known, a run with fewer than 10 requests to the endpoint adds to the counts only. Such a run
    comes from `-k` or a small budget.
    Local runs count only if there is no live run: answers of this machine are never mixed with real evidence.
    """
    known = counted(runs, now)
    opening = now - FRESH_FOR
    newest: dict[str, EndpointEvidence] = {}
    windows: dict[str, Counts] = {}
    cases: dict[str, set[str]] = defaultdict(set)
    for run in known:
        for endpoint, row in run.evidence.items():
            if not row.counts.judged and set(row.reasons) == {"local_failure"}:
                continue  # no request left this machine, so the run says nothing about the endpoint
            if endpoint not in newest or row.counts.requests >= LEAST_JUDGED:
                newest[endpoint] = replace(row, complete=run.complete)
            if run.started_at >= opening:
                cases[endpoint] |= run.cases.get(endpoint, frozenset())
                windows[endpoint] = _plus(windows.get(endpoint, Counts()), row.counts)
    return Evidence(
        generated_at=now,
        run=known[-1].name if known else "",
        source=known[-1].source if known else "",
        endpoints={
            endpoint: replace(
                newest[endpoint],
                window=windows.get(endpoint, Counts()),
                window_days=FRESH_FOR.days,
                cases=len(cases[endpoint]),
            )
            for endpoint in sorted(newest)
        },
    )


def evidence_now(folder: Path, now: datetime, problems: list[str]) -> tuple[Evidence, list[StoredRun]]:
    """Evidence derived from the run files now, and the runs. Without run files, the evidence in latest.json.

    Raises EvidenceError if there are no run files and latest.json cannot be read.
    """
    runs = load_runs(folder, now - KEPT_FOR, problems)
    path = folder / "latest.json"
    if runs or not path.exists():
        return replace(latest(runs, now), origin=str(folder)), runs
    return read_latest(path), runs


def read_latest(path: Path) -> Evidence:
    """The evidence in a latest.json. Raises EvidenceError if the file is missing or cannot be read."""
    return loads(read_regular(path, error=EvidenceError).decode("utf-8", "replace"), origin=str(path))


def run_paths(folder: Path, now: datetime) -> set[Path]:
    """The run files that `refresh_latest` reads."""
    return set(run_files(folder / "runs", (now - KEPT_FOR).date()))


def refresh_latest(folder: Path, now: datetime, problems: list[str] | None = None) -> Evidence:
    """Recompute `latest.json` from the run files and write it atomically. Raises ResultsError if writing fails."""
    found: list[str] = [] if problems is None else problems
    evidence = readable(latest(load_runs(folder, now - KEPT_FOR, found), now), found)
    path = folder / "latest.json"
    atomic_write(path, dumps(evidence))
    return replace(evidence, origin=str(path))


def readable(evidence: Evidence, problems: list[str]) -> Evidence:
    """The evidence without the rows that a reader of latest.json would refuse; they are named in `problems`."""
    try:
        refused = loads(dumps(evidence)).refused
    except EvidenceError as error:  # every row
        refused = dict.fromkeys(evidence.endpoints, str(error))
    problems += [f"latest.json: {_skipped(name, why)}" for name, why in refused.items()]
    kept = {name: row for name, row in evidence.endpoints.items() if name not in refused}
    return replace(evidence, endpoints=kept)


def changes(before: Evidence, after: Evidence) -> list[Change]:
    """Endpoints whose status differs, in order. A new endpoint counts as `unknown` before."""
    found = []
    for endpoint, row in sorted(after.endpoints.items()):
        former = before.endpoints.get(endpoint)
        status = former.status if former else "unknown"
        if row.status != status:
            found.append(Change(endpoint, status, row.status, former.probed_at if former else None))
    return found


def dumps(evidence: Evidence) -> str:
    """latest.json: what `routing.evidence.loads` reads. One endpoint a line."""
    now = evidence.generated_at or datetime.now(UTC)
    head = {"version": VERSION, "generated_at": utc_text(now), "run": evidence.run, "source": evidence.source}
    rows = {endpoint: evidence_row(row, now) for endpoint, row in sorted(evidence.endpoints.items())}
    return document(head, {"endpoints": rows})


def evidence_row(row: EndpointEvidence, now: datetime) -> dict[str, Any]:
    """One endpoint's evidence as JSON; None for figures without a measurement."""
    data = asdict(row)
    del data["endpoint"]
    return {
        **data.pop("counts"),
        "window": {"days": data.pop("window_days"), **data.pop("window")},
        **data,
        "probed_at": utc_text(row.probed_at),
        "cost_per_1k_usd": None if row.cost_per_1k_usd is None else str(row.cost_per_1k_usd),
        "schema_accuracy": rounded(row.schema_accuracy, 6),
        "k2vv_compatible": rounded(row.k2vv_compatible, 6),
        "age_s": int(row.age(now).total_seconds()),
    }


def atomic_write(path: Path, text: str) -> None:
    """Replace a file as one step. Raises ResultsError naming the path; the old content is then kept."""
    if path.exists() and not path.is_file():  # a device or a pipe must not be replaced by a file
        raise ResultsError("is no regular file", where=str(path))
    replace_files({path: text.encode()}, _refused)


def _refused(path: Path, why: str) -> ResultsError:
    return ResultsError(f"cannot write: {why}; what was there is kept", where=str(path))


def _free_path(root: Path, run: Run) -> Path:
    """The path for the run: its earlier path if it was written before, else a free one."""
    started = run.started_at.astimezone(UTC)
    stem = f"{started:%H%M%SZ}-{safe_name(run.id)}-{run.attempt}"
    number = 1
    while True:
        path = root / f"{started:%Y/%m/%d}" / f"{stem}{'' if number == 1 else f'.{number}'}.json"
        if not os.path.lexists(path) or _is_of(path, run):
            return path
        number += 1


def stored_run(path: Path) -> StoredRun | None:
    """The content of a run file; None if it is missing or cannot be read."""
    try:
        return parsed(read_run(path), str(path))
    except (ConfigError, ValueError):
        return None


def _is_of(path: Path, run: Run) -> bool:
    found, started = stored_run(path), utc_text(run.started_at)
    return found is not None and (found.id, found.attempt, utc_text(found.started_at)) == (run.id, run.attempt, started)


def safe_name(text: str) -> str:
    """The run id as a valid file name. If characters had to be changed, a hash is added, so that names stay unique."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:_MAX_NAME]
    return (
        plain
        if plain == text and plain
        else f"{plain or 'run'}_{sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
    )


def _plus(one: Counts, other: Counts) -> Counts:
    return Counts(*map(add, astuple(one), astuple(other)))


def _order(run: StoredRun) -> tuple[datetime, str, int]:
    return run.started_at, run.id, run.attempt


def run_files(root: Path, since: date) -> Iterator[Path]:
    """Run files of that day and later, in order of their paths."""
    for year in _folders(root, f"{since:%Y}"):
        for month in _folders(year, f"{since:%m}" if year.name == f"{since:%Y}" else ""):
            for day in _folders(month):
                if _day_of(day) >= since:
                    names = sorted(entry.name for entry in os.scandir(day) if not entry.name.startswith("."))
                    yield from (day / name for name in names if name.endswith(".json"))


def _folders(parent: Path, since: str = "") -> list[Path]:
    """Subfolders of `parent` whose names begin with a digit and are `since` or later, sorted by name."""
    try:
        entries = [entry.name for entry in os.scandir(parent) if entry.name[:1].isdigit() and entry.is_dir()]
    except OSError:
        return []
    return [parent / name for name in sorted(entries) if name >= since]


def _day_of(folder: Path) -> date:
    """The day of a folder. A folder with another name gets the latest day, so that its files are named as problems."""
    try:
        return date(*(int(part) for part in folder.parts[-3:]))
    except ValueError:
        return date.max
