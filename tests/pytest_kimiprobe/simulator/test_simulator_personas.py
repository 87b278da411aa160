"""Each persona misbehaves in its own way, plain and streamed, and only at its rate."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from simulated import CREATE_FILE, GET_TIME, TWO_REQUESTS, WEATHER, playing, post, question, running, told

from pytest_kimiprobe.simulator import PERSONAS, Persona, Scenario, Simulator

PATH = "/openrouter/api/v1/chat/completions"
BODY = question("What is the weather in Paris?", WEATHER)
STREAMED = {**BODY, "stream": True}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


def message(simulator: Simulator, body: dict[str, Any] = BODY) -> dict[str, Any]:
    answer = post(simulator, PATH, body).json()
    got: dict[str, Any] = answer["choices"][0]["message"]
    return {**got, "finish": answer["choices"][0]["finish_reason"]}


def only_call(simulator: Simulator, body: dict[str, Any] = BODY) -> dict[str, Any]:
    calls = message(simulator, body)["tool_calls"]
    assert len(calls) == 1
    call: dict[str, Any] = calls[0]["function"]
    return call


def test_every_persona_is_tested() -> None:
    """A new persona needs a test in this file."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in PERSONAS if f'"{name}"' not in source] == []


def test_healthy(simulator: Simulator) -> None:
    """The healthy persona calls the tool that was asked for."""
    simulator.set_scenario(playing("healthy"))
    assert only_call(simulator) == {"name": "get_weather", "arguments": '{"city": "Paris"}'}


K2 = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>'
)
K3 = (
    '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>argument key="city" type="string"<|sep|>'
    "Paris<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>"
)
LEAKS = [
    ("leaks_k2", K2),
    ("leaks_k3", K3),
    ("json_in_text", '{"name": "get_weather", "arguments": {"city": "Paris"}}'),
]


@pytest.mark.parametrize(("persona", "leak"), LEAKS)
def test_leaks_into_the_text(simulator: Simulator, persona: str, leak: str) -> None:
    """A leaking host puts the call into the text, says `stop` and sends no structured call, streamed too."""
    simulator.set_scenario(playing(persona))
    got = message(simulator)
    assert got["content"].endswith(leak)
    assert (got["finish"], "tool_calls" in got) == ("stop", False)
    chunks = [chunk for chunk in told(post(simulator, PATH, STREAMED)) if chunk != "[DONE]"]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks).endswith(leak)


def test_leaks_in_reasoning(simulator: Simulator) -> None:
    """The call is in the reasoning; text and calls are empty."""
    simulator.set_scenario(playing("leaks_in_reasoning"))
    got = message(simulator)
    assert got["reasoning"].endswith(K2)
    assert (got["content"], "tool_calls" in got) == ("", False)


def test_empty(simulator: Simulator) -> None:
    """The answer is a 200 with `stop`, without content, and it is billed."""
    simulator.set_scenario(playing("empty"))
    got = message(simulator)
    assert (got["content"], got.get("tool_calls"), got.get("reasoning"), got["finish"]) == ("", None, None, "stop")


def test_slow(simulator: Simulator) -> None:
    """The first token arrives after the scenario's time."""
    simulator.set_scenario(playing("slow", first_token_ms=150))
    assert post(simulator, PATH, BODY).elapsed.total_seconds() >= 0.15
    assert post(simulator, PATH, STREAMED).elapsed.total_seconds() >= 0.15


def test_tokens_take_time(simulator: Simulator) -> None:
    """An answer takes the time of its tokens at the given pace, plain and streamed."""
    simulator.set_scenario(playing("slow", tokens_per_s=200.0))
    for body in (BODY, STREAMED):
        answer = post(simulator, PATH, body)
        usage = (told(answer)[-2] if body is STREAMED else answer.json())["usage"]
        assert answer.elapsed.total_seconds() >= 0.8 * usage["completion_tokens"] / 200


STATUSES = [
    ("openrouter", "moonshotai/kimi-k2.6", "rate_limited", 429),
    ("openrouter", "moonshotai/kimi-k2.6", "down", 503),
    ("openrouter", "moonshotai/kimi-k2.6", "server_error", 500),
    ("openrouter", "moonshotai/kimi-k2.6", "retired", 404),
    ("openrouter", "moonshotai/kimi-k2.6", "no_credit", 402),
    ("moonshot", "kimi-k2.6", "rate_limited", 429),
    ("moonshot", "kimi-k2.6", "down", 503),
    ("moonshot", "kimi-k2.6", "retired", 404),
    ("moonshot", "kimi-k2.6", "no_credit", 429),
    ("groq", "moonshotai/kimi-k2-instruct", "retired", 400),
    ("groq", "moonshotai/kimi-k2-instruct", "no_credit", 402),
    ("together", "moonshotai/Kimi-K3", "rate_limited", 429),
    ("together", "moonshotai/Kimi-K3", "retired", 404),
]
PREFIX = {
    "openrouter": "/openrouter/api/v1",
    "moonshot": "/moonshot/v1",
    "groq": "/groq/openai/v1",
    "together": "/together/v1",
}


@pytest.mark.parametrize(("provider", "model", "persona", "status"), STATUSES)
def test_error_statuses(simulator: Simulator, provider: str, model: str, persona: str, status: int) -> None:
    """Personas that refuse do so with the provider's own status and an `error` object, streamed or not."""
    simulator.set_scenario(playing(persona, retry_after_s=7))
    for body in ({**BODY, "model": model}, {**STREAMED, "model": model}):
        answer = post(simulator, f"{PREFIX[provider]}/chat/completions", body)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert answer.headers.get("retry-after") == ("7" if persona == "rate_limited" else None)


def test_server_error_status_is_the_scenarios(simulator: Simulator) -> None:
    """`status` sets the 5xx status."""
    simulator.set_scenario(playing("server_error", status=502))
    assert post(simulator, PATH, BODY).status_code == 502


def test_down_can_close_the_connection(simulator: Simulator) -> None:
    """With `how: close` the connection closes without an answer."""
    simulator.set_scenario(playing("down", how="close"))
    with pytest.raises(httpx.RemoteProtocolError):
        post(simulator, PATH, BODY)


def test_error_in_200(simulator: Simulator) -> None:
    """The status is 200; the body or the first chunk is an error."""
    simulator.set_scenario(playing("error_in_200"))
    plain = post(simulator, PATH, BODY)
    assert (plain.status_code, "choices" in plain.json(), plain.json()["error"]["code"]) == (200, False, 502)
    streamed = post(simulator, PATH, STREAMED)
    assert streamed.status_code == 200
    assert [chunk["error"]["code"] for chunk in told(streamed)] == [502]


def test_stream_error(simulator: Simulator) -> None:
    """A stream begins well and ends in OpenRouter's documented error chunk, without [DONE]."""
    simulator.set_scenario(playing("stream_error"))
    chunks = told(post(simulator, PATH, STREAMED))
    assert chunks[0]["choices"][0]["finish_reason"] is None
    assert chunks[-1]["error"]["message"] == "Provider disconnected unexpectedly"
    assert chunks[-1]["choices"][0]["finish_reason"] == "error"


def test_groq_stream_error_is_an_event(simulator: Simulator) -> None:
    """Groq sends a named error event with the status inside, as recorded."""
    simulator.set_scenario(playing("stream_error"))
    answer = post(
        simulator, "/groq/openai/v1/chat/completions", {**STREAMED, "model": "moonshotai/kimi-k2-instruct-0905"}
    )
    assert "event: error\n" in answer.text
    assert told(answer)[-1]["error"]["status_code"] == 502


def test_cut(simulator: Simulator) -> None:
    """A cut stream ends without finish reason and [DONE], the HTTP body being complete; a plain body is cut JSON."""
    simulator.set_scenario(playing("cut"))
    chunks = told(post(simulator, PATH, STREAMED))
    assert "[DONE]" not in chunks
    assert {chunk["choices"][0]["finish_reason"] for chunk in chunks} == {None}
    with pytest.raises(json.JSONDecodeError):
        post(simulator, PATH, BODY).json()


def test_cut_can_close_the_connection(simulator: Simulator) -> None:
    """With `how: close` the HTTP body itself is incomplete, plain and streamed."""
    simulator.set_scenario(playing("cut", how="close"))
    for body in (BODY, STREAMED):
        with pytest.raises(httpx.RemoteProtocolError):
            post(simulator, PATH, body)


@pytest.mark.parametrize("tool", [WEATHER, CREATE_FILE, GET_TIME], ids=lambda tool: str(tool["function"]["name"]))
def test_bad_arguments_break_the_schema(simulator: Simulator, tool: dict[str, Any]) -> None:
    """The arguments are JSON that breaks the tool's schema, if the schema forbids anything."""
    simulator.set_scenario(playing("bad_arguments", how="schema"))
    call = only_call(simulator, question(f"Use {tool['function']['name']} for 'Paris' and \"x.txt\"", tool))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(call["arguments"]), tool["function"]["parameters"])


@pytest.mark.parametrize("how", ["json", "truncated"])
@pytest.mark.parametrize("body", [BODY, question("What time is it?", GET_TIME)], ids=["some", "none"])
def test_bad_arguments_that_are_not_json(simulator: Simulator, how: str, body: dict[str, Any]) -> None:
    """The arguments do not parse, with and without members."""
    simulator.set_scenario(playing("bad_arguments", how=how))
    with pytest.raises(json.JSONDecodeError):
        json.loads(only_call(simulator, body)["arguments"])


def test_unknown_tool(simulator: Simulator) -> None:
    """The call names a tool that was not offered."""
    simulator.set_scenario(playing("unknown_tool"))
    assert only_call(simulator)["name"] not in ("get_weather", "", None)


def test_wrong_arguments(simulator: Simulator) -> None:
    """The tool is right and the schema allows the arguments, but the city is wrong."""
    simulator.set_scenario(playing("wrong_arguments"))
    arguments = json.loads(only_call(simulator)["arguments"])
    jsonschema.validate(arguments, WEATHER["function"]["parameters"])  # type: ignore[index]
    assert arguments["city"] != "Paris"


ODD = [
    ("encoded_twice", {"name": "create_file", "arguments": json.dumps('{"path": "a.txt", "content": "x"}')}),
    ("prefixed_name", {"name": "functions.create_file", "arguments": '{"path": "a.txt", "content": "x"}'}),
]


@pytest.mark.parametrize(("how", "expected"), ODD)
def test_odd_calls(simulator: Simulator, how: str, expected: dict[str, str]) -> None:
    """Arguments are encoded twice, or the name has Kimi's inner prefix."""
    simulator.set_scenario(playing("odd_calls", how=how))
    assert only_call(simulator, question("Create a file called a.txt containing x", CREATE_FILE)) == expected


def test_odd_ids_and_empty_arguments(simulator: Simulator) -> None:
    """Two calls have one id; a call without arguments has an empty text."""
    body = question(TWO_REQUESTS, CREATE_FILE, GET_TIME)
    simulator.set_scenario(playing("odd_calls", how="same_id"))
    assert [call["id"] for call in message(simulator, body)["tool_calls"]] == ["call_0", "call_0"]
    simulator.set_scenario(playing("odd_calls", how="no_arguments"))
    assert message(simulator, body)["tool_calls"][1]["function"]["arguments"] == ""


def test_wrong_finish(simulator: Simulator) -> None:
    """The answer has calls, but the finish reason is `stop`."""
    simulator.set_scenario(playing("wrong_finish"))
    got = message(simulator)
    assert (got["finish"], len(got["tool_calls"])) == ("stop", 1)


def test_html(simulator: Simulator) -> None:
    """The answer is a 200 with a page instead of JSON."""
    simulator.set_scenario(playing("html"))
    for body in (BODY, STREAMED):
        answer = post(simulator, PATH, body)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.text.startswith("<!DOCTYPE html>")


def test_no_call(simulator: Simulator) -> None:
    """A host that does not call a tool answers in prose, without text that looks like a call."""
    simulator.set_scenario(playing("no_call"))
    got = message(simulator)
    assert (got["finish"], "tool_calls" in got) == ("stop", False)
    assert got["content"] == "I can tell you that without any tool."


RATED = [
    ({"availability": 0.0}, "down"),
    ({"trigger_rate": 0.0}, "no_call"),
    ({"leak_rate": 1.0}, "leaks_k2"),
    ({"schema_accuracy": 0.0}, "bad_arguments"),
]


@pytest.mark.parametrize(("rates", "persona"), RATED)
def test_a_rate_at_its_end_is_the_plain_persona(simulator: Simulator, rates: dict[str, Any], persona: str) -> None:
    """Status and answer are those of the plain persona, except ids and times."""

    pinned = {"provider": {"only": ["novita/fp8"]}}

    def answers(scenario: Scenario) -> list[tuple[int, Any]]:
        simulator.set_scenario(scenario)
        got = [post(simulator, PATH, body | pinned) for body in (BODY, STREAMED)]
        plain = got[0].json()
        streamed = [chunk["choices"] for chunk in told(got[1]) if isinstance(chunk, dict) and "choices" in chunk]
        return [(got[0].status_code, plain.get("choices", plain)), (got[1].status_code, streamed)]

    assert answers(playing(**rates)) == answers(playing(persona))


def test_kimi_k3_leaks_its_own_markup(simulator: Simulator) -> None:
    """A persona with rates leaks in the model's own format."""
    simulator.set_scenario(playing(leak_rate=1.0))
    assert message(simulator, question("What is the weather in Paris?", WEATHER, model="moonshotai/kimi-k3"))[
        "content"
    ].endswith(K3)


def test_rates_are_drawn_by_seed(simulator: Simulator) -> None:
    """An equal seed gives equal answers, another seed others; the share of leaks is near the rate."""
    persona = Persona(leak_rate=0.3, first_token_ms=0, tokens_per_s=1e6)
    first = leaks(simulator, Scenario("test", 1, persona), 60)
    assert 8 <= sum(first) <= 30
    assert leaks(simulator, Scenario("test", 1, persona), 60) == first
    assert leaks(simulator, Scenario("test", 2, persona), 60) != first


CALL_PERSONAS = [
    "no_call",
    "leaks_k2",
    "leaks_k3",
    "leaks_in_reasoning",
    "json_in_text",
    "bad_arguments",
    "unknown_tool",
]


@pytest.mark.parametrize("persona", CALL_PERSONAS)
def test_answers_in_prose_are_unchanged(simulator: Simulator, persona: str) -> None:
    """A host that breaks tool calls may still answer in prose."""
    simulator.set_scenario(playing(persona))
    assert message(simulator, question("Reply with the single word PONG.", WEATHER))["content"] == "PONG"


def test_several_calls_leak_together(simulator: Simulator) -> None:
    """Two calls leak as one section with two ids."""
    simulator.set_scenario(playing("leaks_k2"))
    text = message(simulator, question(TWO_REQUESTS, CREATE_FILE, GET_TIME))["content"]
    assert text.count("<|tool_call_begin|>") == 2
    assert ("functions.create_file:0" in text, "functions.get_time:1" in text) == (True, True)


def leaks(simulator: Simulator, scenario: Scenario, tries: int) -> list[bool]:
    simulator.set_scenario(scenario)
    return ["<|" in (message(simulator)["content"] or "") for _ in range(tries)]


def test_rate_and_seed(simulator: Simulator) -> None:
    """About `rate` of the requests get the misbehaviour. An equal seed selects the same requests, another seed others."""

    def scenario(seed: int) -> Scenario:
        return Scenario("test", seed, Persona("leaks_k2", rate=0.5, first_token_ms=0, tokens_per_s=1e6))

    first = leaks(simulator, scenario(1), 40)
    assert 8 <= sum(first) <= 32
    assert leaks(simulator, scenario(1), 40) == first
    assert leaks(simulator, scenario(2), 40) != first


def test_draws_do_not_depend_on_the_order_of_other_requests(simulator: Simulator) -> None:
    """The persona of a request does not depend on the requests between its repeats."""
    scenario = Scenario("test", 3, Persona("leaks_k2", rate=0.5, first_token_ms=0, tokens_per_s=1e6))
    alone = leaks(simulator, scenario, 12)
    simulator.set_scenario(scenario)
    mixed = []
    for spot in range(12):
        post(simulator, PATH, question(f"Say number {spot}"))
        mixed.append("<|" in (message(simulator)["content"] or ""))
    assert mixed == alone
    assert set(Counter(alone)) == {True, False}
