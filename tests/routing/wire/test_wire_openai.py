"""OpenAI's protocol as its hosts implement it: answers, streams, and who caused an error."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_shapes import TOOLS, body, call, delta, piece, streamed

from routing import catalog
from routing.errors import ExchangeError, ProviderFailure
from routing.types import Answer, ChatRequest, RawToolCall, Usage
from routing.wire import openai_answer as openai
from routing.wire import wire_named

CATALOG = catalog.load(environment={})


class TestBuild:
    def build(self, endpoint: str, **options: Any) -> dict[str, Any]:
        found = CATALOG.endpoint(endpoint)
        request = ChatRequest([{"role": "user", "content": "hi"}], **options)
        built = openai.build(request, found, CATALOG.provider_of(found)).body
        assert built is not None
        return built

    def test_only_what_was_asked_for_is_sent(self) -> None:
        """OpenRouter filters upstreams by every parameter, so no parameter is added."""
        sent = self.build("openrouter/moonshotai/kimi-k2.6")
        assert sent == {"model": "moonshotai/kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}

    def test_tools_of_a_message_are_sent_to_endpoints_that_take_them(self) -> None:
        """Kimi K3 at Moonshot does; elsewhere they are left out, because hosts refuse or ignore the field."""
        told = {"role": "system", "content": "", "tools": TOOLS}
        for endpoint, taken in (("moonshot/kimi-k3", True), ("openrouter/moonshotai/kimi-k3", False)):
            found = CATALOG.endpoint(endpoint)
            request = ChatRequest([told, {"role": "user", "content": "hi"}])
            built = openai.build(request, found, CATALOG.provider_of(found))
            assert built.body is not None
            assert ("tools" in built.body["messages"][0]) is taken
            assert ("message_fields_removed: tools" in built.notes) is not taken

    @pytest.mark.parametrize("strict", [True, False, None])
    def test_strict_is_sent_if_the_caller_sets_it(self, *, strict: bool | None) -> None:
        """It is sent as the caller set it; if it is not set, the host's default applies."""
        function = {"name": "f", "parameters": {"type": "object"}} | ({} if strict is None else {"strict": strict})
        sent = self.build("groq/moonshotai/kimi-k2-instruct", tools=[{"type": "function", "function": function}])
        assert sent["tools"][0]["function"].get("strict") is strict

    def test_an_upstream_is_pinned_by_its_full_tag(self) -> None:
        """Fallbacks are off, because a probe must know which upstream answered."""
        sent = self.build("openrouter/moonshotai/kimi-k2.6+novita/fp8")
        assert sent["provider"] == {"only": ["novita/fp8"], "allow_fallbacks": False, "require_parameters": True}

    def test_moonshot_gets_no_temperature(self) -> None:
        """Its models have a fixed one and refuse any other."""
        assert "temperature" not in self.build("moonshot/kimi-k2.6", temperature=0.2)
        assert self.build("openrouter/moonshotai/kimi-k2.6", temperature=0.2)["temperature"] == 0.2

    def test_streams_ask_for_usage(self) -> None:
        """Most hosts send no usage unless asked."""
        assert self.build("moonshot/kimi-k2.6", stream=True)["stream_options"] == {"include_usage": True}

    def test_every_openai_option_is_sent(self) -> None:
        """Tools, tool_choice, parallel_tool_calls and max_tokens are in the body under OpenAI's names."""
        sent = self.build(
            "moonshot/kimi-k2.6", tools=TOOLS, tool_choice="auto", parallel_tool_calls=False, max_tokens=9
        )
        assert sent["tools"] == TOOLS
        assert (sent["tool_choice"], sent["parallel_tool_calls"], sent["max_tokens"]) == ("auto", False, 9)


class TestPlain:
    def test_whitespace_before_the_json_is_ignored(self) -> None:
        """OpenRouter sends it to keep connections alive."""
        assert openai.parse(200, {}, b"\n \n" + body({"content": "hi"})).text == "hi"

    def test_arguments_come_out_byte_for_byte(self) -> None:
        """Spaces, escapes and order stay as sent; arguments are not parsed and written again."""
        raw = '{ "b":1,\t"a" : "\\u00e9" }'
        answer = openai.parse(200, {}, body({"tool_calls": [call(raw)]}, finish_reason="tool_calls"))
        assert answer.tool_calls == (RawToolCall("functions.f:0", "f", raw),)

    def test_arguments_as_a_json_value_are_kept_and_noted(self) -> None:
        """Verification must see that the protocol was broken."""
        answer = openai.parse(200, {}, body({"tool_calls": [call({"a": 1})]}))
        assert answer.tool_calls[0].arguments == {"a": 1}
        assert answer.notes == ("arguments_not_a_string",)

    def test_content_parts_are_joined_and_reasoning_is_read_under_both_names(self) -> None:
        """Moonshot says reasoning_content, OpenRouter reasoning."""
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert openai.parse(200, {}, body({"content": parts, "reasoning": "r"})).text == "ab"
        assert openai.parse(200, {}, body({"content": None, "reasoning_content": "r"})).reasoning == "r"

    def test_usage_cost_upstream_and_model_are_read(self) -> None:
        """Cached tokens come from the details, or from Moonshot's top level."""
        usage = {"prompt_tokens": 10, "completion_tokens": 3, "cost": 0.00019152, "cached_tokens": 4}
        answer = openai.parse(200, {}, body({"content": "x"}, usage=usage, provider="Novita", model="m-1", id="gen-1"))
        assert answer.usage == Usage(10, 3, 4)
        assert answer.reported_cost_usd == Decimal("0.00019152")
        assert (answer.upstream, answer.model, answer.generation_id) == ("Novita", "m-1", "gen-1")

    @pytest.mark.parametrize("cost", ["9e999999", 1e300, -1, "nan", 10**4000])
    def test_an_implausible_cost_is_unknown(self, cost: Any) -> None:
        """It would overflow the sums that it is added to."""
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": cost, "is_byok": True}
        usage["cost_details"] = {"upstream_inference_cost": cost}
        answer = openai.parse(200, {}, body({"content": "x"}, usage=usage))
        assert answer.reported_cost_usd is None

    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 2},
            {"prompt_tokens": 10**4000, "completion_tokens": 2},
            {"prompt_tokens": "3"},
            {},
        ],
    )
    def test_invalid_usage_is_unknown_and_noted(self, usage: dict[str, Any]) -> None:
        """No cost is computed from invalid usage."""
        answer = openai.parse(200, {}, body({"content": "x"}, usage=usage))
        assert answer.usage is None
        assert answer.notes == ("usage_malformed",)

    def test_moonshots_usage_inside_the_choice_is_found(self) -> None:
        """Old streams have it there."""
        answer = streamed(
            {
                "choices": [
                    {
                        "delta": {"content": "x"},
                        "finish_reason": "stop",
                        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                    }
                ]
            }
        )
        assert answer.usage == Usage(1, 2)

    @pytest.mark.parametrize(
        "raw",
        [b"", b"  ", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'{"choices": null}', b"[" * 9000],
    )
    def test_a_200_off_the_protocol_is_a_failure_of_the_provider(self, raw: bytes) -> None:
        """The result is a reason, never a traceback."""
        with pytest.raises(ProviderFailure) as caught:
            openai.parse(200, {}, raw)
        assert caught.value.reason == "malformed_body"

    def test_a_body_that_is_not_utf8_is_refused(self) -> None:
        """Replacement characters could change an argument."""
        with pytest.raises(ProviderFailure, match="bad_encoding"):
            openai.parse(200, {}, b'{"choices": [{"message": {"content": "\xff"}}]}')


class TestStream:
    def test_deltas_become_the_whole_answer(self) -> None:
        """Text, reasoning, call, usage and finish reason are assembled."""
        answer = streamed(
            delta(role="assistant", reasoning="th"),
            delta(content="a"),
            delta(tool_calls=[piece(call_id="functions.f:0", name="f", arguments="")]),
            delta(tool_calls=[piece(arguments='{"a"')]),
            delta(tool_calls=[piece(arguments=": 1}")]),
            delta("tool_calls"),
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
            "[DONE]",
        )
        assert answer == Answer(
            text="a",
            reasoning="th",
            tool_calls=(RawToolCall("functions.f:0", "f", '{"a": 1}'),),
            finish_reason="tool_calls",
            usage=Usage(1, 2),
        )

    @pytest.mark.parametrize(
        "pieces",
        [
            [piece(0, "a", "f", "{}"), piece(1, "b", "g", "[]")],
            [piece(0, "a", "f", "{}"), piece(0, "b", "g", "[]")],
            [piece(None, "a", "f", "{"), piece(None, None, None, "}"), piece(None, "b", "g", "[]")],
            [piece(None, "a", "f", "{"), piece(None, "a", "f", "}"), piece(None, "b", "g", "[]")],
            [piece(0, "a", "f", "{"), piece(1, "b", "g", "["), piece(0, "a", "f", "}"), piece(1, None, None, "]")],
            [piece(0, "a", None, ""), piece(0, None, "f", "{}"), piece(1, "b", "g", "[]")],
        ],
        ids=["indexed", "all-index-0", "no-index", "repeated-id-and-name", "interleaved", "late-name"],
    )
    def test_two_calls_stay_two_whatever_the_host_leaves_out(self, pieces: list[Any]) -> None:
        """Hosts omit indexes, repeat ids and send names late; merging two calls is the typical bug."""
        answer = streamed(*(delta(tool_calls=[row]) for row in pieces), delta("tool_calls"))
        assert answer.tool_calls == (RawToolCall("a", "f", "{}"), RawToolCall("b", "g", "[]"))

    @pytest.mark.parametrize("indexed", [True, False])
    def test_calls_without_any_id_stay_apart(self, indexed: bool) -> None:
        """They are separated by index, or by the name that begins a new one."""
        rows = [(0, "f", '{"a"'), (0, None, ": 1}"), (1, "g", "{}")]
        pieces = [piece(index if indexed else None, None, name, text) for index, name, text in rows]
        answer = streamed(*(delta(tool_calls=[row]) for row in pieces), delta("tool_calls"))
        assert answer.tool_calls == (RawToolCall(None, "f", '{"a": 1}'), RawToolCall(None, "g", "{}"))

    @pytest.mark.parametrize("ends", [[], ["[DONE]"], ["[DONE]", "[DONE]"], ["[DONE]", "nonsense"]])
    def test_the_end_mark_may_be_missing_or_doubled(self, ends: list[str]) -> None:
        """The finish reason ends an answer; nothing after the mark is read."""
        answer = streamed(delta(content="x"), delta("stop"), *ends)
        assert (answer.text, answer.complete) == ("x", True)

    def test_a_repeated_finish_reason_counts_once(self) -> None:
        """OpenRouter repeats it with the usage."""
        assert streamed(delta("stop", content="x"), delta("stop"), "[DONE]", "[DONE]").finish_reason == "stop"

    def test_a_stream_without_finish_reason_is_cut(self) -> None:
        """Truncation is never a success, even with [DONE]."""
        assert not streamed(delta(content="x")).complete
        assert not streamed(delta(content="x"), "[DONE]").complete
        assert not streamed(delta(tool_calls=[piece(call_id="a", name="f", arguments="{}")])).complete

    def test_calls_closed_by_done_need_no_finish_reason(self) -> None:
        """K2.5 behind OpenRouter leaves it out after calls."""
        assert streamed(delta(tool_calls=[piece(call_id="a", name="f", arguments="{}")]), "[DONE]").complete

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_an_error_fails_the_stream_wherever_it_comes(self, place: int) -> None:
        """This includes errors after a finish reason."""
        chunks: list[Any] = [delta(content="x"), delta("stop")]
        chunks.insert(place, {"error": {"code": 502, "message": "upstream"}, "choices": []})
        with pytest.raises(ProviderFailure, match="server_error"):
            streamed(*chunks)

    def test_groqs_error_event_is_an_error(self) -> None:
        """The status is HTTP 200, followed by `event: error`."""
        stream = openai.stream()
        payload = {"error": {"code": "tool_use_failed", "message": "no", "status_code": 400, "failed_generation": "g"}}
        with pytest.raises(ExchangeError) as caught:
            stream.feed(f"event: error\ndata: {json.dumps(payload)}\n\n".encode())
        assert (caught.value.reason, caught.value.failed_generation) == ("tool_use_failed", "g")

    @pytest.mark.parametrize("data", ["{", "[]", "nonsense"])
    def test_an_event_off_the_protocol_is_a_failure_of_the_provider(self, data: str) -> None:
        """Skipping it could lose part of an argument."""
        with pytest.raises(ProviderFailure, match="malformed_body"):
            streamed(data)

    def test_finish_reason_error_is_a_failure(self) -> None:
        """This is OpenRouter's documented form of an error in mid-stream."""
        with pytest.raises(ProviderFailure, match="server_error"):
            streamed(delta("error", content=""))

    def test_content_begins_with_the_first_text_reasoning_or_call(self) -> None:
        """The role chunk is not a first token."""
        stream = openai.stream()
        assert not stream.feed(f"data: {json.dumps(delta(role='assistant', content=''))}\n\n".encode())
        assert stream.feed(f"data: {json.dumps(delta(content='x'))}\n\n".encode())


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_typed_error(raw: bytes) -> None:
    """Hostile bodies end as a reason, plain and streamed."""
    for attempt in (lambda: openai.parse(200, {}, raw), lambda: openai.stream().feed(b"data: " + raw + b"\n\n")):
        try:
            attempt()
        except ExchangeError as error:
            assert error.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "tool_calls", "function", "arguments", "error", "usage", "id", "index"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_shape_raises_anything_but_a_typed_error(shape: Any) -> None:
    """Any field may hold any value."""
    raw = json.dumps({"choices": [shape], "usage": shape} if not isinstance(shape, dict) else shape).encode()
    for attempt in (lambda: openai.parse(200, {}, raw), lambda: openai.stream().feed(b"data: " + raw + b"\n\n")):
        try:
            attempt()
        except ExchangeError as error:
            assert error.reason


def test_an_unsupported_protocol_is_named() -> None:
    """Its endpoints count as unsupported."""
    with pytest.raises(ExchangeError, match="smoke signals"):
        wire_named("smoke signals")
