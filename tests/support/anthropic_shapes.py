"""Requests in OpenAI's shapes and what is sent to Anthropic for them; every body passes the SDK's own types."""

from __future__ import annotations

import base64
from typing import Any

from sdk_types import check_body

from routing import catalog
from routing.catalog import Endpoint
from routing.types import ChatRequest, JsonObject
from routing.wire import WireRequest
from routing.wire import anthropic_answer as anthropic

CATALOG = catalog.load(environment={})
SONNET = CATALOG.endpoint("anthropic/claude-sonnet-5-5")
OLDER = Endpoint(
    "anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5", None, "x", SONNET.capabilities, thinking="adaptive"
)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
WEATHER: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def build(messages: list[Any], endpoint: Endpoint = SONNET, **options: Any) -> WireRequest:
    built = anthropic.build(ChatRequest(messages, **options), endpoint, CATALOG.provider_of(endpoint))
    assert built.body is not None
    if "temperature" not in built.body:  # the SDK of the newest version has none any more
        check_body("anthropic", built.body)
    return built


def sent(messages: list[Any], **options: Any) -> list[JsonObject]:
    body = build(messages, **options).body
    assert body is not None
    found: list[JsonObject] = body["messages"]
    return found


def user(content: Any = "hi") -> JsonObject:
    return {"role": "user", "content": content}


def call(call_id: str | None, name: str = "get_weather", arguments: Any = '{"city": "Paris"}') -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(*calls: JsonObject, content: Any = None) -> JsonObject:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {})}


def result(call_id: str, content: Any = "sunny") -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def text(words: str) -> JsonObject:
    return {"type": "text", "text": words}
