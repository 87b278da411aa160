"""Arguments of a request: every mistake is a ValueError or TypeError that names the argument, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, KEY, SECOND, TOOL, routed
from faulty_server import FaultyServer

from routing import AllAttemptsFailed, InvalidRequest, Router, RoutingError, UnknownName
from routing.catalog import load
from routing.reasons import REASONS
from routing.request_options import Options, as_messages
from routing.types import RequestOptions

SECRET = "sk-" + "Secret9" * 5
HI = "Hi"
BARE = TOOL["function"]
assert isinstance(BARE, dict)
EMPTY_FORMAT: dict[str, Any] = {"type": "json_schema"}

MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"tools": None}, TypeError, "tools: a list"),
    ({"tools": "get_weather"}, TypeError, "tools: a list"),
    ({"tools": TOOL}, TypeError, "tools: a list"),
    ({"tools": ["get_weather"]}, TypeError, r"tools\[0\]"),
    ({"tools": [TOOL, None]}, TypeError, r"tools\[1\]"),
    ({"tools": [{}]}, ValueError, r"tools\[0\]"),
    ({"tools": [{"type": "web_search"}]}, ValueError, r"tools\[0\].*web_search"),
    ({"tools": [{"type": "function", "function": {}}]}, ValueError, "function.name"),
    ({"tools": [{"type": "function", "function": "f"}]}, ValueError, "function.name"),
    ({"tools": [TOOL, TOOL]}, ValueError, "share this name"),
    ({"tools": [{"name": "f", "parameters": {"type": "objekt"}}]}, ValueError, "tool f"),
    ({"tools": [TOOL], "tool_choice": "sometimes"}, ValueError, "tool_choice.*auto, none, required.*'sometimes'"),
    ({"tools": [TOOL], "tool_choice": 5}, TypeError, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": True}, TypeError, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function"}}, ValueError, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"function": {"name": "g"}}}, ValueError, "tool_choice: names 'g'; .* are f"),
    ({"parallel_tool_calls": "yes"}, TypeError, "parallel_tool_calls"),
    ({"model": "kimi-k99"}, ValueError, "unknown model 'kimi-k99'; available"),
    ({"model": 7}, TypeError, "model"),
    ({"user": ["a"]}, TypeError, "user"),
    ({"user": True}, TypeError, "user"),
    ({"groups": None}, TypeError, "groups"),
    ({"groups": [1]}, TypeError, "groups"),
    ({"seed": 1.5}, TypeError, "seed"),
    ({"seed": "7"}, TypeError, "seed"),
    ({"seed": 2**70}, ValueError, "seed"),
    ({"response_format": "json"}, TypeError, "response_format"),
    ({"response_format": {}}, ValueError, "response_format"),
    ({"response_format": {"type": "bogus"}}, ValueError, "response_format.*json_object.*'bogus'"),
    ({"response_format": EMPTY_FORMAT}, ValueError, "response_format.*schema"),
    ({"response_format": EMPTY_FORMAT | {"json_schema": {"name": "a"}}}, ValueError, "response_format.*schema"),
    ({"endpoints": "moonshot/kimi-k2.6"}, TypeError, "endpoints"),
    ({"endpoints": [7]}, TypeError, "endpoints"),
    ({"endpoints": []}, ValueError, "endpoints.*leave the option out"),
    ({"endpoints": ["moonshot/kimi"]}, ValueError, "unknown endpoint 'moonshot/kimi'; available"),
    ({"endpoints": [FIRST], "model": "kimi-k3"}, ValueError, "endpoints: .* serves kimi-k2.6.*kimi-k3"),
    ({"fallback": None}, TypeError, "fallback"),
    ({"fallback": 1}, TypeError, "fallback"),
    ({"stop": ["a", ""]}, ValueError, "stop"),
    ({"reasoning_effort": "a lot"}, ValueError, "reasoning_effort.*'a lot'"),
    ({"reasoning_effort": ["low"]}, ValueError, "reasoning_effort"),
    ({"temprature": 1}, TypeError, "'temprature'; available"),
]
MESSAGES: list[tuple[Any, type[Exception], str]] = [
    (None, TypeError, "messages: .*None"),
    (7, TypeError, "messages: .*int"),
    (b"Hi", TypeError, "messages: .*bytes"),
    ({"role": "user", "content": HI}, TypeError, "messages: .*dict"),
    ([HI], TypeError, r"messages\[0\]: .*str"),
    ([None], TypeError, r"messages\[0\]: .*None"),
    ([[]], TypeError, r"messages\[0\]: .*list"),
    ([{}], ValueError, r"messages\[0\].role: .*it has none"),
    ([{"content": HI}], ValueError, r"messages\[0\].role: .*it has none"),
    ([{"role": "robot", "content": HI}], ValueError, r"messages\[0\].role: .*system.*'robot'"),
    ([{"role": 5, "content": HI}], ValueError, r"messages\[0\].role"),
    ([{"role": ["user"], "content": HI}], ValueError, r"messages\[0\].role"),
    ([{"role": "user"}], ValueError, r"messages\[0\].content: .*None"),
    ([{"role": "user", "content": 5}], ValueError, r"messages\[0\].content: .*int"),
    ([{"role": "user", "content": {"type": "text"}}], ValueError, r"messages\[0\].content: .*dict"),
    ([{"role": "user", "content": [5]}], ValueError, "content part"),
    ([{"role": "user", "content": [{"type": "hologram"}]}], ValueError, "content part 'hologram'"),
    ([{"role": "user", "content": HI}, {"role": "assistant", "tool_calls": "f"}], ValueError, r"\[1\].tool_calls"),
    ([{"role": "user", "content": HI}, {"role": "assistant", "tool_calls": [7]}], ValueError, r"\[1\].tool_calls"),
    ([], ValueError, "no messages"),
]


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Router]:
    with FaultyServer(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n") as server:
        with routed(tmp_path, monkeypatch, server.url) as loaded:
            yield loaded
        assert not server.requests
