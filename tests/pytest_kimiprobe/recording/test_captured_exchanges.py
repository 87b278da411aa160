"""The whole circle: an answer that production could not deliver is captured, and judged again by the monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kimiprobe.recording.recordings import read
from pytest_kimiprobe.simulator import Persona, Scenario, Simulator
from routing import AllAttemptsFailed, Router

DIRECT = "moonshot/kimi-k2.6"
EMULATED = "replicate/moonshotai/kimi-k2.5"
WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
QUESTION = "What is the weather in Paris right now?"
FLAGS = """\
version: 1
serial: 1
environment: test
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  emulated:
    description: d
    owner: o
    controls: [replicate/moonshotai/kimi-k2.5]
    enabled: true
    percent: 100
...
"""
FAILURES: list[tuple[str, dict[str, Any]]] = [
    ("empty", {}),
    ("bad_arguments", {"how": "schema"}),
    ("bad_arguments", {"how": "json"}),
    ("bad_arguments", {"how": "truncated"}),
    ("unknown_tool", {}),
    ("server_error", {}),
    ("error_in_200", {}),
    ("rate_limited", {}),
    ("retired", {}),
    ("no_credit", {}),
    ("html", {}),
]


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "flags.yaml").write_text(FLAGS)
    with Simulator(Scenario()) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def failed(folder: Path, simulator: Simulator, persona: str, endpoint: str = DIRECT, **how: Any) -> list[str]:
    """The reasons of the attempts of one request to a host that behaves like this."""
    simulator.set_scenario(Scenario(endpoints={endpoint: Persona(persona, **how)}))
    with (
        Router.load(folder / "flags.yaml", capture=folder / "captures") as router,
        pytest.raises(AllAttemptsFailed) as caught,
    ):
        router.complete(QUESTION, tools=[WEATHER], user="123", endpoints=[endpoint], timeout=20)
    return [attempt.reason for attempt in caught.value.attempts]


def replayed(pytester: pytest.Pytester, folder: Path) -> list[dict[str, Any]]:
    """What the monitor says about the rows in the folder."""
    arguments = ("--kimiprobe", f"--kimiprobe-source=replay:{folder}", "--kimiprobe-json=out.json")
    pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
    found: list[dict[str, Any]] = json.loads((pytester.path / "out.json").read_text())["probes"]
    return found


def test_a_production_failure_is_judged_alike_by_the_monitor(
    simulator: Simulator, tmp_path: Path, pytester: pytest.Pytester
) -> None:
    """Each row gets the reason that the router had, at the same endpoint, without a key in the environment."""
    expected = [reason for persona, how in FAILURES for reason in failed(tmp_path, simulator, persona, **how)]
    probes = replayed(pytester, tmp_path / "captures")
    assert sorted(probe["reason"] for probe in probes) == sorted(expected)
    assert {probe["endpoint"] for probe in probes} == {DIRECT}
    assert {probe["verdict"] for probe in probes} == {"fail", "error"}


def test_a_call_by_prompt_is_judged_with_the_callers_tools(
    simulator: Simulator, tmp_path: Path, pytester: pytest.Pytester
) -> None:
    """The request that was sent has no tools; the row has them."""
    expected = failed(tmp_path, simulator, "cut", EMULATED, how="length")
    probes = replayed(pytester, tmp_path / "captures")
    assert [probe["reason"] for probe in probes] == expected


def test_a_captured_row_is_read_like_any_recording(simulator: Simulator, tmp_path: Path) -> None:
    """Endpoint with its upstream, request and answer."""
    failed(tmp_path, simulator, "unknown_tool")
    (path,) = (tmp_path / "captures").glob("*.jsonl")
    (row,) = read(path)
    assert (row.endpoint, row.protocol, row.status, row.problem) == (DIRECT, "openai", 200, "")
    assert row.request["messages"][-1]["content"] == QUESTION
    assert [tool["function"]["name"] for tool in row.tools] == ["get_weather"]
