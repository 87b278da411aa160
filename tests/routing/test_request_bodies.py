"""Every request body that can be built, for any endpoint of the catalogue, judged by types and rules that are not ours."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from made_requests import requests
from sdk_types import check_body

from pytest_kimiprobe.simulator import anthropic_in, openai_in
from pytest_kimiprobe.simulator.refusals import Refused
from pytest_kimiprobe.simulator.world import Model
from pytest_kimiprobe.simulator.world import Price as SimulatedPrice
from routing import catalog
from routing.catalog import Endpoint, Provider
from routing.errors import EndpointUnavailable
from routing.types import ChatRequest, JsonObject
from routing.wire import WireRequest, wire_named

CATALOG = catalog.load(environment={})
ENDPOINTS = tuple(CATALOG.endpoints.values())
BEYOND_OPENAI = {
    "moonshot": ("thinking", "reasoning_content"),
    "moonshot-cn": ("thinking", "reasoning_content"),
    "together": ("chat_template_kwargs", "reasoning_content"),
}
"""What a provider of the family has that OpenAI's types do not know: a field of the body, one of an assistant's message."""


def built(endpoint: Endpoint, request: ChatRequest) -> WireRequest:
    provider = CATALOG.provider_of(endpoint)
    return wire_named(provider.wire).build(request, endpoint, provider)


def judge(provider: Provider, body: JsonObject) -> None:
    """Raises pydantic.ValidationError where the provider's SDK would not write it."""
    json.dumps(body, allow_nan=False)
    if provider.name in BEYOND_OPENAI:
        body = copy.deepcopy(body)
        ours, in_message = BEYOND_OPENAI[provider.name]
        assert isinstance(body.pop(ours, {}), dict)
        for message in body["messages"]:
            assert isinstance(message.pop(in_message, ""), str)
            assert message["role"] == "assistant" or in_message not in message
        check_body("openai", body)
        return
    check_body(provider.name, body)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.id)
@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(request=requests(images=False))
def test_every_body_passes_its_providers_own_types(endpoint: Endpoint, request: ChatRequest) -> None:
    """With every unknown key refused; what an endpoint cannot do is refused before it is written."""
    try:
        body = built(endpoint, request).body
    except EndpointUnavailable as error:
        assert error.reason == "no_capability"
        return
    assert body is not None
    judge(CATALOG.provider_of(endpoint), body)


SEEING = tuple(endpoint for endpoint in ENDPOINTS if "vision" in endpoint.capabilities)


@pytest.mark.parametrize("endpoint", SEEING, ids=lambda endpoint: endpoint.id)
@settings(max_examples=20, suppress_health_check=list(HealthCheck), deadline=None)
@given(request=requests(images=True))
def test_every_body_with_images_passes_its_providers_own_types(endpoint: Endpoint, request: ChatRequest) -> None:
    """Images wherever a caller may put them, tool results and answers too."""
    try:
        body = built(endpoint, request).body
    except EndpointUnavailable as error:
        assert error.reason == "no_capability"
        return
    assert body is not None
    judge(CATALOG.provider_of(endpoint), body)


def simulated(endpoint: Endpoint) -> Model:
    """The model as the simulator's rules need it."""
    thinks: Any = {"never": "never", "thinking_type": "default"}.get(endpoint.thinking, "always")
    free = SimulatedPrice(*[Decimal(1)] * 3)
    return Model(
        endpoint.provider_model_id, "slug", free, thinks=thinks, accepts_required="required" in endpoint.tool_choices
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.id)
@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(request=requests(images=False))
def test_no_rule_of_the_simulated_provider_is_broken(endpoint: Endpoint, request: ChatRequest) -> None:
    """Rules that types cannot say: order, ids, pairs of calls and results, thinking, Moonshot's schemas."""
    try:
        body = built(endpoint, request).body
    except EndpointUnavailable:
        return
    assert body is not None
    body = json.loads(json.dumps(body))
    try:
        if endpoint.provider == "anthropic":
            anthropic_in.check(body, "2023-06-01")
        elif endpoint.provider != "replicate":
            openai_in.check_history(endpoint.provider, body)
        if endpoint.provider == "groq":
            openai_in.check_groq(body)
        if endpoint.provider.startswith("moonshot"):
            openai_in.check_moonshot(endpoint.provider, simulated(endpoint), body)
    except Refused as refused:
        pytest.fail(str(refused.body))


OK: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
HEAD: JsonObject = {"model": "m", "max_tokens": 1}
SEEDED: list[tuple[str, JsonObject]] = [
    *[
        (judge, body)
        for judge in ("openai", "openrouter", "groq")
        for body in (
            {**OK, "top_k": "many"} if judge == "openrouter" else {**OK, "top_k": 3},
            {**OK, "messages": [{"role": "user", "content": "x", "cache_control": {}}]},
            {**OK, "messages": [{"role": "tool", "content": "x"}]},
            {**OK, "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "index": 1}]}]},
            {
                **OK,
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": {}}}],
                    }
                ],
            },
            {**OK, "tools": [{"type": "function", "function": {"name": "f", "input_schema": {}}}]},
        )
    ],
    ("anthropic", {**HEAD, "messages": OK["messages"], "temperature": 1}),
    ("anthropic", {"model": "m", "messages": OK["messages"]}),
    ("anthropic", {**HEAD, "messages": OK["messages"], "tool_choice": "auto"}),
    ("anthropic", {**HEAD, "messages": OK["messages"], "tools": [{"type": "function", "function": {"name": "f"}}]}),
    ("anthropic", {**HEAD, "messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]}),
    (
        "anthropic",
        {**HEAD, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    ),
    ("replicate", {"input": {"messages": []}}),
]


@pytest.mark.parametrize(("name", "body"), SEEDED)
def test_the_judges_refuse_what_is_wrong(name: str, body: JsonObject) -> None:
    """A judge that lets everything pass proves nothing."""
    good = {"input": {"prompt": "x"}} if name == "replicate" else {**HEAD, **OK} if name == "anthropic" else OK
    check_body(name, good)
    with pytest.raises(pydantic.ValidationError):
        check_body(name, body)
