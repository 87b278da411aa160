"""Reads answers in OpenAI's chat-completions format as OpenRouter, Moonshot, Groq and Together send them.

Deviations from the format are tolerated and noted. This module does not decide whether an answer is right: it passes
the text of tool arguments on byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..errors import ProviderFailure
from ..parsing.message_text import texts_of
from ..types import Answer, UpstreamAttempt, Usage
from .answer_stream import AnswerStream, PartialCall
from .error_bodies import fault, printable_line
from .json_fields import count, event_object, is_count, label, mapping, money, string, whole_object
from .openai_request import build
from .sse import Event

__all__ = ["OpenAIStream", "authorization", "build", "parse", "stream"]

_ABORTED = frozenset({"abort", "aborted", "error", "network_error", "insufficient_system_resource"})
"""Finish reasons of hosts that gave up. OpenRouter passes them on as `native_finish_reason` beside a benign `stop`."""


def authorization(key: str) -> Mapping[str, str]:
    """The HTTP header that carries the API key; empty if `key` is empty."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Parse an answer that is not streamed.

    Raises ExchangeError for an error, even inside a body with HTTP status 200, and for a body that breaks the protocol.
    """
    data = whole_object(status, headers, body)
    choice = _first_choice(data)
    whole = OpenAIStream()
    whole.count(data, choice or {})
    if data.get("error") or status >= 300:
        raise whole.failed(fault(status, data.get("error") or data, headers))
    if choice is None:
        raise ProviderFailure("malformed_body", "no choices in the answer", status=status, phase="parse")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ProviderFailure("malformed_body", "the choice holds no message", status=status, phase="parse")
    whole.envelope(data, choice)
    whole.delta(message, whole=True)
    return whole.answer(complete=True)


class OpenAIStream(AnswerStream):
    """Collects an answer from chunks. Each has an envelope (the fields around the message) and a delta (a piece of it).

    A whole answer is read as one envelope and one delta.
    """

    def __init__(self) -> None:
        super().__init__()
        self._done = False
        self._cost: Decimal | None = None
        self._upstream_cost: Decimal | None = None
        self._own_key = False
        self._upstream: str | None = None
        self._tried: tuple[UpstreamAttempt, ...] = ()

    def finish(self) -> Answer:
        """The answer when the stream has ended.

        Its field `complete` is True if a finish reason came, or if tool calls and then `[DONE]` came.
        """
        return self.answer(complete=self.finish_reason is not None or (self._done and bool(self.calls)))

    def event(self, event: Event) -> None:
        """Take one event of the stream, which holds one chunk. Events after `[DONE]` are ignored.

        Raises ExchangeError for an error.
        """
        payload = event.data.strip()
        if self._done or payload == "[DONE]":
            self._done = True
            return
        if event.is_heartbeat:
            return
        data = event_object(payload)
        choice = _first_choice(data) or {}
        self.count(data, choice)
        if data.get("error") or event.name == "error":
            raise fault(200, data.get("error") or data)
        self.envelope(data, choice)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self.delta(delta, whole=False)

    def envelope(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """Take the fields around the message: finish reason, model, id and upstreams.

        Raises ExchangeError if they report an error.
        """
        if choice.get("error"):
            raise fault(200, choice["error"])
        reason, native = choice.get("finish_reason"), string(choice.get("native_finish_reason"))
        if reason == "error":
            raise ProviderFailure("server_error", "finish_reason error", phase="body", retryable=True)
        self.finished(native if reason and native in _ABORTED else reason)
        self.model = label(data.get("model")) or self.model
        self.id = label(data.get("id")) or self.id
        self._upstream = label(data.get("provider")) or self._upstream
        if isinstance(told := data.get("openrouter_metadata"), dict):
            self._tried = _tried(told) or self._tried

    def count(self, data: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """Take usage and cost, which come with an answer, and sometimes with an error."""
        # Old Moonshot streams carry usage inside the choice; Groq's streams also carry it in `x_groq`.
        for row in (data.get("usage"), choice.get("usage"), mapping(data.get("x_groq")).get("usage")):
            if isinstance(row, dict):
                self.usage = _usage(row) or self.usage
                self._cost = money(row.get("cost")) if row.get("cost") is not None else self._cost
                self._upstream_cost = _upstream_cost(row) or self._upstream_cost
                if row.get("is_byok") is True:
                    self._own_key = True
                    self.notes["byok: the upstream bills the caller's own key"] = None
                if self.usage is None:
                    self.notes["usage_malformed"] = None
                return

    def delta(self, delta: Mapping[str, Any], *, whole: bool) -> None:
        """Take a piece of the message from a stream, or the whole message if `whole`."""
        self.text.extend(map(self.take, filter(None, texts_of(delta.get("content")))))
        # Moonshot sends reasoning_content, OpenRouter and Groq send reasoning. If both come, they are equal.
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        self.reasoning.extend(map(self.take, filter(None, texts_of(thought))))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for row in calls:
                if isinstance(row, dict):
                    self._call(row, whole=whole)

    def _call(self, row: Mapping[str, Any], *, whole: bool) -> None:
        function = mapping(row.get("function"))
        call_id, name = string(row.get("id")), string(function.get("name"))
        call = self.new_call(_numbered(row)) if whole else self._call_of(row, call_id, name)
        if call_id and not call.id:
            call.id = self.take(call_id)
        if name:
            call.name.append(self.take(name))
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            if arguments or whole:
                call.pieces.append(self.take(arguments))
        elif arguments is not None:
            self.take_value(arguments)
            call.whole = arguments
            self.notes["arguments_not_a_string"] = None

    def _call_of(self, row: Mapping[str, Any], call_id: str | None, name: str | None) -> PartialCall:
        """The tool call that a delta belongs to; a new one if the delta begins a call.

        The index alone does not decide: hosts omit it, repeat the id, or send every call as index 0.
        """
        index = row.get("index")
        if isinstance(index, int):
            for call in reversed(self.calls):
                if call.index == index:
                    another = call_id and call.id and call_id != call.id and name
                    return self.new_call(_numbered(row)) if another else call
            return self.new_call(_numbered(row))
        self.notes["tool_call_without_index"] = None
        if call_id:
            return next((call for call in self.calls if call.id == call_id), None) or self.new_call(_numbered(row))
        if self.calls and not (name and self.calls[-1].name and self.calls[-1].pieces):
            return self.calls[-1]
        return self.new_call(_numbered(row))

    def _billed(self) -> Decimal | None:
        """USD that the caller pays, or None if unknown.

        If the upstream bills the caller's own key, `cost` is only the gateway's share, and the upstream's is added.
        """
        if not self._own_key or self._cost is None:
            return self._cost
        return None if self._upstream_cost is None else self._cost + self._upstream_cost

    def answer(self, *, complete: bool) -> Answer:
        """The answer made of all parts received so far, with the cost and the upstreams that a gateway reports."""
        known = super().answer(complete=complete)
        return replace(known, reported_cost_usd=self._billed(), upstream=self._upstream, tried=self._tried)


stream = OpenAIStream


def _numbered(row: Mapping[str, Any]) -> PartialCall:
    index = row.get("index")
    return PartialCall(index if isinstance(index, int) else None)


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
    """The upstream's cost in USD, from OpenRouter's `cost_details`; None if unknown.

    It is the total if given, else the sum of the costs of prompt and completion.
    """
    details = mapping(row.get("cost_details"))
    if (whole := money(details.get("upstream_inference_cost"))) is not None:
        return whole
    prompt, answer = (money(details.get(f"upstream_inference_{part}_cost")) for part in ("prompt", "completions"))
    return None if prompt is None or answer is None else prompt + answer


def _tried(told: Mapping[str, Any]) -> tuple[UpstreamAttempt, ...]:
    """The upstreams that OpenRouter tried for this request, in the order of the tries.

    OpenRouter lists them if the request has the header `X-OpenRouter-Metadata: enabled`.
    """
    rows = told.get("attempts")
    return tuple(
        UpstreamAttempt(printable_line(row["provider"], 60), row["status"] if is_count(row.get("status")) else None)
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and string(row.get("provider"))
    )
