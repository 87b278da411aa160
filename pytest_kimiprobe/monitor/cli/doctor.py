"""`kimiprobe doctor`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from ...tables import folded
from .. import doctor as checks

_INDENT = 19


@click.command()
@click.option("--flags", type=click.Path(path_type=Path), help="flags.yaml (default: found upwards).")
@click.option("--results", type=click.Path(path_type=Path), help="Results folder (default: beside flags.yaml).")
@click.option("--offline", is_flag=True, help="Do not ask whether hosts answer.")
@click.option("--account", is_flag=True, help="Ask providers what is left on the account, each with its own key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(flags: Path | None, results: Path | None, offline: bool, account: bool, as_json: bool) -> None:
    """Check keys, hosts, catalogue, flags and evidence.

    Shows also which `routing` is imported. Exits with 1 if a problem was found. No key is printed. Keys are sent only
    with --account, each to its provider.
    """
    findings = list(
        checks.examine(flags=flags, results=results, environment=os.environ, reach=not offline, account=account)
    )
    if as_json:
        rows = [{"level": f.level, "topic": f.topic, "text": f.text} for f in findings]
        click.echo(json.dumps({"version": 1, "findings": rows}, indent=1))
    else:
        marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}
        for finding in findings:
            word, color = marks[finding.level]
            first, *further = folded("", finding.text, _INDENT)
            click.echo(f"{click.style(f'{word:<8}', fg=color)}{finding.topic:<11}{first[_INDENT:]}")
            click.echo("".join(f"{line}\n" for line in further), nl=False)
    sys.exit(any(finding.level == "problem" for finding in findings))
