"""`results verify`: run files that agree with themselves, and derived files that follow from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from test_store import KIMI, NOW, a_run, failed, passed

from pytest_kimiprobe.results.daily import refresh_daily
from pytest_kimiprobe.results.store import refresh_latest, write_run
from pytest_kimiprobe.results.verify import check


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of two days with their derived files."""
    write_run(tmp_path, a_run(*passed(20), *failed(2), at=NOW - timedelta(days=1)))
    write_run(tmp_path, a_run(*passed(12), run_id="78", at=NOW - timedelta(hours=1)))
    refresh_latest(tmp_path, NOW)
    refresh_daily(tmp_path, NOW, [])
    return tmp_path


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").rglob("*.json"))


def changed(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def told(folder: Path) -> str:
    return "\n".join(check(folder, NOW).problems)


def test_what_the_monitor_writes_has_no_problem(folder: Path) -> None:
    found = check(folder, NOW)
    assert (found.runs, found.derived, found.problems) == (2, 2, ())


def test_an_empty_folder_has_no_problem(tmp_path: Path) -> None:
    assert check(tmp_path, NOW).problems == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: run["endpoints"][0].update(status="broken"), "status broken does not follow from the cells"),
        (lambda run: run["endpoints"][0].update(passed=22), "passed does not follow from the cells"),
        (lambda run: run["endpoints"][0]["basis"]["verdicts"].update({"pass": 90}), "verdicts does not follow"),
        (lambda run: run["endpoints"][0].update(cases=["a", "b"]), "the list of cases does not follow"),
        (lambda run: run["endpoints"].clear(), "its endpoints are not those of its cells"),
        (lambda run: run["cells"].append({**run["cells"][0], "endpoint": "x/y"}), "its endpoints are not those"),
        (lambda run: run["run"].update(finished_at="2026-11-01T00:00:00Z"), "its times are not those of a run"),
        (lambda run: run["run"].update(finished_at="2026-12-31T00:00:00Z"), "it ends in the future"),
        (lambda run: run["run"].update(id="other"), "its path is not that of run other-1"),
        (lambda run: run["run"].update(source="simulator"), "source 'simulator' is not evidence"),
        (lambda run: run.update(version=2), "version 2; this release reads version 1"),
        (lambda run: run.pop("cells"), "cells"),
        (lambda run: run["endpoints"][0].pop("basis"), "basis"),
    ],
)
def test_a_run_file_that_contradicts_itself_is_named(folder: Path, change: Callable[[Any], object], words: str) -> None:
    """By its path in the folder, with the figure that is wrong."""
    path = runs(folder)[0]
    changed(path, change)
    problems = check(folder, NOW).problems
    ours = [problem for problem in problems if problem.startswith(f"{path.relative_to(folder)}: ")]
    assert any(words in problem for problem in ours), problems


def test_copies_of_one_run_are_named(folder: Path) -> None:
    """One run under several ids would count several times."""
    path = runs(folder)[0]
    copy = path.with_name(path.name.replace("77-1", "79-1"))
    shutil.copy(path, copy)
    changed(copy, lambda run: run["run"].update(id="79"))
    refresh_latest(folder, NOW)
    assert "79-1.json: is a copy of" in told(folder)


def test_derived_files_that_do_not_follow_are_named(folder: Path) -> None:
    """`latest.json` is what routers read; the roll-up is kept for years."""
    changed(folder / "latest.json", lambda latest: latest["endpoints"][KIMI].update(status="broken"))
    month = next((folder / "daily").glob("*.jsonl"))
    month.write_text(month.read_text().replace('"passed": 20', '"passed": 22'))
    assert "latest.json: is not what the run files give" in told(folder)
    assert f"daily/{month.name}: the line of " in told(folder)


def test_lines_of_days_without_run_files_are_left_alone(folder: Path) -> None:
    """Their run files may have been rolled up."""
    runs(folder)[0].unlink()
    refresh_latest(folder, NOW)
    assert told(folder) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', "\x00"])
def test_a_torn_file_is_a_problem_and_no_crash(folder: Path, text: str) -> None:
    path = runs(folder)[0]
    path.write_text(text)
    assert f"{path.relative_to(folder)}: " in told(folder)
