"""Every request body that can be built, for any endpoint of the catalogue, judged by types and rules that are not ours."""

from __future__ import annotations

import copy
import functools
import json
import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from examples import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from made_requests import requests
from sdk_types import check_body

from pytest_kimiprobe.simulator.behaviour.refusals import Refusal
from pytest_kimiprobe.simulator.behaviour.served_models import SimulatedModel, SimulatedPrice
from pytest_kimiprobe.simulator.protocols import anthropic_in, openai_in
from routing import catalog
from routing.catalog import Endpoint, Provider
from routing.errors import EndpointUnavailable, RequestRejected
from routing.types import ChatRequest, JsonObject
from routing.wire import wire_named

CATALOG = catalog.load(environment={})
ENDPOINTS = tuple(CATALOG.endpoints.values())
BEYOND_OPENAI = {"moonshot": "reasoning_content", "moonshot-cn": "reasoning_content", "together": "reasoning_content"}
"""The field of an assistant's message that a provider of the family has and OpenAI's types do not know."""
PROPERTY = settings(max_examples=examples(8), suppress_health_check=list(HealthCheck), deadline=None)


def built(endpoint: Endpoint, request: ChatRequest, provider: Provider | None = None) -> JsonObject | None:
    """The body; None where the endpoint cannot do by design what is asked."""
    provider = provider or CATALOG.provider_of(endpoint)
    try:
        body = wire_named(provider.wire).build(request, endpoint, provider).body
    except EndpointUnavailable as error:
        assert error.reason == "no_capability"
        return None
    assert body is not None
    return body


def judge(provider: Provider, body: JsonObject) -> None:
    """Raises pydantic.ValidationError where the provider's SDK would not write it."""
    json.dumps(body, allow_nan=False)
    name = provider.name
    if name not in {"openrouter", "groq", "anthropic", "replicate"}:
        name = "openai"
        body = copy.deepcopy(body)
        check_body("beyond openai", {key: body.pop(key) for key in ("thinking", "chat_template_kwargs") if key in body})
        ours = BEYOND_OPENAI.get(provider.name, provider.reasoning_field)
        for message in body["messages"]:
            if message["role"] == "assistant" and ours in message:
                check_body("text", message.pop(ours))
    check_body(name, body)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.id)
@PROPERTY
@given(request=requests(images=False))
def test_every_body_passes_its_providers_own_types_and_rules(endpoint: Endpoint, request: ChatRequest) -> None:
    """With every unknown key refused; what an endpoint cannot do is refused before it is written.

    The simulated provider keeps the rules that types cannot say: order, ids, pairs of calls and results, thinking,
    Moonshot's schemas.
    """
    if (body := built(endpoint, request)) is not None:
        judge(CATALOG.provider_of(endpoint), body)
        refused_by_rules(endpoint, body)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.id)
@PROPERTY
@given(request=requests(images=True))
def test_every_body_with_images_passes_its_providers_own_types(endpoint: Endpoint, request: ChatRequest) -> None:
    """Images wherever a caller may put them, tool results and answers too; without eyes an endpoint is not asked."""
    try:
        body = built(endpoint, request)
    except RequestRejected as error:
        assert error.reason == "image_refused"
        return
    if body is not None:
        judge(CATALOG.provider_of(endpoint), body)
        assert "vision" in endpoint.capabilities or "image_url" not in json.dumps(body["messages"])


def simulated(endpoint: Endpoint) -> SimulatedModel:
    """The model as the simulator's rules need it."""
    thinks: Any = {"never": "never", "thinking_type": "default"}.get(endpoint.thinking, "always")
    free = SimulatedPrice(*[Decimal(1)] * 3)
    return SimulatedModel(
        endpoint.provider_model_id, "slug", free, thinks=thinks, k3="required" in endpoint.tool_choices
    )


def refused_by_rules(endpoint: Endpoint, body: JsonObject) -> None:
    """Fails where the simulated provider would answer 400."""
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
    except Refusal as refused:
        pytest.fail(str(refused.body))


QUIRKS: tuple[str, ...] = (
    "fixed_sampling",
    "moonshot_schema",
    "no_parallel_tool_calls",
    "no_stream_options",
    "own_call_ids",
    "reasoning_required",
    "text_content",
)
ROWS = st.fixed_dictionaries(
    {
        "thinking": st.sampled_from(["never", "always", "thinking_type", "reasoning_effort", "chat_template"]),
        "quirks": st.lists(st.sampled_from(QUIRKS), unique=True).map(frozenset),
        "capabilities": st.sampled_from([{"tools", "stream", "vision"}, {"tools:emulated", "stream"}]).map(frozenset),
        "family": st.sampled_from(["kimi", ""]),
    }
)


@PROPERTY
@given(row=ROWS, field=st.sampled_from(["reasoning_content", "reasoning", ""]), request=requests(images=True))
def test_every_body_for_a_host_of_ones_own_is_openais(row: JsonObject, field: str, request: ChatRequest) -> None:
    """Whatever its row in the catalogue says: only what it names goes beyond OpenAI's types."""
    provider = Provider(
        "lab", "Lab", "openai", "https://llm.example.org/v1", frozenset({"llm.example.org"}), "", reasoning_field=field
    )
    endpoint = Endpoint(id="lab/m", provider="lab", provider_model_id="m", upstream=None, model="kimi-k2.6", **row)
    if (body := built(endpoint, request, provider)) is not None:
        judge(provider, body)


FREE = {"parameters", "input_schema", "input", "arguments"}
"""Where a caller's own keys may stand."""


def objects(node: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where objects stand in a body, but for those that are the caller's own."""
    if isinstance(node, dict):
        yield path
        free = FREE if {"tools", "messages"} & {*path} else {"schema"} if path[-1:] == ("json_schema",) else set()
        for key, child in node.items():
            yield from () if key in free else objects(child, *path, key)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from objects(child, *path, index)


@pytest.mark.parametrize(
    "endpoint_id",
    [
        "openrouter/moonshotai/kimi-k2.6+novita/fp8",
        "moonshot/kimi-k2.6",
        "groq/moonshotai/kimi-k2-instruct",
        "together/moonshotai/Kimi-K3",
        "anthropic/claude-sonnet-5-5",
        "replicate/moonshotai/kimi-k2.5",
    ],
)
@PROPERTY
@given(request=requests(images=False), data=st.data())
def test_an_unknown_key_is_refused_wherever_it_stands(
    endpoint_id: str, request: ChatRequest, data: st.DataObject
) -> None:
    """In any object of any body: a judge that looks only at the surface proves little."""
    endpoint = CATALOG.endpoint(endpoint_id)
    if (body := built(endpoint, request)) is None:
        return
    provider = CATALOG.provider_of(endpoint)
    judge(provider, body)
    path = data.draw(st.sampled_from(sorted(objects(body), key=str)))
    body = json.loads(json.dumps(body))
    functools.reduce(operator.getitem, path, body)["zz_unknown"] = "x"
    with pytest.raises(pydantic.ValidationError):
        judge(provider, body)


def _mid(messages: list[Any], roles: set[str]) -> bool:
    return any(message["role"] in roles for message in messages[1:])


GENERATED: dict[str, Callable[[ChatRequest], bool]] = {
    "a system message in the conversation": lambda r: (
        r.messages[0]["role"] == "user" and _mid(list(r.messages), {"system", "developer"})
    ),
    "two results in a row": lambda r: "tool tool" in " ".join(m["role"] for m in r.messages),
    "reasoning with a call": lambda r: any(m.get("reasoning") and m.get("tool_calls") for m in r.messages),
    "an image in a result": lambda r: any(m["role"] == "tool" and "image" in str(m["content"]) for m in r.messages),
    "an image by URL": lambda r: "https://" in str(r.messages),
    "one id twice": lambda r: any(
        len({call["id"] for call in m.get("tool_calls", ())}) < len(m.get("tool_calls", ())) for m in r.messages
    ),
    "an illegal id": lambda r: "'functions.get_weather:0'" in str(r.messages),
    "arguments that are no object": lambda r: "'[1]'" in str(r.messages),
    "a named choice": lambda r: isinstance(r.tool_choice, dict),
    "a schema that Moonshot refuses": lambda r: any(
        {"type", "anyOf"} <= (tool["function"].get("parameters") or {}).keys() for tool in r.tools
    ),
}


def test_what_is_hard_is_generated() -> None:
    """A property over easy requests proves little: each of these turns up among two thousand of them."""
    missing = set(GENERATED)

    @settings(
        max_examples=2000,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=True,
    )
    @given(requests(images=True))
    def look(request: ChatRequest) -> None:
        missing.difference_update([name for name in missing if GENERATED[name](request)])
        if not missing:
            raise AllSeen

    with suppress(AllSeen):
        look()
    assert missing == set()


class AllSeen(Exception):
    """Nothing is left to look for."""


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
