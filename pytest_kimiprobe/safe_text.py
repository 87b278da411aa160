"""Makes untrusted text (model answers, error bodies) safe to print on one line: no control characters, no keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from routing.redaction import REDACTED, redact

__all__ = ["REDACTED", "one_line", "redact", "safe_line"]

# GitHub's runner reads `::name` at the start of a line, and `##[name]` anywhere in it, as a command.
_COMMAND = re.compile(r"(?<!\S)::(?=[A-Za-z])|##(?=\[)")


def one_line(text: str, limit: int = 200) -> str:
    """Printable text on one line of at most `limit` characters, without control, bidi and zero-width characters.

    Keys are removed after that, because an invisible character inside a key would hide it from an earlier search.
    Workflow commands are made ineffective.
    """
    cleaned = "".join(" " if char.isspace() else char for char in text[: limit * 8] if _visible(char))
    cleaned = _COMMAND.sub(_broken, redact(" ".join(cleaned.split())))
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def safe_line(text: str, limit: int = 200, environment: Mapping[str, str] | None = None) -> str:
    """`one_line` of an untrusted text; keys are removed before and after cleaning."""
    return one_line(redact(text, environment), limit)


def _broken(command: re.Match[str]) -> str:
    return ": :" if command[0] == "::" else "# #"


def _visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
