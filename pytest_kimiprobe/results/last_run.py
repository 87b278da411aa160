"""Keeps the failures of the last run and the options to repeat them, for `kimiprobe rerun`.

They are in `.kimiprobe/` of the folder that the run started in. Its own `.gitignore` keeps it out of git.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from routing.errors import ConfigError
from routing.parsing.safe_read import read_regular

from ..safe_text import one_line
from ..verdicts import PARITY, ProbeResult, Run
from .store import ResultsError, atomic_write

FOLDER = ".kimiprobe"
SWITCHED_OFF = "KIMIPROBE_KEEP_LAST_RUN"
"""If this variable is `0`, a run does not replace the last run. Replays and reruns of an earlier run set it."""
PYTEST_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS")
"""Environment variables from which pytest reads options and plugins."""
_FILE = "last_run.json"
_VERSION = 1
_MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Failed:
    """One failure: the argument by which pytest finds its probe, and what went wrong."""

    argument: str
    id: str
    endpoint: str
    verdict: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class LastRun:
    """The failures of a run, and what `kimiprobe rerun` needs to run one of their probes again in `folder`.

    `python` holds the arguments for Python, and `options` those for pytest. `environment` holds the variables that
    pytest reads: `PYTEST_VARIABLES`.
    """

    folder: Path
    python: tuple[str, ...]
    options: tuple[str, ...]
    environment: Mapping[str, str]
    failures: tuple[Failed, ...]
    title: str = ""
    """Source, suite and time of the run, for people."""


def failures_of(run: Run) -> list[ProbeResult]:
    """Wrong and missing answers, the most informative first: wrong answers, unlike pairs, errors, refusals."""
    failed = [probe for probe in run.probes if probe.verdict in {"fail", "error"}]
    return sorted(failed, key=failure_order)


def failure_order(probe: ProbeResult) -> tuple[bool, bool, bool, str]:
    """Sort key of failures. The same run gives the same order, in whatever order its answers came."""
    return probe.verdict == "error", probe.reason == "rate_limited", probe.mode == PARITY, probe.id


def keep(run: LastRun) -> None:
    """Write the last run. If the folder cannot be written, only `kimiprobe rerun` does not work.

    Links that a repository holds are not followed, because they could lead to any file of the user.
    """
    folder = run.folder / FOLDER
    if os.environ.get(SWITCHED_OFF) == "0" or folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
    document = {"version": _VERSION, **asdict(run), "folder": _identity(folder)}
    with contextlib.suppress(ResultsError, OSError):
        atomic_write(folder / _FILE, json.dumps(document, indent=1) + "\n")
        atomic_write(folder / ".gitignore", "*\n")


def find(start: Path) -> LastRun:
    """The last run of this folder, or of the nearest one above. Raises ConfigError if there is none."""
    for folder in (start, *start.parents):
        path = folder / FOLDER / _FILE
        if path.is_file():
            return _read(folder, path)
    raise ConfigError("no run was made here or above; `kimiprobe check` makes one", where=FOLDER)


def _read(folder: Path, path: Path) -> LastRun:
    try:
        data: Any = json.loads(read_regular(path, error=ConfigError, max_bytes=_MAX_BYTES))
        if data["version"] != _VERSION:
            raise ConfigError(f"version {data['version']!r} is not version {_VERSION}; run again", where=str(path))
        if (here := _identity(path.parent)) is None or data.get("folder") != here:
            raise ConfigError("was not written here by you, and could run any program; run again", where=str(path))
        return LastRun(
            folder,
            python=tuple(map(str, data["python"])),
            options=tuple(map(str, data["options"])),
            environment=_texts(data["environment"]),
            failures=tuple(Failed(**_texts(row)) for row in data["failures"]),
            title=str(data.get("title", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigError(f"cannot be read ({one_line(str(problem))}); run again", where=str(path)) from None


def _identity(folder: Path) -> list[int] | None:
    """The folder's inode, which a file that came with a repository cannot know. None for another user's folder."""
    with contextlib.suppress(OSError):
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == getattr(os, "getuid", lambda: 0)():
            return [status.st_ino, status.st_uid]
    return None


def _texts(row: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in row.items()}
