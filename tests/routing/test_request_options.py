"""Arguments of a request: every mistake is a ValueError or TypeError that names the argument, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, SECOND, TOOL, routed
from faulty_server import FaultyServer, chat, reply

from routing import AllAttemptsFailed, InvalidRequest, Router, RoutingError, UnknownName
from routing.catalog import load
from routing.reasons import REASONS
from routing.request_options import Options, as_messages
from routing.types import RequestOptions

SECRET = "sk-" + "Secret9" * 5
HI = "Hi"
BARE = TOOL["function"]
assert isinstance(BARE, dict)
EMPTY_FORMAT: dict[str, Any] = {"type": "json_schema"}

MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"tools": None}, TypeError, "tools: a list"),
    ({"tools": "get_weather"}, TypeError, "tools: a list"),
    ({"tools": TOOL}, TypeError, "tools: a list"),
    ({"tools": ["get_weather"]}, TypeError, r"tools\[0\]"),
    ({"tools": [TOOL, None]}, TypeError, r"tools\[1\]"),
    ({"tools": [{}]}, ValueError, r"tools\[0\]"),
    ({"tools": [{"type": "web_search"}]}, ValueError, r"tools\[0\].*web_search"),
    ({"tools": [{"type": "function", "function": {}}]}, ValueError, "function.name"),
    ({"tools": [{"type": "function", "function": "f"}]}, ValueError, "function.name"),
    ({"tools": [TOOL, TOOL]}, ValueError, "share this name"),
    ({"tools": [{"name": "f", "parameters": {"type": "objekt"}}]}, ValueError, "tool f"),
    ({"tools": [TOOL], "tool_choice": "sometimes"}, ValueError, "tool_choice.*auto, none, required.*'sometimes'"),
    ({"tools": [TOOL], "tool_choice": 5}, TypeError, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": True}, TypeError, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function"}}, ValueError, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"function": {"name": "g"}}}, ValueError, "tool_choice: names 'g'; .* are f"),
    ({"parallel_tool_calls": "yes"}, TypeError, "parallel_tool_calls"),
    ({"model": "kimi-k99"}, ValueError, "unknown model 'kimi-k99'; available"),
    ({"model": 7}, TypeError, "model"),
    ({"user": ["a"]}, TypeError, "user"),
    ({"user": True}, TypeError, "user"),
    ({"groups": None}, TypeError, "groups"),
    ({"groups": [1]}, TypeError, "groups"),
    ({"seed": 1.5}, TypeError, "seed"),
    ({"seed": "7"}, TypeError, "seed"),
    ({"seed": 2**70}, ValueError, "seed"),
    ({"response_format": "json"}, TypeError, "response_format"),
    ({"response_format": {}}, ValueError, "response_format"),
    ({"response_format": {"type": "bogus"}}, ValueError, "response_format.*json_object.*'bogus'"),
    ({"response_format": EMPTY_FORMAT}, ValueError, "response_format.*schema"),
    ({"response_format": EMPTY_FORMAT | {"json_schema": {"name": "a"}}}, ValueError, "response_format.*schema"),
    ({"endpoints": "moonshot/kimi-k2.6"}, TypeError, "endpoints"),
    ({"endpoints": [7]}, TypeError, "endpoints"),
    ({"endpoints": []}, ValueError, "endpoints.*leave the option out"),
    ({"endpoints": ["moonshot/kimi"]}, ValueError, "unknown endpoint 'moonshot/kimi'; available"),
    ({"endpoints": [FIRST], "model": "kimi-k3"}, ValueError, "endpoints: .* serves kimi-k2.6.*kimi-k3"),
    ({"fallback": None}, TypeError, "fallback"),
    ({"fallback": 1}, TypeError, "fallback"),
    ({"refuse_repeated_calls": None}, TypeError, "refuse_repeated_calls"),
    ({"refuse_repeated_calls": "no"}, TypeError, "refuse_repeated_calls"),
    ({"stop": ["a", ""]}, ValueError, "stop"),
    ({"reasoning_effort": "a lot"}, ValueError, "reasoning_effort.*'a lot'"),
    ({"reasoning_effort": ["low"]}, ValueError, "reasoning_effort"),
    ({"temprature": 1}, TypeError, "'temprature'; available"),
]
MESSAGES: list[tuple[Any, type[Exception], str]] = [
    (None, TypeError, "messages: .*None"),
    (7, TypeError, "messages: .*int"),
    (b"Hi", TypeError, "messages: .*bytes"),
    ({"role": "user", "content": HI}, TypeError, "messages: .*dict"),
    ([HI], TypeError, r"messages\[0\]: .*str"),
    ([None], TypeError, r"messages\[0\]: .*None"),
    ([[]], TypeError, r"messages\[0\]: .*list"),
    ([{}], ValueError, r"messages\[0\].role: .*it has none"),
    ([{"content": HI}], ValueError, r"messages\[0\].role: .*it has none"),
    ([{"role": "robot", "content": HI}], ValueError, r"messages\[0\].role: .*system.*'robot'"),
    ([{"role": 5, "content": HI}], ValueError, r"messages\[0\].role"),
    ([{"role": ["user"], "content": HI}], ValueError, r"messages\[0\].role"),
    ([{"role": "user"}], ValueError, r"messages\[0\].content: .*None"),
    ([{"role": "user", "content": 5}], ValueError, r"messages\[0\].content: .*int"),
    ([{"role": "user", "content": {"type": "text"}}], ValueError, r"messages\[0\].content: .*dict"),
    ([{"role": "user", "content": [5]}], ValueError, "content part"),
    ([{"role": "user", "content": [{"type": "hologram"}]}], ValueError, "content part 'hologram'"),
    ([{"role": "user", "content": HI}, {"role": "assistant", "tool_calls": "f"}], ValueError, r"\[1\].tool_calls"),
    ([{"role": "user", "content": HI}, {"role": "assistant", "tool_calls": [7]}], ValueError, r"\[1\].tool_calls"),
    ([], ValueError, "no messages"),
]


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Router]:
    with FaultyServer(reply(chat())) as server:
        with routed(tmp_path, monkeypatch, server.url) as loaded:
            yield loaded
        assert not server.requests


@pytest.mark.parametrize(("options", "error", "words"), MISTAKES)
def test_a_wrong_option_is_named(router: Router, options: dict[str, Any], error: type[Exception], words: str) -> None:
    """`complete` and `acomplete` raise the same error; nothing is sent."""
    with pytest.raises(error, match=words):
        router.complete(HI, **options)
    with pytest.raises(error, match=words):
        asyncio.run(router.acomplete(HI, **options))


@pytest.mark.parametrize(("options", "error", "words"), MISTAKES)
def test_a_route_refuses_the_same_options(
    router: Router, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Except for the schemas of tools, which only a request reads."""
    if "tools" in options and words in {"function.name", "share this name", "tool f"}:
        router.route(HI, **options)
        return
    with pytest.raises(error, match=words):
        router.route(HI, **options)


@pytest.mark.parametrize(("messages", "error", "words"), MESSAGES, ids=repr)
def test_a_wrong_message_is_named(router: Router, messages: Any, error: type[Exception], words: str) -> None:
    """With its number and field; nothing is sent."""
    with pytest.raises(error, match=words):
        router.complete(messages)
    with pytest.raises(error, match=words):
        asyncio.run(router.acomplete(messages))


def test_an_error_about_a_message_is_an_error_of_the_request(router: Router) -> None:
    """Code that catches AllAttemptsFailed or RoutingError catches it, and learns that a retry is of no use."""
    with pytest.raises(InvalidRequest) as caught:
        router.complete([{"role": "robot", "content": HI}])
    assert isinstance(caught.value, AllAttemptsFailed | RoutingError)
    assert (caught.value.error_class, caught.value.retryable, caught.value.attempt) == ("request", False, 0)
    assert "what to do: correct the field" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"tool_choice": SECRET},
        {"model": SECRET},
        {"endpoints": [SECRET]},
        {"reasoning_effort": SECRET},
        {"response_format": {"type": SECRET}},
        {"messages": [{"role": SECRET, "content": HI}]},
        {"tools": [{"type": SECRET}]},
        {SECRET: 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_no_error_shows_a_key_that_was_given_by_mistake(router: Router, options: dict[str, Any]) -> None:
    """The message is redacted like every other text."""
    with pytest.raises((ValueError, TypeError)) as caught:
        router.complete(**{"messages": HI, **options})
    assert SECRET not in str(caught.value)


def test_a_provider_that_does_not_exist_is_named(router: Router) -> None:
    """A misspelled provider must not read as one whose tool calls do not work."""
    with pytest.raises(ValueError, match="unknown provider 'openruter'; available: openrouter"):
        router.tool_calling_available("openruter")


def test_names_that_the_catalogue_lacks_are_one_kind_of_error() -> None:
    """Endpoints, models and providers alike."""
    catalog = load(environment={})
    for look in (catalog.endpoint, catalog.model, catalog.provider):
        with pytest.raises(UnknownName, match=r"unknown .* 'nothing'; available"):
            look("nothing")


@pytest.mark.parametrize("tool", [BARE, {**BARE, "type": "function"}, TOOL], ids=["bare", "typed", "OpenAI's"])
def test_a_tool_may_be_the_object_in_its_function(tool: Any) -> None:
    """The same forms as in `@case`; all become OpenAI's."""
    assert Options.of({"tools": [tool]}).chat.tools == (TOOL,)


def test_messages_may_be_any_iterable() -> None:
    """A generator is read once."""
    messages = [{"role": "user", "content": HI}, {"role": "tool", "content": {"degrees": 5}}]
    assert as_messages(iter(messages)) == messages  # type: ignore[arg-type]
    assert as_messages(HI) == [{"role": "user", "content": HI}]


def test_options_that_are_none_are_not_given() -> None:
    """As in OpenAI's SDK; some options have no such meaning."""
    free = RequestOptions.__annotations__.keys() - {"tools", "groups", "timeout", "fallback", "refuse_repeated_calls"}
    options: Any = dict.fromkeys(free)
    assert Options.of(options) == Options.of({})


def test_a_budget_that_is_too_small_says_what_to_raise(router: Router) -> None:
    """The advice is not the general one."""
    with pytest.raises(AllAttemptsFailed, match=r"what to do: raise the budget .*max_cost_usd"):
        router.complete(HI, max_cost_usd=1e-9)
    assert "max_cost_usd" in REASONS["budget"].advice


class TestEndpoints:
    def test_only_the_named_endpoints_are_tried_in_their_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Price and trust do not change the caller's order."""
        with routed(tmp_path, monkeypatch, "http://127.0.0.1:9", "http://127.0.0.1:9") as router:
            free = router.route(HI, user="123")
            named = router.route(HI, user="123", endpoints=[SECOND, FIRST])
            one = router.route(HI, user="123", endpoints=[SECOND])
        assert [candidate.endpoint for candidate in free.candidates] == [FIRST, SECOND]
        assert [candidate.endpoint for candidate in named.candidates] == [SECOND, FIRST]
        assert ([candidate.endpoint for candidate in one.candidates], one.left_out) == ([SECOND], ())

    def test_a_flag_still_decides_about_a_named_endpoint(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An option of one request must not turn on what a reviewed flag turns off."""
        with routed(tmp_path, monkeypatch, "http://127.0.0.1:9") as router:
            route = router.route(HI, user="123", endpoints=[SECOND])
        assert route.candidates == ()
        assert [(left.endpoint, left.why) for left in route.left_out] == [(SECOND, "flag second: enabled: false")]

    def test_the_model_follows_from_the_endpoint(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It need not be named as well."""
        with routed(tmp_path, monkeypatch, "http://127.0.0.1:9") as router:
            assert router.route(HI, endpoints=["moonshot/kimi-k3"]).model == "kimi-k3"

    def test_without_fallback_one_endpoint_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second endpoint would have answered."""
        with FaultyServer(reply(chat())) as second:
            with routed(tmp_path, monkeypatch, "http://127.0.0.1:9", second.url) as router:
                with pytest.raises(AllAttemptsFailed) as caught:
                    router.complete(HI, user="123", tools=[TOOL], fallback=False)
                route = router.route(HI, user="123", fallback=False)
                assert router.complete(HI, user="123", tools=[TOOL]).endpoint == SECOND
            assert len(second.requests) == 1
        assert {attempt.endpoint for attempt in caught.value.attempts} == {FIRST}
        assert [(left.endpoint, left.why) for left in route.left_out if "fallback" in left.why] == [
            (SECOND, "fallback=False")
        ]
