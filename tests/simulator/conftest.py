from __future__ import annotations

from collections.abc import Iterator

import pytest

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


@pytest.fixture(scope="session")
def _running() -> Iterator[Simulator]:
    with Simulator(playing()) as simulator:
        yield simulator


@pytest.fixture
def simulator(_running: Simulator) -> Simulator:
    _running.set_scenario(playing())
    return _running
