"""Command `kimiprobe decide`: shows which flags the evidence would change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from routing import catalog
from routing.evidence.model import utc_text
from routing.flags.model import Flags

from ...tables import folded
from .. import decide as rule
from .shared import flags_file, flags_option, json_option, read_results, results_option, show


@click.command()
@flags_option
@results_option
@json_option
def decide(flags_path: Path | None, results: Path | None, as_json: bool) -> None:
    """Show what the evidence would change in each flag; change nothing."""
    path = flags_file(flags_path)
    found = read_results(results, path)
    proposals = rule.decide(Flags.load(path), found.evidence, catalog.load(), found.now)
    show(lines_of(proposals), {"proposals": [as_row(proposal) for proposal in proposals]}, as_json=as_json)


def lines_of(proposals: Iterable[rule.Proposal]) -> list[str]:
    """Text lines for each flag: first the decision, then the reason."""
    lines: list[str] = []
    for proposal in proposals:
        change = f" -> {_setting_text(proposal.after)}" if proposal.changes else ""
        lines.append(f"{proposal.flag}: {proposal.kind.replace('_', ' ')} ({_setting_text(proposal.before)}{change})")
        lines += folded("", proposal.verdict.removeprefix("no evidence, no change: "), 2)
    return lines


def as_row(proposal: rule.Proposal) -> dict[str, Any]:
    """The proposal as an object of the JSON output."""
    row = asdict(proposal)
    return {
        **{"from" if name == "before" else "to" if name == "after" else name: value for name, value in row.items()},
        "endpoints": [
            {"endpoint": row.evidence.endpoint, "status": row.evidence.status, "standing": row.rating, "why": row.why}
            for row in proposal.endpoints
        ],
        "at": utc_text(proposal.at) if proposal.at else None,
    }


def _setting_text(setting: rule.FlagSetting) -> str:
    return f"on, {setting.percent} %" if setting.enabled else "off"
