"""Requests that only some hosts of OpenAI's protocol need (docs/providers.md)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from openai_shapes import TOOLS, body, call, delta, streamed

from routing import catalog
from routing.errors import ExchangeError, ProviderFailure
from routing.types import Answer, ChatRequest, RawToolCall, UpstreamAttempt, Usage
from routing.wire import openai_answer as openai

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
    def test_thinking_is_set_with_each_hosts_own_fields(self, endpoint: str, effort: str, sent: Any) -> None:
        """A value that the host does not have is left out and noted."""
        built = self.build(endpoint, reasoning_effort=effort)
        found = {key: built.body[key] for key in ("thinking", "reasoning", "reasoning_effort") if key in built.body}
        assert found == sent
        told = any(note.startswith("reasoning_effort") for note in built.notes)
        assert told == (not sent or (endpoint.endswith("k3") and effort == "none"))

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
    def test_a_choice_that_a_host_refuses_is_not_sent(self, choice: Any) -> None:
        """It is unsupported, not broken: Moonshot answers 400 while its model thinks."""
        with pytest.raises(ExchangeError, match="no_capability"):
            self.build("moonshot/kimi-k2.6", tools=TOOLS, tool_choice=choice)

    @pytest.mark.parametrize(
        ("endpoint", "choice"),
        [
            ("moonshot/kimi-k2.6", "auto"),
            ("moonshot/kimi-k2.6", "none"),
            ("moonshot/kimi-k3", "required"),
            ("groq/moonshotai/kimi-k2-instruct", "required"),
            ("openrouter/moonshotai/kimi-k2.6+novita/fp8", {"type": "function", "function": {"name": "f"}}),
        ],
    )
    def test_a_choice_that_a_host_takes_is_sent_as_it_is(self, endpoint: str, choice: Any) -> None:
        """Kimi K3 accepts `required` at Moonshot, the older models do not."""
        assert self.build(endpoint, tools=TOOLS, tool_choice=choice).body["tool_choice"] == choice

    def test_a_schema_is_adapted_for_moonshot_and_noted(self) -> None:
        """Hosts that accept every schema get it unchanged."""
        schema = {"type": "object", "properties": {"x": {"type": "string", "anyOf": [{"minLength": 1}]}}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
        built = self.build("moonshot/kimi-k2.6", tools=tools)
        sent = built.body["tools"][0]["function"]["parameters"]["properties"]["x"]
        assert sent == {"anyOf": [{"type": "string", "minLength": 1}]}
        assert "schema of f: keywords beside anyOf moved into its branches" in built.notes
        untouched = self.build("groq/moonshotai/kimi-k2-instruct", tools=tools).body["tools"][0]["function"]
        assert untouched["parameters"] == schema

    def test_a_tool_name_that_moonshot_refuses_comes_back_as_offered(self) -> None:
        """At Moonshot a name must begin with a letter."""
        built = self.build("moonshot/kimi-k2.6", tools=[{"type": "function", "function": {"name": "1password"}}])
        assert built.body["tools"][0]["function"]["name"] == "t_1password"
        answer = built.restore(Answer(tool_calls=(RawToolCall("i", "t_1password", "{}"),)))
        assert answer.tool_calls[0].name == "1password"

    def test_groq_gets_no_field_that_it_does_not_know(self) -> None:
        """Groq refuses unknown fields by name."""
        built = self.build("groq/moonshotai/kimi-k2-instruct", stream=True)
        known = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning"}
        assert all(message.keys() <= known for message in built.body["messages"])
        assert "stream_options" not in built.body

    def test_together_is_not_asked_about_parallel_calls(self) -> None:
        """Its SDK has no such parameter."""
        built = self.build("together/moonshotai/Kimi-K3", tools=TOOLS, parallel_tool_calls=False)
        assert "parallel_tool_calls" not in built.body
        assert built.notes == ("parallel_tool_calls left out: not known here",)

    def test_openrouter_is_asked_which_upstreams_it_tried(self) -> None:
        """The answer lists it, plain and streamed."""
        assert self.build("openrouter/moonshotai/kimi-k2.6").headers == {"X-OpenRouter-Metadata": "enabled"}
        told = {"attempts": [{"provider": "Novita", "status": 502}, {"provider": "Chutes", "status": 200}, 3]}
        tried = (UpstreamAttempt("Novita", 502), UpstreamAttempt("Chutes", 200))
        assert openai.parse(200, {}, body({"content": "x"}, openrouter_metadata=told)).tried == tried
        last = {"choices": [], "openrouter_metadata": told}
        assert streamed(delta("stop", content="x"), last).tried == tried

    def test_togethers_eos_is_stop(self) -> None:
        """This holds for plain and streamed answers."""
        assert openai.parse(200, {}, body({"content": "x"}, finish_reason="eos")).finish_reason == "stop"
        assert streamed(delta("eos", content="x")).finish_reason == "stop"

    def test_tokens_written_to_a_cache_are_counted_separately(self) -> None:
        """They have a separate price."""
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
        }
        assert openai.parse(200, {}, body({"content": "x"}, usage=usage)).usage == Usage(10, 1, 4, 0, 5)

    @pytest.mark.parametrize(
        ("details", "taken"),
        [
            ({"upstream_inference_cost": 0.3, "upstream_inference_prompt_cost": 0.1}, "0.3"),
            (
                {
                    "upstream_inference_cost": None,
                    "upstream_inference_prompt_cost": 9.78e-05,
                    "upstream_inference_completions_cost": 0.0002275,
                },
                "0.0003253",
            ),
            ({"upstream_inference_prompt_cost": 0.1}, None),
            ({"upstream_inference_cost": "much"}, None),
            (3, None),
            (None, None),
        ],
    )
    def test_a_bill_to_the_callers_own_key_is_part_of_the_cost(self, details: Any, taken: str | None) -> None:
        """There `cost` is OpenRouter's share alone. If the upstream's share is not given, the cost is not known."""
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.1, "is_byok": True, "cost_details": details}
        plain = openai.parse(200, {}, body({"content": "x"}, usage=usage))
        flowed = streamed(delta("stop", content="x"), {"choices": [], "usage": usage}, delta("stop"))
        for answer in (plain, flowed):
            assert answer.reported_cost_usd == (None if taken is None else Decimal("0.1") + Decimal(taken))
            assert answer.notes == ("byok: the upstream bills the caller's own key",)

    def test_what_the_upstream_took_is_not_billed_without_an_own_key(self) -> None:
        """What was billed is what `cost` says."""
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0, "cost_details": {"upstream_inference_cost": 3}}
        answer = openai.parse(200, {}, body({"content": "x"}, usage=usage))
        assert answer.reported_cost_usd == 0
        assert answer.notes == ()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"error": {"code": 502, "message": "upstream"}},
            {"error": {"code": 502, "message": "upstream"}, "choices": [{"message": {"content": "x"}}]},
            {"choices": [{"message": {"content": "x"}, "error": {"code": 502, "message": "upstream"}}]},
            {"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]},
        ],
        ids=["alone", "beside choices", "in a choice", "as finish reason"],
    )
    def test_an_error_inside_a_200_is_an_error(self, wrong: Any) -> None:
        """OpenRouter puts it in several places, also beside text and in a stream."""
        raw = json.dumps(wrong).encode()
        with pytest.raises(ProviderFailure, match="server_error"):
            openai.parse(200, {}, b"   \n\n" + raw)
        with pytest.raises(ProviderFailure, match="server_error"):
            openai.stream().feed(b": OPENROUTER PROCESSING\n\ndata: " + raw + b"\n\n")

    def test_comments_between_chunks_are_ignored(self) -> None:
        """OpenRouter sends them while it waits for its upstream."""
        stream = openai.stream()
        for chunk in (delta(content="a"), delta("stop", content="b"), delta("stop")):
            stream.feed(f": OPENROUTER PROCESSING\n\ndata: {json.dumps(chunk)}\n\n: OPENROUTER\n".encode())
        answer = stream.finish()
        assert (answer.text, answer.finish_reason, answer.complete) == ("ab", "stop", True)

    @pytest.mark.parametrize("endpoint", ["moonshot/kimi-k2.6", "moonshot-cn/kimi-k3", "moonshot/kimi-k2.7-code"])
    def test_moonshots_models_are_sent_no_sampling(self, endpoint: str) -> None:
        """Each model has fixed values and refuses any other; what was left out is noted."""
        built = self.build(endpoint, temperature=1.0, top_p=0.5, max_tokens=5)
        assert not {"temperature", "top_p"} & built.body.keys()
        assert built.body["max_tokens"] == 5
        assert {"temperature left out: fixed by the model", "top_p left out: fixed by the model"} <= set(built.notes)

    def test_response_format_and_seed_are_sent(self) -> None:
        """Moonshot has no seed: it is left out, and noted."""
        form = {"type": "json_object"}
        built = self.build("openrouter/moonshotai/kimi-k2.6", response_format=form, seed=7)
        assert (built.body["response_format"], built.body["seed"]) == (form, 7)
        built = self.build("moonshot/kimi-k2.6", response_format=form, seed=7)
        assert built.body["response_format"] == form
        assert "seed" not in built.body
        assert "seed left out: not known here" in built.notes

    @pytest.mark.parametrize(
        "usage",
        [
            {"cached_tokens": 4},
            {"prompt_tokens_details": {"cached_tokens": 4}},
            {"cached_tokens": 4, "prompt_tokens_details": {"cached_tokens": 4}},
            {"cached_tokens": 4, "prompt_tokens_details": None},
        ],
    )
    def test_moonshots_cached_tokens_are_found(self, usage: Any) -> None:
        """They are at the top level, in the details or in both; in old streams inside the choice."""
        told = {"prompt_tokens": 10, "completion_tokens": 1, **usage}
        assert openai.parse(200, {}, body({"content": "x"}, usage=told)).usage == Usage(10, 1, 4)
        last = delta("stop", content="x")
        last["choices"][0]["usage"] = told
        assert streamed(last).usage == Usage(10, 1, 4)
