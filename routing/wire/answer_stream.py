"""Assembles one answer from its parts, within limits: the base of all protocols' streams (docs/decisions.md). Pure."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from ..errors import ProviderFailure
from ..types import Answer, RawToolCall, Usage
from .sse import Decoder, Event

MAX_TEXT = 2 << 20
"""Characters of one answer."""
MAX_PIECES = 400_000
"""Pieces of text in one stream: each costs 60 bytes beside its characters."""
MAX_CALLS = 1024
"""The most tool calls in one answer. A host that sends more is broken."""


class TextLimit:
    """Counts characters and pieces of one answer; `take` raises ProviderFailure when a limit is exceeded."""

    __slots__ = ("_characters", "_pieces")

    def __init__(self) -> None:
        self._characters, self._pieces = MAX_TEXT, MAX_PIECES

    def take(self, text: str) -> str:
        """Count a text and return it."""
        self._characters -= len(text)
        self._pieces -= 1
        if self._characters < 0 or self._pieces < 0:
            detail = f"more than {MAX_TEXT} characters or {MAX_PIECES} pieces of text"
            raise ProviderFailure("body_too_large", detail, phase="body")
        return text

    def take_value(self, value: Any) -> str:
        """Count a JSON value, with the objects that it holds, and return its text."""
        text = json.dumps(value, ensure_ascii=False)
        self._pieces -= sum(map(text.count, "{[,:"))
        return self.take(text)


@dataclass(slots=True)
class PartialCall:
    """One tool call under assembly. `whole` holds arguments that came as one value; pieces that follow replace it."""

    index: int | str | None
    id: str | None = None
    name: str | None = None
    whole: Any = None
    pieces: list[str] = field(default_factory=list)

    def call(self) -> RawToolCall:
        """The call as far as it has come."""
        text = "".join(self.pieces)
        return RawToolCall(self.id, self.name, self.whole if self.whole is not None and not text else text)


class AnswerStream(ABC):
    """Collects the parts of one answer. A subclass reads the events and the whole answers of its protocol."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[PartialCall] = []
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.model: str | None = None
        self.id: str | None = None
        self.notes: dict[str, None] = {}
        self.limit = TextLimit()
        self._decoder = Decoder()

    @abstractmethod
    def event(self, event: Event) -> None:
        """Take one event of a stream. Raises ExchangeError for an error, wherever it comes in the stream."""

    def feed(self, chunk: bytes) -> bool:
        """Take bytes; True once the answer has content. Raises ExchangeError for an error in the stream."""
        for event in self._decoder.feed(chunk):
            self.event(event)
        return bool(self.text or self.reasoning or self.calls)

    def finish(self) -> Answer:
        """The answer. `complete` is false if no finish reason came."""
        return self.answer(complete=self.finish_reason is not None)

    def new_call(self, call: PartialCall) -> PartialCall:
        """Add a call. Raises ProviderFailure for more than MAX_CALLS."""
        if len(self.calls) >= MAX_CALLS:
            raise ProviderFailure("malformed_body", f"more than {MAX_CALLS} tool calls", phase="body")
        self.calls.append(call)
        return call

    def answer(self, *, complete: bool) -> Answer:
        """The answer as far as it has come."""
        return Answer(
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            tool_calls=tuple(call.call() for call in self.calls),
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self.model,
            generation_id=self.id,
            complete=complete,
            notes=tuple(self.notes),
        )
