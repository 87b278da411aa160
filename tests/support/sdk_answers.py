"""Judges of answers, made from the official SDKs' own response models."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Mapping
from typing import Any

import pydantic

YOUNGER: Mapping[str, Any] = {
    "system_fingerprint": None,
    "usage.server_tool_use.web_fetch_requests": 0,
    "usage_breakdown.models": [],
}
"""Fields that the newest SDKs ask for and answers of 2025 did not have yet; none is part of what we read."""


@functools.cache
def _models(provider: str) -> tuple[pydantic.TypeAdapter[Any], pydantic.TypeAdapter[Any]]:
    """The SDK's model of a whole answer, and of one event of a stream."""
    if provider == "anthropic":
        # The beta models know the blocks of tools that ran at Anthropic, which some recordings hold.
        from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent

        return pydantic.TypeAdapter(BetaMessage), pydantic.TypeAdapter(BetaRawMessageStreamEvent)
    if provider == "openrouter":
        from openrouter.components import ChatResult, ChatStreamChunk

        return pydantic.TypeAdapter(ChatResult), pydantic.TypeAdapter(ChatStreamChunk)
    if provider in {"groq", "huggingface"}:  # recorded through Hugging Face, answered by Groq
        from groq.types import chat as groq_chat

        return pydantic.TypeAdapter(groq_chat.ChatCompletion), pydantic.TypeAdapter(groq_chat.ChatCompletionChunk)
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    return pydantic.TypeAdapter(ChatCompletion), pydantic.TypeAdapter(ChatCompletionChunk)


def whole_answer(provider: str, data: Any) -> Any:
    """A plain answer as the provider's SDK reads it. Raises pydantic.ValidationError where it is none to it."""
    model = _models(provider)[0]
    try:
        return model.validate_python(data)
    except pydantic.ValidationError as error:
        places = {".".join(map(str, one["loc"])) for one in error.errors()}
    data = copy.deepcopy(data)
    for place in places & YOUNGER.keys():
        *above, last = place.split(".")
        functools.reduce(operator.getitem, above, data)[last] = YOUNGER[place]
    return model.validate_python(data)


def stream_event(provider: str, data: Any) -> None:
    """Raises pydantic.ValidationError where an event is none to the provider's SDK."""
    _models(provider)[1].validate_python(data)


def text_of(theirs: Any) -> str:
    """The text of an answer as its SDK tells it."""
    if hasattr(theirs, "content"):
        return "".join(block.text for block in theirs.content if block.type == "text")
    content = theirs.choices[0].message.content
    return content if isinstance(content, str) else ""


def calls_of(theirs: Any) -> list[tuple[str, str, Any]]:
    """Id, name and arguments of its tool calls: a string, or Anthropic's object."""
    if hasattr(theirs, "content"):
        return [(block.id, block.name, block.input) for block in theirs.content if block.type == "tool_use"]
    calls = theirs.choices[0].message.tool_calls
    return [(call.id, call.function.name, call.function.arguments) for call in calls or []]
