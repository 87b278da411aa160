"""Command `kimiprobe replay`: judges recorded exchanges again, and shows changed verdicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from routing.parsing.safe_read import read_regular

from ...recording import replays
from ...recording.replay_diff import (
    AgainstError,
    EarlierVerdicts,
    JudgedProbe,
    ReplayDiff,
    VerdictChange,
    VerdictReason,
    compare,
    judged_in,
    recorded_verdicts,
    verdicts_in,
)
from ...recording.replays import Replays
from ...results.last_run import SWITCHED_OFF
from ...safe_text import one_line
from ...tables import Column, rendered
from . import Wrong
from .shared import json_option, show

MAX_BYTES = 256 << 20
_COLUMNS = (
    Column("case", shorten="middle"),
    Column("endpoint", shorten="middle"),
    Column("mode"),
    Column("sample", right=True),
    Column("then", shorten="end"),
    Column("now", shorten="end"),
)
_ASIDE = ("SOURCE", "RECORD", "RESULTS", "JSON", "COMPARE", "SUITE", "ENDPOINT")
"""Settings that a replay ignores, because it judges every recording and writes no files of the user."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("recordings", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="A run file of results/, or one that --kimiprobe-json wrote (default: the verdicts in the cassettes).",
)
@json_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def replay(
    context: click.Context, recordings: Path, against: Path | None, as_json: bool, arguments: tuple[str, ...]
) -> None:
    """Judge RECORDINGS again, offline, and show changed verdicts.

    RECORDINGS is a folder that --kimiprobe-record wrote, or one file of it. Further ARGUMENTS go to pytest. Exit codes:
    0 no verdict changed, 1 some did, 2 the file of --against or a file of RECORDINGS
    cannot be used.
    """
    found = replays.read(recordings)
    if unreadable := found.unreadable():
        files = "; ".join(f"{path}: cannot be read: {why}" for path, why in unreadable.items())
        raise Wrong(one_line(f"{files}; record it again, or take it out of {recordings}", 1000))
    before = _before(against, found)
    probes = _judged_now(recordings, arguments)
    others = {probe for probe, sample in found.samples.items() if before.run and sample.run != before.run}
    probes = [probe for probe in probes if probe.id not in others]
    comparison = compare(probes, before)
    if not comparison.compared:
        raise Wrong(f"nothing to compare: {against or recordings} holds no verdict on any of these recordings")
    notes = [f"{len(others)} recorded probes are of another run than {against}"] if others else []
    notes += _notes(comparison, against)
    hosts = " (simulated hosts)" if found.simulated else ""
    show(_text(comparison, notes, hosts), _document(comparison, against, notes), as_json=as_json)
    context.exit(1 if comparison.changed else 0)


def _before(against: Path | None, found: Replays) -> EarlierVerdicts:
    if against is None:
        return recorded_verdicts(found.samples.values())
    try:
        text = read_regular(against, error=AgainstError, max_bytes=MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise AgainstError("is not UTF-8", where=str(against)) from None
    before = verdicts_in(text, str(against))
    runs = {sample.run for sample in found.samples.values()}
    if before.run and runs and before.run not in runs:
        message = f"is of run {before.run}, the recordings are of {', '.join(sorted(runs))}"
        raise AgainstError(one_line(message, 300), where=str(against))
    return before


def _judged_now(recordings: Path, arguments: Sequence[str]) -> list[JudgedProbe]:
    """Judge the recordings again with pytest in a child process, and return the new verdicts.

    pytest loads the plugins, case files and test functions as it does in the current folder.
    """
    with tempfile.TemporaryDirectory(prefix="kimiprobe-") as folder:
        target = Path(folder) / "replayed.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "kimiprobe_record="]
        command += ["-o", "kimiprobe_results=", "--kimiprobe", "--kimiprobe-source", f"replay:{recordings}"]
        command += ["--kimiprobe-json", str(target), *arguments]
        aside = {f"KIMIPROBE_{name}" for name in _ASIDE}
        environment = {name: value for name, value in os.environ.items() if name not in aside}
        environment[SWITCHED_OFF] = "0"
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)  # noqa: S603 - a list, no shell
        if done.returncode not in {0, 1} or not target.is_file():
            raise Wrong(f"the replay failed (pytest's exit code {done.returncode}): {_last_lines(done)}")
        return judged_in(json.loads(target.read_text("utf-8")), str(target))


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    output = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    errors = [line for line in output if "ERROR" in line or line.startswith("E ")]
    return one_line("; ".join((errors or output)[-3:]), 600)


def _notes(comparison: ReplayDiff, against: Path | None) -> list[str]:
    where = one_line(str(against), 200) if against else "the cassettes"
    notes = []
    if comparison.missing:
        notes.append(f"{comparison.missing} verdicts of {where} have no recording here")
    if comparison.extra:
        notes.append(f"{comparison.extra} recordings have no verdict in {where}")
    return notes


def _text(comparison: ReplayDiff, notes: Sequence[str], hosts: str) -> list[str]:
    count = len(comparison.changed)
    beside = f" and {comparison.pairs} on pairs" if comparison.pairs else ""
    head = f"{comparison.compared - comparison.pairs} verdicts{beside} compared, {count or 'none'} changed{hosts}"
    table = rendered(_COLUMNS, [_line(change) for change in comparison.changed]) if count else []
    return [head, *table, *notes]


def _line(change: VerdictChange) -> list[str]:
    probe = change.probe
    now = _verdict_text(probe.judgement) + (f": {one_line(probe.detail, 120)}" if probe.detail else "")
    names = [one_line(name, 120) for name in (probe.case, probe.endpoint, probe.mode)]
    return [*names, str(probe.sample), _verdict_text(change.before), now]


def _verdict_text(judgement: VerdictReason) -> str:
    return one_line(judgement.verdict if judgement.verdict == "pass" else f"{judgement.verdict} {judgement.reason}", 80)


def _document(comparison: ReplayDiff, against: Path | None, notes: Sequence[str]) -> dict[str, Any]:
    changed = [_row(change) for change in comparison.changed]
    return {"against": str(against) if against else None, **asdict(comparison), "changed": changed, "notes": notes}


def _row(change: VerdictChange) -> dict[str, Any]:
    row = asdict(change.probe)
    after = {**row.pop("judgement")._asdict(), "detail": row.pop("detail")}
    return {**row, "before": change.before._asdict(), "after": after}
