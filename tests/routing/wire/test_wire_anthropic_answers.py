"""OpenAI's answers from Anthropic's Messages: whole, streamed, refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import ExchangeError, ProviderFailure
from routing.types import Answer, JsonObject, RawToolCall, Usage
from routing.verify import check
from routing.wire import anthropic_answer as anthropic
from routing.wire.error_bodies import fault

WEATHER: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def text(words: str) -> JsonObject:
    return {"type": "text", "text": words}


def body(*content: JsonObject, **more: Any) -> bytes:
    return json.dumps(
        {"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn", **more}
    ).encode()


class TestPlain:
    def test_blocks_become_text_reasoning_and_calls(self) -> None:
        """Blocks are read by type, not by position: the first one may be thinking."""
        answer = anthropic.parse(
            200,
            {},
            body(
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                text("a"),
                {"type": "redacted_thinking", "data": "x"},
                text("b"),
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
                id="msg_1",
                model="claude-sonnet-5-5",
                stop_reason="tool_use",
                usage={
                    "input_tokens": 10,
                    "cache_creation_input_tokens": 5,
                    "cache_read_input_tokens": 100,
                    "output_tokens": 7,
                    "output_tokens_details": {"thinking_tokens": 3},
                },
            ),
        )
        assert answer == Answer(
            text="ab",
            reasoning="hm",
            tool_calls=(RawToolCall("toolu_1", "f", '{"a": 1}'),),
            finish_reason="tool_calls",
            usage=Usage(115, 7, cached_tokens=100, reasoning_tokens=3, cache_write_tokens=5),
            model="claude-sonnet-5-5",
            generation_id="msg_1",
        )

    def test_arguments_are_the_exact_text_of_the_object(self) -> None:
        """Parsing and writing again would hide a duplicate key and round a number."""
        raw = '{ "n": 12345678901234567890.0, "a" : "\\u00e9", "a":[1 ,2] }'
        whole = (
            f'{{"content": [{{"type":"tool_use", "input" : {raw} ,"name":"f","id":"i"}}], "stop_reason":"tool_use"}}'
        )
        (one,) = anthropic.parse(200, {}, whole.encode()).tool_calls
        assert one.arguments == raw
        checked = check(anthropic.parse(200, {}, whole.encode()), [{"type": "function", "function": {"name": "f"}}])
        assert checked.outcome == "failed"

    def test_an_object_is_a_clean_pass(self) -> None:
        """In a protocol with argument objects, an object is right."""
        raw = body(
            {"type": "tool_use", "id": "i", "name": "get_weather", "input": {"city": "Paris"}}, stop_reason="tool_use"
        )
        assert check(anthropic.parse(200, {}, raw), [WEATHER]).outcome == "ok"

    @pytest.mark.parametrize(
        ("reason", "ours"),
        [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("pause_turn", "stop"),
            ("tool_use", "tool_calls"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("refusal", "content_filter"),
            ("something_new", "something_new"),
        ],
    )
    def test_stop_reasons_become_openais_finish_reasons(self, reason: str, ours: str) -> None:
        """A full context window counts as truncation, not as a normal end."""
        assert anthropic.parse(200, {}, body(text("x"), stop_reason=reason)).finish_reason == ours

    def test_tools_that_ran_at_anthropic_are_not_calls(self) -> None:
        """They are noted."""
        answer = anthropic.parse(
            200, {}, body({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, text("x"))
        )
        assert (answer.tool_calls, answer.text) == ((), "x")
        assert answer.notes == ("block_left_out: server_tool_use",)

    @pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"content": 3}', b"<html>", b'{"content": null}'])
    def test_a_200_off_the_protocol_is_a_failure_of_the_provider(self, raw: bytes) -> None:
        """The result is a reason, never a traceback."""
        with pytest.raises(ProviderFailure, match="malformed_body"):
            anthropic.parse(200, {}, raw)


class TestFault:
    CASES = (
        (400, "invalid_request_error", "messages: bad", "bad_request", "request", False),
        (400, "invalid_request_error", "prompt is too long: 9 tokens", "context_too_long", "request", False),
        (400, "invalid_request_error", "Your credit balance is too low", "no_credit", "account", False),
        (401, "authentication_error", "x", "unauthorized", "account", False),
        (402, "billing_error", "x", "no_credit", "account", False),
        (403, "permission_error", "x", "forbidden", "account", False),
        (404, "not_found_error", "model: claude-9", "model_retired", "selection", False),
        (413, "request_too_large", "x", "context_too_long", "request", False),
        (429, "rate_limit_error", "x", "rate_limited", "provider", True),
        (500, "api_error", "x", "server_error", "provider", True),
        (504, "timeout_error", "x", "timeout", "provider", True),
        (529, "overloaded_error", "Overloaded", "overloaded", "provider", True),
        (200, "overloaded_error", "Overloaded", "overloaded", "provider", True),
        (200, "invalid_request_error", "x", "bad_request", "request", False),
    )

    @pytest.mark.parametrize(("status", "kind", "message", "reason", "error_class", "retryable"), CASES)
    def test_errors_are_classified_by_who_caused_them(
        self, status: int, kind: str, message: str, reason: str, error_class: str, retryable: bool
    ) -> None:
        """The class is the same for an error status and for an error inside a stream."""
        raw = json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}).encode()
        with pytest.raises(ExchangeError) as caught:
            anthropic.parse(status, {}, raw)
        assert (caught.value.reason, caught.value.error_class) == (reason, error_class)
        assert caught.value.retryable == retryable

    def test_a_spend_limit_is_not_a_rate_limit(self) -> None:
        """It has no retry-after and must not be retried."""
        details = {"error_code": "enforced_spend_limit_reached"}
        found = fault(429, {"type": "rate_limit_error", "message": "x", "details": details})
        assert (found.reason, found.error_class, found.retryable) == ("quota", "account", False)

    def test_the_provider_says_itself_whether_to_try_again(self) -> None:
        """`x-should-retry` overrides the status."""
        error = {"type": "api_error", "message": "x"}
        assert not fault(500, error, {"X-Should-Retry": "false"}).retryable
        assert fault(409, {"type": "conflict_error"}, {"x-should-retry": "true"}).retryable


def events(*rows: JsonObject) -> bytes:
    return "".join(f"event: {row['type']}\ndata: {json.dumps(row)}\n\n" for row in rows).encode()


def streamed(*rows: JsonObject) -> Answer:
    stream = anthropic.stream()
    stream.feed(events(*rows))
    return stream.finish()


START: JsonObject = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
}
STOP: JsonObject = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}


def start(index: int, block: JsonObject) -> JsonObject:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: str) -> JsonObject:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


class TestStream:
    def test_blocks_and_deltas_become_the_whole_answer(self) -> None:
        """Calls are numbered among calls, not among blocks; output tokens are running totals."""
        answer = streamed(
            START,
            {"type": "ping"},
            start(0, {"type": "thinking", "thinking": "", "signature": ""}),
            delta(0, "thinking_delta", thinking="hm"),
            delta(0, "signature_delta", signature="xyz"),
            start(1, {"type": "text", "text": ""}),
            delta(1, "text_delta", text="a"),
            start(2, {"type": "tool_use", "id": "i", "name": "f", "input": {}}),
            delta(2, "input_json_delta", partial_json=""),
            delta(2, "input_json_delta", partial_json='{"a"'),
            start(3, {"type": "tool_use", "id": "j", "name": "g", "input": {}}),
            delta(2, "input_json_delta", partial_json=": 1}"),
            {"type": "content_block_stop", "index": 3},
            STOP,
            {"type": "message_stop"},
        )
        assert answer == Answer(
            text="a",
            reasoning="hm",
            tool_calls=(RawToolCall("i", "f", '{"a": 1}'), RawToolCall("j", "g", "{}")),
            finish_reason="tool_calls",
            usage=Usage(9, 5),
            model="m",
            generation_id="msg_1",
        )

    def test_an_input_without_deltas_is_used(self) -> None:
        """Some gateways send the whole input in the block's start event."""
        (one,) = streamed(
            START, start(0, {"type": "tool_use", "id": "i", "name": "f", "input": {"a": 1}}), STOP
        ).tool_calls
        assert one.arguments == '{"a": 1}'

    def test_a_stream_without_stop_reason_is_cut(self) -> None:
        """Truncation is never a success."""
        assert not streamed(START, start(0, {"type": "text", "text": "x"})).complete

    @pytest.mark.parametrize("place", [0, 1, 2, 3])
    def test_an_error_fails_the_stream_wherever_it_comes(self, place: int) -> None:
        """This includes errors after text and after the stop reason."""
        rows = [START, start(0, {"type": "text", "text": "x"}), STOP]
        rows.insert(place, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        with pytest.raises(ProviderFailure, match="overloaded"):
            streamed(*rows)

    def test_content_begins_with_text_thinking_or_a_call(self) -> None:
        """The start of the message is not a first token."""
        stream = anthropic.stream()
        assert not stream.feed(events(START, start(0, {"type": "text", "text": ""})))
        assert stream.feed(events(delta(0, "text_delta", text="x")))


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "content",
                    "text",
                    "input",
                    "index",
                    "delta",
                    "usage",
                    "message",
                    "error",
                    "content_block",
                    "id",
                ]
            ),
            inner
            | st.sampled_from(["text", "tool_use", "thinking", "content_block_delta", "input_json_delta", "error"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(SHAPES)
def test_no_shape_raises_anything_but_a_typed_error(shape: Any) -> None:
    """Any field may hold any value."""
    whole = json.dumps({"content": [shape, shape], "usage": shape, "stop_reason": "end_turn"}).encode()
    for attempt in (
        lambda: anthropic.parse(200, {}, whole),
        lambda: anthropic.stream().feed(b"data: " + json.dumps(shape).encode() + b"\n\n"),
    ):
        try:
            attempt()
        except ExchangeError as error:
            assert error.reason
