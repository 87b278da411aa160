"""Command `kimiprobe rerun`: sends one failed probe of the last run again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from pytest_kimiprobe.monitor.cli import Wrong
from pytest_kimiprobe.results import last_run
from pytest_kimiprobe.results.last_run import Failed, LastRun
from pytest_kimiprobe.safe_text import one_line
from pytest_kimiprobe.tables import folded

_PRINTING = ("-qqqqq", "-rN", "--tb=short", "--no-header", "--kimiprobe-verbose")
"""pytest options that reduce its output to the exchange and the failure."""


@click.command()
@click.argument("number", required=False, type=click.IntRange(min=1))
def rerun(number: int | None) -> None:
    """Run failure NUMBER of the last run again, and print its exchange.

    Without NUMBER, the failures are listed. The options of that run are used: suite, source, catalogue, schemas and so
    on. Exit codes are pytest's: 0 if it is right now, 1 if it failed again.
    """
    found = last_run.find(Path.cwd())
    if number is None:
        click.echo("\n".join(_listed(found)))
        return
    if number > len(found.failures):
        raise Wrong(f"the last run had {len(found.failures)} failures; there is no number {number}")
    failure = found.failures[number - 1]
    click.echo("\n".join(_lines(number, failure)))
    sys.stdout.flush()
    python = [sys.executable, *found.python, "-m", "pytest"]
    command = [*python, "--kimiprobe", *found.options, *_PRINTING, failure.argument]
    done = subprocess.run(command, cwd=found.folder, env=_environment(found), check=False)  # noqa: S603 - no shell
    click.echo("it failed again" if done.returncode == 1 else "it is right now" if done.returncode == 0 else "")
    sys.exit(done.returncode)


def _listed(found: LastRun) -> list[str]:
    lines = [line for number, failure in enumerate(found.failures, 1) for line in _lines(number, failure)]
    run = f"the last run ({one_line(found.title, 200)})" if found.title else "the last run"
    return [f"failures of {run}:", *lines] if lines else [f"{run} had no failures"]


def _lines(number: int, failure: Failed) -> list[str]:
    detail = f": {failure.detail}" if failure.detail else ""
    said = f"{one_line(failure.id, 400)} {failure.verdict}: {one_line(failure.reason + detail, 300)}"
    return folded(f"{number}", said, 5)


def _environment(found: LastRun) -> dict[str, str]:
    """This process's environment, with the variables that give pytest options and plugins as the last run had them."""
    kept = {name: value for name, value in os.environ.items() if name not in last_run.PYTEST_VARIABLES}
    return {**kept, **found.environment, last_run.SWITCHED_OFF: "0"}
