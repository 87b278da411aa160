"""Texts of a pull request that proposes a flag change: title, body, commit message, new flags file. Pure.

The visible part of the body takes thirty seconds to read: what was measured, on how many calls, and what merging and
closing do. The rest is in a collapsed section. The texts depend only on the flag and the evidence, so a second run on
the same evidence changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from routing.evidence.model import Counts, EndpointEvidence, utc_text
from routing.reasons import reason_of

from ...reporting.endpoint_table import money, seconds
from ...reporting.markdown import cell, code, fence, table
from ...results.run_file import Failure
from ...stats.measures import wilson
from ..decide import Proposal, percent_text
from ..flags_edit.flags_file import edited
from ..flags_edit.yaml_text import Value

REST_DAYS = 14
"""Days for which a proposal is not opened again after a human closed its pull request unmerged."""
LABEL = "kimiprobe"
_ROWS = 12
_EXAMPLES = 8
_MARKER = re.compile(
    r"^<!-- kimiprobe:flag=(?P<flag>[a-z][a-z0-9_.-]*) from=(?P<before>\d+) to=(?P<after>\d+)"
    r" evidence=(?P<evidence>[0-9a-f]*) v=1 -->"
)
_OVERTAKEN = "<!-- kimiprobe:overtaken -->"


@dataclass(frozen=True, slots=True)
class Marker:
    """Content of the hidden first line of a pull request's body, which the next run reads.

    `before` and `after` are percentages of users. `overtaken` is true if the bot closed the pull request because the
    evidence had changed.
    """

    flag: str
    before: int
    after: int
    overtaken: bool = False


def marker_of(body: str | None) -> Marker | None:
    """Read the hidden first line of a pull request's body; None if it is missing or was changed."""
    text = body or ""
    found = _MARKER.match(text)
    if not found:
        return None
    return Marker(found["flag"], int(found["before"]), int(found["after"]), _OVERTAKEN in text)


def title(proposal: Proposal) -> str:
    """Title of the pull request: one line that says what merging does."""
    if proposal.kind == "enable":
        return f"Turn on {proposal.flag} for {proposal.after.share} % of users"
    return f"Turn off {proposal.flag}"


def changed(text: str, proposal: Proposal, *, where: str = "flags.yaml") -> str:
    """The text of the flags file with the proposal applied: only the flag's lines and the serial change."""
    values: dict[str, Value] = {
        "enabled": proposal.after.enabled,
        "percent": proposal.after.percent,
        "reason": _sentence(proposal.verdict, 500),
        "since": utc_text(proposal.at) if proposal.at else None,
        "evidence": {"result": proposal.run, "judged": proposal.counts.judged, "passed": proposal.right}
        if proposal.run
        else None,
    }
    return edited(text, {proposal.flag: values}, where=where)


def commit_message(proposal: Proposal, text: str) -> str:
    """Commit message: subject, verdict, and trailers by which the bot recognises its commits.

    `text` is the new flags file, whose SHA-256 is in a trailer.
    """
    return (
        f"{title(proposal)}\n\n{_sentence(proposal.verdict, 500)}\n\n"
        f"Kimiprobe-Flag: {proposal.flag}\nKimiprobe-Content: {digest(text)}\n"
    )


def is_own_commit(message: str, text: str, flag: str) -> bool:
    """Whether a commit is the bot's for this flag, and still holds the flags file that the bot wrote.

    `message` is the commit's message, `text` the flags file in the commit.
    """
    lines = message.splitlines()
    return f"Kimiprobe-Flag: {flag}" in lines and f"Kimiprobe-Content: {digest(text)}" in lines


def digest(text: str) -> str:
    """SHA-256 of the text of a flags file, as hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def body(proposal: Proposal, examples: Mapping[str, Failure], *, source: str = "live") -> str:
    """Body of the pull request. `examples`: one failure for each reason code; their untrusted text is escaped."""
    marker = (
        f"<!-- kimiprobe:flag={proposal.flag} from={proposal.before.share} to={proposal.after.share}"
        f" evidence={proposal.evidence} v=1 -->"
    )
    now, then = _setting(proposal.before.share), _setting(proposal.after.share)
    parts = [
        marker,
        f"**`{proposal.flag}`: {now} → {then}**",
        _measured(proposal),
        _endpoints_table([row.evidence for row in proposal.endpoints]),
        _consequences(proposal),
        _details(proposal, examples, source),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def overtaken(text: str, verdict: str) -> str:
    """New body of a pull request that the bot closes because the facts have changed; `text` is the present body.

    The next run sees by the added marker that it was not a human who closed the pull request.
    """
    head, _, rest = text.partition("\n")
    note = f"**Closed by kimiprobe:** the facts have changed. {code(verdict, 400)}"
    return f"{head}\n{_OVERTAKEN}\n\n{note}\n{rest}"


def _setting(share: int) -> str:
    return f"on for {share} % of users" if share else "off"


def _sentence(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _measured(proposal: Proposal) -> str:
    verdict = proposal.verdict
    for row in proposal.endpoints:
        verdict = verdict.replace(f"{row.evidence.endpoint} ", f"{code(row.evidence.endpoint)} ")
    lines = [f"{verdict}."]
    judged = proposal.counts.judged
    if interval := wilson(proposal.right, judged):
        low, high = interval.low, interval.high
        lines.append(
            f"With {judged} calls the true share lies between {low * 100:.1f} and {high * 100:.1f} % (95 % interval)."
        )
    return " ".join(lines)


def _endpoints_table(rows: Sequence[EndpointEvidence]) -> str:
    if not rows:
        return ""
    head = ["endpoint", "status", "newest run", "7 days", "p50", "p95", "$ per 1k calls"]
    shown = [
        [
            cell(row.endpoint),
            row.status,
            _share(row.counts),
            _share(row.window),
            seconds(row.p50_ms),
            seconds(row.p95_ms),
            money(row.cost_per_1k_usd),
        ]
        for row in rows[:_ROWS]
    ]
    more = f"\n\nand {len(rows) - _ROWS} more" if len(rows) > _ROWS else ""
    return table(head, shown) + more


def _share(counts: Counts) -> str:
    rescued = f", {counts.rescued} rescued" if counts.rescued else ""
    errors = f", {counts.errors} errors" if counts.errors else ""
    if not counts.judged:
        return f"nothing judged{errors}"
    return f"{counts.passed} of {counts.judged} ({percent_text(counts.passed / counts.judged)}{rescued}{errors})"


def _consequences(proposal: Proposal) -> str:
    if proposal.kind == "enable":
        merging = (
            f"**Merge** and {proposal.after.share} % of users are served there as soon as the routers read the file;"
            " an answer that is wrong still falls back to the next endpoint."
        )
        undo = f'kimiprobe flags disable {proposal.flag} --reason "…"'
    else:
        merging = (
            "**Merge** and no user is served there any more, not even named users; requests go to the next endpoint that"
            " works, down to the model's own provider."
        )
        undo = f'kimiprobe flags enable {proposal.flag} --percent {proposal.before.percent or 10} --reason "…"'
    closing = f"**Close** and nothing changes; the same proposal does not come back for {REST_DAYS} days."
    return "\n".join([f"- {merging}", f"- {closing}", f"- **Undo** after merging: `{undo}`, or revert the commit."])


def _details(proposal: Proposal, examples: Mapping[str, Failure], source: str) -> str:
    parts = ["<details><summary>What failed, and where the numbers come from</summary>"]
    if proposal.reasons:
        worst = sorted(proposal.reasons.items(), key=lambda item: (-item[1], item[0]))
        rows = [[cell(reason), str(count), cell(reason_of(reason).meaning)] for reason, count in worst]
        parts.append("Newest run, all endpoints of this flag:")
        parts.append(table(["reason", "probes", "meaning"], rows[:_ROWS]))
        picked = [examples[reason] for reason, _ in worst[:_EXAMPLES] if reason in examples]
        if picked:
            lines = [f"{row.reason}: {row.endpoint} {row.case}: {row.detail}" for row in picked]
            parts.append(f"One example each, as the endpoint answered (untrusted text):\n\n{fence(lines)}")
    facts = [f"- run {code(proposal.run)}, source {code(source)}"] if proposal.run else []
    if proposal.at:
        facts.append(f"- newest evidence of {utc_text(proposal.at)}")
    facts.append(f"- evidence {code(proposal.evidence)} (SHA-256)")
    facts += [f"- {code(row.why, 300)}: {row.rating}" for row in proposal.endpoints[:_ROWS]]
    parts.append("\n".join(facts))
    return "\n\n".join([*parts, "</details>"])
