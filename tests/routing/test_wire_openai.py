"""OpenAI's protocol as its hosts speak it: answers, streams, and whose doing an error is."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_data import needs_data, recorded_chats

from routing import catalog
from routing.errors import ExchangeError, ProviderFailure
from routing.types import Answer, ChatRequest, RawToolCall, Usage
from routing.wire import openai, wire_named
from routing.wire.fault import fault, retry_after

CATALOG = catalog.load(environment={})
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def body(message: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}
    return json.dumps({"choices": [choice], **more}).encode()


def call(arguments: Any = "{}", name: str = "f", call_id: str = "functions.f:0") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def streamed(*chunks: dict[str, Any] | str) -> Answer:
    stream = openai.Stream()
    for chunk in chunks:
        data = chunk if isinstance(chunk, str) else json.dumps(chunk)
        stream.feed(f"data: {data}\n\n".encode())
    return stream.finish()


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def piece(
    index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: str | None = None
) -> Any:
    row: dict[str, Any] = {"function": {}}
    if index is not None:
        row["index"] = index
    if call_id is not None:
        row["id"] = call_id
    if name is not None:
        row["function"]["name"] = name
    if arguments is not None:
        row["function"]["arguments"] = arguments
    return row


class TestBuild:
    def build(self, endpoint: str, **options: Any) -> dict[str, Any]:
        found = CATALOG.endpoint(endpoint)
        request = ChatRequest([{"role": "user", "content": "hi"}], **options)
        built = openai.build(request, found, CATALOG.provider_of(found)).body
        assert built is not None
        return built

    def test_only_what_was_asked_for_is_sent(self) -> None:
        """OpenRouter filters upstreams on every parameter, so nothing is added."""
        sent = self.build("openrouter/moonshotai/kimi-k2.6")
        assert sent == {"model": "moonshotai/kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}

    def test_an_upstream_is_pinned_by_its_full_tag(self) -> None:
        """Without fallbacks: a probe must know who answered."""
        sent = self.build("openrouter/moonshotai/kimi-k2.6+novita/fp8")
        assert sent["provider"] == {"only": ["novita/fp8"], "allow_fallbacks": False, "require_parameters": True}

    def test_moonshot_gets_no_temperature(self) -> None:
        """Its models have a fixed one and refuse any other."""
        assert "temperature" not in self.build("moonshot/kimi-k2.6", temperature=0.2)
        assert self.build("openrouter/moonshotai/kimi-k2.6", temperature=0.2)["temperature"] == 0.2

    def test_streams_ask_for_usage(self) -> None:
        """Without it most hosts send none."""
        assert self.build("moonshot/kimi-k2.6", stream=True)["stream_options"] == {"include_usage": True}

    def test_everything_of_openais_is_carried(self) -> None:
        """Tools, choice, parallel calls and max_tokens reach the body under OpenAI's names."""
        sent = self.build(
            "moonshot/kimi-k2.6", tools=TOOLS, tool_choice="auto", parallel_tool_calls=False, max_tokens=9
        )
        assert sent["tools"] == TOOLS
        assert (sent["tool_choice"], sent["parallel_tool_calls"], sent["max_tokens"]) == ("auto", False, 9)


class TestPlain:
    def test_whitespace_before_the_json_is_no_matter(self) -> None:
        """OpenRouter keeps connections alive with it."""
        assert openai.parse(200, {}, b"\n \n" + body({"content": "hi"})).text == "hi"

    def test_arguments_come_out_byte_for_byte(self) -> None:
        """Spaces, escapes and order are the provider's; nothing is parsed and rendered again."""
        raw = '{ "b":1,\t"a" : "\\u00e9" }'
        answer = openai.parse(200, {}, body({"tool_calls": [call(raw)]}, finish_reason="tool_calls"))
        assert answer.tool_calls == (RawToolCall("functions.f:0", "f", raw),)

    def test_arguments_as_a_json_value_are_kept_and_noted(self) -> None:
        """The judge must see that the protocol was broken."""
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

    @pytest.mark.parametrize("usage", [{"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "3"}, {}])
    def test_nonsense_usage_is_none_and_noted(self, usage: dict[str, Any]) -> None:
        """A cost from nonsense would be nonsense."""
        answer = openai.parse(200, {}, body({"content": "x"}, usage=usage))
        assert answer.usage is None
        assert answer.notes == ("usage_malformed",)

    def test_moonshots_usage_inside_the_choice_is_found(self) -> None:
        """Old streams carry it there."""
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
        """Never a traceback in place of a reason."""
        with pytest.raises(ProviderFailure) as caught:
            openai.parse(200, {}, raw)
        assert caught.value.reason == "malformed_body"

    def test_a_body_that_is_not_utf8_is_refused(self) -> None:
        """Replacement characters could change an argument."""
        with pytest.raises(ProviderFailure, match="bad_encoding"):
            openai.parse(200, {}, b'{"choices": [{"message": {"content": "\xff"}}]}')


class TestFault:
    CASES: tuple[tuple[int, Any, str, str], ...] = (
        (401, {"message": "bad key"}, "unauthorized", "account"),
        (402, {"message": "credits"}, "no_credit", "account"),
        (403, {"message": "insufficient balance"}, "no_credit", "account"),
        (403, {"message": "policy"}, "forbidden", "account"),
        (404, {"message": "No endpoints found that support tool use"}, "no_endpoint", "selection"),
        (
            404,
            {"message": "No endpoints found that can handle the requested parameters."},
            "no_endpoint",
            "selection",
        ),
        (404, {"message": "No endpoints found for moonshotai/kimi-x"}, "model_retired", "selection"),
        (404, {"code": "model_not_found", "message": "gone"}, "model_retired", "selection"),
        (400, {"code": "model_decommissioned", "message": "gone"}, "model_retired", "selection"),
        (400, {"message": "tool_choice 'required' is incompatible with thinking enabled"}, "bad_request", "request"),
        (400, {"message": "maximum context length is 8"}, "context_too_long", "request"),
        (400, {"code": "tool_use_failed", "message": "x", "failed_generation": "{}"}, "tool_use_failed", "answer"),
        (429, {"type": "rate_limit_reached_error"}, "rate_limited", "provider"),
        (429, {"type": "exceeded_current_quota_error"}, "quota", "account"),
        (429, {"type": "engine_overloaded_error"}, "overloaded", "provider"),
        (500, {"message": "x"}, "server_error", "provider"),
        (503, "overloaded", "overloaded", "provider"),
        (529, {}, "overloaded", "provider"),
        (418, {}, "bad_request", "request"),
        (307, {}, "redirected", "provider"),
        (200, {"code": 502, "message": "upstream provider error"}, "server_error", "provider"),
        (200, {"code": "server_error", "message": "Provider disconnected unexpectedly"}, "server_error", "provider"),
        (200, {"code": 429, "message": "x"}, "rate_limited", "provider"),
    )

    @pytest.mark.parametrize(("status", "error", "reason", "error_class"), CASES)
    def test_errors_are_told_apart_by_whose_doing_they_are(
        self, status: int, error: Any, reason: str, error_class: str
    ) -> None:
        """Only provider and answer may ever move a flag."""
        found = fault(status, error)
        assert (found.reason, found.error_class) == (reason, error_class)

    def test_a_402_for_money_in_flight_may_be_retried_and_one_for_credit_not(self) -> None:
        """The first passes by itself."""
        assert fault(402, {"metadata": {"limit_source": "openrouter_in_flight_budget"}}).retryable
        assert not fault(402, {"message": "credits"}).retryable

    def test_failed_generation_is_kept_for_rescue_and_out_of_the_words(self) -> None:
        """It is model output: hostile, and maybe a call."""
        found = fault(400, {"code": "tool_use_failed", "message": "no", "failed_generation": "<secret>"})
        assert found.failed_generation == "<secret>"
        assert "<secret>" not in str(found)

    def test_foreign_text_is_one_printable_line(self) -> None:
        """Control characters could forge a log line."""
        found = fault(500, {"message": "a\r\n::error::b\x1b[31m" + "x" * 9000})
        assert "\n" not in str(found)
        assert "\x1b" not in str(found)
        assert len(str(found)) < 500

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [({"Retry-After": "7"}, 7.0), ({"retry-after-ms": "1500"}, 1.5), ({"Retry-After": "soon"}, None), ({}, None)],
    )
    def test_retry_after_is_read_in_its_forms(self, headers: dict[str, str], seconds: float | None) -> None:
        """Nonsense is no wait at all."""
        assert retry_after(headers) == seconds

    def test_a_date_in_the_past_is_no_wait(self) -> None:
        """Clocks differ; a negative wait does not exist."""
        assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


class TestStream:
    def test_deltas_become_the_whole_answer(self) -> None:
        """Text, reasoning, call, usage, finish reason."""
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
        """Missing indexes, repeated ids and late names are seen in the wild; merging two calls is the classic fault."""
        answer = streamed(*(delta(tool_calls=[row]) for row in pieces), delta("tool_calls"))
        assert answer.tool_calls == (RawToolCall("a", "f", "{}"), RawToolCall("b", "g", "[]"))

    def test_a_finish_reason_said_twice_is_said(self) -> None:
        """OpenRouter repeats it with the usage."""
        assert streamed(delta("stop", content="x"), delta("stop"), "[DONE]", "[DONE]").finish_reason == "stop"

    def test_a_stream_without_finish_reason_is_cut(self) -> None:
        """Truncation is never a success, also not with [DONE]."""
        assert not streamed(delta(content="x")).complete
        assert not streamed(delta(content="x"), "[DONE]").complete
        assert not streamed(delta(tool_calls=[piece(call_id="a", name="f", arguments="{}")])).complete

    def test_calls_closed_by_done_need_no_finish_reason(self) -> None:
        """K2.5 behind OpenRouter leaves it undefined after calls."""
        assert streamed(delta(tool_calls=[piece(call_id="a", name="f", arguments="{}")]), "[DONE]").complete

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_an_error_fails_the_stream_wherever_it_comes(self, place: int) -> None:
        """Also after a finish reason."""
        chunks: list[Any] = [delta(content="x"), delta("stop")]
        chunks.insert(place, {"error": {"code": 502, "message": "upstream"}, "choices": []})
        with pytest.raises(ProviderFailure, match="server_error"):
            streamed(*chunks)

    def test_groqs_error_event_is_an_error(self) -> None:
        """HTTP 200, then `event: error`."""
        stream = openai.Stream()
        payload = {"error": {"code": "tool_use_failed", "message": "no", "status_code": 400, "failed_generation": "g"}}
        with pytest.raises(ExchangeError) as caught:
            stream.feed(f"event: error\ndata: {json.dumps(payload)}\n\n".encode())
        assert (caught.value.reason, caught.value.failed_generation) == ("tool_use_failed", "g")

    @pytest.mark.parametrize("data", ["{", "[]", "nonsense"])
    def test_an_event_off_the_protocol_is_a_failure_of_the_provider(self, data: str) -> None:
        """Skipping it could lose a piece of an argument."""
        with pytest.raises(ProviderFailure, match="malformed_body"):
            streamed(data)

    def test_finish_reason_error_is_a_failure(self) -> None:
        """OpenRouter's documented form of a mid-stream error."""
        with pytest.raises(ProviderFailure, match="server_error"):
            streamed(delta("error", content=""))

    def test_content_begins_with_the_first_text_reasoning_or_call(self) -> None:
        """The role chunk is not a first token."""
        stream = openai.Stream()
        assert not stream.feed(f"data: {json.dumps(delta(role='assistant', content=''))}\n\n".encode())
        assert stream.feed(f"data: {json.dumps(delta(content='x'))}\n\n".encode())


@needs_data
class TestRecorded:
    STREAMS = tuple(row for row in recorded_chats() if "event-stream" in (row["response"]["content_type"] or ""))

    def whole(self, row: dict[str, Any]) -> Answer | str:
        return self.chunked(row, 1 << 30)

    @staticmethod
    def chunked(row: dict[str, Any], size: int) -> Answer | str:
        stream, raw = openai.Stream(), row["response"]["body"].encode()
        try:
            for start in range(0, len(raw), size):
                stream.feed(raw[start : start + size])
            return stream.finish()
        except ExchangeError as error:
            return error.reason

    @pytest.mark.parametrize("row", STREAMS, ids=lambda row: row["id"])
    def test_a_recorded_stream_gives_the_same_answer_in_any_chunks(self, row: dict[str, Any]) -> None:
        """1, 7 and 64 bytes at a time."""
        assert self.chunked(row, 1) == self.chunked(row, 7) == self.chunked(row, 64) == self.whole(row)

    def test_every_recorded_chat_is_an_answer_or_a_classed_error(self) -> None:
        """No traceback, and argument strings that stand in the body as they come out."""
        for row in recorded_chats():
            if row in self.STREAMS:
                continue
            raw = row["response"]["body"].encode()
            try:
                answer = openai.parse(row["response"]["status"], {}, raw)
            except ExchangeError as error:
                assert row["response"]["status"] != 200, row["id"]
                assert error.error_class in {"provider", "answer"}, row["id"]
                continue
            sent = [
                one["function"]["arguments"] for one in json.loads(raw)["choices"][0]["message"].get("tool_calls") or []
            ]
            assert [one.arguments for one in answer.tool_calls] == sent, row["id"]


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_typed_error(raw: bytes) -> None:
    """Hostile bodies end as a reason, plain and streamed."""
    for attempt in (lambda: openai.parse(200, {}, raw), lambda: openai.Stream().feed(b"data: " + raw + b"\n\n")):
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
    """Every field may hold anything at all."""
    raw = json.dumps({"choices": [shape], "usage": shape} if not isinstance(shape, dict) else shape).encode()
    for attempt in (lambda: openai.parse(200, {}, raw), lambda: openai.Stream().feed(b"data: " + raw + b"\n\n")):
        try:
            attempt()
        except ExchangeError as error:
            assert error.reason


def test_a_protocol_that_is_not_spoken_is_named() -> None:
    """Until it is, its endpoints read unsupported."""
    with pytest.raises(ExchangeError, match="smoke signals"):
        wire_named("smoke signals")
