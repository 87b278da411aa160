"""The commands of the monitor, from a results folder to GitHub: `decide`, `propose`, `record`, `alert`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hub
import pytest
from building import FLAG, KIMI, MOONSHOT, flags_text
from click.testing import CliRunner, Result
from dead_host import DEAD
from hub import BOT, Hub

from pytest_kimiprobe.monitor.cli import main
from pytest_kimiprobe.monitor.cli.shared import path_in_repository
from pytest_kimiprobe.results.store import refresh_latest, write_run
from pytest_kimiprobe.verdicts import ProbeResult, Run, Source, Verdict
from routing.flags.model import Flags

NOW = datetime.now(UTC).replace(microsecond=0)
WORKING = "OpenRouter + Kimi K2 tool calling is now WORKING! Consider gradual rollout."
STOPPED = "OpenRouter + Kimi K2 tool calling has STOPPED working. Falling back to direct API."
HOSTILE = "@octocat fixes #1 <img src=x onerror=alert(1)> sk-or-v1-0123456789abcdef"


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub.started() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a flags file, as a workflow step finds it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "flags.yaml").write_text(flags_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_run(project: Path, run_id: str, right: int, wrong: int = 0, *, hours: int = 1, source: Source = "live") -> Path:
    """A recorded run of two endpoints; OpenRouter gave the wrong answers."""
    good: Verdict = "pass"
    bad: Verdict = "fail"
    verdicts = [good] * right + [bad] * wrong
    rows = [
        ProbeResult(
            f"{run_id}-{number}",
            ("weather", "time")[number % 2],
            KIMI,
            "plain",
            number,
            verdict,
            "ok" if verdict == "pass" else "wrong_tool",
            HOSTILE if verdict == "fail" else "",
        )
        for number, verdict in enumerate(verdicts)
    ]
    rows.append(ProbeResult(f"{run_id}-m", "weather", MOONSHOT, "plain", 1, "pass", "ok"))
    at = NOW - timedelta(hours=hours)
    path = write_run(project / "results", Run(run_id, 1, source, "core", at, at, True, tuple(rows)), environment={})
    refresh_latest(project / "results", NOW)
    return path


def kimiprobe(*arguments: str, **environment: str) -> Result:
    result = CliRunner(env=environment).invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


# ---------------------------------------------------------------- decide


def test_decide_says_what_follows_and_changes_nothing(project: Path) -> None:
    """Two lines for each flag; the flags file is found in a parent folder."""
    a_run(project, "r1", 98, 2)
    output = kimiprobe("decide").stdout
    assert f"{FLAG}: enable (off -> on, 10 %)\n  {KIMI} passed 98 of 100 judged calls" in output
    assert "groq_kimi_tool_calling: no evidence (off)" in output
    assert (project / "flags.yaml").read_text() == flags_text()


def test_decide_as_json(project: Path) -> None:
    """The JSON has the same decisions, with counts and reasons."""
    a_run(project, "r1", 98, 2)
    first, _ = json.loads(kimiprobe("decide", "--json").stdout)["proposals"]
    assert (first["flag"], first["kind"], first["to"]) == (FLAG, "enable", {"enabled": True, "percent": 10})
    assert (first["counts"]["judged"], first["reasons"], first["run"]) == (100, {"wrong_tool": 2}, "r1-1")


def test_latest_alone_is_evidence_too(project: Path) -> None:
    """latest.json is used if no run files are there."""
    a_run(project, "r1", 98, 2)
    for path in (project / "results" / "runs").rglob("*.json"):
        path.unlink()
    assert f"{FLAG}: enable" in kimiprobe("decide").stdout


def test_unreadable_results_are_named(project: Path) -> None:
    """A warning names them, and the command goes on."""
    a_run(project, "r1", 98, 2)
    torn = project / "results" / "runs" / f"{NOW:%Y/%m/%d}" / "torn.json"
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_text("{")
    result = kimiprobe("decide")
    assert "torn.json: skipped" in result.stderr
    assert result.exit_code == 0


def test_without_a_flags_file_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    result = kimiprobe("decide")
    assert (result.exit_code, "name it with --flags" in result.stderr) == (2, True)


# ---------------------------------------------------------------- propose


def test_a_dry_run_needs_no_token_and_sends_nothing(project: Path) -> None:
    """The diff and the texts are printed."""
    a_run(project, "r1", 98, 2)
    output = kimiprobe("propose", "--dry-run").stdout
    assert f"Turn on {FLAG} for 10 % of users" in output
    assert "--- a/flags.yaml\n+++ b/flags.yaml\n" in output
    assert "\n-    percent: 0\n" in output
    assert "\n+    percent: 10\n" in output
    assert "**Merge** and 10 % of users are served there" in output
    assert "groq_kimi_tool_calling: no pull request: no evidence, no change" in output
    assert (project / "flags.yaml").read_text() == flags_text()


def test_a_dry_run_as_json(project: Path) -> None:
    """Title, diff and body are added to each proposal."""
    a_run(project, "r1", 98, 2)
    first, second = json.loads(kimiprobe("propose", "--dry-run", "--json").stdout)["proposals"]
    assert {"title", "diff", "body"} <= set(first)
    assert "title" not in second


@hub.needs_npm
def test_propose_opens_what_a_person_merges(project: Path, server: Hub) -> None:
    """From run files, with the three variables of a workflow step, to the merged flag."""
    repo = server.repository({"flags.yaml": flags_text()})
    a_run(project, "r1", 98, 2)
    result = kimiprobe("propose", **repo.environment)
    (pull,) = repo.pulls()
    assert result.exit_code == 0
    assert f"{FLAG}: opened {pull['html_url']}" in result.stdout
    assert "0123456789abcdef" not in pull["body"]
    repo.merge(pull["number"])
    assert Flags.loads(repo.read("flags.yaml").encode()).flag(FLAG).percent == 10


@hub.needs_npm
def test_it_decides_on_the_flags_of_the_base(project: Path, server: Hub) -> None:
    """An old checkout does not propose what is already merged."""
    repo = server.repository({"flags.yaml": flags_text(enabled="true", percent=10)})
    a_run(project, "r1", 98, 2)
    rows = json.loads(kimiprobe("propose", "--json", **repo.environment).stdout)["outcomes"]
    assert [row["action"] for row in rows] == ["none", "none"]


@hub.needs_npm
@pytest.mark.parametrize(("environment", "opened"), [("production", 0), ("test", 1)])
def test_local_runs_move_test_flags_only(project: Path, server: Hub, environment: str, opened: int) -> None:
    """Local runs propose nothing for production flags."""
    repo = server.repository({"flags.yaml": flags_text(environment)})
    a_run(project, "r1", 98, 2, source="local")
    kimiprobe("propose", **repo.environment)
    assert len(repo.pulls()) == opened


@hub.needs_npm
def test_a_refusal_names_the_setting_and_tells_the_proposal(project: Path, server: Hub) -> None:
    """Exit code 2, the setting to change, and the proposal; never the token."""
    repo = server.repository({"flags.yaml": flags_text()})
    a_run(project, "r1", 98, 2)
    server.fail("POST", r"/pulls$", 403, "GitHub Actions is not permitted to create or approve pull requests.")
    result = kimiprobe("propose", **repo.environment)
    assert result.exit_code == 2
    assert '"Allow GitHub Actions to create and approve pull requests"' in result.stderr
    assert f"the proposal was: {KIMI} passed 98 of 100" in result.stderr
    assert BOT not in result.output


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "GITHUB_REPOSITORY: not set"), ({"GITHUB_REPOSITORY": "o/r"}, "GITHUB_TOKEN: not set")],
)
def test_what_is_missing_is_named(project: Path, environment: dict[str, str], told: str) -> None:
    """One line, and exit code 2."""
    result = kimiprobe("propose", **environment)
    assert (result.exit_code, told in result.stderr) == (2, True)


def test_paths_are_relative_to_the_repository(project: Path) -> None:
    """Paths are relative to the folder that holds .git, from any working folder."""
    assert path_in_repository(project / "config" / "flags.yaml") == "config/flags.yaml"
    assert path_in_repository(Path("flags.yaml")) == "flags.yaml"


# ---------------------------------------------------------------- record


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_record_pushes_and_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a detached checkout in a workflow, the branch comes from GITHUB_REF_NAME."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", "remote.git", "here")
    here = tmp_path / "here"
    (here / "flags.yaml").write_text(flags_text())
    git(here, "add", "-A")
    git(here, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x")
    git(here, "push", "-q", "origin", "HEAD:refs/heads/main")
    git(here, "checkout", "-q", "--detach")
    monkeypatch.chdir(here)
    a_run(here, "r1", 5)
    workflow = {"GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main"}
    first, second = (kimiprobe("record", "--json", **workflow) for _ in range(2))
    data = json.loads(first.stdout)
    assert data["commit"] == git(tmp_path / "remote.git", "rev-parse", "main")
    assert [name.rpartition("-")[0].rpartition("-")[2] for name in data["files"]] == ["r1"]
    assert json.loads(second.stdout)["commit"] == ""
    assert "nothing new to record" in kimiprobe("record", **workflow).stdout
    result = kimiprobe("record")
    assert (result.exit_code, "HEAD is detached; name the branch with --branch" in result.stderr) == (2, True)


# ---------------------------------------------------------------- alert


def test_alert_says_what_changed(project: Path) -> None:
    """The newest run is compared with those before; --dry-run sends nothing."""
    a_run(project, "r1", 20, hours=30)
    assert kimiprobe("alert", "--dry-run").stdout == f"{WORKING}\n"
    a_run(project, "r2", 5, 15)
    assert kimiprobe("alert", "--dry-run").stdout == f"{STOPPED}\n"
    a_run(project, "r3", 5, 15, hours=0)
    assert kimiprobe("alert", "--dry-run").stdout == "nothing changed\n"


def test_alert_compares_with_a_file(project: Path, tmp_path: Path) -> None:
    """`--before` names an earlier latest.json."""
    a_run(project, "r1", 20, hours=30)
    former = tmp_path / "former.json"
    former.write_text((project / "results" / "latest.json").read_text())
    a_run(project, "r2", 5, 15)
    (row,) = json.loads(kimiprobe("alert", "--dry-run", "--before", str(former), "--json").stdout)["alerts"]
    assert (row["subject"], row["state"], row["text"]) == ("openrouter/kimi-k2.6", "stopped", STOPPED)


def test_local_changes_alert_in_a_test_environment_only(project: Path) -> None:
    """Local runs cause no alert in production, and a text that says that it is a test."""
    a_run(project, "r1", 20, source="local")
    assert kimiprobe("alert", "--dry-run").stdout == "nothing changed\n"
    (project / "flags.yaml").write_text(flags_text("test"))
    assert kimiprobe("alert", "--dry-run").stdout == f"Test on this machine: {WORKING}\n"


def test_a_damaged_run_file_is_named_and_exits_with_2(project: Path) -> None:
    """Alerts on the other runs are sent."""
    path = a_run(project, "r1", 20)
    path.with_name("052900Z-torn-1.json").write_text('{"version": 1')
    result = kimiprobe("alert", "--dry-run")
    assert (result.exit_code, result.stdout) == (2, f"{WORKING}\n")
    assert "052900Z-torn-1.json: skipped: " in result.stderr


@hub.needs_npm
def test_alert_writes_the_issue_once(project: Path, server: Hub) -> None:
    """A second run says that the alert was sent before."""
    repo = server.repository({"flags.yaml": flags_text()})
    a_run(project, "r1", 20, hours=30)
    a_run(project, "r2", 5, 15)
    first, second = (kimiprobe("alert", **repo.environment) for _ in range(2))
    (issue,) = repo.issues()
    assert first.stdout == f"{STOPPED} ({issue['html_url']})\n"
    assert second.stdout == f"{STOPPED} ({issue['html_url']}, sent before)\n"
    assert HOSTILE[:8] not in issue["body"]


@hub.needs_npm
def test_a_failed_channel_is_an_error_after_the_others(project: Path, server: Hub) -> None:
    """A dead webhook does not stop the issue, and the exit code is 2; the URL stays secret."""
    repo = server.repository({"flags.yaml": flags_text()})
    a_run(project, "r1", 20)
    url = f"{DEAD}/services/secret-part"
    result = kimiprobe("alert", KIMIPROBE_WEBHOOK_URL=url, **repo.environment)
    assert result.exit_code == 2
    assert "not delivered: KIMIPROBE_WEBHOOK_URL" in result.stderr
    assert "secret-part" not in result.output
    assert [issue["title"] for issue in repo.issues("closed")] == [WORKING]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"KIMIPROBE_WEBHOOK_URL": "http://example.com/x"}, "must be an https URL"),
        ({"GITHUB_TOKEN": "x", "GITHUB_REPOSITORY": "o/r", "GITHUB_API_URL": "http://x"}, "https is needed"),
    ],
)
def test_a_channel_that_cannot_be_opened_is_an_error(project: Path, environment: dict[str, str], told: str) -> None:
    """A wrong setting counts as an undelivered alert."""
    a_run(project, "r1", 20)
    result = kimiprobe("alert", **environment)
    assert (result.exit_code, told in result.stderr) == (2, True)


def test_without_channels_it_is_printed(project: Path) -> None:
    """Without variables: the sentence, a note, and exit code 0."""
    a_run(project, "r1", 20)
    result = kimiprobe("alert", GITHUB_REPOSITORY="o/r")
    assert (result.exit_code, result.stdout) == (0, f"{WORKING}\n")
    assert "no issue is written: GITHUB_TOKEN: not set" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("status --flags /nowhere", "/nowhere: "),
        ("status --flags bad.yaml", "bad.yaml:"),
        ("status --results /nowhere", "/nowhere: no such folder"),
        ("decide --results /nowhere", "/nowhere: no such folder"),
        ("propose --repo nope --dry-run", "--repo: 'nope' is not a repository; expected owner/name"),
        ("check --sute smoke", "No such option"),
        ("check --kimiprobe-sute smoke", "--kimiprobe-suite"),
        ("check --source=replay:/nowhere", "/nowhere: not there; --kimiprobe-record FOLDER records a run"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_next_step(project: Path, arguments: str, message: str) -> None:
    (project / "bad.yaml").write_text("nonsense: [", "utf-8")
    command = [sys.executable, "-c", "from pytest_kimiprobe.monitor.cli import main; main()", *arguments.split()]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode in {2, 4}, message in done.stderr) == (True, True), done.stderr


def test_decide_gives_the_reason_for_no_evidence_once(project: Path) -> None:
    command = [sys.executable, "-c", "from pytest_kimiprobe.monitor.cli import main; main()", "decide"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert "no evidence (" in done.stdout
    assert "no evidence, no change" not in done.stdout
