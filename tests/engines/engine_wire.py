"""What a host said, as bytes on the wire; read back by the wire that production uses, and judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kimiprobe.cases.model import Case
from pytest_kimiprobe.judging.judge import judge
from pytest_kimiprobe.simulator.conversation import Draft
from routing.errors import ExchangeError, ProviderFailure
from routing.exchange import Exchange
from routing.types import Answer, Mode
from routing.wire import openai_answer as openai

MODES: tuple[Mode, ...] = ("plain", "stream")
Word = tuple[str, str]
"""Verdict and reason."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as a host gives it. `deltas` None: they are made from `content` and `calls`, two parts each."""

    content: str = ""
    reasoning: str = ""
    calls: Sequence[Mapping[str, Any]] = ()
    finish: str | None = "stop"
    deltas: Sequence[Mapping[str, Any]] | None = None
    usage: bool = True
    indexed: bool = True
    streams: bool = True
    ends: bool = True
    broken: str = ""

    @classmethod
    def of_draft(cls, draft: Draft) -> Said:
        """The right rendering of a right answer."""
        calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in draft.calls]
        return cls(draft.text, draft.reasoning, calls, draft.finish)

    @classmethod
    def of_engine(cls, told: Mapping[str, Any], draft: Draft) -> Said:
        """What an engine made of the text, beside the thoughts that it was given apart."""
        if "broken" in told:
            return cls(broken=told["broken"])
        return cls(told.get("content", ""), draft.reasoning, told.get("calls", ()), told["finish"], told.get("deltas"))


def word(case: Case, said: Said, mode: Mode) -> Word:
    """Verdict and reason of our judge."""
    found = judge(case, exchanged(said, mode))
    return found.verdict, found.reason


def exchanged(said: Said, mode: Mode) -> Exchange:
    """The exchange as the transport would bring it."""
    if said.broken:
        return Exchange("engine", {}, 500, error=ProviderFailure("server_error", status=500))
    try:
        answer = _streamed(said) if mode == "stream" and said.streams else openai.parse(200, {}, plain_body(said))
    except ExchangeError as error:
        return Exchange("engine", {}, 200, error=error)
    if not answer.complete:
        return Exchange("engine", {}, 200, error=ProviderFailure("stream_cut", phase="body"))
    if mode == "stream" and not said.streams:  # as the transport notes it
        answer = Answer(**{**_fields(answer), "notes": (*answer.notes, "stream_ignored")})
    return Exchange("engine", {}, 200, answer=answer)


def _fields(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in Answer.__slots__}


def plain_body(said: Said) -> bytes:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": said.content}
    message |= {"reasoning": said.reasoning} if said.reasoning else {}
    message |= {"tool_calls": list(map(_call, said.calls))} if said.calls else {}
    choice = {"index": 0, "message": message, "finish_reason": said.finish}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], **_usage(said)}).encode()


def _usage(said: Said) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120}} if said.usage else {}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {name: call[name] for name in ("name", "arguments") if name in call}
    head = {name: call[name] for name in ("index", "id") if name in call}
    return {**head, "type": "function", "function": function}


def _streamed(said: Said) -> Answer:
    stream = openai.stream()
    for event in stream_events(said):
        stream.feed(event)
    return stream.finish()


def stream_events(said: Said) -> Iterator[bytes]:
    """The answer as server-sent events."""
    deltas = list(_deltas(said))
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if said.ends:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": said.finish}]})
        chunks += [{"choices": [], **_usage(said)}] if said.usage else []
    for chunk in chunks:
        yield f"data: {json.dumps(chunk)}\n\n".encode()
    if said.ends:
        yield b"data: [DONE]\n\n"


def _deltas(said: Said) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    if said.reasoning:
        yield {"reasoning": said.reasoning}
    for delta in said.deltas if said.deltas is not None else _made(said):
        yield {"tool_calls": list(map(_call, delta["calls"]))} if "calls" in delta else {"content": delta["content"]}


def _made(said: Said) -> Iterator[Mapping[str, Any]]:
    if said.content:
        middle = len(said.content) // 2
        yield from ({"content": part} for part in (said.content[:middle], said.content[middle:]) if part)
    for spot, call in enumerate(said.calls):
        index = {"index": spot} if said.indexed else {}
        arguments = call["arguments"]
        if not said.indexed or not isinstance(arguments, str):
            yield {"calls": [{**index, **call}]}
            continue
        middle = len(arguments) // 2
        yield {"calls": [{**index, **call, "arguments": arguments[:middle]}]}
        yield {"calls": [{**index, "arguments": arguments[middle:]}]}
