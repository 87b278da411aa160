"""`kimiprobe decide`."""

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
from .shared import flags_file, flags_option, json_option, print_json, read_results, results_option


@click.command()
@flags_option
@results_option
@json_option
def decide(flags_path: Path | None, results: Path | None, as_json: bool) -> None:
    """Show where evidence and flags disagree; change nothing."""
    path = flags_file(flags_path)
    found = read_results(results, path)
    proposals = rule.decide(Flags.load(path), found.evidence, catalog.load(), found.now)
    if as_json:
        print_json({"proposals": [as_row(proposal) for proposal in proposals]})
    else:
        click.echo("\n".join(lines_of(proposals)))


def lines_of(proposals: Iterable[rule.Proposal]) -> list[str]:
    """Two paragraphs for each flag: the decision, and the reason."""
    lines: list[str] = []
    for proposal in proposals:
        change = (
            f"{_setting_text(proposal.before)} -> {_setting_text(proposal.after)}"
            if proposal.changes
            else _setting_text(proposal.before)
        )
        lines.append(f"{proposal.flag}: {proposal.kind.replace('_', ' ')} ({change})")
        lines += folded("", proposal.verdict, 2)
    return lines


def as_row(proposal: rule.Proposal) -> dict[str, Any]:
    """A proposal as a row of the JSON output."""
    return {
        "flag": proposal.flag,
        "kind": proposal.kind,
        "from": asdict(proposal.before),
        "to": asdict(proposal.after),
        "verdict": proposal.verdict,
        "endpoint": proposal.endpoint,
        "counts": asdict(proposal.counts),
        "right": proposal.right,
        "reasons": proposal.reasons,
        "endpoints": [
            {"endpoint": row.evidence.endpoint, "status": row.evidence.status, "standing": row.rating, "why": row.why}
            for row in proposal.endpoints
        ],
        "run": proposal.run,
        "at": utc_text(proposal.at) if proposal.at else None,
        "evidence": proposal.evidence,
    }


def _setting_text(setting: rule.FlagSetting) -> str:
    return f"on, {setting.percent} %" if setting.enabled else "off"
