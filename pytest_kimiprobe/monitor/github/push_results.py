"""The run's files committed and pushed, so that no push of somebody else ever costs a result.

The commit is built beside the checkout, on whatever the remote has now: its tree plus our run files plus a latest.json
recomputed from all run files. A lost race is repaired by doing that again; texts are never merged. The checkout itself
is touched only after the push, and only where that loses nothing.
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
from .git import Git, RecordProblem, token_for, words

TRIES = 10
# Of a day's folder and a run's name; a line break in a name would end git's own list of names.
_PATH = re.compile(rf"runs/[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}}/{FILE_NAME.pattern}")
_BOT = {"NAME": "kimiprobe", "EMAIL": "kimiprobe@users.noreply.github.com"}
# What no second try mends: the token may not, or the branch is protected.
_FINAL = re.compile(
    r"(?i)denied|\b403\b|\b401\b|authentication failed|could not read username|GH006|GH013|protected branch"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was pushed. `commit` is empty where everything was there already; `note` is for a human."""

    commit: str
    files: tuple[str, ...]
    tries: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records one results folder on one branch of one remote. `sleep` and `jitter` (0..1) are for tests."""

    folder: Path
    branch: str = ""
    remote: str = "origin"
    tries: int = TRIES
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

    def record(self, now: datetime) -> Recorded:
        """Commit and push the run files that the remote lacks. Raises RecordProblem; the files stay."""
        git = self._git()
        place = _Place(git, self.folder, self.folder.resolve().relative_to(git.root).as_posix())
        branch = self.branch or _current_branch(git)
        told = ""
        for attempt in range(1, self.tries + 1):
            try:
                base = self._fetched(git, branch)
                files = place.missing(base)
                commit = place.commit(base, files, now) if files else base
                if files:
                    pushed = git.run("push", "--quiet", self.remote, f"{commit}:refs/heads/{branch}", check=False)
                    told = words(pushed.stderr)
                if not files or self._landed(git, branch, commit):
                    return Recorded(
                        commit if files else "", tuple(files), attempt, _advance(place, branch, commit, files)
                    )
            except RecordProblem as problem:
                told = str(problem)
            if _FINAL.search(told):
                break
            if attempt < self.tries:
                self.sleep(min(0.2 * 2**attempt, 10.0) * (0.5 + self.jitter()))
        raise RecordProblem(
            f"not pushed to {branch} ({attempt} tries); the files are kept: {told}", where=str(self.folder)
        )

    def _git(self) -> Git:
        if not self.folder.is_dir():
            raise RecordProblem("no such folder; `kimiprobe check` writes it", where=str(self.folder))
        here = Git(self.folder)
        found = here.run("rev-parse", "--show-toplevel", check=False)
        if found.returncode:
            raise RecordProblem("is in no git repository", where=str(self.folder))
        url = here.run("remote", "get-url", self.remote, check=False).stdout.strip()
        return Git(Path(found.stdout.strip()).resolve(), token_for(url, os.environ))

    def _fetched(self, git: Git, branch: str) -> str:
        """The remote branch's commit now. In a shallow clone only what is new is fetched."""
        fetched = git.run("fetch", "--quiet", "--no-tags", self.remote, f"refs/heads/{branch}", check=False)
        if fetched.returncode:
            raise RecordProblem(f"cannot fetch {self.remote} {branch}: {words(fetched.stderr)}", where=str(self.folder))
        return git.out("rev-parse", "FETCH_HEAD")

    def _landed(self, git: Git, branch: str, commit: str) -> bool:
        """Whether the remote branch holds the commit, whatever push said: an answer may be lost on the way."""
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
class _Place:
    """The results folder in its repository; `prefix` is its path there."""

    git: Git
    folder: Path
    prefix: str

    def missing(self, base: str) -> list[str]:
        """Whole run files that the remote lacks, or holds only as an incomplete run, as paths below the folder."""
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
            return False  # torn or of a newer version: not this release's to publish
        theirs = _read(self.git.run("cat-file", "blob", there).stdout) if there else None
        return theirs is None or (ours.complete and not theirs.complete)

    def _blobs(self, commit: str) -> dict[str, str]:
        """Path below the results folder → blob, in that commit."""
        rows = self.git.run("ls-tree", "-r", "-z", commit, "--", f"{self.prefix}/").stdout.split("\0")
        entries = (row.split("\t", 1) for row in rows if row)
        return {path.removeprefix(f"{self.prefix}/"): meta.split()[2] for meta, path in entries}

    def _hashes(self, names: Sequence[str]) -> list[str]:
        paths = "".join(f"{(self.folder / name).resolve()}\n" for name in names)
        return self.git.out("hash-object", "--no-filters", "--stdin-paths", text=paths).splitlines() if names else []

    def commit(self, base: str, files: Sequence[str], now: datetime) -> str:
        """A commit on `base` with our run files and a latest.json that counts everybody's."""
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
            told = "one run" if len(files) == 1 else f"{len(files)} runs"
            message = f"Record {told}\n\n" + "".join(f"{self.prefix}/{file}\n" for file in files)
            return git.out("commit-tree", git.out("write-tree"), "-p", base, text=message)

    def _check_out(self, git: Git, work: Path, now: datetime) -> None:
        """The remote's run files of the last weeks, in a folder of their own; older ones are no evidence any more."""
        opening = now - KEPT_FOR
        runs, daily = f"{self.prefix}/runs/{opening:%Y/%m/%d}", f"{self.prefix}/{DAILY}/{opening:%Y-%m}"
        listed = git.run("ls-files", "-z", "--", f"{self.prefix}/runs/").stdout.split("\0")
        months = git.run("ls-files", "-z", "--", f"{self.prefix}/{DAILY}/").stdout.split("\0")
        recent = "\0".join([*(path for path in listed if path >= runs), *(path for path in months if path >= daily)])
        if recent:
            git.run("checkout-index", "-z", "--stdin", f"--prefix={work}/", text=recent)


def _derived(place: _Place, commit: str) -> list[str]:
    """Files that the commit changes and that are computed from run files: overwriting ours loses nothing."""
    paths = (f"{place.prefix}/latest.json", f"{place.prefix}/{DAILY}/")
    listed = place.git.run("diff", "--name-only", "--diff-filter=d", "-z", "HEAD", commit, "--", *paths).stdout
    names = [path.removeprefix(f"{place.prefix}/") for path in listed.split("\0") if path]
    return [name for name in names if (place.folder / name).is_file()]


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
    """Who commits: as git is set up here, else the bot."""
    if git.run("config", "user.email", check=False).stdout.strip() or os.environ.get("GIT_COMMITTER_EMAIL"):
        return {}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _BOT.items()}


def _advance(place: _Place, branch: str, commit: str, files: Sequence[str]) -> str:
    """Bring the checkout to the pushed commit where that is a plain step forward; otherwise say what to do.

    git itself refuses where a local change would be lost. Our own files are staged first: they are in the commit.
    """
    git, told = place.git, f"the checkout was left as it is; `git pull` brings {branch} here"
    if git.out("rev-parse", "HEAD") == commit:
        return ""
    head = git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).stdout.strip()
    if head not in {branch, ""} or not git.is_ancestor("HEAD", commit):
        return told
    derived = _derived(place, commit)
    for name in derived:
        atomic_write(place.folder / name, git.run("cat-file", "blob", f"{commit}:{place.prefix}/{name}").stdout)
    mine = [f"{place.prefix}/{name}" for name in (*derived, *files) if (place.folder / name).is_file()]
    if mine:
        git.run("add", "--force", "--", *mine)
    if git.run("merge", "--ff-only", "--quiet", commit, check=False).returncode == 0:
        return ""
    git.run("reset", "--quiet", "--", *mine, check=False)
    return told
