"""Anthropic's Messages API: whole and streamed answers, translated into OpenAI's names.

A whole answer holds tool arguments as an object. They are passed on as the exact text of that object, so that
verification sees duplicate keys and long numbers. Thinking becomes reasoning. Blocks of tools that ran at Anthropic
are not part of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ProviderFailure
from ..types import Answer, RawToolCall, Usage
from . import json_spans
from .anthropic_request import build
from .error_bodies import fault, printable_line
from .json_fields import MAX_CALLS, count, event_object, is_count, mapping, string, whole_object
from .limits import TextLimit
from .sse import Decoder, Event

__all__ = ["AnthropicStream", "authorization", "build", "parse", "stream"]

_MAX_NOTES = 100

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def authorization(key: str) -> Mapping[str, str]:
    """The header that carries the key."""
    return {"x-api-key": key} if key else {}


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Parse a whole answer.

    Raises ExchangeError for errors, also inside a 200, and for bodies that break the protocol.
    """
    data = whole_object(status, headers, body)
    if data.get("error") or data.get("type") == "error" or status >= 300:
        raise fault(status, data.get("error") or data, headers)
    content = data.get("content")
    if not isinstance(content, list):
        raise ProviderFailure("malformed_body", "no content in the answer", status=status, phase="parse")
    assembly = _AnthropicAssembly()
    assembly.envelope(data)
    inputs = _inputs(body.decode("utf-8-sig"))
    for block, raw in zip(content, inputs, strict=True):
        if isinstance(block, Mapping):
            assembly.block(block, raw)
    assembly.stopped(data)
    return assembly.answer(complete=True)


def _inputs(text: str) -> Iterator[str]:
    """The text of each content block's `input`; empty if a block has none.

    If a key occurs twice, the last one counts, as in `json.loads`.
    """
    places = {key: (start, end) for key, start, end in json_spans.members(text, json_spans.first(text))}
    start, _ = places["content"]
    for at, _ in json_spans.items(text, start):
        spans = {key: (a, b) for key, a, b in json_spans.members(text, at)} if text[at] == "{" else {}
        a, b = spans.get("input", (0, 0))
        yield text[a:b]


class AnthropicStream:
    """Assembles a streamed answer. An error event raises its error, wherever it comes in the stream."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._assembly = _AnthropicAssembly()

    def feed(self, chunk: bytes) -> bool:
        """Take bytes; True once the answer has content. Raises ExchangeError for an error in the stream."""
        for event in self._decoder.feed(chunk):
            self._event(event)
        return self._assembly.begun

    def finish(self) -> Answer:
        """The answer. `complete` is false if no stop reason came."""
        return self._assembly.answer(complete=self._assembly.finish_reason is not None)

    def _event(self, event: Event) -> None:
        if event.data.strip() in {"", "[DONE]"}:  # some gateways close the stream as OpenAI does
            return
        data = event_object(event.data)
        kind = data.get("type")
        if kind == "error" or event.name == "error" or data.get("error"):
            raise fault(200, data.get("error") or data)
        assembly = self._assembly
        if kind == "message_start":
            assembly.envelope(mapping(data.get("message")))
        elif kind == "content_block_start":
            assembly.start(data.get("index"), mapping(data.get("content_block")))
        elif kind == "content_block_delta":
            assembly.delta(data.get("index"), mapping(data.get("delta")))
        elif kind == "message_delta":
            assembly.stopped(mapping(data.get("delta")))
            assembly.usage(mapping(data.get("usage")))


def stream() -> AnthropicStream:
    """A new streamed answer."""
    return AnthropicStream()


@dataclass(slots=True)
class _PartialToolUse:
    """One tool call under assembly."""

    index: int | str
    id: str | None
    name: str | None
    pieces: list[str] = field(default_factory=list)
    given: str = "{}"
    """The input in the block's start event: used if no `input_json_delta` follows."""

    def call(self) -> RawToolCall:
        return RawToolCall(self.id, self.name, "".join(self.pieces) or self.given)


def _place(index: Any) -> int | str:
    """The index of a block: an integer, or short text for anything else that a host sends."""
    return index if isinstance(index, int) else printable_line(index, 40)


class _AnthropicAssembly:
    """Collects blocks and deltas; a whole answer consists of complete blocks."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[_PartialToolUse] = []
        self.finish_reason: str | None = None
        self._tokens: dict[str, int] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._notes: dict[str, None] = {}
        self._limit = TextLimit()

    @property
    def begun(self) -> bool:
        return bool(self.text or self.reasoning or self.calls)

    def envelope(self, message: Mapping[str, Any]) -> None:
        """Take the fields of a message other than its content: model, id, usage."""
        self._model = printable_line(message["model"], 200) if string(message.get("model")) else self._model
        self._id = printable_line(message["id"], 200) if string(message.get("id")) else self._id
        self.usage(mapping(message.get("usage")))

    def usage(self, row: Mapping[str, Any]) -> None:
        """Take token counts. In a stream they are running totals, so the last ones count."""
        names = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        self._tokens |= {name: row[name] for name in names if is_count(row.get(name))}
        thought = mapping(row.get("output_tokens_details")).get("thinking_tokens")
        if is_count(thought):
            self._tokens["thinking"] = thought

    def stopped(self, row: Mapping[str, Any]) -> None:
        """Take the stop reason."""
        if reason := string(row.get("stop_reason")):
            self.finish_reason = _FINISH.get(reason, reason)

    def block(self, block: Mapping[str, Any], raw_input: str) -> None:
        """Take a complete block."""
        self.start(None, block)
        if block.get("type") == "tool_use":
            self.calls[-1].pieces.append(raw_input)

    def start(self, index: Any, block: Mapping[str, Any]) -> None:
        """Start a block, with the content that its start event holds."""
        kind = block.get("type")
        if kind == "tool_use":
            if len(self.calls) >= MAX_CALLS:
                raise ProviderFailure("malformed_body", f"more than {MAX_CALLS} tool calls", phase="body")
            call = _PartialToolUse(_place(index), self._word(block.get("id")), self._word(block.get("name")))
            if given := mapping(block.get("input")):
                call.given = self._limit.take_value(given)
            self.calls.append(call)
        elif kind == "text":
            self._take(self.text, block.get("text"))
        elif kind == "thinking":
            self._take(self.reasoning, block.get("thinking"))
        elif kind != "redacted_thinking" and len(self._notes) < _MAX_NOTES:
            self._notes[f"block_left_out: {printable_line(kind, 60)}"] = None

    def delta(self, index: Any, delta: Mapping[str, Any]) -> None:
        """Add a piece to a block. Citations and signatures are not part of the answer."""
        kind = delta.get("type")
        if kind == "text_delta":
            self._take(self.text, delta.get("text"))
        elif kind == "thinking_delta":
            self._take(self.reasoning, delta.get("thinking"))
        elif kind == "input_json_delta":
            piece, place = delta.get("partial_json"), _place(index)
            for call in reversed(self.calls):
                if call.index == place and isinstance(piece, str):
                    self._take(call.pieces, piece)
                    break

    def _word(self, value: Any) -> str | None:
        return self._limit.take(value) if string(value) else None

    def _take(self, pieces: list[str], text: Any) -> None:
        if isinstance(text, str) and text:
            pieces.append(self._limit.take(text))

    def answer(self, *, complete: bool) -> Answer:
        """The answer as far as it has come."""
        return Answer(
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            tool_calls=tuple(call.call() for call in self.calls),
            finish_reason=self.finish_reason,
            usage=self._usage(),
            model=self._model,
            generation_id=self._id,
            complete=complete,
            notes=tuple(self._notes),
        )

    def _usage(self) -> Usage | None:
        """Usage in OpenAI's sense. Anthropic's `input_tokens` leave out cached tokens, whether read or written."""
        tokens = self._tokens
        if "input_tokens" not in tokens or "output_tokens" not in tokens:
            return None
        written, read = count(tokens.get("cache_creation_input_tokens")), count(tokens.get("cache_read_input_tokens"))
        return Usage(
            prompt_tokens=tokens["input_tokens"] + written + read,
            completion_tokens=tokens["output_tokens"],
            cached_tokens=read,
            reasoning_tokens=tokens.get("thinking", 0),
            cache_write_tokens=written,
        )
