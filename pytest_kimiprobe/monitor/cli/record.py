"""Command `kimiprobe record`: commits and pushes run files."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from ..github.push_results import ResultsPusher
from .shared import json_option, results_folder, results_option, show


@click.command()
@results_option
@click.option("--remote", default="origin", show_default=True, help="Remote to push to.")
@click.option("--branch", help="Branch to record on (default: the one that is checked out, or GITHUB_REF_NAME).")
@json_option
def record(results: Path | None, remote: str, branch: str | None, as_json: bool) -> None:
    """Commit and push the run files that the remote lacks.

    Nothing is lost if another push came first. Only files under the results folder are committed. GITHUB_TOKEN is used
    for GitHub if it is set. Exits with 2 if nothing could be pushed; the files are kept.
    """
    pusher = ResultsPusher(results_folder(results), branch or _workflow_branch(), remote, tell=_tell)
    done = pusher.push(datetime.now(UTC))
    told = f"recorded as {done.commit[:12]} ({done.tries} tries)" if done.commit else "nothing new to record"
    show([*done.files, told], asdict(done), as_json=as_json)
    if done.note and not as_json:
        click.echo(f"note: {done.note}", err=True)


def _tell(line: str) -> None:
    click.echo(f"not pushed yet, {line}", err=True)


def _workflow_branch() -> str:
    """The branch that a workflow runs on; empty outside workflows and on tags."""
    return os.environ.get("GITHUB_REF_NAME", "") if os.environ.get("GITHUB_REF_TYPE") == "branch" else ""
