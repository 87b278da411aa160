"""Results are committed and pushed; no race, fault or unusual checkout loses one."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from building import KIMI, MOONSHOT

from pytest_kimiprobe.monitor.github import push_results
from pytest_kimiprobe.monitor.github.git import RecordProblem, token_for
from pytest_kimiprobe.monitor.github.push_results import PushResult, ResultsPusher
from pytest_kimiprobe.results.store import refresh_latest, write_run
from pytest_kimiprobe.verdicts import ProbeResult, Run
from routing.evidence.model import loads

NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the git settings of the user who runs the tests."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=human", "-c", "user.email=human@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository with a first commit on main."""
    bare = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    seed = clone(bare, tmp_path / "seed")
    (seed / "flags.yaml").write_text("version: 1\n...\n")
    (seed / "results").mkdir()
    (seed / "results" / "README.md").write_text("results\n")
    git(seed, "add", "-A")
    git(seed, "commit", "--quiet", "-m", "first")
    git(seed, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    return bare


def clone(remote: Path, folder: Path, *options: str) -> Path:
    git(folder.parent, "clone", "--quiet", *options, f"file://{remote}", str(folder))
    return folder


def probe(folder: Path, run_id: str, *, at: datetime = NOW, endpoint: str = KIMI, complete: bool = True) -> Path:
    """Write what `kimiprobe check` leaves in a checkout."""
    rows = tuple(
        ProbeResult(f"{run_id}-{number}", "weather", endpoint, "plain", number, "pass", "ok") for number in range(5)
    )
    run = Run(run_id, 1, "live", "core", at - timedelta(minutes=2), at, complete, rows)
    path = write_run(folder / "results", run, environment={})
    refresh_latest(folder / "results", at)
    return path


def recorder(
    folder: Path,
    branch: str = "",
    tries: int = 10,
    sleep: Callable[[float], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> ResultsPusher:
    return ResultsPusher(folder / "results", branch, tries=tries, sleep=sleep, tell=tell, jitter=lambda: 0.5)


def record(folder: Path, branch: str = "") -> PushResult:
    return recorder(folder, branch).push(NOW)


def remote_files(remote: Path, branch: str = "main") -> list[str]:
    return git(remote, "ls-tree", "-r", "--name-only", branch).splitlines()


def runs_in(remote: Path, branch: str = "main") -> list[str]:
    return [path.rpartition("-")[0].rpartition("Z-")[2] for path in remote_files(remote, branch) if "/runs/" in path]


# ---------------------------------------------------------------- the plain way


def test_a_run_is_one_commit_with_its_files_and_nothing_else(remote: Path, tmp_path: Path) -> None:
    """Paths are explicit: other changed files are not committed."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    (here / "secret.env").write_text("KEY=x")
    (here / "flags.yaml").write_text("edited\n...\n")
    (here / "results" / "notes.txt").write_text("mine")
    done = record(here)
    assert git(remote, "show", "--name-only", "--format=%an: %s", "main").splitlines() == [
        "kimiprobe: Record one run",
        "",
        "results/daily/2026-11.jsonl",
        "results/latest.json",
        "results/runs/2026/11/23/052800Z-r1-1.json",
    ]
    assert (done.commit, done.files, done.tries) == (git(remote, "rev-parse", "main"), done.files, 1)
    assert (here / "flags.yaml").read_text() == "edited\n...\n"
    assert (here / "results" / "notes.txt").read_text() == "mine"


def test_the_checkout_follows(remote: Path, tmp_path: Path) -> None:
    """Afterwards HEAD is the pushed commit, and the checkout is clean."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    done = record(here)
    assert git(here, "rev-parse", "HEAD") == done.commit
    assert (git(here, "status", "--porcelain"), done.note) == ("", "")


def test_again_there_is_nothing_to_record(remote: Path, tmp_path: Path) -> None:
    """A second push makes no empty commit."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    done = record(here)
    assert record(here) == PushResult("", (), 1)
    assert git(remote, "rev-parse", "main") == done.commit


def test_empty_results_are_nothing_to_record(remote: Path, tmp_path: Path) -> None:
    """A folder without runs is not an error."""
    assert record(clone(remote, tmp_path / "a")).files == ()


def test_a_person_is_named_where_git_knows_one(remote: Path, tmp_path: Path) -> None:
    """The bot is the author only if git has no user configured."""
    here = clone(remote, tmp_path / "a")
    git(here, "config", "user.name", "Ada")
    git(here, "config", "user.email", "ada@example.com")
    probe(here, "r1")
    record(here)
    assert git(remote, "show", "-s", "--format=%an <%ae>", "main") == "Ada <ada@example.com>"


# ---------------------------------------------------------------- races


def test_eight_concurrent_pushes_all_arrive(remote: Path, tmp_path: Path) -> None:
    """Each works in its clone of the same commit; latest.json counts all of them."""
    clones = [clone(remote, tmp_path / f"c{number}") for number in range(8)]
    for number, folder in enumerate(clones):
        probe(folder, f"r{number}", at=NOW - timedelta(minutes=number))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(record, clones))
    assert sorted(runs_in(remote)) == [f"r{number}" for number in range(8)]
    assert len({each.commit for each in done}) == 8
    latest = loads(git(remote, "show", "main:results/latest.json"))
    assert latest.endpoints[KIMI].window.judged == 40
    assert latest.run == "r0-1"
    assert git(remote, "log", "--merges", "--format=%h", "main") == ""


def test_a_push_that_came_first_costs_a_second_try(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is built again on the newer one; the other's change of flags.yaml is kept."""
    here, other = clone(remote, tmp_path / "a"), clone(remote, tmp_path / "b")
    probe(here, "r1")
    (other / "flags.yaml").write_text("other\n...\n")
    git(other, "commit", "--quiet", "-am", "other")
    waits: list[float] = []
    build = push_results._build_commit

    def overtaken(*arguments: Any) -> tuple[str, list[str]]:
        commit = build(*arguments)
        if not waits:
            git(other, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        return commit

    monkeypatch.setattr(push_results, "_build_commit", overtaken)
    done = recorder(here, sleep=waits.append).push(NOW)
    assert (done.tries, waits) == (2, [0.4])
    assert git(remote, "show", "main:flags.yaml") == "other\n..."
    assert (here / "flags.yaml").read_text() == "other\n...\n"
    assert runs_in(remote) == ["r1"]


def test_an_older_run_than_the_remotes_does_not_take_back_latest(remote: Path, tmp_path: Path) -> None:
    """latest.json is recomputed from all runs, in whichever order they are pushed."""
    newer, older = clone(remote, tmp_path / "a"), clone(remote, tmp_path / "b")
    probe(newer, "new", endpoint=MOONSHOT)
    probe(older, "old", at=NOW - timedelta(hours=3))
    record(newer)
    record(older)
    latest = loads((older / "results" / "latest.json").read_text())
    assert latest.run == "new-1"
    assert set(latest.endpoints) == {KIMI, MOONSHOT}
    assert git(older, "status", "--porcelain") == ""


def test_a_fuller_version_of_a_run_replaces_the_interrupted_one(remote: Path, tmp_path: Path) -> None:
    """An interrupted version never replaces a complete one."""
    first, second = clone(remote, tmp_path / "a"), clone(remote, tmp_path / "b")
    probe(first, "r1", complete=False)
    record(first)
    probe(second, "r1")
    assert len(record(second).files) == 1
    assert record(first).files == ()
    assert '"complete": true' in git(remote, "show", "main:results/runs/2026/11/23/052800Z-r1-1.json")


# ---------------------------------------------------------------- odd checkouts


def test_a_shallow_clone_records(remote: Path, tmp_path: Path) -> None:
    """`actions/checkout` makes one; later pushes of others do not prevent recording."""
    other = clone(remote, tmp_path / "b")
    probe(other, "r0", at=NOW - timedelta(days=1))
    record(other)
    here = clone(remote, tmp_path / "a", "--depth=1")
    probe(other, "r1", at=NOW - timedelta(hours=1))
    record(other)
    probe(here, "r2")
    assert record(here).note == ""
    assert runs_in(remote) == ["r0", "r1", "r2"]
    assert loads((here / "results" / "latest.json").read_text()).endpoints[KIMI].window.judged == 15


def test_a_detached_head_needs_a_branch(remote: Path, tmp_path: Path) -> None:
    """The branch cannot be guessed; given, it works."""
    here = clone(remote, tmp_path / "a")
    git(here, "checkout", "--quiet", "--detach")
    probe(here, "r1")
    with pytest.raises(RecordProblem, match="HEAD is detached; name the branch with --branch"):
        record(here)
    record(here, "main")
    assert runs_in(remote) == ["r1"]


def test_another_branch_is_left_alone(remote: Path, tmp_path: Path) -> None:
    """Recording on main from a feature branch does not move the feature branch."""
    here = clone(remote, tmp_path / "a")
    git(here, "checkout", "--quiet", "-b", "feature")
    head = git(here, "rev-parse", "HEAD")
    path = probe(here, "r1")
    done = record(here, "main")
    assert runs_in(remote) == ["r1"]
    assert (git(here, "rev-parse", "HEAD"), path.exists()) == (head, True)
    assert "`git pull` brings main here" in done.note


def test_commits_that_were_not_pushed_stay_unpushed(remote: Path, tmp_path: Path) -> None:
    """Only results are pushed, not other local commits."""
    here = clone(remote, tmp_path / "a")
    (here / "flags.yaml").write_text("draft\n...\n")
    git(here, "commit", "--quiet", "-am", "draft")
    probe(here, "r1")
    done = record(here)
    assert git(remote, "show", "main:flags.yaml") == "version: 1\n..."
    assert git(here, "log", "-1", "--format=%s") == "draft"
    assert "left as it is" in done.note


def test_a_change_in_the_way_is_not_lost(remote: Path, tmp_path: Path) -> None:
    """If the pushed commit changes a file that was edited here, the checkout is not updated."""
    here, other = clone(remote, tmp_path / "a"), clone(remote, tmp_path / "b")
    (other / "flags.yaml").write_text("other\n...\n")
    git(other, "commit", "--quiet", "-am", "other")
    git(other, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    (here / "flags.yaml").write_text("mine\n...\n")
    probe(here, "r1")
    assert "left as it is" in record(here).note
    assert (here / "flags.yaml").read_text() == "mine\n...\n"
    assert runs_in(remote) == ["r1"]
    assert git(here, "diff", "--cached", "--name-only") == ""


# ---------------------------------------------------------------- faults


def test_when_no_push_lands_it_says_so_and_keeps_the_files(remote: Path, tmp_path: Path) -> None:
    """After ten tries with growing waits an error is raised."""
    here = clone(remote, tmp_path / "a")
    path = probe(here, "r1")
    hook = remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho busy >&2\nexit 1\n")
    hook.chmod(0o755)
    waits: list[float] = []
    said: list[str] = []
    with pytest.raises(RecordProblem, match=r"not pushed to main \(10 tries\); the files are kept: .*busy"):
        recorder(here, sleep=waits.append, tell=said.append).push(NOW)
    assert len(waits) == len(said) == 9
    assert all("busy" in line for line in said)
    assert waits == sorted(waits)
    assert max(waits) <= 15
    assert path.exists()
    assert runs_in(remote) == []


def test_a_permanent_refusal_is_reported_after_one_try(remote: Path, tmp_path: Path) -> None:
    """No permission, a protected branch or a wrong address ends after one try."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    hook = remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RecordProblem, match=r"not pushed to main \(1 tries\).*GH006"):
        record(here)
    with pytest.raises(RecordProblem, match=r"\(1 tries\).*find remote ref refs/heads/nowhere"):
        record(here, "nowhere")
    git(here, "remote", "set-url", "origin", str(tmp_path / "gone"))
    with pytest.raises(RecordProblem, match=r"\(1 tries\).*cannot fetch origin main"):
        record(here)


def test_a_protected_branch_comes_with_a_next_step(remote: Path, tmp_path: Path) -> None:
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    hook = remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RecordProblem, match="allow this workflow to push to the branch, or record on another one"):
        record(here)


@pytest.mark.parametrize("branch", ["main:refs/heads/other", "a..b", "a b", "main^{commit}"])
def test_only_a_branch_name_is_a_branch(remote: Path, tmp_path: Path, branch: str) -> None:
    """A refspec would record on another branch than the one that is checked."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    with pytest.raises(RecordProblem, match="is not the name of a branch"):
        record(here, branch)
    assert runs_in(remote) == []


def test_a_push_whose_answer_was_lost_has_landed(remote: Path, tmp_path: Path) -> None:
    """The ref of the remote decides, not the exit code of push."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    hook = remote / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    done = record(here)
    assert done.tries == 1
    assert runs_in(remote) == ["r1"]


def test_torn_files_are_not_published(remote: Path, tmp_path: Path) -> None:
    """A file that cannot be read is kept for a human; a line break in a name does no harm."""
    here = clone(remote, tmp_path / "a")
    probe(here, "r1")
    torn = here / "results" / "runs" / "2026" / "11" / "23" / "052900Z-torn-1.json"
    torn.write_text('{"version": 1')
    link = torn.with_name("052900Z-link-1.json")
    link.symlink_to(here / "flags.yaml")
    torn.with_name("a\nb.json").write_text("{}")
    torn.with_name("052900Z-a\nb-1.json").write_text("{}")
    said: list[str] = []
    recorder(here, tell=said.append).push(NOW)
    assert runs_in(remote) == ["r1"]
    assert torn.exists()
    assert [line.partition(": left out: ")[0] for line in said] == ["runs/2026/11/23/052900Z-torn-1.json"]


def test_a_run_file_that_contradicts_itself_is_not_published(remote: Path, tmp_path: Path) -> None:
    """Its counts are what flags rest on."""
    here = clone(remote, tmp_path / "a")
    path = probe(here, "r1")
    path.write_text(path.read_text().replace('"status": "works"', '"status": "broken"'))
    said: list[str] = []
    recorder(here, tell=said.append).push(NOW)
    assert runs_in(remote) == []
    assert "status broken does not follow from the cells" in said[0]


def test_outside_of_a_repository_it_says_so(tmp_path: Path) -> None:
    """A missing folder is reported too."""
    with pytest.raises(RecordProblem, match="no such folder; `kimiprobe check` writes it"):
        record(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(RecordProblem, match="is not in a git repository"):
        record(tmp_path)


def test_the_token_goes_to_github_only() -> None:
    """It is a header for that server, never an argument, and never sent to another host."""
    environment = {"GITHUB_TOKEN": "ghs_x", "GITHUB_SERVER_URL": "https://github.com"}
    settings = token_for("https://github.com/o/r", environment)
    assert settings["GIT_CONFIG_KEY_0"] == "http.https://github.com/.extraheader"
    assert settings["GIT_CONFIG_VALUE_0"].startswith("AUTHORIZATION: basic ")
    for url in ("https://evil.example/o/r", "https://github.com.evil.example/o/r", "git@github.com:o/r", "file:///x"):
        assert token_for(url, environment) == {}
    assert token_for("https://github.com/o/r", {}) == {}
    assert token_for("http://github.com/o/r", {**environment, "GITHUB_SERVER_URL": "http://github.com"}) == {}
