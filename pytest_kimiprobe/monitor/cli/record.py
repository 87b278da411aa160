"""`kimiprobe record`."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from ..github.push_results import ResultsPusher
from .shared import results_folder, results_option


@click.command()
@results_option
@click.option("--remote", default="origin", show_default=True, help="Remote to push to.")
@click.option("--branch", help="Branch to record on (default: the one that is checked out, or GITHUB_REF_NAME).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def record(results: Path | None, remote: str, branch: str | None, as_json: bool) -> None:
    """Commit and push the run files that the remote lacks.

    Nothing is lost if another push came first. Only files under the results folder are committed. GITHUB_TOKEN is used
    for GitHub if it is set. Exits with 2 if nothing could be pushed; the files are kept.
    """
    done = ResultsPusher(results_folder(results), branch or _workflow_branch(), remote).push(datetime.now(UTC))
    if as_json:
        row = {"commit": done.commit, "files": list(done.files), "tries": done.tries, "note": done.note}
        click.echo(json.dumps({"version": 1, **row}, indent=1))
        return
    for file in done.files:
        click.echo(file)
    click.echo(f"recorded as {done.commit[:12]} ({done.tries} tries)" if done.commit else "nothing new to record")
    if done.note:
        click.echo(f"note: {done.note}", err=True)


def _workflow_branch() -> str:
    """The branch that a workflow runs on; empty outside workflows and on tags."""
    return os.environ.get("GITHUB_REF_NAME", "") if os.environ.get("GITHUB_REF_TYPE") == "branch" else ""
