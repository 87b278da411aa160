"""Records a run in a results folder: its file, then latest.json and the daily roll-up, which are derived."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from routing.errors import ConfigError
from routing.evidence.model import Evidence
from routing.flags.model import Flags
from routing.flags.source import find_flags

from ..verdicts import Run
from .daily import refresh_daily
from .store import RECORDED, Change, changes, read_latest, refresh_latest, run_paths, write_run

_WRITERS = 20
"""How often the derived files are computed at most, if other processes keep adding run files meanwhile."""


def record_run(folder: Path, run: Run) -> tuple[list[Change], str]:
    """Write the run into `folder`; returns what changed, or a note why the run is not evidence.

    Raises ResultsError if the folder cannot be written.
    """
    if run.source not in RECORDED:
        return [], f"not recorded in {folder}: a {run.source} run is not evidence"
    if run.source == "local" and not _test_environment(folder):
        return [], (
            f"not recorded in {folder}: base URLs point at this machine; "
            "only with `environment: test` in flags.yaml is that evidence"
        )
    run = replace(run, probes=tuple(probe for probe in run.probes if probe.evidence))
    if not run.probes:
        return [], f"not recorded in {folder}: no case of this run counts as evidence (docs/cases.md)"
    before = _known(folder / "latest.json")
    write_run(folder, run)
    after, problems, known = Evidence(), list[str](), set[Path]()
    # The last writer must have seen all runs. So results are derived again if another process wrote a run meanwhile.
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
    """The former evidence; empty if it is missing or cannot be read, because it is derived again anyway."""
    try:
        return read_latest(path)
    except ConfigError:
        return Evidence()
