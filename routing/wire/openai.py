"""OpenAI's chat completions as OpenRouter, Moonshot, Groq and Together speak it, their deviations tolerated and noted.

Nothing here decides whether an answer is right: argument strings come out byte for byte as they came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

from ..catalog import Endpoint, Provider
from ..errors import ProviderFailure
from ..types import Answer, ChatRequest, JsonObject, RawToolCall, Usage
from . import WireRequest
from .fault import fault, one_line
from .sse import Decoder, Event

_FINISH = {"eos": "stop", "function_call": "tool_calls"}  # Together's, and OpenAI's older name
MAX_CALLS = 1024


def authorization(key: str) -> Mapping[str, str]:
    """The header that carries the key."""
    return {"Authorization": f"Bearer {key}"}


def build(request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest:
    """The request body; only what was asked for is sent, since OpenRouter filters upstreams on every parameter."""
    body: JsonObject = {
        "model": endpoint.provider_model_id,
        "messages": [dict(message) for message in request.messages],
    }
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None and "fixed_sampling" not in provider.quirks:
        body["temperature"] = request.temperature
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if endpoint.upstream and "upstream_pinning" in provider.quirks:
        # `order` alone does not restrict, and a base slug matches by prefix: only the full tag pins.
        body["provider"] = {"only": [endpoint.upstream], "allow_fallbacks": False, "require_parameters": True}
    return WireRequest("/chat/completions", body)


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """A whole answer. Raises ExchangeError for error statuses, errors inside a 200 and bodies off the protocol."""
    data = _object(status, headers, body)
    if data.get("error"):
        raise fault(status, data["error"], headers)
    if status >= 300:
        raise fault(status, data, headers)
    choice = _first_choice(data)
    if choice is None:
        raise ProviderFailure("malformed_body", "no choices in the answer", status=status, phase="parse")
    assembly = _Assembly()
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise ProviderFailure("malformed_body", "the choice holds no message", status=status, phase="parse")
    assembly.envelope(data, choice)
    assembly.delta(message, whole=True)
    return assembly.answer(complete=True)


class Stream:
    """A streamed answer under assembly; errors in the stream are raised where they come, at any place."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._assembly = _Assembly()
        self._done = False

    def feed(self, chunk: bytes) -> bool:
        """Take bytes; True once the answer has content. Raises ExchangeError for an error in the stream."""
        for event in self._decoder.feed(chunk):
            self._event(event)
        return self._assembly.begun

    def finish(self) -> Answer:
        """The answer. `complete` is false where neither a finish reason nor tool calls before `[DONE]` ended it."""
        assembly = self._assembly
        ended = assembly.finish_reason is not None or (self._done and bool(assembly.slots))
        return assembly.answer(complete=ended)

    def _event(self, event: Event) -> None:
        payload = event.data.strip()
        if self._done or payload == "[DONE]":
            self._done = True
            return
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            raise ProviderFailure("malformed_body", "a stream event is not JSON", phase="body") from None
        if not isinstance(data, Mapping):
            raise ProviderFailure("malformed_body", "a stream event is not an object", phase="body")
        if data.get("error") or event.name == "error":
            raise fault(200, data.get("error") or data)
        choice = _first_choice(data) or {}
        self._assembly.envelope(data, choice)
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            self._assembly.delta(delta, whole=False)


def stream() -> Stream:
    """A new streamed answer."""
    return Stream()


@dataclass(slots=True)
class _Slot:
    """One tool call under assembly."""

    index: int | None
    id: str | None = None
    name: str | None = None
    fragments: list[str] = field(default_factory=list)
    value: Any = None
    """Arguments that came as JSON value instead of a string."""

    def call(self) -> RawToolCall:
        whole = "".join(self.fragments)
        return RawToolCall(self.id, self.name, self.value if self.value is not None and not whole else whole)


class _Assembly:
    """Collects envelope fields and deltas; a plain answer is one envelope and one delta."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.slots: list[_Slot] = []
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.cost: Decimal | None = None
        self.model: str | None = None
        self.upstream: str | None = None
        self.id: str | None = None
        self.notes: dict[str, None] = {}

    @property
    def begun(self) -> bool:
        return bool(self.text or self.reasoning or self.slots)

    def envelope(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        if choice.get("error"):
            raise fault(200, choice["error"])
        reason = choice.get("finish_reason")
        if reason == "error":
            raise ProviderFailure("server_error", "finish_reason error", phase="body", retryable=True)
        if isinstance(reason, str) and reason:
            self.finish_reason = _FINISH.get(reason, reason)
        for name, attribute in (("model", "model"), ("provider", "upstream"), ("id", "id")):
            if isinstance(value := data.get(name), str) and value:
                setattr(self, attribute, one_line(value, 200))
        self._usage(data, choice)

    def _usage(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        groq = data.get("x_groq")
        for row in (data.get("usage"), choice.get("usage"), groq.get("usage") if isinstance(groq, Mapping) else None):
            if isinstance(row, Mapping):
                self.usage = _usage(row) or self.usage
                self.cost = _money(row.get("cost")) if row.get("cost") is not None else self.cost
                if self.usage is None:
                    self.notes["usage_malformed"] = None
                return

    def delta(self, delta: Mapping[str, Any], *, whole: bool) -> None:
        self.text.extend(_texts(delta.get("content")))
        # Moonshot says reasoning_content, OpenRouter and Groq reasoning; where both stand they say the same.
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        self.reasoning.extend(_texts(thought))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for row in calls:
                if isinstance(row, Mapping):
                    self._call(row, whole=whole)

    def _call(self, row: Mapping[str, Any], *, whole: bool) -> None:
        function = row.get("function")
        function = function if isinstance(function, Mapping) else {}
        call_id, name = _string(row.get("id")), _string(function.get("name"))
        slot = self._new(row) if whole else self._slot(row, call_id, name)
        slot.id = slot.id or call_id
        if name and not (slot.name or "").endswith(name):
            slot.name = (slot.name or "") + name if not slot.fragments else slot.name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            if arguments or whole:
                slot.fragments.append(arguments)
        elif arguments is not None:
            slot.value = arguments
            self.notes["arguments_not_a_string"] = None

    def _new(self, row: Mapping[str, Any]) -> _Slot:
        if len(self.slots) >= MAX_CALLS:
            raise ProviderFailure("malformed_body", f"more than {MAX_CALLS} tool calls", phase="body")
        index = row.get("index")
        self.slots.append(_Slot(index if isinstance(index, int) else None))
        return self.slots[-1]

    def _slot(self, row: Mapping[str, Any], call_id: str | None, name: str | None) -> _Slot:
        """The call that a delta belongs to; hosts omit the index, repeat the id, or send every call as index 0."""
        index = row.get("index")
        if isinstance(index, int):
            for slot in reversed(self.slots):
                if slot.index == index:
                    another = call_id and slot.id and call_id != slot.id and name
                    return self._new(row) if another else slot
            return self._new(row)
        self.notes["tool_call_without_index"] = None
        if call_id:
            return next((slot for slot in self.slots if slot.id == call_id), None) or self._new(row)
        if self.slots and not (name and self.slots[-1].fragments):
            return self.slots[-1]
        return self._new(row)

    def answer(self, *, complete: bool) -> Answer:
        return Answer(
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            tool_calls=tuple(slot.call() for slot in self.slots),
            finish_reason=self.finish_reason,
            usage=self.usage,
            reported_cost_usd=self.cost,
            model=self.model,
            upstream=self.upstream,
            generation_id=self.id,
            complete=complete,
            notes=tuple(self.notes),
        )


def _object(status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        if status < 400:
            raise ProviderFailure("bad_encoding", "the body is not UTF-8", status=status, phase="parse") from None
        data = None
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, Mapping):
        return data
    if status >= 300:
        raise fault(status, {"message": body[:400].decode("utf-8", "replace")}, headers)
    what = "an empty body" if not body.strip() else "the body is not a JSON object"
    raise ProviderFailure("malformed_body", what, status=status, phase="parse", retryable=True)


def _first_choice(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else None


def _texts(content: Any) -> Iterable[str]:
    """Text of a content field: a string, or parts of which some are text."""
    if isinstance(content, str):
        return (content,) if content else ()
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return tuple(text for text in parts if isinstance(text, str) and text)
    return ()


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _usage(row: Mapping[str, Any]) -> Usage | None:
    prompt, completion = row.get("prompt_tokens"), row.get("completion_tokens")
    if not _count(prompt) or not _count(completion):
        return None
    details = row.get("prompt_tokens_details")
    cached = (details if isinstance(details, Mapping) else {}).get("cached_tokens", row.get("cached_tokens"))
    spent = row.get("completion_tokens_details")
    thought = (spent if isinstance(spent, Mapping) else {}).get("reasoning_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=min(cached, prompt) if _count(cached) else 0,
        reasoning_tokens=thought if _count(thought) else 0,
    )


def _count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _money(value: Any) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
