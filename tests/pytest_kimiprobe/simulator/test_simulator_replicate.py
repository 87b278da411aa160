"""Replicate's predictions: created, waited for, polled, streamed, cancelled; tools only as a protocol in the prompt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from simulated import WEATHER, playing, running

from pytest_kimiprobe.simulator import Simulator

CREATE = "/replicate/v1/models/moonshotai/kimi-k2.5/predictions"


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def client(running_simulator: Simulator) -> Iterator[httpx.Client]:
    running_simulator.set_scenario(playing())
    with httpx.Client(base_url=running_simulator.url, headers={"Authorization": "Bearer r8"}, verify=False) as client:
        yield client


def create(client: httpx.Client, prompt: str, *, wait: bool = True, **more: Any) -> dict[str, Any]:
    headers = {"Prefer": "wait"} if wait else {}
    answer = client.post(CREATE, json={"input": {"prompt": prompt}, **more}, headers=headers)
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


def test_waiting(client: httpx.Client) -> None:
    """With `Prefer: wait` the answer is the finished prediction, with its output in pieces."""
    made = create(client, "Reply with the single word PONG.")
    assert (made["status"], "".join(made["output"]), made["error"]) == ("succeeded", "PONG", None)
    assert made["metrics"]["output_token_count"] == len(made["output"])


def test_polling(running_simulator: Simulator, client: httpx.Client) -> None:
    """Without `wait` the answer is a started prediction, and `urls.get` shows its end."""
    running_simulator.set_scenario(playing("slow", first_token_ms=150))
    made = create(client, "Say hello.", wait=False)
    assert (made["status"], made["output"], "metrics" in made) == ("starting", None, False)
    deadline = time.monotonic() + 10
    while (seen := client.get(made["urls"]["get"]).json())["status"] != "succeeded":
        assert time.monotonic() < deadline
    assert (seen["status"], "".join(seen["output"])) == ("succeeded", "hello")


def test_waiting_ends_after_n_seconds(running_simulator: Simulator, client: httpx.Client) -> None:
    """`wait=1` returns the unfinished prediction after a second."""
    running_simulator.set_scenario(playing("slow", first_token_ms=60_000))
    answer = client.post(CREATE, json={"input": {"prompt": "hi"}}, headers={"Prefer": "wait=1"})
    assert answer.json()["status"] in ("starting", "processing")


def test_cancelling(running_simulator: Simulator, client: httpx.Client) -> None:
    """A running prediction can be cancelled; a finished one does not change."""
    running_simulator.set_scenario(playing("slow", first_token_ms=60_000))
    made = create(client, "hi", wait=False)
    assert client.post(made["urls"]["cancel"]).json()["status"] == "canceled"
    assert client.get(made["urls"]["get"]).json()["status"] == "canceled"
    running_simulator.set_scenario(playing())
    done = create(client, "hi")
    assert client.post(done["urls"]["cancel"]).json()["status"] == "succeeded"


def events(text: str) -> list[tuple[str, str]]:
    """Names and data of server-sent events; data lines of one event are joined by a line break."""
    found = []
    for block in filter(None, text.split("\n\n")):
        lines = [line.partition(": ")[::2] for line in block.split("\n")]
        data = "\n".join(value for name, value in lines if name in ("data", "data:"))
        found.append((dict(lines).get("event", ""), data))
    return found


def test_streaming(client: httpx.Client) -> None:
    """`urls.stream` sends the output as events with plain data, line breaks kept, `done` last."""
    made = create(client, "Reply with 'one two'", stream=True)
    got = events(client.get(made["urls"]["stream"], headers={"Accept": "text/event-stream"}).text)
    assert got[-1] == ("done", "{}")
    assert "".join(data for name, data in got if name == "output") == "one two"


def test_no_stream_unless_asked(client: httpx.Client) -> None:
    """`urls.stream` exists only with `stream: true`."""
    assert "stream" not in create(client, "hi")["urls"]


def test_tools_described_in_the_prompt(client: httpx.Client) -> None:
    """The JSON protocol: tools and rules before, the user's line last, one JSON object as the answer."""
    function: Any = WEATHER["function"]
    prompt = (
        f"You can call these tools:\n{json.dumps([function])}\n"
        'To call one, answer with nothing but JSON: {"name": ..., "arguments": {...}}\n\n'
        "User: What is the weather in Paris?\nAssistant:"
    )
    said = json.loads("".join(create(client, prompt)["output"]))
    assert said == {"name": "get_weather", "arguments": {"city": "Paris"}}
    without_roles = prompt.replace("User: ", "").replace("\nAssistant:", "")
    assert json.loads("".join(create(client, without_roles)["output"])) == said


def test_failing_predictions(running_simulator: Simulator, client: httpx.Client) -> None:
    """An error inside a 201: status `failed`, no output; in a stream an error event and the reason in `done`."""
    running_simulator.set_scenario(playing("error_in_200"))
    made = create(client, "hi", stream=True)
    assert (made["status"], made["output"], bool(made["error"])) == ("failed", None, True)
    got = events(client.get(made["urls"]["stream"]).text)
    assert [name for name, _ in got] == ["error", "done"]
    assert json.loads(got[1][1]) == {"reason": "error"}


def test_a_cut_stream(running_simulator: Simulator, client: httpx.Client) -> None:
    """A cut stream has no `done`."""
    running_simulator.set_scenario(playing("cut"))
    made = create(client, "Reply with 'one two three four'", stream=True)
    assert {name for name, _ in events(client.get(made["urls"]["stream"]).text)} == {"output"}


STATUSES = [("rate_limited", 429), ("down", 503), ("retired", 404), ("no_credit", 402)]


@pytest.mark.parametrize(("persona", "status"), STATUSES)
def test_error_statuses(running_simulator: Simulator, client: httpx.Client, persona: str, status: int) -> None:
    """Refusals have Replicate's members: `title`, `detail`, `status`."""
    running_simulator.set_scenario(playing(persona))
    answer = client.post(CREATE, json={"input": {"prompt": "hi"}})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["detail"]


def test_bad_input(client: httpx.Client) -> None:
    """A prediction without prompt is a 422; an unknown model or prediction a 404; without key a 401."""
    assert client.post(CREATE, json={"input": {"text": "hi"}}).status_code == 422
    assert client.post(CREATE.replace("k2.5", "k9"), json={"input": {"prompt": "hi"}}).status_code == 404
    assert client.get("/replicate/v1/predictions/nobody").status_code == 404
    assert client.get("/replicate/v1/account", headers={"Authorization": ""}).status_code == 401
