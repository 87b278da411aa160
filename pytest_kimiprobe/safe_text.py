"""Text from outside (model answers, error bodies) made fit for one line of ours: no control characters, no keys."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping

REDACTED = "[redacted]"
# Prefixes of the providers' and GitHub's keys, and whatever follows a credential word in an echoed header or body.
_KEYS = re.compile(
    r"\b(?:sk|gsk|r8|tgp|ghp|gho|ghu|ghs|ghr|xox[abp])[-_][A-Za-z0-9_-]{8,}"
    r"|\bgithub_pat_\w{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?<=hooks\.slack\.com/services/)[\w/]+"
)
_AFTER_WORD = re.compile(r"(?i)\b(bearer|basic|api[-_ ]?key|authorization|token)(\W{1,4})([\w+/=.-]{16,})")
_SECRET_NAME = re.compile(r"(?:_KEY|_TOKEN|_SECRET|_PASSWORD|_WEBHOOK_URL)$")
_SHORTEST_SECRET = 8


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without anything that looks like a key, and without the value of any secret variable."""
    environment = os.environ if environment is None else environment
    values = [v.strip() for name, v in environment.items() if _SECRET_NAME.search(name)]
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, REDACTED)
    return _AFTER_WORD.sub(rf"\1\2{REDACTED}", _KEYS.sub(REDACTED, text))


def one_line(text: str, limit: int = 200) -> str:
    """Printable text on one line of at most `limit` characters; control, bidi and zero-width characters are gone."""
    cleaned = "".join(" " if char.isspace() else char for char in text[: limit * 8] if _visible(char))
    cleaned = " ".join(cleaned.split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
