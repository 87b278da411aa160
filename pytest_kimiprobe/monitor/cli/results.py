"""Commands `kimiprobe results ...`: checks the results folder."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from ...results import verify as checks
from .groups import SuggestingGroup
from .shared import json_option, results_folder, results_option, show


@click.group(cls=SuggestingGroup)
def results() -> None:
    """Check the recorded results."""


@results.command()
@results_option
@json_option
@click.pass_context
def verify(context: click.Context, results: Path | None, as_json: bool) -> None:
    """Check that each run file agrees with itself, and each derived file with the run files.

    Exits with 1 if a file is wrong.
    """
    found = checks.check(results_folder(results), datetime.now(UTC))
    head = f"{found.runs} run files and {found.derived} derived files checked: "
    head += f"{len(found.problems)} problems" if found.problems else "no problem"
    show([head, *found.problems], asdict(found), as_json=as_json)
    context.exit(1 if found.problems else 0)
