"""How many tokens a request and its answer have: about, for estimates; and at most, for a budget. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .errors import ExchangeError, RequestRejected
from .types import Answer, ChatRequest, Message, Tool, Usage

DEFAULT_COMPLETION = 1000
"""Tokens of an answer of which nothing is known, where the caller sets no smaller `max_tokens`."""
ASSUMED_REQUEST = Usage(5000, 2000)
"""The request that prices are compared for when the real one is not known: tokens of its prompt and of its answer."""
_CHARACTERS = 4
"""Characters a token, about."""
_PICTURE = 1600
_PER_PART = 16
"""Tokens that a chat template adds to a message or tool, at most."""
_MOST_PICTURE = 6000
"""More than any host counts for one picture."""


def has_image(messages: Sequence[Message]) -> bool:
    """Whether any message, a tool result or older turn too, holds an image part; text that shows a data URL does not."""
    return _images(messages) > 0


def prompt_tokens_of(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """About how many tokens a prompt has: four characters each, an image 1,600 whatever its base64 weighs."""
    characters = sum(len(text) for message in messages for text in _strings(message)) + len(_shown(list(tools)))
    return characters // _CHARACTERS + 1 + _PICTURE * _images(messages)


def request_text(usage: Usage) -> str:
    """`5,000 input + 2,000 output tokens`."""
    return f"{usage.prompt_tokens:,} input + {usage.completion_tokens:,} output tokens"


def prompt_bound(parts: Sequence[Mapping[str, Any]]) -> int:
    """More tokens than messages and tools can be: no tokenizer makes more than one of a byte.

    Raises RequestRejected for what is not JSON.
    """
    try:
        texts = sum(
            len(json.dumps(_without_images(part), ensure_ascii=False, default=str).encode("utf-8", "replace"))
            for part in parts
        )
    except (TypeError, ValueError, RecursionError):
        raise RequestRejected("bad_request", "a message holds what is not JSON", phase="send") from None
    return texts + _PER_PART * len(parts) + _MOST_PICTURE * _images(parts) + 1


def estimated(request: ChatRequest, came: Answer | None, error: ExchangeError | None) -> Usage:
    """About the tokens of an exchange of which nobody told the cost; `came` is its answer as far as it came.

    What is refused (4xx) was not worked on: nothing. An answer that was to come in one piece and did not may have been
    written all the same: `DEFAULT_COMPLETION`.
    """
    usage = came.usage if came is not None and came.usage is not None and came.usage.counted else None
    if usage is not None and error is None:
        return usage
    written = _written(came, error)
    if error is not None and not written:
        status = error.status or 0
        if 400 <= status < 500:
            return Usage(0, 0)
        written = (
            0
            if status >= 500 or came is not None
            else min(request.max_tokens or DEFAULT_COMPLETION, DEFAULT_COMPLETION)
        )
    if usage is not None:
        return replace(usage, completion_tokens=max(usage.completion_tokens, written))
    return Usage(prompt_tokens_of(request.messages, request.tools), written)


def _written(came: Answer | None, error: ExchangeError | None) -> int:
    """Tokens of what was seen of the answer, also of a call that its host refused; rounded up."""
    pieces = [error.failed_generation or ""] if error else []
    if came is not None:
        pieces += [came.text, came.reasoning, *(f"{call.name}{call.arguments}" for call in came.tool_calls)]
    return -(-sum(map(len, pieces)) // _CHARACTERS)


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in {"image_url", "input_image", "image"}


def _images(messages: Sequence[Message]) -> int:
    return sum(_is_image(part) for message in messages for part in _parts(message.get("content")))


def _without_images(message: Message) -> dict[str, Any]:
    """The message without its pictures: their base64 is not read as text."""
    if not _images([message]):
        return dict(message)
    return {**message, "content": [part for part in _parts(message.get("content")) if not _is_image(part)]}


def _shown(value: Any) -> str:
    try:
        return str(value)
    except RecursionError:  # no wire takes it
        return ""


def _parts(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list | tuple) else ()


def _strings(message: Message) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in _parts(content):
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]
    if message.get("tool_calls"):
        yield _shown(message["tool_calls"])
