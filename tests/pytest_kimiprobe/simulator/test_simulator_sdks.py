"""What official SDKs ask beside chat: structured answers, lists of models, accounts, counted tokens, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import openrouter
import pydantic
import pytest
from openrouter.components import ChatStreamChunk
from simulated import WEATHER, playing, post, question, running

from pytest_kimiprobe.simulator import Simulator

OPENROUTER = "/openrouter/api/v1/chat/completions"
MOONSHOT = "/moonshot/v1/chat/completions"
MODELS = {
    "/openrouter/api/v1": "moonshotai/kimi-k2.6",
    "/moonshot/v1": "kimi-k3",
    "/groq/openai/v1": "moonshotai/kimi-k2-instruct-0905",
    "/together/v1": "moonshotai/Kimi-K3",
}


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    with running() as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    running_simulator.set_scenario(playing())
    return running_simulator


class Flight(pydantic.BaseModel):
    """A structured answer with nested objects, a list and an optional member."""

    class Seat(pydantic.BaseModel):
        row: int
        letter: str

    origin: str
    destination: str
    seats: list[Seat]
    note: str | None


@pytest.mark.parametrize("path", MODELS)
def test_openai_parses_a_structured_answer(simulator: Simulator, path: str) -> None:
    """`parse` with a model class gets an answer that the class accepts, with values from the question."""
    with openai.OpenAI(base_url=simulator.url + path, api_key="any", max_retries=0) as client:
        answer = client.chat.completions.parse(
            model=MODELS[path],
            messages=[{"role": "user", "content": "I fly from Berlin to Madrid."}],
            response_format=Flight,
        )
    flight = answer.choices[0].message.parsed
    assert flight is not None
    assert (flight.origin, flight.destination) == ("Berlin", "Madrid")


def test_openai_parses_a_streamed_structured_answer(simulator: Simulator) -> None:
    """The same in a stream."""
    with openai.OpenAI(base_url=f"{simulator.url}/moonshot/v1", api_key="any", max_retries=0) as client:
        asked: Any = [{"role": "user", "content": "I fly from Berlin to Madrid."}]
        with client.chat.completions.stream(model="kimi-k3", messages=asked, response_format=Flight) as stream:
            flight = stream.get_final_completion().choices[0].message.parsed
    assert flight is not None
    assert flight.origin == "Berlin"


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WRONG_FORMATS: list[Any] = [
    {"type": "bogus"},
    {},
    "json",
    {"type": "json_schema"},
    {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
    {"type": "json_schema", "json_schema": {"name": "weather"}},
    {"type": "json_schema", "json_schema": {"name": "weather", "schema": "x"}},
    {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": "yes"}},
]


@pytest.mark.parametrize("wrong", WRONG_FORMATS)
def test_a_wrong_response_format_is_refused(simulator: Simulator, wrong: Any) -> None:
    """HTTP 400, as Moonshot's own tests of its API ask for."""
    assert post(simulator, MOONSHOT, question("hello", model="kimi-k3", response_format=wrong)).status_code == 400


def test_a_json_object_has_the_keys_that_the_question_quotes(simulator: Simulator) -> None:
    """Without a schema, the answer is an object with the keys that were asked for."""
    asked = question("Return the weather of Oslo as JSON with the key 'city'.", response_format={"type": "json_object"})
    assert '"city"' in post(simulator, OPENROUTER, asked).json()["choices"][0]["message"]["content"]


def test_a_tool_that_fits_is_called_before_the_structured_answer(simulator: Simulator) -> None:
    """Agents send tools and a response format together: first the call, after its result the answer."""
    told = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    asked = question("What is the weather in Oslo?", WEATHER, response_format=told)
    message = post(simulator, OPENROUTER, asked).json()["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["get_weather"]


@pytest.mark.filterwarnings("ignore:.*DEPRECATED")  # its own field `rate_limit`
def test_openrouters_sdk_reads_models_endpoints_key_and_credits(simulator: Simulator) -> None:
    """Its types refuse a page that lacks a field."""
    with openrouter.OpenRouter(api_key="any", server_url=f"{simulator.url}/openrouter/api/v1") as client:
        models = client.models.list()
        assert models is not None
        assert "moonshotai/kimi-k2.6" in [model.id for model in models.result.data]
        endpoints = client.endpoints.list(author="moonshotai", slug="kimi-k2.6")
        assert "novita/fp8" in [endpoint.tag for endpoint in endpoints.data.endpoints]
        assert client.api_keys.get_current_key_metadata().data.limit_remaining == 90
        assert client.credits.get_credits().data.total_usage == 10


def test_openrouters_sdk_reads_an_error_in_the_middle_of_a_stream(simulator: Simulator) -> None:
    """The chunk says which type of error it is."""
    simulator.set_scenario(playing("stream_error"))
    asked: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    with openrouter.OpenRouter(api_key="any", server_url=f"{simulator.url}/openrouter/api/v1") as client:
        chunks = list(client.chat.send(model="moonshotai/kimi-k2.6", messages=asked, stream=True))
    last: ChatStreamChunk = chunks[-1]
    assert last.error is not None
    assert last.error.metadata is not None
    assert last.error.metadata.error_type == "provider_unavailable"


def test_anthropics_client_counts_tokens(simulator: Simulator) -> None:
    """The count is what the same request is billed."""
    asked: Any = {"model": "claude-sonnet-5", "messages": [{"role": "user", "content": "Hello there"}]}
    with anthropic.Anthropic(base_url=f"{simulator.url}/anthropic", api_key="any", max_retries=0) as client:
        counted = client.messages.count_tokens(**asked).input_tokens
        assert counted == client.messages.create(max_tokens=100, **asked).usage.input_tokens > 0


def declared(*tools: Any, role: str = "system", content: str = "", **more: Any) -> dict[str, Any]:
    """A request in which a message declares tools, as Kimi K3 accepts."""
    told = {"role": role, "content": content, "tools": list(tools)}
    return {"model": "kimi-k3", "messages": [told, {"role": "user", "content": "What is the weather in Rome?"}], **more}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def test_a_tool_that_a_system_message_declares_is_called(simulator: Simulator) -> None:
    """It has the same status as a tool of the request: `required` is satisfied by it."""
    for more in ({}, {"tool_choice": "required"}, {"tools": [named("get_news")]}):
        choice = post(simulator, MOONSHOT, declared(WEATHER, **more)).json()["choices"][0]
        assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["get_weather"]


REFUSED = [
    declared(WEATHER, role="user"),
    declared(WEATHER, role="assistant"),
    declared(WEATHER, content="not empty"),
    declared(named("twice"), named("twice")),
    declared(named("twice"), tools=[named("twice")]),
    declared({"type": "bogus", "function": {"name": "x"}}),
    declared({"function": {"name": "x"}}),
    declared(None),
    *(declared(named(name)) for name in ("1name", "a@b", "", "a" * 257)),
    *(question("hi", named(name), model="kimi-k2.6") for name in ("1name", "a@b", "a.b", "a" * 257)),
    question("hi", named("twice"), named("twice"), model="kimi-k2.6"),
]


@pytest.mark.parametrize("body", REFUSED)
def test_moonshot_refuses_wrong_tools(simulator: Simulator, body: dict[str, Any]) -> None:
    """Wrong names, two tools of one name, and declarations in the wrong place are answered with HTTP 400."""
    assert post(simulator, MOONSHOT, body).status_code == 400


@pytest.mark.parametrize("form", ["reasoning_effort", "thinking"])
def test_kimi_k3_thinks_more_with_a_higher_effort(simulator: Simulator, form: str) -> None:
    """`max` is the default, and the reasoning becomes longer with each effort."""
    lengths = []
    for effort in ("low", "high", "max", None):
        asked = {"type": "enabled", "effort": effort} if form == "thinking" else effort
        body = question("What is 6 * 7?", model="kimi-k3", **({form: asked} if effort else {}))
        lengths.append(len(post(simulator, MOONSHOT, body).json()["choices"][0]["message"]["reasoning_content"]))
    assert lengths[0] < lengths[1] < lengths[2] == lengths[3]


def test_togethers_sdk_finds_the_models(simulator: Simulator) -> None:
    """Version 3 of the SDK asks outside of the base URL; each model of the list is found by its id too."""
    key = {"Authorization": "Bearer any"}
    with openai.OpenAI(base_url=f"{simulator.url}/together/v1", api_key="any", max_retries=0) as client:
        assert client.models.retrieve("moonshotai/Kimi-K3").id == "moonshotai/Kimi-K3"
        page = client.get(f"{simulator.url}/together/v2/supported-models", cast_to=object, options={"headers": key})
    assert isinstance(page, dict)
    assert "moonshotai/Kimi-K3" in [row["name"] for row in page["data"]]
