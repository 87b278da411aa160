"""Limit on the text of one answer while it is assembled (docs/decisions.md). Pure."""

from __future__ import annotations

import json
from typing import Any

from ..errors import ProviderFailure

MAX_TEXT = 2 << 20
"""Characters of one answer."""
MAX_PIECES = 400_000
"""Pieces of text in one stream: each costs 60 bytes beside its characters."""


class TextLimit:
    """Counts characters and pieces of one answer; `take` raises ProviderFailure when a limit is exceeded."""

    __slots__ = ("_characters", "_pieces")

    def __init__(self) -> None:
        self._characters, self._pieces = MAX_TEXT, MAX_PIECES

    def take(self, text: str) -> str:
        """Count a text and return it."""
        self._characters -= len(text)
        self._pieces -= 1
        if self._characters < 0 or self._pieces < 0:
            detail = f"more than {MAX_TEXT} characters or {MAX_PIECES} pieces of text"
            raise ProviderFailure("body_too_large", detail, phase="body")
        return text

    def take_value(self, value: Any) -> str:
        """Count a JSON value, with the objects that it holds, and return its text."""
        text = json.dumps(value, ensure_ascii=False)
        self._pieces -= sum(map(text.count, "{[,:"))
        return self.take(text)
