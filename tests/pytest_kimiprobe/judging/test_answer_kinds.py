"""Kinds of odd answers from public reports, written by hand: which verdict each gets, and why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai_shapes import body, call, delta, piece

from pytest_kimiprobe.judging.judge import judge_any
from routing.errors import ExchangeError
from routing.exchange import Exchange
from routing.types import Answer
from routing.verify import RequestExpectations
from routing.wire import anthropic_answer, openai_answer

TOOL = {
    "type": "function",
    "function": {
        "name": "book_table",
        "parameters": {"type": "object", "properties": {"guests": {"type": "integer"}}, "required": ["guests"]},
    },
}
FOUR = '{"guests": 4}'
K2 = f"<|tool_calls_section_begin|><|tool_call_begin|>functions.book_table:0<|tool_call_argument_begin|>{FOUR}"
CUT = "First, open the"
NO_TOKENS = {"prompt_tokens": 30, "completion_tokens": 0}
MANY_TOKENS = {"prompt_tokens": 900, "completion_tokens": 16_000}
DONE = delta("tool_calls")


def plain(message: dict[str, Any], **more: Any) -> tuple[int, bytes]:
    return 200, body(message, **more)


def refused(status: int, error: Any) -> tuple[int, bytes]:
    return status, json.dumps(error if isinstance(error, dict) and "status" in error else {"error": error}).encode()


def pieces(*rows: Any) -> list[Any]:
    """A stream with these pieces of calls, each in a chunk."""
    return [*(delta(tool_calls=[row]) for row in rows), DONE]


KINDS: dict[str, tuple[Any, str, str]] = {
    # streams
    "another id for each piece": (
        pieces(piece(0, "a", "book_table", ""), piece(0, "b", None, '{"guests"'), piece(0, "c", None, ": 4}")),
        "pass",
        "ok",
    ),
    "two pieces of one call in one chunk": (
        [delta(tool_calls=[piece(0, "a", "book_table", ""), piece(0, None, None, FOUR)]), DONE],
        "pass",
        "ok",
    ),
    "an empty name first": (pieces(piece(0, "a", "", ""), piece(0, None, "book_table", FOUR)), "pass", "ok"),
    "a name in two pieces": (pieces(piece(0, "a", "book_t", ""), piece(0, None, "able", FOUR)), "pass", "ok"),
    "the name behind the arguments": (pieces(piece(0, "a", None, FOUR), piece(0, None, "book_table")), "pass", "ok"),
    "an index for each piece": (
        pieces(piece(0, "a", "book_table", '{"guests'), piece(1, None, None, '": 4}')),
        "pass",
        "ok",
    ),
    "a call and no finish reason": ([*pieces(piece(0, "a", "book_table", FOUR))[:-1], "[DONE]"], "pass", "ok"),
    "text and no finish reason": ([delta(content="Hi."), "[DONE]"], "error", "stream_cut"),
    "heartbeats without data": (["", delta(content="Hi."), " ", delta("stop"), "", "[DONE]"], "pass", "ok"),
    "a comment as data": ([": PROCESSING", delta(content="Hi."), delta("stop")], "pass", "ok"),
    "an engine that gave up": ([delta(content=CUT), delta("abort")], "fail", "unknown_finish_reason"),
    "only a thought": ([delta(reasoning_content="It is 4."), delta("stop")], "fail", "empty_answer"),
    "two payloads in one event": (
        [json.dumps(delta(content="Hi")) + '\ndata: {"error": {"message": "x"}}'],
        "error",
        "malformed_body",
    ),
    # plain answers
    "a network error": (plain({"content": CUT}, finish_reason="network_error"), "fail", "unknown_finish_reason"),
    "empty and paid for": (plain({"content": ""}, usage=MANY_TOKENS), "fail", "empty_answer"),
    "the end mark beside a call": (
        plain({"content": "<|im_end|>", "tool_calls": [call(FOUR, "book_table")]}, finish_reason="tool_calls"),
        "rescued",
        "markers_stripped",
    ),
    "only exclamation marks, thought": (plain({"content": None, "reasoning": "!" * 90}), "fail", "empty_answer"),
    "only exclamation marks": (plain({"content": "!" * 90}), "fail", "garbled_text"),
    "undecoded tokens": (plain({"content": "TheĠtableĠisĠbooked.Ċ"}), "fail", "garbled_text"),
    "a busy host": (plain({"content": "resource busy"}, usage=NO_TOKENS), "fail", "host_notice"),
    "half a character": (plain({"content": "Done \ud83d"}), "pass", "ok"),
    "a leaked call": (
        plain({"content": f"{K2}<|tool_call_end|><|tool_calls_section_end|>"}),
        "rescued",
        "rescued_text",
    ),
    # errors
    "a prompt that is too long": (
        refused(400, {"message": "Your request exceeded model token limit: 9 (requested: 10)"}),
        "error",
        "context_too_long",
    ),
    "a wrong image": (refused(400, {"message": "Unsupported image. Try another."}), "error", "image_refused"),
    "an image of a wrong type": (
        refused(400, {"message": "unsupported image type", "code": "InvalidParameter"}),
        "error",
        "image_refused",
    ),
    "a content filter": (
        refused(400, {"code": 400, "message": "rejected", "type": "content_filter"}),
        "error",
        "content_filter",
    ),
    "a plan that forbids it": (
        refused(403, {"message": "only for coding agents", "type": "access_terminated_error"}),
        "error",
        "forbidden",
    ),
    "a limit of tokens per minute": (
        refused(413, {"message": "Request too large: Limit 9, Requested 10", "code": "rate_limit_exceeded"}),
        "error",
        "rate_limited",
    ),
    "an overloaded engine": (
        refused(429, {"type": "rate_limit_error", "message": "overloaded"}),
        "error",
        "rate_limited",
    ),
    "no balance": (
        refused(429, {"type": "exceeded_current_quota_error", "message": "insufficient balance"}),
        "error",
        "quota",
    ),
    "a function that is gone": (
        refused(404, {"status": 404, "title": "Not Found", "detail": "Function 'x': Not found"}),
        "error",
        "model_retired",
    ),
    "an upstream's error inside a gateway's": (
        refused(400, {"message": "Provider returned error", "code": 400, "metadata": {"raw": '{"error": {}}'}}),
        "error",
        "bad_request",
    ),
}


def exchanged(came: Any) -> Exchange:
    """The exchange whose answer came as a list of chunks, or as a status and a body."""
    try:
        if isinstance(came, tuple):
            return Exchange("e", {}, answer=openai_answer.parse(came[0], {}, came[1]))
        stream = openai_answer.stream()
        for chunk in came:
            data = chunk if isinstance(chunk, str) else json.dumps(chunk)
            stream.feed(f"data: {data}\n\n".encode())
        answer = stream.finish()
    except ExchangeError as error:
        return Exchange("e", {}, error=error)
    if not answer.complete:
        return Exchange("e", {}, error=ExchangeError("stream_cut"))
    return Exchange("e", {}, answer=answer)


@pytest.mark.parametrize(("came", "verdict", "reason"), KINDS.values(), ids=KINDS)
def test_an_odd_answer_gets_its_verdict(came: Any, verdict: str, reason: str) -> None:
    """Deliverable answers are delivered with the call that was meant; the others say what is wrong with them."""
    done = exchanged(came)
    found = judge_any(done, [TOOL])
    assert (found.verdict, found.reason) == (verdict, reason)
    if found.checked is not None and verdict != "fail":
        assert [one.arguments for one in found.checked.tool_calls] in ([], [{"guests": 4}])
        found.checked.text.encode()


def test_a_leaked_call_of_kimi_is_found_behind_anthropics_protocol() -> None:
    """Kimi is also served by it; the short form of the id has no prefix."""
    text = f"Let me see. {K2.replace('functions.', '')}<|tool_call_end|><|tool_calls_section_end|>"
    message = {"type": "message", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    answer = anthropic_answer.parse(200, {}, json.dumps(message).encode())
    found = judge_any(Exchange("e", {}, answer=answer), [TOOL])
    assert found.verdict == "rescued"
    assert found.checked is not None
    assert [one.arguments for one in found.checked.tool_calls] == [{"guests": 4}]


def test_an_array_of_calls_is_accepted_if_a_call_was_demanded() -> None:
    """Guided decoding writes it for `tool_choice: required`, and some hosts leave it in the text."""
    answer = Answer(text='[{"name": "book_table", "parameters": {"guests": 4}}]', finish_reason="stop")
    found = judge_any(Exchange("e", {}, answer=answer), [TOOL], RequestExpectations(tool_choice="required"))
    assert found.verdict == "rescued"
