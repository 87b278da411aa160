"""Command `kimiprobe route`: explains the route of a request."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from pytest_kimiprobe.monitor.cli.shared import flags_option, json_option, results_option, show, tell_problems
from pytest_kimiprobe.safe_text import one_line
from routing import Router
from routing.selection import Route
from routing.types import Tool

_TOOL: Tool = {"type": "function", "function": {"name": "any", "parameters": {"type": "object"}}}


@click.command()
@click.option("--user", help="User that the flags are evaluated for.")
@click.option("--group", "groups", multiple=True, help="Group of the user (repeatable).")
@click.option("--model", help="Model to route (default: default_model of flags.yaml).")
@flags_option
@results_option
@json_option
def route(  # noqa: PLR0917 - one parameter an option
    user: str | None,
    groups: tuple[str, ...],
    model: str | None,
    flags_path: Path | None,
    results: Path | None,
    as_json: bool,
) -> None:
    """Show where a user's request would go, and why.

    Nothing is sent. The request is one with tools. Prices are compared for the assumed request of `kimiprobe check`
    and `kimiprobe cost`.
    """
    logging.getLogger("routing").addHandler(logging.NullHandler())  # the command shows these problems itself
    with Router.load(flags_path, evidence=results / "latest.json" if results else None) as router:
        found = router.route(tools=[_TOOL], user=user, groups=groups, model=model)
        status = router.status()
    show(map(one_line_kept, str(found).splitlines()), _document(found), as_json=as_json)
    if not as_json:
        problems = (status.flags.error, status.flags.warning, status.evidence.error, status.evidence.warning)
        tell_problems(one_line(problem, 400) for problem in problems if problem)


def one_line_kept(line: str) -> str:
    """The line with its indent, and without control characters that a terminal would act on."""
    indent = len(line) - len(line.lstrip())
    return " " * indent + one_line(line, 400)


def _document(found: Route) -> dict[str, Any]:
    return {
        "model": found.model,
        "priced_for": {"input": found.priced_for.prompt_tokens, "output": found.priced_for.completion_tokens},
        "candidates": [
            {
                "endpoint": candidate.endpoint,
                "status": candidate.status,
                "usd": None if candidate.estimate_usd is None else str(candidate.estimate_usd),
                "trusted": candidate.trusted,
                "why": candidate.why,
            }
            for candidate in found.candidates
        ],
        "left_out": [{"endpoint": left.endpoint, "why": left.why} for left in found.left_out],
    }
