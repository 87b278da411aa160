"""Command `kimiprobe status`: shows the status of each endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from routing import catalog as catalogs
from routing.catalog import Catalog
from routing.errors import EvidenceError
from routing.evidence.model import FRESH_FOR, EndpointEvidence, Evidence, utc_text
from routing.flags.model import Flags
from routing.flags.source import find_flags
from routing.types import Status

from ...reporting.endpoint_table import COLUMNS, cells, labels_of
from ...results.store import evidence_now, evidence_row, read_latest
from ...safe_text import one_line
from ...tables import Column, folded, rendered
from .shared import flags_option, json_option, results_folder, results_option, show, tell_problems

_COLUMNS = (*COLUMNS, Column("age", right=True))


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint with its status as of now. `evidence` is None if the endpoint was never probed."""

    endpoint: str
    model: str
    status: Status
    evidence: EndpointEvidence | None


@click.command()
@flags_option
@results_option
@click.option("--all", "everything", is_flag=True, help="Also endpoints of the catalogue that were never probed.")
@json_option
def status(flags_path: Path | None, results: Path | None, everything: bool, as_json: bool) -> None:
    """Show the status of each endpoint, and how old it is.

    Counts are those of each endpoint's newest run, as its report has them. What is older than 7 days reads `unknown`.
    Unreadable files are named and change nothing.
    """
    now, problems = datetime.now(UTC), list[str]()
    if flags_path is not None:
        Flags.load(flags_path)
    folder = results_folder(results, flags_path or find_flags())
    evidence = read(folder, now, problems)
    catalog = catalogs.load()
    rows = rows_of(evidence, catalog, now, everything=everything)
    show(lines_of(folder, evidence, rows, now), document(evidence, rows, now, problems), as_json=as_json)
    if not as_json:
        tell_problems(problems)


def read(folder: Path, now: datetime, problems: list[str]) -> Evidence:
    """Evidence of latest.json or, if that cannot be read, of the run files. Each problem is added to `problems`."""
    path = folder / "latest.json"
    try:
        derived, runs = evidence_now(folder, now, problems)
    except EvidenceError as problem:
        problems.append(str(problem))
        return Evidence()
    if not runs or not path.exists():
        return derived
    try:
        evidence = read_latest(path)
    except EvidenceError as problem:
        problems.append(f"{problem}; shown is what the run files give")
        return derived
    if derived.run != evidence.run:
        problems.append(f"{path} does not count run {one_line(derived.run, 60)} yet; `kimiprobe record` recomputes it")
    return evidence


def rows_of(evidence: Evidence, catalog: Catalog, now: datetime, *, everything: bool) -> list[Row]:
    """One row for each endpoint, sorted by model and endpoint; with `everything` also those never probed."""
    names = set(evidence.endpoints) | (set(catalog.endpoints) if everything else set())
    return sorted((_row(name, evidence, catalog, now) for name in names), key=lambda row: (row.model, row.endpoint))


def _row(name: str, evidence: Evidence, catalog: Catalog, now: datetime) -> Row:
    known, listed = evidence.endpoints.get(name), catalog.endpoints.get(name)
    found: Status = known.status_at(now) if known else "unknown"
    if known is None and listed is not None and listed.retired_at(now.date()):
        found = "retired"
    return Row(name, listed.model if listed else "not in the catalogue", found, known)


def lines_of(folder: Path, evidence: Evidence, rows: Sequence[Row], now: datetime) -> list[str]:
    """The status as text lines: the age of the evidence, one table for each model, and hints.

    The hints say what to do if the evidence is old or missing.
    """
    if evidence.generated_at is None or not evidence.endpoints:
        return [f"no results in {folder} yet: `kimiprobe check` makes some", *_tables(rows, now)]
    newest = min(row.age(now) for row in evidence.endpoints.values())
    marked = "" if evidence.source == "live" else f" ({evidence.source}: says nothing of real hosts)"
    head = f"newest evidence {age_words(newest)} old, of run {one_line(evidence.run, 40)}{marked}"
    lines = [evidence.origin or str(folder), *folded("", head, 0), *_tables(rows, now)]
    lines += ["", "counted: native tool calls; where there are none, tools described in the prompt"]
    stale = [row for row in rows if row.evidence and row.evidence.age(now) > FRESH_FOR]
    if stale:
        lines += ["", f"{len(stale)} of {len(rows)} were not probed for more than {FRESH_FOR.days} days: unknown"]
        lines += ["until they are; `kimiprobe check` probes them"]
    return lines


def _tables(rows: Sequence[Row], now: datetime) -> Iterator[str]:
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        labels = labels_of([row.endpoint for row in mine])
        yield ""
        yield model
        yield from rendered(_COLUMNS, [_cells(labels[row.endpoint], row, now) for row in mine])


def _cells(label: str, row: Row, now: datetime) -> tuple[str, ...]:
    known = row.evidence
    if known is None:
        return (one_line(label), *["-"] * (len(COLUMNS) - 2), row.status, "never")
    return (*cells(label, known, row.status, doubtful=known.latency_unreliable), _short_age(known.age(now)))


def age_words(age: timedelta) -> str:
    """An age in its largest unit, rounded down: `3 hours`, `1 day`."""
    total = int(age.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if total >= size:
            return f"{total // size} {unit}{'' if total // size == 1 else 's'}"
    return "less than a minute"


def _short_age(age: timedelta) -> str:
    number, _, unit = age_words(age).partition(" ")
    return f"{number}{unit[0]}" if number.isdigit() else "0m"


def document(evidence: Evidence, rows: Sequence[Row], now: datetime, problems: Sequence[str]) -> dict[str, Any]:
    """The status as a JSON object, with rows as in latest.json.

    `status` is the status as of now, `recorded_status` the one in latest.json.
    """
    return {
        "origin": evidence.origin,
        "generated_at": utc_text(evidence.generated_at) if evidence.generated_at else None,
        "run": evidence.run,
        "source": evidence.source,
        "endpoints": [_json(row, now) for row in rows],
        "problems": list(problems),
    }


def _json(row: Row, now: datetime) -> dict[str, Any]:
    head = {"endpoint": row.endpoint, "model": row.model}
    if row.evidence is None:
        return head | {"status": row.status, "recorded_status": None, "probed_at": None, "age_s": None}
    recorded = row.evidence.status
    return head | evidence_row(row.evidence, now) | {"status": row.status, "recorded_status": recorded}
