"""Command `kimiprobe propose`: opens pull requests for flag changes."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from routing import catalog
from routing.errors import ConfigError
from routing.flags.model import Flags

from ...results.run_file import Failure
from ...safe_text import one_line
from ...tables import folded
from ..decide import Proposal, decide
from ..github import proposal_text as say
from ..github.api import Calls, GitHubProblem, repository, require_name
from ..github.pull_request import PullRequestResult, PullRequests
from .decide import as_row
from .shared import Found, flags_file, flags_option, json_option, path_in_repository, read_results, results_option, show


@click.command()
@flags_option
@results_option
@click.option("--repo", envvar="GITHUB_REPOSITORY", help="owner/name (default: GITHUB_REPOSITORY).")
@click.option("--base", help="Branch to merge into (default: the repository's default branch).")
@click.option("--dry-run", is_flag=True, help="Print the changes and texts; no token is needed, nothing is sent.")
@json_option
def propose(  # noqa: PLR0917 - one parameter an option
    flags_path: Path | None, results: Path | None, repo: str | None, base: str | None, dry_run: bool, as_json: bool
) -> None:
    """Open, update or close a pull request for each flag to change.

    Reads GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL. The flags file is read from the base branch, not from
    the checkout. Exits with 2 if GitHub refuses; the proposals are printed all the same.
    """
    path = flags_file(flags_path)
    found = read_results(results, path)
    if dry_run and repo:
        try:
            require_name(repo)
        except GitHubProblem as refusal:
            raise ConfigError(str(refusal), where="--repo") from None
    if dry_run:
        _rehearse(path, found, as_json=as_json)
        return
    if not repo:
        raise ConfigError("not set; name the repository with --repo owner/name", where="GITHUB_REPOSITORY")
    outcomes, problems = _propose(path_in_repository(path), found, repo, base)
    lines = [line for outcome in outcomes for line in _lines(outcome)]
    show(lines, {"outcomes": [asdict(outcome) for outcome in outcomes], "problems": problems}, as_json=as_json)
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    sys.exit(2 if problems else 0)


def _lines(outcome: PullRequestResult) -> list[str]:
    url = f" {outcome.url}" if outcome.url else ""
    return [f"{outcome.flag}: {outcome.action}{url}", *folded("", outcome.told, 2)]


def _propose(path: str, found: Found, repo: str, base: str | None) -> tuple[list[PullRequestResult], list[str]]:
    """Open, update or close the pull request of each flag; return the results and the refusals of GitHub.

    A problem with one flag does not stop the others.
    """
    calls = Calls()
    outcomes: list[PullRequestResult] = []
    problems: list[str] = []
    try:
        remote = repository(repo, os.environ, calls)
        pulls = PullRequests(remote, calls, path=path, now=datetime.now(UTC), base=base)
    except GitHubProblem as problem:
        return outcomes, [one_line(str(problem), 1000)]
    for proposal in decide(Flags.loads(pulls.text.encode(), path), found.evidence, catalog.load(), found.now):
        try:
            outcomes.append(pulls.sync(proposal, _examples(found, proposal), source=found.evidence.source))
        except GitHubProblem as problem:
            problems.append(one_line(f"{proposal.flag}: {problem}; the proposal was: {proposal.verdict}", 1000))
    return outcomes, problems


def _rehearse(path: Path, found: Found, *, as_json: bool) -> None:
    flags = Flags.load(path)
    text = path.read_text("utf-8")
    proposals = decide(flags, found.evidence, catalog.load(), found.now)
    lines, rows = list[str](), []
    for proposal in proposals:
        texts = _texts(path, text, found, proposal)
        rows.append(as_row(proposal) | texts)
        if texts:
            lines.append(f"{texts['title']}\n\n{texts['diff']}\n{texts['body']}")
        else:
            lines += folded("", f"{proposal.flag}: no pull request: {proposal.verdict}", 0)
    show(lines, {"proposals": rows}, as_json=as_json)


def _texts(path: Path, text: str, found: Found, proposal: Proposal) -> dict[str, str]:
    if not proposal.changes:
        return {}
    after = say.changed(text, proposal, where=str(path))
    name = path_in_repository(path)
    diff = difflib.unified_diff(text.splitlines(True), after.splitlines(True), f"a/{name}", f"b/{name}", n=1)
    body = say.body(proposal, _examples(found, proposal), source=found.evidence.source)
    return {"title": say.title(proposal), "diff": "".join(diff), "body": body}


def _examples(found: Found, proposal: Proposal) -> dict[str, Failure]:
    return dict(found.examples(row.evidence.endpoint for row in proposal.endpoints))
