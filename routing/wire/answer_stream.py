"""Base class of the streams of all protocols: it assembles one answer from its parts, within limits. Pure.

docs/decisions.md explains the limits.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
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


@dataclass(slots=True)
class PartialCall:
    """One tool call under assembly.

    `index` identifies the call in later events. `name` and `pieces` hold the pieces of its name and of arguments that
    came as text; `whole` holds arguments that came as one JSON value. If both came, only `pieces` count.
    """

    index: int | str | None
    id: str | None = None
    whole: Any = None
    name: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def call(self) -> RawToolCall:
        """The call with the name and the arguments received so far."""
        text = joined([_assembled(self.pieces)], "surrogatepass")  # strict JSON refuses half a pair
        arguments = self.whole if self.whole is not None and not text else text
        return RawToolCall(self.id and joined([self.id]), joined([_assembled(self.name)]) or None, arguments)


def _assembled(pieces: Sequence[str]) -> str:
    """The pieces joined to one text. Pieces in which a host repeats the whole text so far are left out.

    A piece is such a repetition only if all pieces behind it are one too.
    """
    if len(pieces) == 1:
        return pieces[0]
    last = pieces[-1] if pieces else ""
    size = at = 0
    while size < len(last):
        size += len(pieces[at])
        at += 1
    whole = "".join(pieces[:at])
    return last if whole == last and all(piece == last for piece in pieces[at:]) else "".join(pieces)


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
        if isinstance(reason, str) and reason in FINISH_REASONS:  # nearly always
            self.finish_reason = FINISH_REASONS[reason]
        elif reason is not None and (told := label(str(reason))):
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
            joining = bare and (joining or not _is_json(_assembled(calls[-1].pieces)))
            if joining:
                calls[-1].pieces += call.pieces
            else:
                calls.append(call)
        return calls
