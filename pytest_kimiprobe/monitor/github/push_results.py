"""Commits and pushes run files in such a way that a concurrent push never loses a result.

The commit is built outside the checkout, on the remote branch's newest commit: its tree, our run files, and a
latest.json recomputed from all run files. If another push was faster, the commit is built again; texts are never
merged. The checkout is updated only after the push, and only if that loses nothing.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from routing.errors import ConfigError

from ...results.daily import FOLDER as DAILY
from ...results.daily import refresh_daily
from ...results.run_file import StoredRun, parsed
from ...results.store import FILE_NAME, KEPT_FOR, atomic_write, read_run, refresh_latest
from .git import Git, RecordProblem, error_text, token_for

TRIES = 10
# A path has a day's folder and a run's name. The pattern excludes line breaks, which separate names in git's lists.
_PATH = re.compile(rf"runs/[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}}/{FILE_NAME.pattern}")
_BOT = {"NAME": "kimiprobe", "EMAIL": "kimiprobe@users.noreply.github.com"}
# Errors that a retry cannot fix: the token lacks the permission, or the branch is protected.
_FINAL = re.compile(
    r"(?i)denied|\b403\b|\b401\b|authentication failed|could not read username|GH006|GH013|protected branch"
)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was pushed. `commit` is empty if the remote had everything already; `note` is for a human."""

    commit: str
    files: tuple[str, ...]
    tries: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ResultsPusher:
    """Pushes one results folder to one branch of one remote. `sleep` and `jitter` (0..1) are for tests."""

    folder: Path
    branch: str = ""
    remote: str = "origin"
    tries: int = TRIES
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

    def push(self, now: datetime) -> PushResult:
        """Commit and push the run files that the remote lacks. Raises RecordProblem; the files are kept."""
        git = self._git()
        results = _ResultsFolder(git, self.folder, self.folder.resolve().relative_to(git.root).as_posix())
        branch = self.branch or _current_branch(git)
        problem_text = ""
        for attempt in range(1, self.tries + 1):
            try:
                base = self._fetched(git, branch)
                files = results.missing(base)
                commit = results.commit(base, files, now) if files else base
                if files:
                    pushed = git.run("push", "--quiet", self.remote, f"{commit}:refs/heads/{branch}", check=False)
                    problem_text = error_text(pushed.stderr)
                if not files or self._landed(git, branch, commit):
                    return PushResult(
                        commit if files else "", tuple(files), attempt, _advance(results, branch, commit, files)
                    )
            except RecordProblem as problem:
                problem_text = str(problem)
            if _FINAL.search(problem_text):
                break
            if attempt < self.tries:
                self.sleep(min(0.2 * 2**attempt, 10.0) * (0.5 + self.jitter()))
        raise RecordProblem(
            f"not pushed to {branch} ({attempt} tries); the files are kept: {problem_text}", where=str(self.folder)
        )

    def _git(self) -> Git:
        if not self.folder.is_dir():
            raise RecordProblem("no such folder; `kimiprobe check` writes it", where=str(self.folder))
        here = Git(self.folder)
        found = here.run("rev-parse", "--show-toplevel", check=False)
        if found.returncode:
            raise RecordProblem("is not in a git repository", where=str(self.folder))
        url = here.run("remote", "get-url", self.remote, check=False).stdout.strip()
        return Git(Path(found.stdout.strip()).resolve(), token_for(url, os.environ))

    def _fetched(self, git: Git, branch: str) -> str:
        """Fetch the remote branch, and return its commit. A shallow clone stays shallow."""
        fetched = git.run("fetch", "--quiet", "--no-tags", self.remote, f"refs/heads/{branch}", check=False)
        if fetched.returncode:
            raise RecordProblem(
                f"cannot fetch {self.remote} {branch}: {error_text(fetched.stderr)}", where=str(self.folder)
            )
        return git.out("rev-parse", "FETCH_HEAD")

    def _landed(self, git: Git, branch: str, commit: str) -> bool:
        """Whether the remote branch contains the commit; the result of push alone is not enough, it may get lost."""
        listed = git.run("ls-remote", "--exit-code", self.remote, f"refs/heads/{branch}", check=False)
        if listed.returncode:
            return False
        head = listed.stdout.split()[0]
        if head == commit:
            return True
        fetched = git.run("fetch", "--quiet", "--no-tags", self.remote, f"refs/heads/{branch}", check=False)
        return not fetched.returncode and git.is_ancestor(commit, head)


def _current_branch(git: Git) -> str:
    name = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).stdout.strip()
    if not name:
        raise RecordProblem("HEAD is detached; name the branch with --branch", where=str(git.root))
    return name


@dataclass(frozen=True, slots=True)
class _ResultsFolder:
    """The results folder and its repository; `prefix` is the folder's path in the repository."""

    git: Git
    folder: Path
    prefix: str

    def missing(self, base: str) -> list[str]:
        """Readable run files that the remote lacks, or has only as an incomplete run, as paths below the folder."""
        blobs = self._blobs(base)
        names = [
            path.relative_to(self.folder).as_posix()
            for path in sorted((self.folder / "runs").rglob("*.json"))
            if path.is_file() and not path.is_symlink() and _PATH.fullmatch(path.relative_to(self.folder).as_posix())
        ]
        return [name for name, blob in zip(names, self._hashes(names), strict=True) if self._is_news(name, blob, blobs)]

    def _is_news(self, name: str, blob: str, blobs: Mapping[str, str]) -> bool:
        there = blobs.get(name)
        if there == blob:
            return False
        ours = _read_file(self.folder / name)
        if ours is None:
            return False  # damaged, or of a newer version: this release does not publish it
        theirs = _read(self.git.run("cat-file", "blob", there).stdout) if there else None
        return theirs is None or (ours.complete and not theirs.complete)

    def _blobs(self, commit: str) -> dict[str, str]:
        """Path below the results folder → id of its blob in that commit."""
        rows = self.git.run("ls-tree", "-r", "-z", commit, "--", f"{self.prefix}/").stdout.split("\0")
        entries = (row.split("\t", 1) for row in rows if row)
        return {path.removeprefix(f"{self.prefix}/"): meta.split()[2] for meta, path in entries}

    def _hashes(self, names: Sequence[str]) -> list[str]:
        paths = "".join(f"{(self.folder / name).resolve()}\n" for name in names)
        return self.git.out("hash-object", "--no-filters", "--stdin-paths", text=paths).splitlines() if names else []

    def commit(self, base: str, files: Sequence[str], now: datetime) -> str:
        """Create a commit on `base` with our run files and a latest.json that counts all run files."""
        with TemporaryDirectory(prefix="kimiprobe-") as name:
            work = Path(name)
            git = self.git.with_environment({"GIT_INDEX_FILE": str(work / "index"), **_identity(self.git)})
            git.run("read-tree", base)
            self._check_out(git, work, now)
            whole = work / self.prefix
            for file in files:
                target = whole / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((self.folder / file).read_bytes())
            refresh_latest(whole, now)
            derived = [path.relative_to(whole).as_posix() for path in refresh_daily(whole, now, [])]
            for file in (*files, "latest.json", *derived):
                blob = git.out("hash-object", "-w", "--no-filters", "--", str(whole / file))
                git.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{self.prefix}/{file}")
            count = "one run" if len(files) == 1 else f"{len(files)} runs"
            message = f"Record {count}\n\n" + "".join(f"{self.prefix}/{file}\n" for file in files)
            return git.out("commit-tree", git.out("write-tree"), "-p", base, text=message)

    def _check_out(self, git: Git, work: Path, now: datetime) -> None:
        """Check out the remote's run files of the last KEPT_FOR below `work`; older ones no longer count."""
        opening = now - KEPT_FOR
        runs, daily = f"{self.prefix}/runs/{opening:%Y/%m/%d}", f"{self.prefix}/{DAILY}/{opening:%Y-%m}"
        listed = git.run("ls-files", "-z", "--", f"{self.prefix}/runs/").stdout.split("\0")
        months = git.run("ls-files", "-z", "--", f"{self.prefix}/{DAILY}/").stdout.split("\0")
        recent = "\0".join([*(path for path in listed if path >= runs), *(path for path in months if path >= daily)])
        if recent:
            git.run("checkout-index", "-z", "--stdin", f"--prefix={work}/", text=recent)


def _derived(results: _ResultsFolder, commit: str) -> list[str]:
    """Files that the commit changes and that are computed from run files; overwriting ours loses nothing."""
    paths = (f"{results.prefix}/latest.json", f"{results.prefix}/{DAILY}/")
    listed = results.git.run("diff", "--name-only", "--diff-filter=d", "-z", "HEAD", commit, "--", *paths).stdout
    names = [path.removeprefix(f"{results.prefix}/") for path in listed.split("\0") if path]
    return [name for name in names if (results.folder / name).is_file()]


def _read_file(path: Path) -> StoredRun | None:
    try:
        return parsed(read_run(path), "")
    except (ConfigError, ValueError):
        return None


def _read(text: str) -> StoredRun | None:
    try:
        return parsed(text, "")
    except ValueError:
        return None


def _identity(git: Git) -> dict[str, str]:
    """Author and committer: as git is configured here, otherwise the bot."""
    if git.run("config", "user.email", check=False).stdout.strip() or os.environ.get("GIT_COMMITTER_EMAIL"):
        return {}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _BOT.items()}


def _advance(results: _ResultsFolder, branch: str, commit: str, files: Sequence[str]) -> str:
    """Fast-forward the checkout to the pushed commit if possible; otherwise return a note that says what to do.

    git refuses if a local change would be lost. Our files are staged first, because the commit contains them.
    """
    git, note = results.git, f"the checkout was left as it is; `git pull` brings {branch} here"
    if git.out("rev-parse", "HEAD") == commit:
        return ""
    head = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).stdout.strip()
    if head not in {branch, ""} or not git.is_ancestor("HEAD", commit):
        return note
    derived = _derived(results, commit)
    for name in derived:
        atomic_write(results.folder / name, git.run("cat-file", "blob", f"{commit}:{results.prefix}/{name}").stdout)
    mine = [f"{results.prefix}/{name}" for name in (*derived, *files) if (results.folder / name).is_file()]
    if mine:
        git.run("add", "--force", "--", *mine)
    if git.run("merge", "--ff-only", "--quiet", commit, check=False).returncode == 0:
        return ""
    git.run("reset", "--quiet", "--", *mine, check=False)
    return note
