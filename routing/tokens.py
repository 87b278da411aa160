"""Token counts of a request and its answer: estimates for prices, and upper bounds for budgets. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .errors import ExchangeError, RequestRejected
from .parsing.message_text import texts_of
from .schema import ToolSchemaError, ToolSet
from .types import Answer, ChatRequest, Message, Tool, Usage

DEFAULT_COMPLETION = 1000
"""Assumed number of tokens of an answer whose length is unknown."""
ASSUMED_REQUEST = Usage(5000, 2000)
"""Token counts of the prompt and the answer for which prices are compared if the real request is unknown."""
_CHARACTERS = 4
"""Average characters per token."""
_PICTURE = 1600
"""Estimated tokens of an image of any size."""
_PER_PART = 16
"""The most tokens that a chat template adds to a message or tool."""
_CALL = 100
"""Characters of an earlier tool call beside its arguments: id, name and braces."""
_LONG_TEXT = 1 << 16
_MOST_PICTURE = 6000
"""Upper bound on the tokens of one image: more than any host counts."""


def has_image(messages: Sequence[Message]) -> bool:
    """Whether any message has an image part; tool results and older turns are included.

    A data URL in a text does not count as an image.
    """
    return _images(messages) > 0


def prompt_tokens_of(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """Estimated tokens of a prompt: one for every four characters, and 1,600 for each image of any size."""
    try:
        characters = ToolSet.of(tools).characters
    except ToolSchemaError:  # no wire accepts them
        characters = 0
    characters += sum(map(_text_length, messages))
    return characters // _CHARACTERS + 1 + _PICTURE * _images(messages)


def request_length(messages: Sequence[Message]) -> int:
    """The number of characters of messages as JSON, roughly: texts, tool calls, and images as data URLs."""
    return sum(map(_text_length, messages)) + sum(
        len(value)
        for message in messages
        for part in _parts(message.get("content"))
        if _is_image(part)
        for field in part.values()
        for value in (field.values() if isinstance(field, Mapping) else (field,))
        if isinstance(value, str)
    )


def request_text(usage: Usage) -> str:
    """The token counts as text, such as `5,000 input + 2,000 output tokens`."""
    return f"{usage.prompt_tokens:,} input + {usage.completion_tokens:,} output tokens"


def prompt_bound(parts: Sequence[Mapping[str, Any]]) -> int:
    """Upper bound on the tokens of messages and tools: one for each byte, since no tokenizer makes more.

    Raises RequestRejected if they cannot be written as JSON.
    """
    try:
        texts = sum(map(_byte_bound, parts))
    except (TypeError, ValueError, RecursionError):
        raise RequestRejected("bad_request", "a message holds what is not JSON", phase="send") from None
    return texts + _PER_PART * len(parts) + _MOST_PICTURE * _images(parts) + 1


def estimated(request: ChatRequest, came: Answer | None, error: ExchangeError | None) -> Usage:
    """Estimated tokens of an exchange whose cost was not reported.

    `came` is the received part of the answer, None if nothing was received. A refused request (4xx) counts as no
    tokens unless its error came with token counts. A plain answer that did not arrive may have been generated all the
    same. It counts as `DEFAULT_COMPLETION` tokens, or as `max_tokens` if that is less.
    """
    usage = came.usage if came is not None and came.usage is not None and came.usage.counted else None
    if usage is not None and error is None:
        return usage
    written = _written(came, error)
    if error is not None and not written and usage is None:
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
    """Tokens of the received part of the answer, including a call that its host refused; rounded up."""
    pieces = [error.failed_generation or ""] if error else []
    if came is not None:
        pieces += [came.text, came.reasoning, *(f"{call.name}{call.arguments}" for call in came.tool_calls)]
    return -(-sum(map(len, pieces)) // _CHARACTERS)


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in {"image_url", "input_image", "image"}


def _images(messages: Sequence[Message]) -> int:
    return sum(_is_image(part) for message in messages for part in _parts(message.get("content")))


def _without_images(message: Message) -> dict[str, Any]:
    """The message without its images, so that their base64 does not count as text."""
    if not _images([message]):
        return dict(message)
    return {**message, "content": [part for part in _parts(message.get("content")) if not _is_image(part)]}


def _shown(value: Any) -> str:
    try:
        return str(value)
    except RecursionError:  # no wire accepts it
        return ""


def _parts(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list | tuple) else ()


def _text_length(message: Message) -> int:
    """The number of characters of a message's texts and tool calls."""
    length = sum(map(len, texts_of(message.get("content"))))
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        length += _CALL + len(arguments) if isinstance(arguments, str) else len(_shown(call))
    return length


def _byte_bound(part: Mapping[str, Any]) -> int:
    """The bytes of a message or tool as JSON. A long text counts as its own bytes: writing it as JSON takes long."""
    content = part.get("content")
    text = content if isinstance(content, str) and len(content) > _LONG_TEXT else ""
    bare = {**part, "content": ""} if text else _without_images(part)
    written = json.dumps(bare, ensure_ascii=False, default=str).encode("utf-8", "replace")
    return len(written) + (len(text) if text.isascii() else len(text.encode("utf-8", "replace")))
