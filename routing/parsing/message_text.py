"""Text of a message's content in OpenAI's form: a string, or a list of parts of which some hold text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def texts_of(content: Any) -> list[str]:
    """The texts of a message's content, one for each part that holds text.

    Empty if the content is neither a string nor a list of parts.
    """
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list | tuple) else ()
    return [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]
