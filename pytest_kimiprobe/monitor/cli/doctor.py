"""Command `kimiprobe doctor`: checks keys, hosts and files before a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from ...tables import folded
from .. import doctor as checks
from .shared import flags_option, json_option, results_option, show

_INDENT = 19
_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@flags_option
@results_option
@click.option("--offline", is_flag=True, help="Do not ask whether hosts answer.")
@click.option("--account", is_flag=True, help="Ask providers what is left on the account, each with its own key.")
@json_option
def doctor(flags_path: Path | None, results: Path | None, offline: bool, account: bool, as_json: bool) -> None:
    """Check keys, hosts, catalogue, flags and evidence.

    Shows also which `routing` is imported. Exits with 1 if a problem was found. No key is printed. Keys are sent only
    with --account, each to its provider.
    """
    findings = list(
        checks.examine(flags=flags_path, results=results, environment=os.environ, reach=not offline, account=account)
    )
    lines = (line for finding in findings for line in _lines(finding))
    show(lines, {"findings": [asdict(finding) for finding in findings]}, as_json=as_json)
    sys.exit(any(finding.level == "problem" for finding in findings))


def _lines(finding: checks.Diagnosis) -> Iterator[str]:
    mark, color = _MARKS[finding.level]
    first, *further = folded("", finding.text, _INDENT)
    yield f"{click.style(f'{mark:<8}', fg=color)}{finding.topic:<11}{first[_INDENT:]}"
    yield from further
