"""Text from outside (model answers, error bodies) made fit for one line of ours: no control characters, no keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from routing.redaction import REDACTED, redact

__all__ = ["REDACTED", "one_line", "redact", "safe_line"]

# GitHub's runner takes a line that begins with `::name` for a command, and `##[name]` anywhere in it.
_COMMAND = re.compile(r"(?<!\S)::(?=[A-Za-z])|##(?=\[)")


def one_line(text: str, limit: int = 200) -> str:
    """Printable text on one line of at most `limit` characters; control, bidi and zero-width characters are gone.

    Keys are taken out of what is left: an invisible character inside would hide one from a search before. Workflow
    commands are broken.
    """
    cleaned = "".join(" " if char.isspace() else char for char in text[: limit * 8] if _visible(char))
    cleaned = _COMMAND.sub(_broken, redact(" ".join(cleaned.split())))
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def safe_line(text: str, limit: int = 200, environment: Mapping[str, str] | None = None) -> str:
    """`one_line` of a stranger's text: keys are taken out before and after it is cleaned."""
    return one_line(redact(text, environment), limit)


def _broken(command: re.Match[str]) -> str:
    return ": :" if command[0] == "::" else "# #"


def _visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
