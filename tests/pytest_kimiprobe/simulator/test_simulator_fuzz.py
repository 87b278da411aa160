"""The simulator answers any bytes with an HTTP status and never crashes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from simulated import GET_TIME, WEATHER, playing

from pytest_kimiprobe.simulator.behaviour.draws import Draws
from pytest_kimiprobe.simulator.http_types import Request
from pytest_kimiprobe.simulator.server.app import App

CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "What is the weather in Paris?"}, PICTURE]},
        {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": "What time is it?"},
    ],
    "tools": [WEATHER, GET_TIME],
    "tool_choice": "auto",
    "stream_options": {"include_usage": True},
    "max_tokens": 100,
    "parallel_tool_calls": True,
}
WISHES = {"only": ["novita/fp8"], "order": ["x"], "quantizations": ["fp8"], "max_price": {"prompt": "9"}}
USE = {"type": "tool_use", "id": "t1", "name": "get_time", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "1"}]}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
MESSAGES: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "weather in Paris"}, IMAGE]},
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [RESULT]},
    ],
    "tools": [{"name": "get_time", "description": "d", "input_schema": {"type": "object", "properties": {}}}],
    "tool_choice": {"type": "auto"},
}
REQUESTS = [
    (
        "/moonshot/v1/chat/completions",
        {**CHAT, "model": "kimi-k2.6", "thinking": {"type": "enabled"}, "temperature": 1},
    ),
    ("/openrouter/api/v1/chat/completions", {**CHAT, "model": "moonshotai/kimi-k2.6", "provider": WISHES}),
    ("/groq/openai/v1/chat/completions", {**CHAT, "model": "moonshotai/kimi-k2-instruct"}),
    ("/anthropic/v1/messages", MESSAGES),
    ("/replicate/v1/models/moonshotai/kimi-k2.5/predictions", {"input": {"prompt": "hi", "max_tokens": 5}}),
]
ODD: list[Any] = [None, True, -1, 10**30, 0.5, "", "x", [], {}, [1], [None], [[]], [{}], {"a": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def with_odd(body: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The body with another value at one place."""
    if not path:
        return odd
    changed = json.loads(json.dumps(body))
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = odd
    return changed


@pytest.mark.parametrize(("path", "body"), REQUESTS, ids=[path.split("/")[1] for path, _ in REQUESTS])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_odd_values_anywhere(path: str, body: dict[str, Any], stream: bool) -> None:
    """Each value of a request is replaced by each odd value; all are answered or refused, without a 5xx."""

    async def send(app: App, changed: Any) -> int:
        headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
        response = await app.handle(Request("POST", path, headers, json.dumps(changed).encode()))
        if response.chunks is not None:
            assert [chunk async for chunk in response.chunks]
        return response.status

    async def send_all() -> Counter[int]:
        app = App(Draws(playing()))
        whole = {**body, "stream": stream}
        return Counter([await send(app, with_odd(whole, place, odd)) for place in places(whole) for odd in ODD])

    statuses = asyncio.run(send_all())
    assert set(statuses) <= {200, 201, 400, 404, 422}
    assert len(statuses) > 1
