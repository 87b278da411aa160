"""Runs become files, files become evidence; nothing that was there is lost, nothing that is not evidence gets in."""

import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kimiprobe.results import record_run
from pytest_kimiprobe.results import store as results
from pytest_kimiprobe.results.run_file import Failure
from pytest_kimiprobe.results.store import (
    ResultsError,
    changes,
    latest,
    load_runs,
    refresh_latest,
    write_run,
)
from pytest_kimiprobe.results.verify import check
from pytest_kimiprobe.stats.aggregates import Cell, cells_of
from pytest_kimiprobe.stats.status import endpoints_of, status_of
from pytest_kimiprobe.verdicts import ProbeResult, Run, Source, Verdict
from routing.errors import EvidenceError
from routing.evidence.model import Counts, Evidence, loads
from routing.types import Usage

NOW = datetime(2026, 11, 23, 5, 17, 40, tzinfo=UTC)
KIMI = "openrouter/moonshotai/kimi-k2.6"
OTHER = "moonshot/kimi-k2.6"
Parts = tuple[Verdict, str, int]


def probes(*parts: Parts, endpoint: str = KIMI, case: str = "weather", **more: Any) -> tuple[ProbeResult, ...]:
    """So many probes of each verdict and reason."""
    rows = [(verdict, reason) for verdict, reason, count in parts for _ in range(count)]
    return tuple(
        ProbeResult(
            id=f"core.yaml::{case}[{endpoint}-plain-{number}]",
            **{
                "case": case,
                "endpoint": endpoint,
                "mode": "plain",
                "repeat": number,
                "verdict": verdict,
                "reason": reason,
                "total_ms": 1000.0 + number,
                **more,
            },
        )
        for number, (verdict, reason) in enumerate(rows)
    )


def passed(count: int, endpoint: str = KIMI) -> tuple[ProbeResult, ...]:
    return probes(("pass", "ok", count), endpoint=endpoint)


def failed(count: int, endpoint: str = KIMI) -> tuple[ProbeResult, ...]:
    return probes(("fail", "wrong_tool", count), endpoint=endpoint)


def a_run(
    *rows: ProbeResult, run_id: str = "77", at: datetime = NOW, source: Source = "live", complete: bool = True
) -> Run:
    return Run(run_id, 1, source, "core", at, at + timedelta(minutes=2), complete, rows)


def status(*rows: ProbeResult) -> str:
    return status_of(cells_of(rows))


# ---------------------------------------------------------------- the file


def test_a_run_is_one_file_under_its_day(tmp_path: Path) -> None:
    """The path tells day, time, run id and attempt."""
    path = write_run(tmp_path, a_run(*passed(3)))
    assert path == tmp_path / "runs/2026/11/23/051740Z-77-1.json"


def test_a_run_file_holds_counts_times_cost_and_provenance(tmp_path: Path) -> None:
    """Cells sum up what the probes were; GitHub's variables tell commit and page."""
    rows = probes(
        ("pass", "ok", 19),
        ("fail", "wrong_tool", 1),
        first_token_ms=200.0,
        usage=Usage(100, 20, 50, 5),
        cost_usd=Decimal("0.000123"),
        calls=2,
        valid_calls=1,
        k2vv_valid=True,
    )
    environment = {
        "GITHUB_SHA": "a" * 40,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "5",
    }
    data = json.loads(write_run(tmp_path, a_run(*rows), environment=environment).read_text())
    (cell,) = data["cells"]
    assert cell["verdicts"] == {"pass": 19, "fail": 1}
    assert cell["reasons"] == {"wrong_tool": 1}
    assert cell["p50_ms"] == 1000
    assert (cell["calls"], cell["valid_calls"], cell["k2vv_calls"], cell["k2vv_valid"]) == (40, 20, 20, 20)
    (row,) = data["endpoints"]
    assert row["total_ms"] == {"p50": 1009, "p95": 1018}
    assert row["first_token_ms"] == {"p50": 200, "p95": 200}
    assert row["basis"]["tokens"] == {"prompt": 2000, "cached": 1000, "completion": 400, "reasoning": 100}
    assert (row["basis"]["cost_usd"], row["basis"]["costed"]) == ("0.002460", 20)
    assert (row["cost_per_1k_usd"], row["cost_per_success_usd"]) == ("0.123000", "0.000129474")
    assert row["first_try"] == {"right": 19, "judged": 20, "share": 0.95, "interval95": [0.7639, 0.9911]}
    header = data["run"]
    assert (header["git_sha"], header["url"]) == ("a" * 40, "https://github.com/o/r/actions/runs/5")
    assert header["probes"] == 20


def test_values_of_the_environment_that_look_wrong_are_left_out(tmp_path: Path) -> None:
    """A hostile GITHUB_REPOSITORY reaches no file."""
    environment = {"GITHUB_SHA": "main; rm -rf", "GITHUB_SERVER_URL": "https://x", "GITHUB_REPOSITORY": "o/r?<script>"}
    header = json.loads(write_run(tmp_path, a_run(), environment=environment).read_text())["run"]
    assert not header.keys() & {"git_sha", "url"}


def test_files_read_well_in_a_review(tmp_path: Path) -> None:
    """Keys are sorted, a cell is one line, the last line ends."""
    text = write_run(tmp_path, a_run(*passed(2), *passed(2, OTHER))).read_text()
    assert sum('"case": "weather"' in line for line in text.splitlines()) == 2
    assert text.endswith("}\n")
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_failures_are_redacted_lines_and_not_more_than_fifty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile detail comes out as one printable line without a key; raw text and arguments stay out."""
    monkeypatch.setenv("MOONSHOT_API_KEY", "known-value-of-a-key")
    detail = "401: Bearer sk-or-v1-0123456789abcdef\n::error::x\x1b[31m\u202e known-value-of-a-key " + "y" * 999
    run = a_run(*probes(("fail", "wrong_text", 80), detail=detail, text="the whole answer"))
    text = write_run(tmp_path, run).read_text()
    rows = json.loads(text)["failures"]
    assert len(rows) == 50
    assert all(len(row["detail"]) <= 200 and row["detail"].isprintable() for row in rows)
    assert not any(bad in text for bad in ("0123456789abcdef", "known-value", "the whole answer", "\\u001b", "\\u202e"))


def test_the_same_run_written_again_is_the_same_file(tmp_path: Path) -> None:
    """Idempotent by run id, attempt and start: a fuller version of a run replaces its own file."""
    first = write_run(tmp_path, a_run(*passed(1), complete=False))
    again = write_run(tmp_path, a_run(*passed(9)))
    assert first == again
    assert len(list(tmp_path.rglob("*.json"))) == 1
    assert json.loads(again.read_text())["run"]["complete"] is True


@pytest.mark.parametrize("stands_there", ["torn", '{"version": 9}', "of another run"])
def test_a_file_that_is_not_this_runs_is_never_overwritten(tmp_path: Path, stands_there: str) -> None:
    """Where something else stands at the path, the run takes the next free name."""
    run = a_run(*passed(1))
    taken = tmp_path / "runs/2026/11/23/051740Z-77-1.json"
    taken.parent.mkdir(parents=True)
    if stands_there == "of another run":
        stands_there = write_run(tmp_path / "elsewhere", a_run(*passed(1), run_id="78")).read_text()
    taken.write_text(stands_there)
    path = write_run(tmp_path, run)
    assert path.name == "051740Z-77-1.2.json"
    assert taken.read_text() == stands_there
    assert write_run(tmp_path, run) == path


@pytest.mark.parametrize(
    "hostile", ["../../../etc/x", "CON/..", "a" * 300, "\U0001f600", "", "a\nb", "..", "$(x)", "a/b", "\udcff"]
)
def test_hostile_run_ids_stay_in_their_folder(tmp_path: Path, hostile: str) -> None:
    """A file name is made of letters, digits, `_` and `-`; the id itself stands in the file."""
    path = write_run(tmp_path, a_run(*passed(1), run_id=hostile))
    assert path.resolve().parent == (tmp_path / "runs/2026/11/23").resolve()
    assert len(path.name) < 120
    assert path.name.isascii()
    assert [run.id for run in load_runs(tmp_path, None, [])] == [hostile]


def test_two_hostile_run_ids_never_share_a_file(tmp_path: Path) -> None:
    """What sanitising makes equal, a hash keeps apart."""
    paths = {write_run(tmp_path, a_run(*passed(1), run_id=name)) for name in ("a/b", "a_b", "a:b", "", "run")}
    assert len(paths) == 5


@pytest.mark.parametrize("source", ["simulator", "replay"])
def test_what_no_provider_answered_is_refused(tmp_path: Path, source: Source) -> None:
    """Simulated and replayed runs never enter results."""
    with pytest.raises(ResultsError, match=f"source '{source}' is not evidence"):
        write_run(tmp_path, a_run(*passed(1), source=source))
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- faults of the disk


def _raise(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["pathlib.Path.open", "os.fsync", "pathlib.Path.replace", "pathlib.Path.mkdir"])
def test_a_full_disk_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Whichever call fails: the error names the path, the old content stands, no temporary file is left."""
    path = tmp_path / "latest.json"
    path.write_text("old")
    monkeypatch.setattr(where, _raise)
    with pytest.raises(ResultsError, match=r"latest\.json: cannot write: No space left on device"):
        results.atomic_write(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["latest.json"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    """A device, a pipe, a folder, or a link that leads to one stays what it is."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        with pytest.raises(ResultsError, match=f"{name}: is no regular file"):
            results.atomic_write(tmp_path / name, "new")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    """`--kimiprobe-results` pointing at a file names it."""
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"results.*cannot write: (Not a directory|File exists)"):
        write_run(tmp_path / "results", a_run(*passed(1)))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"version": 1}', "\x00", '"x"', '{"version": 1, "run": 3}', "[" * 9999]
)
def test_torn_files_are_named_and_left_alone(tmp_path: Path, content: str) -> None:
    """A file that cannot be read costs only itself, and stays for a human."""
    good = write_run(tmp_path, a_run(*passed(1)))
    torn = good.with_name("051741Z-torn-1.json")
    torn.write_text(content)
    problems: list[str] = []
    assert [run.id for run in load_runs(tmp_path, None, problems)] == ["77"]
    assert len(problems) == 1
    assert "torn-1.json: skipped" in problems[0]
    assert torn.read_text() == content


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"p50": 1000', '"p50": NaN'),
        ('"p50": 1000', '"p50": 1e999'),
        ('"pass": 1', '"pass": -1'),
        ('"pass": 1', '"pass": 1e999'),
        ('"cost_usd": "0.001"', '"cost_usd": "Infinity"'),
        ('"cost_usd": "0.001"', '"cost_usd": "x"'),
        ('"cost_usd": "0.001"', '"cost_usd": "-1"'),
        ('"cost_usd": "0.001"', '"cost_usd": "1000001"'),
        ('"cost_usd": "0.001"', f'"cost_usd": "0.{"0" * 50}1"'),
        ('"cost_usd": "0.001"', '"cost_usd": 0'),
        ('"cost_per_1k_usd": "1.000000"', '"cost_per_1k_usd": "1e9999999"'),
        ('"pass": 1', '"pass": 1000000001'),
        ('"pass": 1', f'"pass": {"9" * 4300}'),
        ('"pass": 1', '"pass": "1"'),
        ('"pass": 1', '"pass": 1.5'),
        ('"calls": 1', '"calls": -1'),
        ('"prompt": 7', '"prompt": -1'),
        ('"attempt": 1', '"attempt": -1'),
        ('"finished_at": "2026-11-23T05:19:40Z"', '"finished_at": "2026-11-23T05:19:40"'),
    ],
)
def test_a_value_that_nobody_measured_is_a_problem(tmp_path: Path, good: str, bad: str) -> None:
    """Infinite, negative or unreadable values cost their file, not the whole evidence."""
    path = write_run(tmp_path, a_run(*probes(("pass", "ok", 1), cost_usd=Decimal("0.001"), calls=1, usage=Usage(7, 1))))
    assert good in path.read_text()
    path.write_text(path.read_text().replace(good, bad))
    problems: list[str] = []
    assert refresh_latest(tmp_path, NOW, problems).endpoints == {}
    assert "skipped" in problems[0]


@pytest.mark.parametrize("figure", ["1e30", "-1", "2e9", "NaN", '"5"'])
def test_a_bad_figure_costs_its_row_only(tmp_path: Path, figure: str) -> None:
    """Neither the other endpoints of the run nor latest.json; a router reads what is written."""
    path = write_run(tmp_path, a_run(*passed(20), *passed(20, endpoint=OTHER)))
    text, changed = re.subn(r'("total_ms": {[^}]*"p95": )\d+', rf"\g<1>{figure}", path.read_text(), count=1)
    path.write_text(text)
    assert changed
    problems: list[str] = []
    written = refresh_latest(tmp_path, NOW, problems)
    (kept,) = written.endpoints
    (problem,) = problems
    assert "total_ms.p95 is not a time in milliseconds" in problem
    assert ({KIMI, OTHER} - {kept}).pop() in problem
    read = loads((tmp_path / "latest.json").read_bytes())
    assert (list(read.endpoints), read.refused) == ([kept], {})
    assert any("total_ms.p95" in each for each in check(tmp_path, NOW).problems)


def test_what_a_reader_would_refuse_is_not_written(tmp_path: Path) -> None:
    """Counts of several runs may add up to more than a reader accepts."""
    for run_id in ("77", "78"):
        path = write_run(tmp_path, a_run(*passed(20), *passed(20, endpoint=OTHER), run_id=run_id))
        text, changed = re.subn(r'("basis": {[^\n]*"pass": )20([^\n]*"moonshot)', r"\g<1>900000000\2", path.read_text())
        path.write_text(text)
        assert changed
    problems: list[str] = []
    written = refresh_latest(tmp_path, NOW, problems)
    assert len(written.endpoints) == 1
    assert loads((tmp_path / "latest.json").read_bytes()).refused == {}
    assert "latest.json" in problems[-1]


def test_a_time_that_cannot_be_true_is_not_written(tmp_path: Path) -> None:
    """As after a jump of the clock."""
    path = write_run(tmp_path, a_run(*probes(("pass", "ok", 1), total_ms=1e30)))
    assert '"p95": 1e+30' not in path.read_text()
    problems: list[str] = []
    (run,) = load_runs(tmp_path, None, problems)
    assert (run.refused, problems) == ({}, [])


@pytest.mark.parametrize("name", ["x.json", "a\nb.json", "051741Z-x-1.json\u2028.json", "051741Z-a b-1.json"])
def test_a_file_of_another_name_is_named_on_one_line_and_skipped(tmp_path: Path, name: str) -> None:
    """Only names that a run can have are read."""
    good = write_run(tmp_path, a_run(*passed(1)))
    good.with_name(name).write_text(good.read_text())
    problems: list[str] = []
    assert len(load_runs(tmp_path, None, problems)) == 1
    assert [problem.isprintable() for problem in problems] == [True]
    assert "is not named as run files are" in problems[0]


def test_what_is_no_regular_file_is_neither_waited_for_nor_swallowed(tmp_path: Path) -> None:
    """A FIFO, a device behind a link, a folder, a file beyond the cap: named, and the rest is read."""
    good = write_run(tmp_path, a_run(*passed(1)))
    os.mkfifo(good.with_name("051741Z-fifo-1.json"))
    good.with_name("051742Z-zero-1.json").symlink_to("/dev/zero")
    good.with_name("051743Z-dir-1.json").mkdir()
    good.with_name("051744Z-large-1.json").write_bytes(bytes(results.MAX_BYTES + 1))
    problems: list[str] = []
    assert len(load_runs(tmp_path, None, problems)) == 1
    told = ["is not a regular file", "is not a regular file", "is a directory", "is larger than"]
    assert all(word in problem for word, problem in zip(told, problems, strict=True))


def test_no_link_is_followed_where_a_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the name of the temporary file foreseen all the same, what lies there stays as it is."""
    monkeypatch.setattr("secrets.token_hex", lambda _size: "known")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".latest.json.known.tmp").symlink_to(victim)
    with pytest.raises(ResultsError, match=r"latest\.json: cannot write: File exists"):
        results.atomic_write(tmp_path / "latest.json", "theirs")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("claimed", ["1e30", "-1", "NaN", "1000.01"])
def test_a_cost_that_cannot_be_true_is_left_out(tmp_path: Path, claimed: str) -> None:
    """A host that claims an absurd cost breaks no sum, and its run can be read back."""
    rows = (
        *probes(("pass", "ok", 1), cost_usd=Decimal(claimed), usage=Usage(10**12, -1)),
        *probes(("pass", "ok", 1), cost_usd=Decimal("0.002"), usage=Usage(7, 3)),
    )
    path = write_run(tmp_path, a_run(*rows))
    (run,) = load_runs(tmp_path, None, [])
    assert (run.totals[0].cost_usd, run.totals[0].costed) == (Decimal("0.002"), 1)
    assert run.totals[0].tokens == Usage(7, 3)
    assert run.totals[0].cost_per_1k_usd == Decimal(2)
    assert path.exists()


def test_a_newer_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A version that this release does not know is not guessed at."""
    path = write_run(tmp_path, a_run(*passed(1)))
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    problems: list[str] = []
    assert load_runs(tmp_path, None, problems) == []
    assert "version 2; this release reads version 1: upgrade" in problems[0]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_prefix_of_a_run_file_is_taken_for_one(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A file cut anywhere is a problem, never a smaller run."""
    folder = tmp_path_factory.mktemp("cut")
    path = write_run(folder, a_run(*passed(2), *failed(1)))
    text = path.read_text()
    path.write_text(text[: data.draw(st.integers(0, len(text) - 2))])
    problems: list[str] = []
    assert load_runs(folder, None, problems) == []
    assert len(problems) == 1


def test_failures_are_read_back_for_those_who_tell_them(tmp_path: Path) -> None:
    """Proposals quote them: one for each probe that failed, with its case, reason and detail."""
    write_run(tmp_path, a_run(*passed(2), *probes(("fail", "wrong_tool", 1), detail="called other")))
    (run,) = load_runs(tmp_path, None, [])
    assert run.failures == (Failure(KIMI, "weather", "wrong_tool", "called other"),)


def test_a_simulated_run_that_got_in_anyway_is_no_evidence(tmp_path: Path) -> None:
    """A file whose header says simulator is named, not counted."""
    path = write_run(tmp_path, a_run(*passed(1)))
    path.write_text(path.read_text().replace('"source": "live"', '"source": "simulator"'))
    problems: list[str] = []
    assert refresh_latest(tmp_path, NOW, problems).endpoints == {}
    assert "'simulator' is not evidence" in problems[0]


def test_old_files_are_not_even_opened(tmp_path: Path) -> None:
    """Years of history cost nothing: what started before the day asked for stays closed."""
    old = write_run(tmp_path, a_run(*passed(1), at=NOW - timedelta(days=100)))
    old.write_text("torn")
    problems: list[str] = []
    refresh_latest(tmp_path, NOW, problems)
    assert problems == []


# ---------------------------------------------------------------- status


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (passed(19) + failed(1), "works"),
        (passed(18) + failed(2), "degraded"),
        (passed(8) + failed(2), "degraded"),
        (passed(7) + failed(3), "broken"),
        (probes(("rescued", "rescued_text", 20)), "needs_rescue"),
        (probes(("pass", "ok", 10), ("rescued", "rescued_text", 10)), "needs_rescue"),
        (probes(("pass", "ok", 10), ("rescued", "rescued_text", 8), ("fail", "wrong_tool", 2)), "broken"),
        (probes(("error", "connect_refused", 3), ("error", "rate_limited", 2)), "down"),
        (probes(("error", "model_retired", 5)), "retired"),
        (probes(("error", "model_retired", 5), ("not_run", "budget", 5)), "retired"),
        (probes(("error", "model_retired", 4), ("error", "timeout", 1)), "down"),
        (probes(("error", "unauthorized", 5)), "unknown"),
        (probes(("error", "timeout", 4), ("error", "no_credit", 1)), "unknown"),
        (probes(("error", "bad_request", 5)), "unknown"),
        (probes(("error", "no_endpoint", 5)), "unknown"),
        (probes(("unsupported", "no_capability", 5)), "unsupported"),
        (probes(("not_run", "budget", 5)), "unknown"),
        ((), "unknown"),
        (probes(("pass", "ok", 5), ("not_run", "interrupted", 95)), "works"),
        (probes(("pass", "ok", 5), ("error", "rate_limited", 5)), "works"),
        (probes(("pass", "ok", 4), ("error", "rate_limited", 6)), "degraded"),
        (probes(("pass", "ok", 5), ("error", "unauthorized", 50)), "works"),
    ],
)
def test_status(rows: tuple[ProbeResult, ...], expected: str) -> None:
    """The status follows from the verdicts of one run by the thresholds 95 % and 80 %."""
    assert status(*rows) == expected


def test_without_native_tools_a_rescued_call_is_the_right_answer() -> None:
    """An endpoint whose tools stand in the prompt passes when its calls can be rescued."""
    rows = probes(("rescued", "rescued_text", 20), capability="tools:emulated")
    (row,) = endpoints_of(a_run(*rows)).values()
    assert row.status == "works"
    assert row.counts == Counts(judged=20, passed=20)


def test_with_native_tools_the_emulated_case_does_not_count() -> None:
    """JSON in text that could not be rescued says nothing of native tool calls."""
    rows = (*passed(20), *probes(("fail", "not_rescued_form", 10), case="json", capability="tools:emulated"))
    (row,) = endpoints_of(a_run(*rows)).values()
    assert row.status == "works"
    assert row.counts == Counts(judged=20, passed=20)
    assert row.reasons == {}


def test_one_endpoint_of_a_run_does_not_touch_another() -> None:
    """Status is per endpoint."""
    rows = endpoints_of(a_run(*passed(5), *failed(5, OTHER)))
    assert (rows[KIMI].status, rows[OTHER].status) == ("works", "broken")


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 200))
def test_what_was_not_run_never_changes_a_status(good: int, rescued: int, bad: int, not_run: int) -> None:
    """An interrupted run says of an endpoint what was judged, nothing more."""
    verdicts = {"pass": good, "rescued": rescued, "fail": bad}
    with_it = Cell(KIMI, "weather", "plain", verdicts={**verdicts, "not_run": not_run})
    assert status_of([with_it]) == status_of([Cell(KIMI, "weather", "plain", verdicts=verdicts)])


# ---------------------------------------------------------------- latest


def record(folder: Path, *runs: Run) -> Evidence:
    for run in runs:
        write_run(folder, run)
    return refresh_latest(folder, NOW)


def test_latest_is_what_the_router_reads(tmp_path: Path) -> None:
    """latest.json comes back through routing.evidence as it was derived."""
    rows = probes(
        ("pass", "ok", 20), cost_usd=Decimal("0.001"), calls=1, valid_calls=1, k2vv_valid=False, first_token_ms=9.0
    )
    evidence = record(tmp_path, a_run(*rows, at=NOW - timedelta(minutes=5)))
    read = loads((tmp_path / "latest.json").read_text(), origin=str(tmp_path / "latest.json"))
    assert read == evidence
    row = json.loads((tmp_path / "latest.json").read_text())["endpoints"][KIMI]
    assert (row["schema_accuracy"], row["k2vv_compatible"], row["age_s"]) == (1.0, 0.0, 180)
    assert (row["p50_ms"], row["first_token_p95_ms"], row["cost_per_1k_usd"]) == (1009.0, 9.0, "1.000000")


def test_the_newest_run_decides_and_the_window_sums_up(tmp_path: Path) -> None:
    """Status from the newest run, counts of seven days beside it; older runs fall out."""
    evidence = record(
        tmp_path,
        a_run(*failed(50), at=NOW - timedelta(days=8), run_id="1"),
        a_run(*passed(30), at=NOW - timedelta(days=3), run_id="2"),
        a_run(*passed(18), *failed(2), at=NOW - timedelta(hours=1), run_id="3"),
    )
    row = evidence.endpoints[KIMI]
    assert row.status == "degraded"
    assert row.counts == Counts(judged=20, passed=18, failed=2)
    assert row.window == Counts(judged=50, passed=48, failed=2)
    assert evidence.run == row.run == "3-1"


def test_an_endpoint_outside_the_newest_run_keeps_its_own_time(tmp_path: Path) -> None:
    """A run of one endpoint leaves the others' evidence and age as they were."""
    before = NOW - timedelta(days=2)
    evidence = record(tmp_path, a_run(*passed(5), *passed(5, OTHER), at=before), a_run(*passed(5), run_id="78"))
    assert evidence.endpoints[OTHER].probed_at == before + timedelta(minutes=2)
    assert evidence.endpoints[OTHER].run == "77-1"


def test_an_endpoint_that_was_planned_but_not_run_keeps_its_evidence(tmp_path: Path) -> None:
    """`not_run` is not a newer word on an endpoint."""
    interrupted = a_run(*probes(("not_run", "interrupted", 20)), *passed(1, OTHER), run_id="78", complete=False)
    evidence = record(tmp_path, a_run(*passed(20), at=NOW - timedelta(days=1)), interrupted)
    assert evidence.endpoints[KIMI].status == "works"
    assert evidence.endpoints[KIMI].run == "77-1"


def test_a_run_that_is_not_complete_does_not_count(tmp_path: Path) -> None:
    """Its file stays, but what was judged before it ended changes neither status nor counts."""
    broken_off = a_run(*failed(20), run_id="78", complete=False)
    evidence = record(tmp_path, a_run(*passed(20), at=NOW - timedelta(days=1)), broken_off)
    assert evidence.endpoints[KIMI].status == "works"
    assert evidence.endpoints[KIMI].window.judged == 20


def test_evidence_ages_and_is_dropped(tmp_path: Path) -> None:
    """After seven days it reads unknown; after thirty it is left out."""
    evidence = record(
        tmp_path,
        a_run(*passed(5), at=NOW - timedelta(days=10)),
        a_run(*passed(5, OTHER), at=NOW - timedelta(days=40), run_id="78"),
    )
    assert evidence.status_at(KIMI, NOW) == "unknown"
    assert evidence.endpoints[KIMI].status == "works"
    assert evidence.endpoints[KIMI].window == Counts()
    assert OTHER not in evidence.endpoints


def test_a_run_from_the_future_is_no_evidence(tmp_path: Path) -> None:
    """A clock that was a month ahead does not freeze the status."""
    evidence = record(tmp_path, a_run(*passed(5)), a_run(*failed(5), at=NOW + timedelta(days=30), run_id="78"))
    assert evidence.endpoints[KIMI].status == "works"


def test_a_run_that_ends_in_the_future_is_no_evidence(tmp_path: Path) -> None:
    """Its end is what age is counted from."""
    path = write_run(tmp_path, a_run(*passed(5)))
    path.write_text(path.read_text().replace('"finished_at": "2026', '"finished_at": "2036'))
    assert refresh_latest(tmp_path, NOW).endpoints == {}


def test_local_runs_never_stand_beside_live_ones(tmp_path: Path) -> None:
    """One live run in the folder, and what this machine played is left out."""
    local = a_run(*failed(5), *passed(5, OTHER), run_id="78", source="local")
    assert record(tmp_path, local).source == "local"
    evidence = record(tmp_path, a_run(*passed(5), at=NOW - timedelta(days=1)))
    assert evidence.source == "live"
    assert list(evidence.endpoints) == [KIMI]
    assert evidence.endpoints[KIMI].status == "works"


def test_no_runs_are_no_evidence(tmp_path: Path) -> None:
    """An empty folder gives a file that says so."""
    assert refresh_latest(tmp_path, NOW).endpoints == {}
    assert loads((tmp_path / "latest.json").read_text()).run == ""


def test_a_run_that_another_writes_meanwhile_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written after the files were read and before latest.json is: whoever derives last counts both."""
    run, refresh = a_run(*passed(1), at=datetime.now(UTC) - timedelta(minutes=3)), results.refresh_latest

    def overtaken(folder: Path, *rest: Any) -> Any:
        evidence = refresh(folder, *rest)
        write_run(folder, replace(run, id="other"))
        return evidence

    monkeypatch.setattr("pytest_kimiprobe.results.record_run.refresh_latest", overtaken)
    record_run.record_run(tmp_path, run)
    assert loads((tmp_path / "latest.json").read_text("utf-8")).endpoints[KIMI].window.judged == 2


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    """latest is a function of the set of runs."""
    record(tmp_path, *(a_run(*passed(n), run_id=str(n), at=NOW - timedelta(hours=n)) for n in range(1, 6)))
    runs = load_runs(tmp_path, None, [])
    assert latest(runs, NOW) == latest(reversed(runs), NOW)


def test_failures_of_this_machine_leave_the_evidence_as_it_is(tmp_path: Path) -> None:
    """No request left it; an endpoint that was not reached is what it was before."""
    lost = probes(("error", "local_failure", 20))
    record(tmp_path, a_run(*passed(20), at=NOW - timedelta(hours=2)))
    before = loads((tmp_path / "latest.json").read_text()).endpoints[KIMI]
    after = record(tmp_path, a_run(*lost, *passed(20, OTHER), run_id="78", at=NOW - timedelta(hours=1)))
    assert (after.endpoints[KIMI], after.endpoints[OTHER].status) == (before, "works")


def test_a_run_of_few_requests_adds_to_the_counts_only(tmp_path: Path) -> None:
    """Its status never replaces that of a whole suite; it is used only if no other run is known."""
    record(tmp_path, a_run(*passed(50), at=NOW - timedelta(hours=2)))
    row = record(tmp_path, a_run(*failed(4), run_id="78", at=NOW - timedelta(hours=1))).endpoints[KIMI]
    assert (row.status, row.counts.judged, row.window.judged) == ("works", 50, 54)
    assert record(tmp_path / "new", a_run(*failed(4))).endpoints[KIMI].status == "broken"


def test_cases_that_are_not_evidence_are_not_recorded(tmp_path: Path) -> None:
    """A run with none but such cases is not recorded at all, and the note says so."""
    own = [replace(probe, evidence=False) for probe in failed(20)]
    run = a_run(*passed(10), *own)
    record_run.record_run(tmp_path, run)
    assert results.read_latest(tmp_path / "latest.json").endpoints[KIMI].counts.judged == 10
    changed, note = record_run.record_run(tmp_path / "none", replace(run, probes=tuple(own)))
    assert (changed, (tmp_path / "none").exists()) == ([], False)
    assert "no case of this run counts as evidence" in note


def test_a_newer_latest_is_refused_by_older_readers(tmp_path: Path) -> None:
    """Version 2 of latest.json is not guessed at."""
    record(tmp_path, a_run(*passed(1)))
    with pytest.raises(EvidenceError, match="version 2; this release reads version 1"):
        loads((tmp_path / "latest.json").read_text().replace('"version": 1', '"version": 2'))


# ---------------------------------------------------------------- changes


@pytest.mark.parametrize(
    ("then", "since"),
    [
        (lambda: (), [(KIMI, "unknown", "works", None)]),
        (lambda: failed(5), [(KIMI, "broken", "works", NOW - timedelta(days=1) + timedelta(minutes=2))]),
        (lambda: passed(5), []),
    ],
)
def test_changes_since_the_last_run(tmp_path: Path, then: Callable[[], Any], since: list[Any]) -> None:
    """What differs is told with when the former status was last seen."""
    rows = then()
    before = record(tmp_path, a_run(*rows, at=NOW - timedelta(days=1))) if rows else Evidence()
    after = record(tmp_path, a_run(*passed(10), run_id="78"))
    told = [(change.endpoint, change.before, change.after, change.since) for change in changes(before, after)]
    assert told == since
