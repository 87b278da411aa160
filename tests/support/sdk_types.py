"""Strict judges of request bodies, made from the official SDKs' own types: what they do not know is refused."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NotRequired, Required

import pydantic
from openrouter.components import ChatRequestTypedDict
from pydantic_core import CoreConfig, SchemaValidator
from typing_extensions import TypedDict

from routing.types import JsonObject


def _strict(node: Any, definitions: Mapping[str, Any]) -> Any:
    """The same schema, with TypedDicts that take no other key, lists instead of iterables that nobody reads, and no
    models of answers: Anthropic's messages may hold blocks of one, and those take any key."""
    if isinstance(node, list | tuple):
        return type(node)(_strict(child, definitions) for child in node)
    if not isinstance(node, dict) or node.get("type") == "model":
        return node
    if node.get("type") == "union":
        node = {**node, "choices": [one for one in node["choices"] if not _is_model(one, definitions)]}
    node = {key: _strict(child, definitions) for key, child in node.items()}
    if node.get("type") == "typed-dict":
        return {**node, "extra_behavior": "forbid"}
    if node.get("type") == "generator":
        return {key: value for key, value in node.items() if key != "serialization"} | {"type": "list"}
    return node


def _is_model(node: Any, definitions: Mapping[str, Any]) -> bool:
    node = node[0] if isinstance(node, tuple) else node  # a choice with a label
    while node["type"] in {"definition-ref", "function-wrap", "function-after", "default"}:
        node = definitions[node["schema_ref"]] if node["type"] == "definition-ref" else node["schema"]
    if node["type"] == "union":
        return all(_is_model(one, definitions) for one in node["choices"])
    return bool(node["type"] == "model")


@cache
def _validator(name: str) -> SchemaValidator:
    found: Any = pydantic.TypeAdapter(_KINDS[name]()).core_schema
    definitions = {row["ref"]: row for row in found.get("definitions", ())}
    return SchemaValidator(_strict(found, definitions), CoreConfig(strict=True))


def check_body(name: str, body: JsonObject | str) -> None:
    """Raises pydantic.ValidationError where the SDK called `name` would not let such a request be written."""
    if name == "openrouter" and isinstance(body, dict) and "json_schema" in body.get("response_format", ()):
        form = body["response_format"]  # the SDK's Python name of the member `schema` is `schema_`
        renamed = {{"schema": "schema_"}.get(key, key): value for key, value in form["json_schema"].items()}
        body = {**body, "response_format": {**form, "json_schema": renamed}}
    _validator(name).validate_python(body)


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


class _Thinking(TypedDict):
    """https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model."""

    type: Required[Literal["enabled", "disabled"]]


class _TemplateOptions(TypedDict):
    """What vLLM and SGLang hand to Kimi's chat template."""

    thinking: Required[bool]


class _BeyondOpenAI(TypedDict, total=False):
    """What hosts of OpenAI's protocol take and its own types do not know."""

    thinking: _Thinking
    chat_template_kwargs: _TemplateOptions


_KINDS: dict[str, Any] = {
    "text": lambda: str,
    "beyond openai": lambda: _BeyondOpenAI,
    "openai": _openai,
    "openrouter": lambda: ChatRequestTypedDict,
    "anthropic": _anthropic,
    "groq": _groq,
    "replicate": lambda: _Prediction,
}
