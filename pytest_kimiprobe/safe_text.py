"""Text from outside (model answers, error bodies) made fit for one line of ours: no control characters, no keys."""

from __future__ import annotations

import unicodedata

from routing.redaction import REDACTED, redact

__all__ = ["REDACTED", "one_line", "redact"]


def one_line(text: str, limit: int = 200) -> str:
    """Printable text on one line of at most `limit` characters; control, bidi and zero-width characters are gone."""
    cleaned = "".join(" " if char.isspace() else char for char in text[: limit * 8] if _visible(char))
    cleaned = " ".join(cleaned.split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
