"""Text of a message's content in OpenAI's form: a string, or a list of parts of which some hold text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def texts_of(content: Any) -> list[str]:
    """The texts of a message's content, one for each part that holds text.

    Empty if the content is neither a string nor a list of parts.
    """
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list | tuple) else ()
    return [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]


def joined(pieces: Iterable[str], halves: str = "replace") -> str:
    """The pieces as one text. The two halves of a surrogate pair, which hosts send in two pieces, become one character.

    A half without its other half cannot be encoded, so it becomes U+FFFD; with `halves="surrogatepass"` it is kept.
    """
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", halves)
    return text
