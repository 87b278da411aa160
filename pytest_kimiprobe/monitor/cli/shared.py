"""Options and functions that several commands share: flags file, results folder, evidence, output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from routing.errors import ConfigError
from routing.evidence.model import Evidence
from routing.flags.source import FILE_NAME, find_flags

from ...results.run_file import Failure, StoredRun
from ...results.store import evidence_now

flags_option = click.option(
    "--flags", "flags_path", type=click.Path(path_type=Path), help="flags.yaml (default: found upwards)."
)
results_option = click.option(
    "--results", type=click.Path(path_type=Path), help="Results folder (default: results beside flags.yaml)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show(lines: Iterable[str], document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a command's result: `lines` as text, or `document` as JSON if `as_json` is true.

    The first key of the JSON is the version of its format.
    """
    click.echo(json.dumps({"version": 1, **document}, indent=1) if as_json else "\n".join(lines))


@dataclass(frozen=True, slots=True)
class Found:
    """Content of the results folder as read at `now`: the evidence, and the runs from the oldest to the newest.

    `skipped` is the number of files that could not be read.
    """

    evidence: Evidence
    runs: tuple[StoredRun, ...]
    now: datetime
    skipped: int = 0

    def examples(self, endpoints: Iterable[str]) -> Mapping[str, Failure]:
        """The newest failure for each reason code, among the failures of these endpoints."""
        wanted, found = set(endpoints), dict[str, Failure]()
        for run in reversed(self.runs):
            for failure in run.failures:
                if failure.endpoint in wanted:
                    found.setdefault(failure.reason, failure)
        return found


def flags_file(given: Path | None) -> Path:
    """Path of the flags file: the given one, otherwise the one found. Raises ConfigError if none is found."""
    path = given or find_flags()
    if path is None:
        raise ConfigError("no such file here or above; name it with --flags", where=FILE_NAME)
    return path


def results_folder(given: Path | None, flags: Path | None = None) -> Path:
    """Path of the results folder: the given one, otherwise `results` beside the flags file or in the current folder.

    Raises ConfigError for a given folder that does not exist.
    """
    if given is not None and not given.is_dir():
        raise ConfigError("no such folder; `kimiprobe check --results FOLDER` makes one", where=str(given))
    beside = flags or find_flags()
    return given or (beside.parent if beside else Path()) / "results"


def read_results(given: Path | None, flags: Path | None) -> Found:
    """Read runs and evidence of the results folder, and print a warning for each file that is skipped.

    Raises EvidenceError if there are no run files and latest.json cannot be read.
    """
    now, problems = datetime.now(UTC), list[str]()
    evidence, runs = evidence_now(results_folder(given, flags), now, problems)
    tell_problems(problems)
    return Found(evidence, tuple(runs), now, len(problems))


def tell_problems(problems: Iterable[str]) -> None:
    """Print a warning on stderr for each problem, such as a file that was skipped. The command goes on."""
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)


def path_in_repository(path: Path) -> str:
    """The path relative to the folder that holds `.git`.

    Outside a repository, a relative path is returned as given, and an absolute path as its file name.
    """
    absolute = path.absolute()
    root = next((folder for folder in absolute.parents if (folder / ".git").exists()), None)
    relative = absolute.relative_to(root) if root else Path(path.name) if path.is_absolute() else path
    return relative.as_posix()
