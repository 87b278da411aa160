"""What is asked of one host of OpenAI's protocol and not of another (docs/providers.md)."""

from __future__ import annotations

from typing import Any

import pytest
from openai_shapes import TOOLS, body, call, delta, streamed

from routing import catalog
from routing.errors import ExchangeError
from routing.types import Answer, ChatRequest, RawToolCall, Tried, Usage
from routing.wire import openai

CATALOG = catalog.load(environment={})


class TestEachHost:
    HISTORY: tuple[Any, ...] = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call(call_id="call_a")]},
        {"role": "tool", "tool_call_id": "call_a", "content": "r", "name": "f"},
    )

    def build(self, endpoint: str, messages: Any = HISTORY, **options: Any) -> Any:
        found = CATALOG.endpoint(endpoint)
        return openai.build(ChatRequest(list(messages), **options), found, CATALOG.provider_of(found))

    @pytest.mark.parametrize(
        ("endpoint", "effort", "sent"),
        [
            ("moonshot/kimi-k2.6", "none", {"thinking": {"type": "disabled"}}),
            ("moonshot/kimi-k2.6", "high", {"thinking": {"type": "enabled"}}),
            ("moonshot/kimi-k3", "medium", {"reasoning_effort": "high"}),
            ("moonshot/kimi-k3", "none", {"reasoning_effort": "low"}),
            ("moonshot/kimi-k2.7-code", "none", {}),
            ("openrouter/moonshotai/kimi-k2.6", "none", {"reasoning": {"effort": "none"}}),
            ("groq/moonshotai/kimi-k2-instruct", "high", {}),
        ],
    )
    def test_thinking_is_told_in_each_hosts_own_words(self, endpoint: str, effort: str, sent: Any) -> None:
        """What cannot be told is left out and noted."""
        built = self.build(endpoint, reasoning_effort=effort)
        found = {key: built.body[key] for key in ("thinking", "reasoning", "reasoning_effort") if key in built.body}
        assert found == sent
        told = any(note.startswith("reasoning_effort") for note in built.notes)
        assert told == (not sent or (endpoint.endswith("k3") and effort == "none"))

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
    def test_a_choice_that_a_host_refuses_is_not_sent(self, choice: Any) -> None:
        """Unsupported, not broken: Moonshot answers 400 while its model thinks."""
        with pytest.raises(ExchangeError, match="no_capability"):
            self.build("moonshot/kimi-k2.6", tools=TOOLS, tool_choice=choice)

    def test_a_schema_is_adapted_for_moonshot_and_told(self) -> None:
        """And handed on as it is to a host that takes all of them."""
        schema = {"type": "object", "properties": {"x": {"type": "string", "anyOf": [{"minLength": 1}]}}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
        built = self.build("moonshot/kimi-k2.6", tools=tools)
        sent = built.body["tools"][0]["function"]["parameters"]["properties"]["x"]
        assert sent == {"anyOf": [{"type": "string", "minLength": 1}]}
        assert "schema of f: keywords beside anyOf moved into its branches" in built.notes
        untouched = self.build("groq/moonshotai/kimi-k2-instruct", tools=tools).body["tools"][0]["function"]
        assert untouched["parameters"] == schema

    def test_a_tool_name_that_moonshot_refuses_comes_back_as_offered(self) -> None:
        """It must begin with a letter."""
        built = self.build("moonshot/kimi-k2.6", tools=[{"type": "function", "function": {"name": "1password"}}])
        assert built.body["tools"][0]["function"]["name"] == "t_1password"
        answer = built.restore(Answer(tool_calls=(RawToolCall("i", "t_1password", "{}"),)))
        assert answer.tool_calls[0].name == "1password"

    def test_groq_gets_no_field_that_it_does_not_know(self) -> None:
        """It refuses them by name."""
        built = self.build("groq/moonshotai/kimi-k2-instruct", stream=True)
        known = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning"}
        assert all(message.keys() <= known for message in built.body["messages"])
        assert "stream_options" not in built.body

    def test_together_is_not_asked_about_parallel_calls(self) -> None:
        """Its SDK has no such parameter."""
        built = self.build("together/moonshotai/Kimi-K3", tools=TOOLS, parallel_tool_calls=False)
        assert "parallel_tool_calls" not in built.body
        assert built.notes == ("parallel_tool_calls left out: not known here",)

    def test_openrouter_is_asked_what_it_tried(self) -> None:
        """It is told in the answer, plain and streamed."""
        assert self.build("openrouter/moonshotai/kimi-k2.6").headers == {"X-OpenRouter-Metadata": "enabled"}
        told = {"attempts": [{"provider": "Novita", "status": 502}, {"provider": "Chutes", "status": 200}, 3]}
        tried = (Tried("Novita", 502), Tried("Chutes", 200))
        assert openai.parse(200, {}, body({"content": "x"}, openrouter_metadata=told)).tried == tried
        last = {"choices": [], "openrouter_metadata": told}
        assert streamed(delta("stop", content="x"), last).tried == tried

    def test_togethers_eos_is_stop(self) -> None:
        """Plain and streamed."""
        assert openai.parse(200, {}, body({"content": "x"}, finish_reason="eos")).finish_reason == "stop"
        assert streamed(delta("eos", content="x")).finish_reason == "stop"

    def test_tokens_written_to_a_cache_are_told_apart(self) -> None:
        """They have a price of their own."""
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
        }
        assert openai.parse(200, {}, body({"content": "x"}, usage=usage)).usage == Usage(10, 1, 4, 0, 5)
