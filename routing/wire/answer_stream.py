"""Base class of the streams of all protocols: it assembles one answer from its parts, within limits. Pure.

docs/decisions.md explains the limits.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExchangeError, ProviderFailure
from ..parsing.message_text import joined
from ..reasons import FINISH_REASONS
from ..types import Answer, RawToolCall, Usage
from .json_fields import label
from .sse import Decoder, Event

MAX_TEXT = 2 << 20
"""The most characters in one answer: text, reasoning and tool calls together."""
MAX_PIECES = 400_000
"""The most pieces of text in one answer. Each takes 60 bytes of memory in addition to its characters."""
MAX_CALLS = 1024
"""The most tool calls in one answer. A host that sends more is broken."""


class PartialText:
    """A text that comes in pieces."""

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self.pieces)

    def add(self, piece: str) -> None:
        """Add a piece at the end."""
        self.pieces.append(piece)
        self.size += len(piece)

    def is_repeated_by(self, piece: str) -> bool:
        """Whether the piece is the whole text received so far, once more."""
        return len(piece) == self.size and piece == "".join(self.pieces)


@dataclass(slots=True)
class PartialCall:
    """One tool call under assembly.

    `index` identifies the call in later events. `whole` holds arguments that came as one JSON value; `arguments` hold
    arguments that came as text. If both came, only `arguments` count.
    """

    index: int | str | None
    id: str | None = None
    whole: Any = None
    name: PartialText = field(default_factory=PartialText)
    arguments: PartialText = field(default_factory=PartialText)

    def add_name(self, piece: str) -> None:
        """Take a piece of the name. Some hosts repeat the whole name in every event."""
        if not self.name.is_repeated_by(piece):
            self.name.add(piece)

    def add_arguments(self, piece: str) -> None:
        """Take a piece of the arguments. A piece that repeats all of them is left out if they are complete."""
        if not (self.arguments.is_repeated_by(piece) and _is_json(piece)):
            self.arguments.add(piece)

    def call(self) -> RawToolCall:
        """The call with the arguments received so far."""
        text = joined(self.arguments.pieces, "surrogatepass")  # strict JSON refuses half a pair
        arguments = self.whole if self.whole is not None and not text else text
        return RawToolCall(self.id and joined([self.id]), joined(self.name.pieces) or None, arguments)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class AnswerStream(ABC):
    """Collects the parts of one answer. Each protocol has a subclass that reads its events and its whole answers."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[PartialCall] = []
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.model: str | None = None
        self.id: str | None = None
        self.notes: dict[str, None] = {}
        self._decoder = Decoder()
        self._characters, self._pieces = MAX_TEXT, MAX_PIECES

    @property
    def ended(self) -> bool:
        """Whether the finish reason has come."""
        return self.finish_reason is not None

    @abstractmethod
    def event(self, event: Event) -> None:
        """Take one event of the stream. Raises ExchangeError if it reports an error, even after part of the answer."""

    def feed(self, chunk: bytes) -> bool:
        """Take bytes of the stream. Returns True as soon as the answer has text, reasoning or a tool call.

        Raises ExchangeError for an error in the stream.
        """
        for event in self._decoder.feed(chunk):
            self.event(event)
        return bool(self.text or self.reasoning or self.calls)

    def take(self, text: str) -> str:
        """Count `text` as one piece and return it. Raises ProviderFailure beyond `MAX_TEXT` or `MAX_PIECES`."""
        self._characters -= len(text)
        self._pieces -= 1
        if self._characters < 0 or self._pieces < 0:
            detail = f"more than {MAX_TEXT} characters or {MAX_PIECES} pieces of text"
            raise ProviderFailure("body_too_large", detail, phase="body")
        return text

    def take_value(self, value: Any) -> str:
        """Count the JSON text of `value` and return it. Raises ProviderFailure if a limit is exceeded.

        Each `{`, `[`, `,` and `:` in it counts as a piece, because each member of the value takes memory.
        """
        text = json.dumps(value, ensure_ascii=False)
        self._pieces -= sum(map(text.count, "{[,:"))
        return self.take(text)

    def finish(self) -> Answer:
        """The answer when the stream has ended. Its field `complete` is False if no finish reason came."""
        return self.answer(complete=self.finish_reason is not None)

    def failed(self, error: ExchangeError) -> ExchangeError:
        """The error that came instead of an answer, with the usage and cost that came with it."""
        came = self.answer(complete=False)
        error.received = came if came.usage is not None or came.reported_cost_usd is not None else None
        return error

    def finished(self, reason: Any) -> None:
        """Take a finish reason; null and empty text are none. A reason that is not known is passed on as it is."""
        if reason is not None and (told := label(str(reason))):
            self.finish_reason = FINISH_REASONS.get(told.lower(), told)

    def new_call(self, call: PartialCall) -> PartialCall:
        """Add a tool call to the answer and return it. Raises ProviderFailure if the answer has MAX_CALLS already."""
        if len(self.calls) >= MAX_CALLS:
            raise ProviderFailure("malformed_body", f"more than {MAX_CALLS} tool calls", phase="body")
        self.calls.append(call)
        return call

    def answer(self, *, complete: bool) -> Answer:
        """The answer made of all parts received so far, with `complete` as given."""
        self.calls = self._joined_calls()
        return Answer(
            text=joined(self.text),
            reasoning=joined(self.reasoning),
            tool_calls=tuple(call.call() for call in self.calls),
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self.model,
            generation_id=self.id,
            complete=complete,
            notes=tuple(self.notes),
        )

    def _joined_calls(self) -> list[PartialCall]:
        """The tool calls, with parts that have neither id nor name joined to the incomplete call before them.

        Some hosts send each piece of a call under another index.
        """
        calls: list[PartialCall] = []
        joining = False
        for call in self.calls:
            bare = bool(calls) and not call.id and not call.name
            joining = bare and (joining or not _is_json("".join(calls[-1].arguments.pieces)))
            if joining:
                calls[-1].arguments.pieces += call.arguments.pieces
            else:
                calls.append(call)
        return calls
