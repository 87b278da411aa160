"""Strict judges of request bodies, made from the official SDKs' own types: what they do not know is refused."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, NotRequired, Required

import pydantic
from openrouter.components import ChatRequestTypedDict
from typing_extensions import TypedDict, is_typeddict

from routing.types import JsonObject

_FORBID = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def _forbid(kind: Any, seen: set[int]) -> None:
    """Make every TypedDict within `kind` refuse keys it does not have."""
    if id(kind) in seen:
        return
    seen.add(id(kind))
    if is_typeddict(kind):
        kind.__pydantic_config__ = _FORBID
        for hint in typing.get_type_hints(kind, include_extras=True).values():
            _forbid(hint, seen)
    for argument in typing.get_args(kind):
        _forbid(argument, seen)
    if (value := getattr(kind, "__value__", None)) is not None:  # `type X = ...`
        _forbid(value, seen)


@cache
def _adapter(name: str) -> pydantic.TypeAdapter[Any]:
    kind = _KINDS[name]()
    _forbid(kind, set())
    return pydantic.TypeAdapter(kind)


def check_body(name: str, body: JsonObject) -> None:
    """Raises pydantic.ValidationError where the SDK called `name` would not let such a request be written."""
    _forced(_adapter(name).validate_python(body))


def _forced(value: Any) -> Any:
    """Iterables are validated only when somebody reads them."""
    if isinstance(value, Mapping):
        return {key: _forced(child) for key, child in value.items()}
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return [_forced(child) for child in value]


def _openai() -> Any:
    from openai.types.chat.completion_create_params import (
        CompletionCreateParamsNonStreaming,
        CompletionCreateParamsStreaming,
    )

    return CompletionCreateParamsNonStreaming | CompletionCreateParamsStreaming


def _anthropic() -> Any:
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

    return MessageCreateParamsNonStreaming | MessageCreateParamsStreaming


def _groq() -> Any:
    from groq.types.chat.completion_create_params import CompletionCreateParams

    return CompletionCreateParams


class _ReplicateInput(TypedDict):
    """The input of moonshotai/kimi-k2.5: https://replicate.com/moonshotai/kimi-k2.5/api/schema."""

    prompt: Required[str]
    image: NotRequired[str]
    max_tokens: NotRequired[int]
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    presence_penalty: NotRequired[float]
    frequency_penalty: NotRequired[float]


class _Prediction(TypedDict):
    input: Required[_ReplicateInput]
    stream: NotRequired[bool]


_KINDS: dict[str, Any] = {
    "openai": _openai,
    "openrouter": lambda: ChatRequestTypedDict,
    "anthropic": _anthropic,
    "groq": _groq,
    "replicate": lambda: _Prediction,
}
