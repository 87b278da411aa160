"""The official clients of the OpenAI family hold a two-step tool conversation with the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import groq
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from simulated import CREATE_FILE, GET_TIME, TWO_REQUESTS, WEATHER, running

from pytest_kimiprobe.simulator import Simulator

OPENAI_LIKE = {
    "openrouter": "moonshotai/kimi-k2.6",
    "moonshot": "kimi-k2.6",
    "moonshot-cn": "kimi-k2.6",
    "together": "moonshotai/Kimi-K3",
    "groq": "moonshotai/kimi-k2-instruct-0905",
}
PREFIX = {
    "openrouter": "/openrouter/api/v1",
    "moonshot": "/moonshot/v1",
    "moonshot-cn": "/moonshot-cn/v1",
    "together": "/together/v1",
    "groq": "/groq/openai/v1",
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def clients(simulator: Simulator) -> Iterator[dict[str, openai.OpenAI]]:
    made = {
        name: openai.OpenAI(base_url=simulator.url + prefix, api_key="any", max_retries=0)
        for name, prefix in PREFIX.items()
    }
    yield made
    for client in made.values():
        client.close()


def _openais(body: dict[str, Any]) -> dict[str, Any]:
    """The body without Groq's service tier, a value that OpenAI does not have."""
    return {key: value for key, value in body.items() if (key, value) != ("service_tier", "on_demand")}


def ask(client: openai.OpenAI, model: str, messages: list[Any], tools: list[Any], *, stream: bool) -> dict[str, Any]:
    """The assistant's message, assembled from chunks if it was streamed."""
    if not stream:
        answer: ChatCompletion = client.chat.completions.create(model=model, messages=messages, tools=tools)
        message = answer.choices[0].message
        ChatCompletion.model_validate(_openais(answer.model_dump()), strict=True)
        calls = [call.model_dump(exclude={"index"}) for call in message.tool_calls or ()]
        return {
            "finish": answer.choices[0].finish_reason,
            "content": message.content or "",
            "calls": calls,
            "reasoning": getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or "",
            "usage": answer.usage,
        }
    return _streamed(client, model, messages, tools)


def _streamed(client: openai.OpenAI, model: str, messages: list[Any], tools: list[Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {"content": "", "reasoning": "", "usage": None, "finish": None}
    calls: dict[int, dict[str, Any]] = {}
    with client.chat.completions.create(
        model=model, messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        for chunk in chunks:
            ChatCompletionChunk.model_validate(_openais(chunk.model_dump()), strict=True)
            whole["usage"] = chunk.usage or whole["usage"]
            for choice in chunk.choices:
                delta = choice.delta
                whole["content"] += delta.content or ""
                whole["reasoning"] += (
                    getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
                )
                whole["finish"] = choice.finish_reason or whole["finish"]
                for part in delta.tool_calls or ():
                    call = calls.setdefault(part.index, {"type": "function", "function": {"name": "", "arguments": ""}})
                    call["id"] = part.id or call["id"]
                    assert part.function is not None
                    call["function"]["name"] += part.function.name or ""
                    call["function"]["arguments"] += part.function.arguments or ""
    return {**whole, "calls": [calls[index] for index in sorted(calls)]}


def history(answer: dict[str, Any], results: list[str], *, moonshot: bool) -> list[Any]:
    """The assistant turn and its results, as sent back to the provider."""
    turn = {"role": "assistant", "content": answer["content"], "tool_calls": answer["calls"]}
    if moonshot:
        turn["reasoning_content"] = answer["reasoning"]
    tools = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(answer["calls"], results, strict=True)
    ]
    return [turn, *tools]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("provider", OPENAI_LIKE)
def test_two_steps(clients: dict[str, openai.OpenAI], provider: str, stream: bool) -> None:
    """A question leads to a call, and the call's result to a text that quotes it."""
    client, model = clients[provider], OPENAI_LIKE[provider]
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = ask(client, model, messages, [WEATHER], stream=stream)
    assert first["finish"] == "tool_calls"
    assert [call["function"]["name"] for call in first["calls"]] == ["get_weather"]
    assert json.loads(first["calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    messages += history(first, ['{"temperature": 18}'], moonshot=provider.startswith("moonshot"))
    second = ask(client, model, messages, [WEATHER], stream=stream)
    assert (second["finish"], second["calls"]) == ("stop", [])
    assert '{"temperature": 18}' in second["content"]
    assert second["usage"].prompt_tokens > first["usage"].prompt_tokens > 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("provider", OPENAI_LIKE)
def test_several_tools_in_one_answer(clients: dict[str, openai.OpenAI], provider: str, stream: bool) -> None:
    """Two requests in one sentence lead to two calls in one answer, with different ids."""
    client, model = clients[provider], OPENAI_LIKE[provider]
    messages: list[Any] = [{"role": "user", "content": TWO_REQUESTS}]
    tools = [WEATHER, CREATE_FILE, GET_TIME]
    first = ask(client, model, messages, tools, stream=stream)
    got = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in first["calls"]]
    assert got == [("create_file", {"path": "test.js", "content": "Hello World"}), ("get_time", {})]
    assert len({call["id"] for call in first["calls"]}) == 2
    messages += history(first, ["created", "12:34"], moonshot=provider.startswith("moonshot"))
    second = ask(client, model, messages, tools, stream=stream)
    assert "created" in second["content"]
    assert "12:34" in second["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_groq_client(simulator: Simulator, stream: bool) -> None:
    """Groq's own client holds the same conversation."""
    model = OPENAI_LIKE["groq"]
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    with groq.Groq(base_url=simulator.url + "/groq", api_key="any", max_retries=0) as client:
        if stream:
            offered: Any = [WEATHER]
            with client.chat.completions.create(model=model, messages=messages, tools=offered, stream=True) as chunks:
                told = [chunk for chunk in chunks if chunk.choices]
            deltas = [call for chunk in told for call in chunk.choices[0].delta.tool_calls or ()]
            assert [delta.function.name for delta in deltas if delta.function] == ["get_weather"]
            assert told[-1].choices[0].finish_reason == "tool_calls"
            return
        first = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])  # type: ignore[list-item]
        calls = first.choices[0].message.tool_calls or []
        assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Oslo"})
        ]
        messages += [
            {"role": "assistant", "tool_calls": [call.model_dump(exclude_none=True) for call in calls]},
            {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
        ]
        second = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])  # type: ignore[list-item]
        assert "rain" in (second.choices[0].message.content or "")


@pytest.mark.parametrize("provider", OPENAI_LIKE)
def test_plain_chat(clients: dict[str, openai.OpenAI], provider: str) -> None:
    """Without tools the answer is a text."""
    answer = clients[provider].chat.completions.create(
        model=OPENAI_LIKE[provider], messages=[{"role": "user", "content": "Reply with the single word PONG."}]
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("PONG", "stop")


@pytest.mark.parametrize("provider", sorted(set(OPENAI_LIKE) - {"together"}))  # a bare array there, no OpenAI list
def test_models_are_listed(clients: dict[str, openai.OpenAI], provider: str) -> None:
    """The model under test is in the provider's list."""
    assert OPENAI_LIKE[provider] in {model.id for model in clients[provider].models.list()}


ERRORS = [
    ("openrouter", "moonshotai/kimi-k9", openai.NotFoundError),
    ("moonshot", "kimi-k2-0905-preview", openai.NotFoundError),
    ("groq", "nothing", openai.NotFoundError),
    ("together", "moonshotai/Kimi-K2-Instruct", openai.NotFoundError),
]


@pytest.mark.parametrize(("provider", "model", "error"), ERRORS)
def test_unknown_models(
    clients: dict[str, openai.OpenAI], provider: str, model: str, error: type[openai.APIStatusError]
) -> None:
    """A model that is unknown or retired is refused with the provider's sentence, which names it."""
    with pytest.raises(error, match=model):
        clients[provider].chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
