"""Options and readers that several commands share: the flags file, the results folder, and its evidence."""

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
    """Print a command's result: lines of text, or with `--json` the document and its version."""
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(lines))


def print_json(document: Mapping[str, Any]) -> None:
    """Print the document as JSON, after the version of the format."""
    click.echo(json.dumps({"version": 1, **document}, indent=1))


@dataclass(frozen=True, slots=True)
class Found:
    """Content of the results folder, read at `now`."""

    evidence: Evidence
    runs: tuple[StoredRun, ...]
    now: datetime

    def examples(self, endpoints: Iterable[str]) -> Mapping[str, Failure]:
        """The newest failure of these endpoints for each reason code."""
        wanted, found = set(endpoints), dict[str, Failure]()
        for run in reversed(self.runs):
            for failure in run.failures:
                if failure.endpoint in wanted:
                    found.setdefault(failure.reason, failure)
        return found


def flags_file(given: Path | None) -> Path:
    """The flags file to read. Raises ConfigError if none is given or found."""
    path = given or find_flags()
    if path is None:
        raise ConfigError("no such file here or above; name it with --flags", where=FILE_NAME)
    return path


def results_folder(given: Path | None, flags: Path | None = None) -> Path:
    """The given folder, otherwise `results` beside the flags file, otherwise `results` in the current folder."""
    beside = flags or find_flags()
    return given or (beside.parent if beside else Path()) / "results"


def read_results(given: Path | None, flags: Path | None) -> Found:
    """Read the evidence as of now, with a warning for each file that was skipped. Raises EvidenceError."""
    now, problems = datetime.now(UTC), list[str]()
    evidence, runs = evidence_now(results_folder(given, flags), now, problems)
    tell_problems(problems)
    return Found(evidence, tuple(runs), now)


def tell_problems(problems: Iterable[str]) -> None:
    """Print a warning on stderr for each file that was skipped; the command goes on."""
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)


def path_in_repository(path: Path) -> str:
    """The path relative to the folder that holds `.git`; outside a repository, the path as given."""
    absolute = path.absolute()
    root = next((folder for folder in absolute.parents if (folder / ".git").exists()), None)
    relative = absolute.relative_to(root) if root else Path(path.name) if path.is_absolute() else path
    return relative.as_posix()
