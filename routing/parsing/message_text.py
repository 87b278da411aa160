"""Texts of messages in OpenAI's form, whose content is a string or a list of parts of which some hold text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .strict_json import StrictJsonError, loads


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
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", halves)
    return text


def last_user_message(messages: Sequence[Mapping[str, Any]]) -> int:
    """The position of the user's last message; -1 if there is none."""
    return max((at for at, message in enumerate(messages) if message.get("role") == "user"), default=-1)


def copied_from(messages: Sequence[Mapping[str, Any]], last_user: int) -> Iterator[str]:
    """Every text of a conversation from which a model could copy a call, by any author.

    Earlier structured calls do not count: an agent may make the same call again. Only the strings in their arguments
    do. Nor does the assistant's message directly before the user's last one count: the user may have confirmed a call
    that it proposed.
    """
    for at, message in enumerate(messages):
        if not (at == last_user - 1 and message.get("role") == "assistant"):
            yield from _strings(message.get("content"))
        calls = [*(message.get("tool_calls") or ()), {"function": message.get("function_call")}]
        for call in calls:
            function = call.get("function") if isinstance(call, Mapping) else None
            yield from _strings(_parsed(function.get("arguments")) if isinstance(function, Mapping) else None)


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return loads(arguments)
    except StrictJsonError:
        return arguments


def _strings(value: Any) -> list[str]:
    """All strings in a JSON value except images, in any order."""
    found, level = [], [value]
    while level:
        node = level.pop()
        if isinstance(node, str):
            found += [] if node.startswith("data:") else [node]
        elif isinstance(node, Mapping | list | tuple):
            level += node.values() if isinstance(node, Mapping) else node
    return found
