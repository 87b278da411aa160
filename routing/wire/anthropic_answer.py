"""Reads whole and streamed answers of Anthropic's Messages API and translates their fields into OpenAI's names.

A whole answer holds tool arguments as a JSON object. The exact text of that object is passed on, so that verification
sees duplicate keys and long numbers. Thinking becomes the answer's reasoning. Blocks of tools that ran at Anthropic are
left out of the answer and noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ProviderFailure
from ..types import Answer, Usage
from .answer_stream import AnswerStream, PartialCall
from .anthropic_request import build
from .error_bodies import fault, printable_line
from .json_fields import children, event_object, first, is_count, label, mapping, string, whole_object
from .sse import Event

__all__ = ["AnthropicStream", "authorization", "build", "parse", "stream"]

_MAX_NOTES = 100


def authorization(key: str) -> Mapping[str, str]:
    """The HTTP header that carries the API key; empty if `key` is empty."""
    return {"x-api-key": key} if key else {}


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Parse an answer that is not streamed.

    Raises ExchangeError for an error, even inside a body with HTTP status 200, and for a body that breaks the protocol.
    """
    data = whole_object(status, headers, body)
    whole = AnthropicStream()
    whole.envelope(data)
    if data.get("error") or data.get("type") == "error" or status >= 300:
        raise whole.failed(fault(status, data.get("error") or data, headers))
    content = data.get("content")
    if not isinstance(content, list):
        raise ProviderFailure("malformed_body", "no content in the answer", status=status, phase="parse")
    inputs = _inputs(body.decode("utf-8-sig"))
    for block, raw in zip(content, inputs, strict=True):
        if isinstance(block, Mapping):
            whole.block(block, raw)
    whole.stopped(data)
    return whole.answer(complete=True)


def _inputs(text: str) -> Iterator[str]:
    """Yield, for each content block of the answer in `text`, the exact JSON text of its `input`; empty if it has none.

    If a key occurs twice in one object, its last value counts, as in `json.loads`.
    """
    places = {key: start for key, start, _ in children(text, first(text))}
    for _, at, _ in children(text, places["content"]):
        spans = {key: text[a:b] for key, a, b in children(text, at)} if text[at] == "{" else {}
        yield spans.get("input", "")


class AnthropicStream(AnswerStream):
    """Collects an answer from content blocks and deltas. A whole answer is read as a list of complete blocks."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: dict[str, int] = {}

    def event(self, event: Event) -> None:
        """Take one event of the stream. Raises ExchangeError for an error event."""
        if event.is_heartbeat or event.data.strip() == "[DONE]":  # some gateways close the stream as OpenAI does
            return
        data = event_object(event.data)
        kind = data.get("type")
        if kind == "error" or event.name == "error" or data.get("error"):
            raise fault(200, data.get("error") or data)
        if kind == "message_start":
            self.envelope(mapping(data.get("message")))
        elif kind == "content_block_start":
            self.start(data.get("index"), mapping(data.get("content_block")))
        elif kind == "content_block_delta":
            self.delta(data.get("index"), mapping(data.get("delta")))
        elif kind == "message_delta":
            self.stopped(mapping(data.get("delta")))
            self.count_tokens(mapping(data.get("usage")))

    def envelope(self, message: Mapping[str, Any]) -> None:
        """Take model, id and usage: the fields of a message beside its content."""
        self.model = label(message.get("model")) or self.model
        self.id = label(message.get("id")) or self.id
        self.count_tokens(mapping(message.get("usage")))

    def count_tokens(self, row: Mapping[str, Any]) -> None:
        """Take the token counts of a `usage` object. In a stream they are running totals, so the last ones count."""
        names = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        self._tokens |= {name: row[name] for name in names if is_count(row.get(name))}
        thought = mapping(row.get("output_tokens_details")).get("thinking_tokens")
        if is_count(thought):
            self._tokens["thinking"] = thought
        self.usage = _usage(self._tokens) or self.usage

    def stopped(self, row: Mapping[str, Any]) -> None:
        """Take `stop_reason` from `row`, if it has one, and translate it into OpenAI's finish reason."""
        self.finished(row.get("stop_reason"))

    def block(self, block: Mapping[str, Any], raw_input: str) -> None:
        """Take a complete content block of a whole answer. `raw_input` is the exact JSON text of its `input`."""
        self.start(None, block)
        if block.get("type") == "tool_use":
            self.calls[-1].pieces.append(raw_input)

    def start(self, index: Any, block: Mapping[str, Any]) -> None:
        """Start a content block, and take the content that its start event holds already."""
        kind = block.get("type")
        if kind == "tool_use":
            call_id = string(block.get("id"))
            call = PartialCall(_place(index), call_id and self.take(call_id), "{}")
            self._take(call.name, block.get("name"))
            if given := mapping(block.get("input")):  # used if no `input_json_delta` follows
                call.whole = self.take_value(given)
            self.new_call(call)
        elif kind == "text":
            self._take(self.text, block.get("text"))
        elif kind == "thinking":
            self._take(self.reasoning, block.get("thinking"))
        elif kind != "redacted_thinking" and len(self.notes) < _MAX_NOTES:
            self.notes[f"block_left_out: {printable_line(kind, 60)}"] = None

    def delta(self, index: Any, delta: Mapping[str, Any]) -> None:
        """Add the content of one delta to the answer; `index` is that of its block.

        Citations and signatures are left out.
        """
        kind = delta.get("type")
        if kind == "text_delta":
            self._take(self.text, delta.get("text"))
        elif kind == "thinking_delta":
            self._take(self.reasoning, delta.get("thinking"))
        elif kind == "input_json_delta":
            piece, place = delta.get("partial_json"), _place(index)
            for call in reversed(self.calls):
                if call.index == place:
                    self._take(call.pieces, piece)
                    break

    def _take(self, pieces: list[str], text: Any) -> None:
        if isinstance(text, str) and text:
            pieces.append(self.take(text))


stream = AnthropicStream


def _place(index: Any) -> int | str:
    """A block's index in a form that can be compared: an integer unchanged, any other value as short text."""
    return index if isinstance(index, int) else printable_line(index, 40)


def _usage(tokens: Mapping[str, int]) -> Usage | None:
    """Usage as OpenAI counts it; None if the input or output tokens are missing.

    Anthropic's `input_tokens` leave out cached tokens, read or written, so these are added.
    """
    if "input_tokens" not in tokens or "output_tokens" not in tokens:
        return None
    written, read = tokens.get("cache_creation_input_tokens", 0), tokens.get("cache_read_input_tokens", 0)
    return Usage(
        prompt_tokens=tokens["input_tokens"] + written + read,
        completion_tokens=tokens["output_tokens"],
        cached_tokens=read,
        reasoning_tokens=tokens.get("thinking", 0),
        cache_write_tokens=written,
    )
