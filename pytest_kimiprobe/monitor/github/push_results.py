"""Commits and pushes run files in such a way that a concurrent push never loses a result.

The commit is built in a temporary folder, on top of the remote branch's newest commit. It holds the remote's results,
our run files, and the derived files recomputed from all run files. If another push was faster, the commit is built
again; files are never merged line by line. The checkout is updated only after the push, and only if that loses nothing.
"""

from __future__ import annotations

import filecmp
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from ...results.daily import FOLDER as DAILY
from ...results.daily import refresh_daily
from ...results.store import FILE_NAME, refresh_latest, stored_run
from ...results.verify import run_problems
from ...safe_text import one_line
from .git import Git, RecordProblem, error_text, token_for

TRIES = 10
# A path has a day's folder and a run's name. The pattern excludes line breaks, which separate names in git's lists.
_PATH = re.compile(rf"runs/[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}}/{FILE_NAME.pattern}")
_BOT = {"NAME": "kimiprobe", "EMAIL": "kimiprobe@users.noreply.github.com"}
_PROTECTED = re.compile(r"(?i)GH006|GH013|protected branch")
# Errors that a retry cannot fix: no permission, a protected branch, no such repository or branch.
_FINAL = re.compile(
    rf"(?i)denied|\b403\b|\b401\b|authentication failed|could not read username|{_PROTECTED.pattern[4:]}"
    r"|appear to be a git repository|repository .*not found|does not exist|find remote ref"
)
_ADVICE = "; allow this workflow to push to the branch, or record on another one with --branch"


@dataclass(frozen=True, slots=True)
class PushResult:
    """Result of a push. `commit` is empty if the remote had all run files already.

    `files` are the run files that were pushed. `note` says to a human what to do if the checkout was not updated.
    """

    commit: str
    files: tuple[str, ...]
    tries: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ResultsPusher:
    """Pushes the run files of one results folder to one branch of one remote.

    `sleep` and `jitter`, a random number of 0..1, control the waits between tries; tests replace them. `tell` gets a
    line for each failed try.
    """

    folder: Path
    branch: str = ""
    remote: str = "origin"
    tries: int = TRIES
    sleep: Callable[[float], None] = time.sleep
    tell: Callable[[str], None] = lambda _line: None
    jitter: Callable[[], float] = field(default=random.random)

    def push(self, now: datetime) -> PushResult:
        """Commit and push the run files that the remote lacks.

        Raises RecordProblem if that fails; the run files stay in the results folder.
        """
        git = self._git()
        branch = self.branch or _current_branch(git)
        if branch and git.run("check-ref-format", f"refs/heads/{branch}", check=False).returncode:
            raise RecordProblem(f"{branch!r} is not the name of a branch", where="--branch")
        if not branch:
            raise RecordProblem("HEAD is detached; name the branch with --branch", where=str(self.folder))
        problem_text = ""
        for attempt in range(1, self.tries + 1):
            try:
                base = self._fetched(git, branch)
                commit, files = _build_commit(git, base, now, self.tell)
                if files:
                    pushed = git.run("push", "--quiet", self.remote, f"{commit}:refs/heads/{branch}", check=False)
                    problem_text = error_text(pushed.stderr)
                # The answer to a push may get lost, so the remote branch decides.
                if not files or git.is_ancestor(commit, self._fetched(git, branch)):
                    note = _advance(git, branch, commit, files)
                    return PushResult(commit if files else "", tuple(files), attempt, note)
            except RecordProblem as problem:
                problem_text = str(problem)
            if _FINAL.search(problem_text):
                break
            if attempt < self.tries:
                self.tell(f"try {attempt} of {self.tries}: {problem_text}")
                self.sleep(min(0.2 * 2**attempt, 10.0) * (0.5 + self.jitter()))
        problem_text += _ADVICE if _PROTECTED.search(problem_text) else ""
        raise RecordProblem(
            f"not pushed to {branch} ({attempt} tries); the files are kept: {problem_text}", where=str(self.folder)
        )

    def _git(self) -> Git:
        """Git in the results folder, with the token if the remote is GitHub.

        Raises RecordProblem if the folder does not exist or is not in a git repository.
        """
        if not self.folder.is_dir():
            raise RecordProblem("no such folder; `kimiprobe check` writes it", where=str(self.folder))
        git = Git(self.folder)
        if git.run("rev-parse", check=False).returncode:
            raise RecordProblem("is not in a git repository", where=str(self.folder))
        url = git.run("remote", "get-url", self.remote, check=False).stdout.strip()
        return Git(self.folder, token_for(url, os.environ))

    def _fetched(self, git: Git, branch: str) -> str:
        """Fetch the remote branch, and return its newest commit. A shallow clone stays shallow."""
        fetched = git.run("fetch", "--quiet", "--no-tags", self.remote, f"refs/heads/{branch}", check=False)
        if fetched.returncode:
            raise RecordProblem(
                f"cannot fetch {self.remote} {branch}: {error_text(fetched.stderr)}", where=str(self.folder)
            )
        return git.out("rev-parse", "FETCH_HEAD")


def _current_branch(git: Git) -> str:
    """Name of the branch that is checked out; empty if HEAD is detached."""
    return git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).stdout.strip()


def _build_commit(here: Git, base: str, now: datetime, tell: Callable[[str], None]) -> tuple[str, list[str]]:
    """Create a commit on top of the commit `base` that adds the run files which `base` lacks.

    Returns the new commit and the paths of these files. If there are none, returns `base` and an empty list.
    """
    prefix = here.out("rev-parse", "--show-prefix")
    with TemporaryDirectory(prefix="kimiprobe-") as name:
        tree = Path(name, "tree")
        results = tree / prefix
        results.mkdir(parents=True)
        place = {"GIT_DIR": here.out("rev-parse", "--absolute-git-dir"), "GIT_WORK_TREE": str(tree)}
        git = Git(results, {**here.environment, **place, "GIT_INDEX_FILE": f"{name}/index", **_identity(here)})
        git.run("read-tree", base)
        git.run("checkout-index", "-z", "--stdin", text=git.run("ls-files", "-z").stdout)
        files = _copy_new_runs(here.folder, results, now, tell)
        if not files:
            return base, files
        refresh_latest(results, now)
        derived = [path.relative_to(results).as_posix() for path in refresh_daily(results, now, [])]
        git.run("add", "--force", "--", *files, "latest.json", *derived)
        count = "one run" if len(files) == 1 else f"{len(files)} runs"
        message = f"Record {count}\n\n" + "".join(f"{prefix}{file}\n" for file in files)
        return git.out("commit-tree", git.out("write-tree"), "-p", base, text=message), files


def _copy_new_runs(source: Path, target: Path, now: datetime, tell: Callable[[str], None]) -> list[str]:
    """Copy run files of the folder `source` into the folder `target`, and return their paths.

    Only files are copied that `target` lacks, or that it holds only as an incomplete run. A file that cannot be read or
    contradicts itself is left out, and `tell` gets the reason.
    """
    files = []
    for path in sorted((source / "runs").rglob("*.json")):
        name = path.relative_to(source).as_posix()
        if not _PATH.fullmatch(name) or path.is_symlink() or not _is_news(path, target / name):
            continue
        if problems := run_problems(path, now):
            tell(f"{name}: left out: {one_line('; '.join(problems))}")
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
            files.append(name)
    return files


def _is_news(path: Path, recorded: Path) -> bool:
    if recorded.is_file() and filecmp.cmp(path, recorded, shallow=False):
        return False
    ours, theirs = stored_run(path), stored_run(recorded)
    return theirs is None or (not theirs.complete and (ours is None or ours.complete))


def _identity(git: Git) -> dict[str, str]:
    """Environment variables that make the bot author and committer of commits.

    Empty if git has an identity configured here, which is used instead.
    """
    if git.run("config", "user.email", check=False).stdout.strip() or os.environ.get("GIT_COMMITTER_EMAIL"):
        return {}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _BOT.items()}


def _advance(git: Git, branch: str, commit: str, files: Sequence[str]) -> str:
    """Fast-forward the checkout to the pushed commit if possible; otherwise return a note that says what to do.

    git refuses the fast-forward if a local change would be lost. To prevent a refusal because of our run files and the
    derived files, these are first replaced by the versions in the commit.
    """
    note = f"the checkout was left as it is; `git pull` brings {branch} here"
    if git.out("rev-parse", "HEAD") == commit:
        return ""
    if _current_branch(git) not in {branch, ""} or not git.is_ancestor("HEAD", commit):
        return note
    derived = git.run("ls-tree", "-r", "-z", "--name-only", commit, "--", "latest.json", DAILY).stdout.split("\0")
    mine = [name for name in (*derived, *files) if (git.folder / name).is_file()]
    if mine:
        git.run("checkout", "--quiet", commit, "--", *mine)
    if git.run("merge", "--ff-only", "--quiet", commit, check=False).returncode == 0:
        return ""
    if mine:  # without paths, git would reset the whole index
        git.run("reset", "--quiet", "--", *mine, check=False)
    return note
