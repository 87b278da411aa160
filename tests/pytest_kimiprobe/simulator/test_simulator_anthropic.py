"""The official Anthropic client holds a conversation with the simulator; what Anthropic refuses is refused."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message
from simulated import CREATE_FILE, GET_TIME, TWO_REQUESTS, WEATHER, playing, running

from pytest_kimiprobe.simulator import Simulator

MODEL = "claude-sonnet-5-5"
OLDER = "claude-sonnet-5"


def claude(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    return {
        "name": function["name"],
        "description": function["description"],
        "input_schema": {"type": "object", **function["parameters"]},
    }


TOOLS: Any = [claude(WEATHER), claude(CREATE_FILE), claude(GET_TIME)]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[anthropic.Anthropic]:
    simulator.set_scenario(playing())
    with anthropic.Anthropic(base_url=f"{simulator.url}/anthropic", api_key="any", max_retries=0) as client:
        yield client


def ask(client: anthropic.Anthropic, messages: Any, *, stream: bool, **more: Any) -> Message:
    options: Any = {"model": MODEL, "max_tokens": 1000, "messages": messages, "tools": TOOLS, **more}
    if not stream:
        answer: Message = client.messages.create(**options)
        return answer
    with client.messages.stream(**options) as events:
        return events.get_final_message()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_two_steps(client: anthropic.Anthropic, stream: bool) -> None:
    """Two requests lead to two tool uses, and their results to a text that quotes both."""
    messages: list[Any] = [{"role": "user", "content": TWO_REQUESTS}]
    first = ask(client, messages, stream=stream)
    uses = [block for block in first.content if block.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [
        ("create_file", {"path": "test.js", "content": "Hello World"}),
        ("get_time", {}),
    ]
    assert (first.stop_reason, first.content[0].type) == ("tool_use", "thinking")
    results = [
        {"type": "tool_result", "tool_use_id": use.id, "content": said}
        for use, said in zip(uses, ["created", "12:34"], strict=True)
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = ask(client, messages, stream=stream)
    text = "".join(block.text for block in second.content if block.type == "text")
    assert second.stop_reason == "end_turn"
    assert ("created" in text, "12:34" in text) == (True, True)
    assert second.usage.input_tokens > first.usage.input_tokens > 0


def test_thinking_can_be_switched_off(client: anthropic.Anthropic) -> None:
    """Without thinking there is no thinking block."""
    hello = [{"role": "user", "content": "Say hello."}]
    answer = ask(client, hello, stream=False, model=OLDER, thinking={"type": "disabled"})
    assert [block.type for block in answer.content] == ["text"]


@pytest.mark.parametrize(
    "refused",
    [
        {"thinking": {"type": "disabled"}},
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "tool", "name": "get_time"}},
    ],
)
def test_the_newest_model_always_thinks_and_is_never_forced(client: anthropic.Anthropic, refused: Any) -> None:
    """It answers HTTP 400, as Anthropic's pages say."""
    with pytest.raises(anthropic.BadRequestError, match="not supported by this model"):
        ask(client, [{"role": "user", "content": "weather"}], stream=False, **refused)


CHOICES = [
    ({"type": "any"}, "get_weather"),
    ({"type": "tool", "name": "get_time"}, "get_time"),
    ({"type": "none"}, None),
]


@pytest.mark.parametrize(("choice", "name"), CHOICES)
def test_tool_choice(client: anthropic.Anthropic, choice: Any, name: str | None) -> None:
    """`any` forces a call, `tool` forces the named tool, `none` forbids calls."""
    answer = ask(client, [{"role": "user", "content": "weather"}], stream=False, model=OLDER, tool_choice=choice)
    assert next((block.name for block in answer.content if block.type == "tool_use"), None) == name


def test_one_tool_at_a_time(client: anthropic.Anthropic) -> None:
    """Without parallel use the second call follows the first one's result."""
    one: Any = {"type": "auto", "disable_parallel_tool_use": True}
    messages: list[Any] = [{"role": "user", "content": TWO_REQUESTS}]
    first = ask(client, messages, stream=False, tool_choice=one)
    use = next(block for block in first.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "created"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ask(client, messages, stream=False, tool_choice=one)
    assert [block.name for block in second.content if block.type == "tool_use"] == ["get_time"]


def picture(red: int, green: int, blue: int) -> str:
    """A PNG of 8 by 8 pixels in one colour, in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((red, green, blue)) * 8 for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode()


@pytest.mark.parametrize(("colour", "name"), [((250, 5, 5), "red"), ((10, 10, 240), "blue")])
def test_pictures_are_seen(client: anthropic.Anthropic, colour: tuple[int, int, int], name: str) -> None:
    """The model names the colour of a picture, so a lost picture is noticed."""
    source = {"type": "base64", "media_type": "image/png", "data": picture(*colour)}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "Which colour is this?"}]
    answer = ask(client, [{"role": "user", "content": content}], stream=False)
    assert f"a {name} picture of 8 by 8 pixels" in answer.content[-1].text  # type: ignore[union-attr]


USE = {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12:34"}
HI = {"role": "user", "content": "hi"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens: "),
    ({"messages": []}, "at least one message"),
    ({"messages": [{"role": "system", "content": "x"}]}, "Input should be 'user' or 'assistant'"),
    ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "must be non-empty"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "Input tag 'image_url'"),
    ({"messages": [HI, {"role": "assistant", "content": "So"}]}, "prefill"),
    ({"messages": [HI, {"role": "assistant", "content": [USE]}, HI]}, "without `tool_result` blocks"),
    ({"messages": [{"role": "user", "content": [RESULT]}]}, "unexpected `tool_use_id`"),
    (
        {
            "messages": [
                HI,
                {"role": "assistant", "content": [USE]},
                {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]},
            ]
        },
        "immediately after",
    ),
    (
        {"messages": [HI, {"role": "assistant", "content": [{**USE, "id": "functions.get_time:0"}]}, HI]},
        "tool_use.id: String should match pattern",
    ),
    (
        {"tools": [], "messages": [HI, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}]},
        "must define tools",
    ),
    ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "String should match pattern"),
    ({"tools": [{"name": "a"}]}, "input_schema: Field required"),
    ({"temperature": 0.2}, "`temperature` is not supported"),
    ({"tool_choice": {"type": "required"}}, "tool_choice: Input should be one of"),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/svg+xml", "data": "eA=="}}
                    ],
                }
            ]
        },
        "media_type",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_what_anthropic_refuses(simulator: Simulator, change: dict[str, Any], sentence: str) -> None:
    """A request that breaks one of Anthropic's rules gets a 400 whose sentence names the rule."""
    body = {"model": MODEL, "max_tokens": 100, "messages": [HI], "tools": TOOLS, **change}
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    answer = httpx.post(simulator.url + "/anthropic/v1/messages", json=body, headers=headers, verify=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert sentence in answer.json()["error"]["message"]


def test_headers_are_needed(simulator: Simulator) -> None:
    """A request without key or version is refused."""
    url, body = simulator.url + "/anthropic/v1/messages", {"model": MODEL, "max_tokens": 5, "messages": [HI]}
    keyless = httpx.post(url, json=body, headers={"anthropic-version": "2023-06-01"}, verify=False)
    assert (keyless.status_code, keyless.json()["error"]["type"]) == (401, "authentication_error")
    versionless = httpx.post(url, json=body, headers={"x-api-key": "any"}, verify=False)
    assert versionless.json()["error"]["message"] == "anthropic-version: header is required"


PERSONAS = [
    ("rate_limited", anthropic.RateLimitError),
    ("down", anthropic.InternalServerError),
    ("retired", anthropic.NotFoundError),
    ("no_credit", anthropic.APIStatusError),
]


@pytest.mark.parametrize(("persona", "error"), PERSONAS)
def test_error_personas(
    simulator: Simulator, client: anthropic.Anthropic, persona: str, error: type[anthropic.APIStatusError]
) -> None:
    """Errors have Anthropic's form, which its client understands."""
    simulator.set_scenario(playing(persona))
    with pytest.raises(error):
        ask(client, [HI], stream=False)


def test_an_error_event_in_a_stream(simulator: Simulator, client: anthropic.Anthropic) -> None:
    """A stream that ends early sends `event: error`, and the client raises."""
    simulator.set_scenario(playing("stream_error"))
    with pytest.raises(anthropic.APIStatusError):
        ask(client, [{"role": "user", "content": "What is the weather in Paris?"}], stream=True)


def test_a_cut_stream_has_no_end(simulator: Simulator) -> None:
    """A cut stream has no stop reason."""
    simulator.set_scenario(playing("cut"))
    body = {"model": MODEL, "max_tokens": 500, "stream": True, "messages": [HI]}
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    answer = httpx.post(simulator.url + "/anthropic/v1/messages", json=body, headers=headers, verify=False)
    kinds = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert kinds[0] == "message_start"
    assert "message_delta" not in kinds


def test_truncated_input_shows_in_a_stream(simulator: Simulator) -> None:
    """Cut arguments are cut `partial_json`; a plain answer can only hold an object."""
    simulator.set_scenario(playing("bad_arguments", how="truncated"))
    body = {
        "model": MODEL,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        "tools": TOOLS,
    }
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    url = simulator.url + "/anthropic/v1/messages"
    streamed = httpx.post(url, json={**body, "stream": True}, headers=headers, verify=False)
    events = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    partial = "".join(event.get("delta", {}).get("partial_json", "") for event in events)
    with pytest.raises(json.JSONDecodeError):
        json.loads(partial)
    plain = httpx.post(url, json=body, headers=headers, verify=False).json()
    assert plain["content"][-1]["input"] == {}
