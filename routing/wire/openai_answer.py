"""OpenAI's chat completions as OpenRouter, Moonshot, Groq and Together speak it, their deviations tolerated and noted.

Nothing here decides whether an answer is right: argument strings come out byte for byte as they came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..bounds import Room
from ..errors import ProviderFailure
from ..types import Answer, RawToolCall, Tried, Usage
from .error_bodies import fault, one_line
from .json_fields import MAX_CALLS, count, event_object, is_count, mapping, money, string, texts, whole_object
from .openai_request import build
from .sse import Decoder, Event

__all__ = ["Stream", "authorization", "build", "parse", "stream"]

_FINISH = {"eos": "stop", "function_call": "tool_calls"}  # Together's, and OpenAI's older name


def authorization(key: str) -> Mapping[str, str]:
    """The header that carries the key; none for a host that needs none."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """A whole answer. Raises ExchangeError for error statuses, errors inside a 200 and bodies off the protocol."""
    data = whole_object(status, headers, body)
    if data.get("error"):
        raise fault(status, data["error"], headers)
    if status >= 300:
        raise fault(status, data, headers)
    choice = _first_choice(data)
    if choice is None:
        raise ProviderFailure("malformed_body", "no choices in the answer", status=status, phase="parse")
    assembly = _Assembly()
    message = choice.get("message")
    if not isinstance(message, dict):
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
        data = event_object(payload)
        if data.get("error") or event.name == "error":
            raise fault(200, data.get("error") or data)
        choice = _first_choice(data) or {}
        self._assembly.envelope(data, choice)
        delta = choice.get("delta")
        if isinstance(delta, dict):
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
        self.upstream_cost: Decimal | None = None
        self.own_key = False
        self.model: str | None = None
        self.upstream: str | None = None
        self.id: str | None = None
        self.tried: tuple[Tried, ...] = ()
        self.notes: dict[str, None] = {}
        self._room = Room()

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
        if isinstance(told := data.get("openrouter_metadata"), dict):
            self.tried = _tried(told) or self.tried
        self._usage(data, choice)

    def _usage(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        # Old Moonshot streams carry it inside the choice, Groq's in a corner of its own as well.
        for row in (data.get("usage"), choice.get("usage"), mapping(data.get("x_groq")).get("usage")):
            if isinstance(row, dict):
                self.usage = _usage(row) or self.usage
                self.cost = money(row.get("cost")) if row.get("cost") is not None else self.cost
                self.upstream_cost = _upstream_cost(row) or self.upstream_cost
                if row.get("is_byok") is True:
                    self.own_key = True
                    self.notes["byok: the upstream bills the caller's own key"] = None
                if self.usage is None:
                    self.notes["usage_malformed"] = None
                return

    def delta(self, delta: Mapping[str, Any], *, whole: bool) -> None:
        self.text.extend(map(self._room.take, texts(delta.get("content"))))
        # Moonshot says reasoning_content, OpenRouter and Groq reasoning; where both stand they say the same.
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        self.reasoning.extend(map(self._room.take, texts(thought)))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for row in calls:
                if isinstance(row, dict):
                    self._call(row, whole=whole)

    def _call(self, row: Mapping[str, Any], *, whole: bool) -> None:
        function = mapping(row.get("function"))
        call_id, name = string(row.get("id")), string(function.get("name"))
        slot = self._new(row) if whole else self._slot(row, call_id, name)
        if call_id and not slot.id:
            slot.id = self._room.take(call_id)
        if name and not (slot.name or "").endswith(name):
            slot.name = (slot.name or "") + self._room.take(name) if not slot.fragments else slot.name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            if arguments or whole:
                slot.fragments.append(self._room.take(arguments))
        elif arguments is not None:
            self._room.take_value(arguments)
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

    def _billed(self) -> Decimal | None:
        """What the caller pays. With a key of the caller's own at the upstream, `cost` is the gateway's share alone."""
        if not self.own_key or self.cost is None:
            return self.cost
        return None if self.upstream_cost is None else self.cost + self.upstream_cost

    def answer(self, *, complete: bool) -> Answer:
        return Answer(
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            tool_calls=tuple(slot.call() for slot in self.slots),
            finish_reason=self.finish_reason,
            usage=self.usage,
            reported_cost_usd=self._billed(),
            model=self.model,
            upstream=self.upstream,
            generation_id=self.id,
            complete=complete,
            notes=tuple(self.notes),
            tried=self.tried,
            upstream_cost_usd=self.upstream_cost,
        )


def _first_choice(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _usage(row: Mapping[str, Any]) -> Usage | None:
    prompt, completion = row.get("prompt_tokens"), row.get("completion_tokens")
    if not is_count(prompt) or not is_count(completion):
        return None
    details = mapping(row.get("prompt_tokens_details"))
    cached = min(count(details.get("cached_tokens")) or count(row.get("cached_tokens")), prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=count(mapping(row.get("completion_tokens_details")).get("reasoning_tokens")),
        cache_write_tokens=min(count(details.get("cache_write_tokens")), prompt - cached),
    )


def _upstream_cost(row: Mapping[str, Any]) -> Decimal | None:
    """OpenRouter's `cost_details`: the whole where it is told, else prompt and answer together."""
    details = mapping(row.get("cost_details"))
    if (whole := money(details.get("upstream_inference_cost"))) is not None:
        return whole
    prompt, answer = (money(details.get(f"upstream_inference_{part}_cost")) for part in ("prompt", "completions"))
    return None if prompt is None or answer is None else prompt + answer


def _tried(told: Mapping[str, Any]) -> tuple[Tried, ...]:
    """The upstreams that OpenRouter asked (`X-OpenRouter-Metadata: enabled`), in its order."""
    rows = told.get("attempts")
    return tuple(
        Tried(one_line(row["provider"], 60), row["status"] if is_count(row.get("status")) else None)
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and string(row.get("provider"))
    )
