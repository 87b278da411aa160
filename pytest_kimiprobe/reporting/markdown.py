"""Untrusted text in Markdown that GitHub renders: it is shown and never has an effect.

Model output may hold mentions, closing keywords, links, images, HTML and fences. They are shown as plain text in a code
span or fence whose backticks outnumber those inside. Characters that end a line or a table cell are removed first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..safe_text import one_line, redact

_FENCE = 3


def code(text: str, limit: int = 200) -> str:
    """A code span on one line; empty text reads `(empty)`."""
    clean = one_line(redact(text), limit) or "(empty)"
    ticks = "`" * (_longest_run(clean) + 1)
    # GitHub strips one space on both sides, so a backtick at either end cannot join the delimiter.
    return f"{ticks} {clean} {ticks}" if "`" in clean else f"{ticks}{clean}{ticks}"


def cell(text: str, limit: int = 120) -> str:
    """A code span for a table, without pipes: they would end the cell even inside code."""
    return code(text, limit).replace("|", r"\|")


def fence(lines: Iterable[str], limit: int = 200) -> str:
    """A fenced block of lines, none of which can close it."""
    clean = [one_line(redact(line), limit) for line in lines]
    ticks = "`" * max(_FENCE, max(map(_longest_run, clean), default=0) + 1)
    return "\n".join([f"{ticks}text", *clean, ticks])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. The cells are not escaped: pass only numbers, fixed texts, or results of `cell(...)`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
