"""Each provider's own rules: pinning and cost at OpenRouter, thinking at Moonshot, validation at Groq."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from simulated import GET_TIME, WEATHER, playing, post, question, running, told

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator

OPENROUTER = "/openrouter/api/v1/chat/completions"
MOONSHOT = "/moonshot/v1/chat/completions"
GROQ = "/groq/openai/v1/chat/completions"
ASKED = question("What is the weather in Paris?", WEATHER)
RECORDED = Path(__file__).resolve().parents[4] / "shared" / "data" / "recorded.jsonl"


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    running_simulator.set_scenario(playing())
    return running_simulator


def get(simulator: Simulator, path: str) -> Any:
    answer = httpx.get(simulator.url + path, headers={"Authorization": "Bearer k"}, verify=False)
    assert answer.status_code == 200
    return answer.json()


def pinned(tag: str, **more: Any) -> dict[str, Any]:
    return {**ASKED, "provider": {"only": [tag], "allow_fallbacks": False, "require_parameters": True}, **more}


UPSTREAMS = [
    ("novita/fp8", "NovitaAI"),
    ("moonshotai/int4", "Moonshot AI"),
    ("deepinfra", "DeepInfra"),
    ("wandb/fp8", "Weights & Biases"),
]


@pytest.mark.parametrize(("tag", "title"), UPSTREAMS)
def test_pinning_one_upstream(simulator: Simulator, tag: str, title: str) -> None:
    """`provider.only` selects the upstream by its full tag or its first part."""
    assert post(simulator, OPENROUTER, pinned(tag)).json()["provider"] == title


def test_unpinned_goes_to_the_cheapest(simulator: Simulator) -> None:
    """Without preferences the cheapest upstream answers; `order` prefers one, `ignore` removes one."""
    assert post(simulator, OPENROUTER, ASKED).json()["provider"] == "Weights & Biases"
    ordered = {**ASKED, "provider": {"order": ["novita/fp8"]}}
    assert post(simulator, OPENROUTER, ordered).json()["provider"] == "NovitaAI"
    ignoring = {**ASKED, "provider": {"ignore": ["wandb"]}}
    assert post(simulator, OPENROUTER, ignoring).json()["provider"] == "DeepInfra"


NOBODY = [
    {"only": ["nobody/fp8"]},
    {"only": ["novita/fp8"], "ignore": ["novita"]},
    {"quantizations": ["bf16"]},
    {"max_price": {"prompt": "0.1", "completion": "0.1"}},
]


@pytest.mark.parametrize("wishes", NOBODY)
def test_no_upstream_left(simulator: Simulator, wishes: dict[str, Any]) -> None:
    """Preferences that no upstream meets are a 404 about providers, not about the model."""
    answer = post(simulator, OPENROUTER, {**ASKED, "provider": wishes})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)
    assert "No allowed providers" in answer.json()["error"]["message"]


@pytest.mark.parametrize("limit", ['"cheap"', "NaN", "null", "[]"])
def test_a_price_limit_that_is_not_a_number_is_ignored(simulator: Simulator, limit: str) -> None:
    """Such a request is answered."""
    body = json.dumps({**ASKED, "provider": {"max_price": {"prompt": "LIMIT"}}}).replace('"LIMIT"', limit)
    answer = httpx.post(simulator.url + OPENROUTER, content=body, headers={"Authorization": "Bearer k"}, verify=False)
    assert answer.status_code == 200


def test_required_parameters(simulator: Simulator) -> None:
    """With `require_parameters`, a parameter that no upstream supports leaves no upstream."""
    assert post(simulator, OPENROUTER, pinned("novita/fp8", seed=1)).status_code == 404
    assert post(simulator, OPENROUTER, {**ASKED, "seed": 1}).status_code == 200


def test_an_unpinned_request_moves_on(simulator: Simulator) -> None:
    """Unpinned, OpenRouter skips an upstream that is always down, and lists it. Pinned, it returns the error."""
    down = "openrouter/moonshotai/kimi-k2.6+wandb/fp8"
    simulator.set_scenario(Scenario("test", default=playing().default, endpoints={down: Persona("down")}))
    headers = {"Authorization": "Bearer k", "X-OpenRouter-Metadata": "enabled"}
    answer = httpx.post(simulator.url + OPENROUTER, json=ASKED, headers=headers, verify=False).json()
    assert answer["provider"] == "DeepInfra"
    assert [(tried["provider"], tried["status"]) for tried in answer["openrouter_metadata"]["attempts"]] == [
        ("Weights & Biases", 503),
        ("DeepInfra", 200),
    ]
    assert post(simulator, OPENROUTER, pinned("wandb/fp8")).status_code == 503


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_cost_follows_from_the_upstreams_price(simulator: Simulator, stream: bool) -> None:
    """Reported cost is tokens times the price that the endpoint list shows for that upstream, to the last digit."""
    listed = get(simulator, "/openrouter/api/v1/models/moonshotai/kimi-k2.6/endpoints")["data"]["endpoints"]
    for host in listed:
        answer = post(simulator, OPENROUTER, pinned(host["tag"], stream=stream))
        body = told(answer)[-2] if stream else answer.json()
        usage = body["usage"]
        prompt = usage["prompt_tokens"] * Decimal(host["pricing"]["prompt"])
        completion = usage["completion_tokens"] * Decimal(host["pricing"]["completion"])
        assert usage["cost"] == float(prompt + completion)
        assert usage["cost_details"]["upstream_inference_prompt_cost"] == float(prompt)
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


def test_what_openrouter_adds(simulator: Simulator) -> None:
    """A dated model name, a generation id in body and header, whitespace before the JSON of a plain answer."""
    answer = post(simulator, OPENROUTER, ASKED)
    assert answer.text.startswith("\n ")
    body = answer.json()
    assert body["model"] == "moonshotai/kimi-k2.6-20260420"
    assert body["id"] == answer.headers["x-generation-id"]
    assert body["choices"][0]["message"]["tool_calls"][0]["id"] == "functions.get_weather:0"


def test_what_an_openrouter_stream_looks_like(simulator: Simulator) -> None:
    """Comments first, the finish reason on two chunks, usage on the second, [DONE] last."""
    answer = post(simulator, OPENROUTER, {**ASKED, "stream": True})
    assert answer.text.startswith(": OPENROUTER PROCESSING\n\n")
    chunks = told(answer)
    assert chunks[-1] == "[DONE]"
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert finishes[-3:] == [None, "tool_calls", "tool_calls"]
    assert [("usage" in chunk) for chunk in chunks[-3:-1]] == [False, True]


def test_openrouter_pages(simulator: Simulator) -> None:
    """Models, key and credits have pages; an unknown model is a 404."""
    ids = {model["id"] for model in get(simulator, "/openrouter/api/v1/models")["data"]}
    assert {"moonshotai/kimi-k2.6", "moonshotai/kimi-k3"} <= ids
    assert get(simulator, "/openrouter/api/v1/key")["data"]["limit_remaining"] == 90
    assert get(simulator, "/openrouter/api/v1/credits")["data"]["total_credits"] == 100
    unknown = simulator.url + "/openrouter/api/v1/models/nobody/nothing/endpoints"
    assert httpx.get(unknown, headers={"Authorization": "Bearer k"}, verify=False).status_code == 404


def test_moonshot_balance(simulator: Simulator) -> None:
    """The balance page of both Moonshot hosts."""
    for host in ("moonshot", "moonshot-cn"):
        assert get(simulator, f"/{host}/v1/users/me/balance")["data"]["available_balance"] == 49.5


def kimi(model: str = "kimi-k2.6", **more: Any) -> dict[str, Any]:
    return {**ASKED, "model": model, **more}


NAMED = {"type": "function", "function": {"name": "get_weather"}}
OFF = {"type": "disabled"}
PAST: list[dict[str, Any]] = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "functions.get_weather:0",
                "type": "function",
                "function": {"name": "get_weather", "arguments": "{}"},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "functions.get_weather:0", "content": "18"},
]
SOME = {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}


def offering(name: str, parameters: Any) -> dict[str, Any]:
    return kimi(tools=[{"type": "function", "function": {"name": name, "parameters": parameters}}])


RULES = [
    (kimi(tool_choice="required"), "tool_choice 'required' is incompatible with thinking enabled"),
    (kimi(tool_choice=NAMED), "tool_choice 'specified' is incompatible with thinking enabled"),
    (kimi(temperature=0.2), "invalid temperature: only 1 is allowed for this model"),
    (kimi(top_p=0.5), "invalid top_p: only 0.95 is allowed"),
    (kimi("kimi-k2.7-code", thinking=OFF), "invalid thinking: only type=enabled is allowed for this model"),
    (
        kimi(messages=PAST),
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    ),
    (offering("f", {"type": "array"}), "type must be object"),
    (offering("f", SOME), "when using anyOf, type should be defined in anyOf items"),
    (offering("1st", {"type": "object"}), "function name is invalid"),
]


@pytest.mark.parametrize(("body", "sentence"), RULES)
def test_moonshots_rules(simulator: Simulator, body: dict[str, Any], sentence: str) -> None:
    """Moonshot's refusals are a 400 with its sentence."""
    answer = post(simulator, MOONSHOT, body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert sentence in answer.json()["error"]["message"]


THOUGHT = [PAST[0], {**PAST[1], "reasoning_content": " "}, PAST[2]]
ACCEPTED = [
    kimi(tool_choice="required", thinking=OFF),
    kimi(tool_choice=NAMED, thinking=OFF),
    kimi("kimi-k3", tool_choice="required"),
    kimi(temperature=1),
    kimi(temperature=0.6, thinking=OFF),
    kimi(messages=THOUGHT),
    kimi(messages=PAST, thinking=OFF),
]


@pytest.mark.parametrize("body", ACCEPTED)
def test_what_moonshot_accepts(simulator: Simulator, body: dict[str, Any]) -> None:
    """The same requests are accepted without thinking, on a model that allows it, or with the reasoning."""
    assert post(simulator, MOONSHOT, body).status_code == 200


def test_moonshot_streams_usage_in_the_choice(simulator: Simulator) -> None:
    """The last chunk's choice holds the usage; with `include_usage` a further chunk without choices holds it too."""
    chunks = told(post(simulator, MOONSHOT, kimi(stream=True)))
    assert chunks[-2]["choices"][0]["usage"]["total_tokens"] > 0
    more = told(post(simulator, MOONSHOT, kimi(stream=True, stream_options={"include_usage": True})))
    assert (more[-2]["choices"], more[-2]["usage"]) == ([], chunks[-2]["choices"][0]["usage"])


def test_reasoning_has_each_providers_name(simulator: Simulator) -> None:
    """`reasoning_content` at Moonshot, `reasoning` and details at OpenRouter, `reasoning` at Together, none for K2."""

    def message(path: str, model: str) -> Any:
        return post(simulator, path, {**ASKED, "model": model}).json()["choices"][0]["message"]

    assert message(MOONSHOT, "kimi-k2.6")["reasoning_content"]
    routed = message(OPENROUTER, "moonshotai/kimi-k2.6")
    assert routed["reasoning"] == routed["reasoning_details"][0]["text"]
    assert message("/together/v1/chat/completions", "moonshotai/Kimi-K3")["reasoning"]
    assert "reasoning" not in message(GROQ, "moonshotai/kimi-k2-instruct")


K2 = "moonshotai/kimi-k2-instruct"
SPOILED = [("bad_arguments", "did not match schema"), ("unknown_tool", "which was not in request.tools")]


@pytest.mark.parametrize(("persona", "words"), SPOILED)
def test_groq_validates_calls_itself(simulator: Simulator, persona: str, words: str) -> None:
    """A call that does not fit is a 400 `tool_use_failed` with what was generated; in a stream an error event."""
    simulator.set_scenario(playing(persona))
    plain = post(simulator, GROQ, {**ASKED, "model": K2})
    error = plain.json()["error"]
    assert (plain.status_code, error["code"]) == (400, "tool_use_failed")
    assert words in error["message"]
    assert json.loads(error["failed_generation"])["name"].startswith("get_weather")
    streamed = post(simulator, GROQ, {**ASKED, "model": K2, "stream": True})
    assert (streamed.status_code, "event: error\n" in streamed.text, "[DONE]" in streamed.text) == (200, True, False)
    assert told(streamed)[-1]["error"]["status_code"] == 400


UNSUPPORTED = [
    {"messages": [{"role": "user", "content": "hi", "cache_control": {}}]},
    {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "y"}, {"role": "user", "content": "z"}]},
    {"n": 2},
    {"logprobs": True},
]


@pytest.mark.parametrize("change", UNSUPPORTED)
def test_groq_refuses_unknown_members_and_options(simulator: Simulator, change: dict[str, Any]) -> None:
    """Unknown message members and unsupported options are a 400."""
    assert post(simulator, GROQ, {**ASKED, "model": K2, **change}).status_code == 400


def test_groq_sends_rate_limit_headers(simulator: Simulator) -> None:
    """Every answer has them."""
    answer = post(simulator, GROQ, {**ASKED, "model": K2})
    assert answer.headers["x-ratelimit-reset-tokens"] == "1.57s"
    assert answer.json()["x_groq"]["id"].startswith("req_")


def test_max_tokens_cut_the_answer(simulator: Simulator) -> None:
    """Reasoning uses the limit first; the rest is dropped, and the finish reason is `length`."""
    answer = post(simulator, OPENROUTER, {**ASKED, "max_tokens": 5}).json()
    choice = answer["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"], "tool_calls" in choice["message"]) == (
        "length",
        "",
        False,
    )
    assert answer["usage"]["completion_tokens"] == 5


def recorded(name: str) -> Any:
    """One recorded exchange; the body parsed, or its data lines."""
    with RECORDED.open(encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines if f'"{name}"' in line)
        return next(row for row in rows if row["id"] == name)


def shape(value: Any) -> Any:
    """All keys of a JSON value, nested ones included; lists by their first item."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return (
        [shape(value[0])] if isinstance(value, list) and value else type(value).__name__ if value is None else "value"
    )


needs_recordings = pytest.mark.skipif(not RECORDED.exists(), reason="shared data is absent")
PLAIN = [
    ("TestOpenRouterCommon/kimi/tool#0", OPENROUTER, "moonshotai/kimi-k2.5"),
    ("TestOpenAICompatibleCommon/groq-kimi-k2/tool#0", GROQ, "moonshotai/kimi-k2-instruct-0905"),
]


@needs_recordings
@pytest.mark.parametrize(("name", "path", "model"), PLAIN)
def test_plain_answers_have_the_recorded_shape(simulator: Simulator, name: str, path: str, model: str) -> None:
    """The real request, sent here, is answered with exactly the members of the real answer."""
    row = recorded(name)
    real = json.loads(row["response"]["body"])
    answer = post(simulator, path, {**row["request"], "model": model}).json()
    real["choices"][0]["message"]["content"] = answer["choices"][0]["message"]["content"]  # some talk before they call
    assert shape(answer) == shape(real)
    got, told_there = (body["choices"][0]["message"]["tool_calls"][0]["function"] for body in (answer, real))
    assert got["name"] == told_there["name"]
    assert json.loads(got["arguments"])["location"].startswith("Florence")


@needs_recordings
def test_streamed_answers_have_the_recorded_shape(simulator: Simulator) -> None:
    """Every kind of chunk that OpenRouter sends for Kimi is sent here with the same members."""
    row = recorded("TestOpenRouterCommon/kimi/tool_streaming#0")
    lines = [line[6:] for line in row["response"]["body"].splitlines() if line.startswith("data: {")]
    real = {json.dumps(shape(json.loads(line)), sort_keys=True) for line in lines}
    chunks = told(post(simulator, OPENROUTER, {**row["request"], "model": "moonshotai/kimi-k2.5"}))
    got = {json.dumps(shape(chunk), sort_keys=True) for chunk in chunks if chunk != "[DONE]"}
    assert got <= real


def test_several_tools_have_ids_counted_through_the_conversation(simulator: Simulator) -> None:
    """Kimi counts its calls through the whole conversation: the second round continues the numbers of the first."""
    past = [*THOUGHT, {"role": "user", "content": "And what time is it?"}]
    answer = post(simulator, MOONSHOT, kimi(messages=past, tools=[WEATHER, GET_TIME])).json()
    assert answer["choices"][0]["message"]["tool_calls"][0]["id"] == "functions.get_time:1"
