"""Every recorded answer, checked by the official SDKs' response models, and parsed the same however it is cut."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import pydantic
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdk_answers import calls_of, stream_event, text_of, whole_answer
from shared_data import needs_data, recorded

from routing.errors import ExchangeError
from routing.types import Answer
from routing.wire import Wire, wire_named
from routing.wire.sse import Decoder

_WIRES = {"/chat/completions": "openai", "/v1/messages": "anthropic"}


def wire_of(row: dict[str, Any]) -> Wire | None:
    name = next((name for ending, name in _WIRES.items() if row["url_path"].endswith(ending)), None)
    return wire_named(name) if name else None


def is_stream(row: dict[str, Any]) -> bool:
    return (row["response"]["content_type"] or "").startswith("text/event-stream")


def named(row: dict[str, Any]) -> str:
    return f"{row['provider']}-{row['id']}"


ROWS = tuple(row for row in recorded() if wire_of(row))
STREAMS = tuple(row for row in ROWS if is_stream(row))
PLAIN = tuple(row for row in ROWS if not is_stream(row))


def payloads(raw: bytes) -> Iterator[Any]:
    return (
        json.loads(event.data)
        for event in Decoder().feed(raw)
        if event.data.strip() != "[DONE]" and event.name != "ping"
    )


def read(row: dict[str, Any], pieces: Iterable[bytes]) -> Answer | str:
    """The answer, or the reason why there is none."""
    wire = wire_of(row)
    assert wire is not None
    stream = wire.stream()
    try:
        for piece in pieces:
            stream.feed(piece)
        return stream.finish()
    except ExchangeError as error:
        return f"{error.reason}: {error.detail} {error.failed_generation}"


def cut(raw: bytes, places: Iterable[int]) -> Iterator[bytes]:
    return (raw[a:b] for a, b in pairwise([0, *sorted(places), len(raw)]))


def raw_of(row: dict[str, Any]) -> bytes:
    body: str = row["response"]["body"]
    return body.encode()


@needs_data
@pytest.mark.parametrize("row", STREAMS, ids=named)
@settings(max_examples=examples(6), suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_recorded_stream_gives_the_same_answer_however_it_is_cut(row: dict[str, Any], data: st.DataObject) -> None:
    """Cut at any places, also twice at the same: an empty piece is not the end.

    A stream that ends with an error keeps it.
    """
    raw = raw_of(row)
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=40))
    assert read(row, cut(raw, places)) == read(row, [raw])


@needs_data
@pytest.mark.parametrize("row", STREAMS, ids=named)
def test_the_worst_cuts_of_a_recorded_stream_change_nothing(row: dict[str, Any]) -> None:
    """Byte by byte, inside every multi-byte character, and around every line end."""
    raw = raw_of(row)
    whole = read(row, [raw])
    assert read(row, cut(raw, range(1, len(raw)))) == whole
    inside = [at for at, byte in enumerate(raw) if 0x80 <= byte < 0xC0]
    assert read(row, cut(raw, inside)) == whole
    ends = [at + step for at, byte in enumerate(raw) if byte in b"\r\n" for step in (0, 1)]
    assert read(row, cut(raw, ends)) == whole


@needs_data
@pytest.mark.parametrize("row", STREAMS, ids=named)
def test_a_recorded_stream_with_other_line_ends_gives_the_same_answer(row: dict[str, Any]) -> None:
    """CR LF, or CR alone, and a comment after each event, in small pieces."""
    whole = read(row, [raw_of(row)])
    body = row["response"]["body"].replace("\r\n", "\n")
    for text in (body.replace("\n", "\r\n"), body.replace("\n", "\r"), body.replace("\n\n", "\n\n: keep-alive\n\n")):
        raw = text.encode()
        assert read(row, cut(raw, range(3, len(raw), 3))) == whole


@needs_data
def test_the_recorded_streams_have_what_is_hard_about_them() -> None:
    """Both protocols, multi-byte characters, comments, tool calls, errors in the middle."""
    bodies = [raw_of(row) for row in STREAMS]
    assert {named(row).partition("-")[0] for row in STREAMS} >= {"anthropic", "openrouter", "groq"}
    assert sum(not body.isascii() for body in bodies) >= 20
    assert sum(b"\n: " in body or body.startswith(b": ") for body in bodies) >= 10
    answers = [read(row, [raw]) for row, raw in zip(STREAMS, bodies, strict=True)]
    assert sum(isinstance(answer, Answer) and bool(answer.tool_calls) for answer in answers) >= 10
    assert sum(isinstance(answer, str) for answer in answers) == 2


@needs_data
@pytest.mark.parametrize("row", PLAIN, ids=named)
def test_an_accepted_plain_answer_is_valid_for_the_sdk(row: dict[str, Any]) -> None:
    """The SDK reads the same text and calls; arguments are passed on as the exact text of the body."""
    wire, raw = wire_of(row), raw_of(row)
    assert wire is not None
    try:
        answer = wire.parse(row["response"]["status"], {}, raw)
    except ExchangeError as error:
        assert row["response"]["status"] != 200
        assert error.error_class in {"provider", "answer"}
        return
    theirs = whole_answer(row["provider"], json.loads(raw))
    assert answer.text == text_of(theirs)
    ours = [
        (call.id, call.name, json.loads(call.arguments) if row["provider"] == "anthropic" else call.arguments)
        for call in answer.tool_calls
    ]
    assert ours == calls_of(theirs)


@needs_data
@pytest.mark.parametrize("row", STREAMS, ids=named)
def test_every_event_of_an_accepted_stream_is_valid_for_the_sdk(row: dict[str, Any]) -> None:
    """Streams that end in an error are not accepted."""
    if isinstance(read(row, [raw_of(row)]), str):
        return
    events = list(payloads(raw_of(row)))
    assert events
    for payload in events:
        stream_event(row["provider"], payload)


GOOD: dict[str, Any] = {
    "id": "gen-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": None,
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        }
    ],
}


@pytest.mark.parametrize("provider", ["openai", "openrouter", "groq"])
@pytest.mark.parametrize("wrong", [{"arguments": {}}, {"arguments": None}, {"name": None}])
def test_the_judges_of_answers_refuse_what_is_wrong(provider: str, wrong: dict[str, Any]) -> None:
    """A judge that accepts everything proves nothing."""
    whole_answer(provider, GOOD)
    bad = json.loads(json.dumps(GOOD))
    bad["choices"][0]["message"]["tool_calls"][0]["function"] |= wrong
    with pytest.raises(pydantic.ValidationError):
        whole_answer(provider, bad)
    event = {**bad, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": 3}}]}
    with pytest.raises(pydantic.ValidationError):
        stream_event(provider, event)


@pytest.mark.parametrize("block", [{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}, {"type": "text"}])
def test_the_judge_of_anthropics_answers_refuses_what_is_wrong(block: dict[str, Any]) -> None:
    """Wrong here: arguments as text, a text block without text."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    good: dict[str, Any] = {**head, "stop_sequence": None, "usage": usage, "content": []}
    whole_answer("anthropic", good)
    with pytest.raises(pydantic.ValidationError):
        whole_answer("anthropic", {**good, "content": [block]})
    with pytest.raises(pydantic.ValidationError):
        stream_event("anthropic", {"type": "content_block_start", "index": 0, "content_block": block})
