"""Answers and stream chunks in OpenAI's shapes, for tests of what is read from them."""

from __future__ import annotations

import json
from typing import Any

from routing.types import Answer
from routing.wire import openai_answer as openai

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def body(message: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}
    return json.dumps({"choices": [choice], **more}).encode()


def call(arguments: Any = "{}", name: str = "f", call_id: str = "functions.f:0") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def streamed(*chunks: dict[str, Any] | str) -> Answer:
    stream = openai.stream()
    for chunk in chunks:
        data = chunk if isinstance(chunk, str) else json.dumps(chunk)
        stream.feed(f"data: {data}\n\n".encode())
    return stream.finish()


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def piece(
    index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: str | None = None
) -> Any:
    row: dict[str, Any] = {"function": {}}
    if index is not None:
        row["index"] = index
    if call_id is not None:
        row["id"] = call_id
    if name is not None:
        row["function"]["name"] = name
    if arguments is not None:
        row["function"]["arguments"] = arguments
    return row
