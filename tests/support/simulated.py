"""Scenarios, tools and requests that the tests of the simulator share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator

FAST = {"first_token_ms": 0.0, "tokens_per_s": 1_000_000.0}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
CREATE_FILE = {
    "type": "function",
    "function": {
        "name": "create_file",
        "description": "Create a file with the given content",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    },
}
GET_TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Get the current time",
        "parameters": {"type": "object", "properties": {"timezone": {"type": "string"}}},
    },
}
TWO_REQUESTS = "Create a file called test.js with Hello World content and tell me what time it is"


def playing(persona: str = "healthy", **more: object) -> Scenario:
    """A scenario in which every endpoint has one persona, without delays."""
    return Scenario("test", default=Persona(persona, **{**FAST, **more}))  # type: ignore[arg-type]


@contextmanager
def running(scenario: Scenario | None = None) -> Iterator[Simulator]:
    """A simulator that ends with the block."""
    with Simulator(scenario or playing()) as simulator:
        yield simulator


def question(text: str, *tools: object, model: str = "moonshotai/kimi-k2.6", **more: object) -> dict[str, Any]:
    """The body of a chat-completions request."""
    offered = {"tools": list(tools)} if tools else {}
    return {"model": model, "messages": [{"role": "user", "content": text}], **offered, **more}


def post(simulator: Simulator, path: str, body: object, *, key: str = "any-key") -> httpx.Response:
    """Send one request over a new connection and read the whole answer."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(simulator.url + path, json=body, headers=headers, timeout=10, verify=False)


def told(response: httpx.Response) -> list[Any]:
    """The JSON values of a stream's data lines; `[DONE]` as text."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]
