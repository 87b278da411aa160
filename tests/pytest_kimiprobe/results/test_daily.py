"""The roll-up is a function of the run files: recomputed, never appended to."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pytest_kimiprobe.results.daily import refresh_daily
from pytest_kimiprobe.results.store import ResultsError, load_runs, refresh_latest, write_run
from pytest_kimiprobe.verdicts import ProbeResult, Run, Verdict

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
RIGHT: Verdict = "pass"
KIMI = "openrouter/moonshotai/kimi-k2.6"


def a_run(run_id: str, at: datetime, *verdicts: Verdict, endpoint: str = KIMI, attempt: int = 1) -> Run:
    reasons = {"pass": "ok", "fail": "wrong_tool", "error": "timeout"}
    probes = tuple(
        ProbeResult(
            f"id-{n}",
            "weather",
            endpoint,
            "plain",
            n,
            verdict,
            reasons[verdict],
            total_ms=900.0,
            cost_usd=Decimal("0.001"),
        )
        for n, verdict in enumerate(verdicts)
    )
    return Run(run_id, attempt, "live", "core", at, at + timedelta(minutes=2), True, probes)


def rows(folder: Path, month: str = "2026-11") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"daily/{month}.jsonl").read_text().splitlines()]


def test_one_line_an_endpoint_and_day(tmp_path: Path) -> None:
    """Counts of all runs of the day, status of its newest, the runs by name."""
    write_run(tmp_path, a_run("1", NOW - timedelta(hours=5), "pass", "fail"))
    write_run(tmp_path, a_run("2", NOW - timedelta(hours=1), *(RIGHT,) * 20))
    write_run(tmp_path, a_run("3", NOW - timedelta(days=1), "error"))
    refresh_daily(tmp_path, NOW, [])
    first, second = rows(tmp_path)
    assert (first["day"], first["status"], first["errors"], first["runs"]) == ("2026-11-22", "down", 1, ["3-1"])
    assert (second["day"], second["status"], second["runs"]) == ("2026-11-23", "works", ["1-1", "2-1"])
    assert (second["judged"], second["passed"], second["failed"]) == (22, 21, 1)
    assert second["reasons"] == {"wrong_tool": 1}
    assert (second["cost_usd"], second["costed"], second["p50_ms"]) == ("0.022", 22, 900)


def test_again_changes_nothing(tmp_path: Path) -> None:
    """Idempotent by run id; the same runs give the same bytes, whoever writes them and in which order."""
    runs = [a_run(str(n), NOW - timedelta(hours=n), "pass") for n in range(1, 6)]
    for run in runs:
        write_run(tmp_path, run)
        refresh_daily(tmp_path, NOW, [])
    text = (tmp_path / "daily/2026-11.jsonl").read_text()
    assert refresh_daily(tmp_path, NOW, []) == []
    for run in reversed(runs):
        write_run(tmp_path / "other", run)
        write_run(tmp_path / "other", run)
        refresh_daily(tmp_path / "other", NOW, [])
    assert (tmp_path / "other/daily/2026-11.jsonl").read_text() == text


def test_days_out_of_reach_stay_as_they_stand(tmp_path: Path) -> None:
    """Their run files may be gone from the checkout; their lines are kept, in the month they share too."""
    early, late = datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 12, 10, 5, tzinfo=UTC)
    path = write_run(tmp_path, a_run("1", early, "pass"))
    refresh_daily(tmp_path, early + timedelta(hours=1), [])
    path.unlink()
    write_run(tmp_path, a_run("2", datetime(2026, 11, 20, 5, tzinfo=UTC), "pass"))
    write_run(tmp_path, a_run("3", late, "pass"))
    changed = refresh_daily(tmp_path, late, [])
    assert [file.name for file in changed] == ["2026-11.jsonl", "2026-12.jsonl"]
    assert [row["day"] for row in rows(tmp_path)] == ["2026-11-01", "2026-11-20"]
    assert [row["day"] for row in rows(tmp_path, "2026-12")] == ["2026-12-10"]


def test_a_torn_line_is_named_and_made_anew(tmp_path: Path) -> None:
    """Even of a day out of reach, where its run file is still there."""
    write_run(tmp_path, a_run("1", datetime(2026, 11, 2, 5, tzinfo=UTC), "pass"))
    write_run(tmp_path, a_run("2", datetime(2026, 11, 20, 5, tzinfo=UTC), "pass"))
    refresh_daily(tmp_path, NOW, [])
    path = tmp_path / "daily/2026-11.jsonl"
    whole = path.read_text()
    path.write_text(whole[:40] + "\n" + whole.splitlines()[1] + "\n")
    problems: list[str] = []
    refresh_daily(tmp_path, datetime(2026, 12, 5, tzinfo=UTC), problems)
    assert path.read_text() == whole
    assert "2026-11.jsonl:1: not a line of the roll-up" in problems[0]


def test_a_newer_releases_file_is_left_alone(tmp_path: Path) -> None:
    """Named, not guessed at, not overwritten."""
    write_run(tmp_path, a_run("1", NOW - timedelta(hours=1), "pass"))
    refresh_daily(tmp_path, NOW, [])
    path = tmp_path / "daily/2026-11.jsonl"
    path.write_text(path.read_text().replace('"v": 1', '"v": 2'))
    text, problems = path.read_text(), list[str]()
    assert refresh_daily(tmp_path, NOW, problems) == []
    assert path.read_text() == text
    assert "version 2; this release reads version 1" in problems[0]


def test_a_torn_run_file_costs_its_own_counts_only(tmp_path: Path) -> None:
    """The day's other runs are counted."""
    torn = write_run(tmp_path, a_run("1", NOW - timedelta(hours=2), "pass"))
    torn.write_text(torn.read_text()[:100])
    write_run(tmp_path, a_run("2", NOW - timedelta(hours=1), "pass"))
    refresh_daily(tmp_path, NOW, [])
    assert [row["runs"] for row in rows(tmp_path)] == [["2-1"]]


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file; the run file and the former roll-up stand."""
    write_run(tmp_path, a_run("1", NOW - timedelta(hours=2), "pass"))
    refresh_daily(tmp_path, NOW, [])
    text = (tmp_path / "daily/2026-11.jsonl").read_text()
    kept = write_run(tmp_path, a_run("2", NOW - timedelta(hours=1), "pass"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultsError, match=r"2026-11\.jsonl: cannot write: No space left"):
        refresh_daily(tmp_path, NOW, [])
    monkeypatch.undo()
    assert (tmp_path / "daily/2026-11.jsonl").read_text() == text
    assert kept.exists()
    refresh_daily(tmp_path, NOW, [])
    assert rows(tmp_path)[0]["runs"] == ["1-1", "2-1"]


def test_runs_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight writers, each its run and the derived files: all runs are there, and one more refresh counts them all."""

    def write(number: int) -> None:
        write_run(tmp_path, a_run(str(number), NOW - timedelta(hours=1), "pass"))
        refresh_latest(tmp_path, NOW)
        refresh_daily(tmp_path, NOW, [])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    problems: list[str] = []
    assert len(load_runs(tmp_path, None, problems)) == 8
    assert problems == []
    refresh_daily(tmp_path, NOW, problems)
    assert rows(tmp_path)[0]["runs"] == [f"{number}-1" for number in range(8)]
    assert not list(tmp_path.rglob("*.tmp"))


def test_old_folders_are_not_even_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten years of days cost nothing."""
    for back in (0, 40, 400, 4000):
        write_run(tmp_path, a_run(str(back), NOW - timedelta(days=back), "pass"))
    listed: list[str] = []
    scandir = os.scandir

    def noted(path: Any) -> Any:
        listed.append(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    monkeypatch.setattr("os.scandir", noted)
    load_runs(tmp_path, NOW - timedelta(days=30), [])
    assert listed == ["runs", "runs/2026", "runs/2026/10", "runs/2026/11", "runs/2026/11/23"]
