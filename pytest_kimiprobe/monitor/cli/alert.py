"""Command `kimiprobe alert`: sends an alert for each status change."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import click

from routing import catalog
from routing.errors import KeyMissing
from routing.evidence.model import utc_text
from routing.flags.model import Flags
from routing.flags.source import find_flags

from ...results.run_file import run_url
from ...results.store import read_latest
from .. import notify
from ..alert import Alert, alerts, alerts_between
from ..github.api import Calls, GitHubProblem, repository
from .shared import Found, flags_option, json_option, read_results, results_option, show


@click.command()
@flags_option
@results_option
@click.option("--before", type=click.Path(path_type=Path), help="An earlier latest.json (default: the runs before).")
@click.option("--repo", envvar="GITHUB_REPOSITORY", help="owner/name of the issues (default: GITHUB_REPOSITORY).")
@click.option("--dry-run", is_flag=True, help="Print the alerts; nothing is sent.")
@json_option
def alert(  # noqa: PLR0917 - one parameter an option
    flags_path: Path | None, results: Path | None, before: Path | None, repo: str | None, dry_run: bool, as_json: bool
) -> None:
    """Report the status changes of the newest run.

    Channels are a GitHub issue and the webhook of KIMIPROBE_WEBHOOK_URL. A channel whose variables are not set is left
    out. All channels are tried; exits with 2 if one did not accept an alert, or if a file of the results was skipped.
    """
    flags_path = flags_path or find_flags()
    found = read_results(results, flags_path)
    changes = _alerts(found, flags_path, before)
    if found.evidence.source == "local":
        changes = [replace(one, text=f"Test on this machine: {one.text}") for one in changes]
    deliveries = [notify.AlertDelivery(one) for one in changes] if dry_run else _deliver(changes, repo, os.environ)
    lines = list(map(_text, deliveries)) or ["nothing changed"]
    show(lines, {"alerts": [_row(delivery) for delivery in deliveries]}, as_json=as_json)
    problems = [problem for delivery in deliveries for problem in delivery.problems]
    for problem in dict.fromkeys(problems):
        click.echo(f"Error: not delivered: {problem}", err=True)
    sys.exit(2 if problems or found.skipped else 0)


def _alerts(found: Found, flags_path: Path | None, before: Path | None) -> list[Alert]:
    evidence, rows = found.evidence, catalog.load()
    flags = Flags.load(flags_path) if flags_path else None
    if evidence.source == "local" and (flags is None or flags.environment != "test"):
        return []
    if before is None:
        return alerts(found.runs, rows, found.now, flags=flags)
    return alerts_between(read_latest(before), evidence, rows, found.now, flags=flags)


def _deliver(changes: list[Alert], repo: str | None, environment: Mapping[str, str]) -> list[notify.AlertDelivery]:
    """Send each alert on each channel. A channel that cannot be opened is listed as a problem of every alert."""
    if not changes:
        return []
    problems: list[str] = []
    url = run_url(environment)
    issues: notify.Issues | None = None
    webhook: notify.Webhook | None = None
    try:
        webhook = notify.Webhook.of(environment)
    except notify.NotDelivered as problem:
        problems.append(str(problem))
    try:
        calls = Calls()
        issues = notify.Issues(repository(repo, environment, calls), calls, run_url=url) if repo else None
    except KeyMissing as problem:
        click.echo(f"no issue is written: {problem}", err=True)
    except GitHubProblem as problem:
        problems.append(str(problem))
    deliveries = [notify.deliver(one, issues, webhook, run_url=url) for one in changes]
    return [replace(one, problems=(*one.problems, *problems)) for one in deliveries]


def _text(delivery: notify.AlertDelivery) -> str:
    notes = [
        delivery.issue,
        "webhook" if delivery.webhook == "sent" else "",
        "sent before" if delivery.repeated else "",
    ]
    text = ", ".join(note for note in notes if note)
    return f"{delivery.alert.text}" + (f" ({text})" if text else "")


def _row(delivery: notify.AlertDelivery) -> dict[str, object]:
    row = asdict(delivery)
    one = row.pop("alert")
    return {"subject": one.pop("key"), **one, **row, "since": utc_text(one["since"]) if one["since"] else None}
