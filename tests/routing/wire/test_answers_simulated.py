"""Every answer of the simulated providers that we accept is valid for the provider's own SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from sdk_answers import stream_event, whole_answer

from pytest_kimiprobe.simulator import PERSONAS, Persona, Scenario, Simulator
from routing import catalog
from routing.exchange import Exchange, Target, exchange
from routing.transport import Transport
from routing.types import ChatRequest, JsonObject
from routing.verify import check
from routing.wire.sse import Decoder

WEATHER: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ENDPOINTS = (
    "openrouter/moonshotai/kimi-k2.6+novita/fp8",
    "openrouter/anthropic/claude-sonnet-5.5",
    "moonshot/kimi-k2.6",
    "moonshot-cn/kimi-k3",
    "groq/moonshotai/kimi-k2-instruct",
    "together/moonshotai/Kimi-K3",
    "anthropic/claude-sonnet-5-5",
)
"""One of each provider whose SDK has a model of an answer; Replicate's has none."""
ACCEPTED = frozenset(
    {
        "healthy",
        "leaks_k2",
        "leaks_k3",
        "leaks_in_reasoning",
        "json_in_text",
        "no_call",  # words are an answer too, to a request that forces no call
        "slow",
        "wrong_arguments",
        "wrong_finish",
    }
)
"""Personas with at least one accepted answer, unchanged or rescued."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(Scenario("test")) as running:
        yield running


def asked(simulator: Simulator, persona: str, *, stream: bool) -> list[tuple[str, Exchange]]:
    """The answers of all these endpoints with this persona."""
    simulator.set_scenario(Scenario("test", default=Persona(persona, first_token_ms=0.0, tokens_per_s=1e6)))
    found = catalog.load(environment=simulator.environment())
    request = ChatRequest([{"role": "user", "content": "What is the weather in Paris?"}], [WEATHER], stream=stream)

    async def run() -> list[tuple[str, Exchange]]:
        transport = Transport()
        try:
            targets = [Target(one, found.provider_of(one), "sk-simulated") for one in map(found.endpoint, ENDPOINTS)]
            done = [await exchange(transport, target, request, timeout_s=10.0) for target in targets]
            return [(target.provider.name, one) for target, one in zip(targets, done, strict=True)]
        finally:
            await transport.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("persona", PERSONAS)
def test_an_accepted_answer_is_valid_for_the_sdk(simulator: Simulator, persona: str, stream: bool) -> None:
    """Checked whole and event by event. The SDK does not check the caller's schema or rules."""
    accepted = 0
    for provider, done in asked(simulator, persona, stream=stream):
        outcome = check(done.answer, [WEATHER]).outcome if done.answer else "failed"
        if done.answer is None or outcome == "failed" or (persona, outcome) == ("odd_calls", "rescued"):
            continue  # an odd shape that had to be mended is off the protocol to begin with
        accepted += 1
        if not done.content_type.startswith("text/event-stream"):
            whole_answer(provider, json.loads(done.body))
            continue
        for event in Decoder().feed(done.body):
            if event.data.strip() != "[DONE]" and event.name != "ping":
                stream_event(provider, json.loads(event.data))
    assert persona not in ACCEPTED or accepted >= 5
    assert accepted == 0 or persona in ACCEPTED
