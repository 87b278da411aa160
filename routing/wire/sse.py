"""Parser of server-sent events as the WHATWG standard defines them. A chunk of bytes may end at any position.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ProviderFailure

MAX_LINE = 8 << 20
"""The most characters in one line. The largest valid line is a whole answer; a host that sends more is broken."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    `data` holds its `data:` lines joined by newlines. `name` is the value of its `event:` line, or `message`.
    """

    data: str
    name: str = "message"

    @property
    def is_heartbeat(self) -> bool:
        """Whether the event holds nothing for an answer: no data, or a comment that a gateway sent as data."""
        data = self.data.strip()
        return self.name != "error" and (not data or data.startswith(":"))


class Decoder:
    """Turns chunks of bytes into events. Comments are skipped, as is an event that the end of the stream cuts off."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")("strict")
        self._pieces: list[str] = []
        self._pending = 0
        self._after_cr = False
        self._first = True
        self._data: list[str] = []
        self._name = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes.

        Raises ProviderFailure for invalid UTF-8 and for a line of more than `MAX_LINE` characters.
        """
        try:
            text = self._text.decode(chunk)
        except UnicodeDecodeError:
            raise ProviderFailure("bad_encoding", "the stream is not UTF-8", phase="body") from None
        if self._first and text:
            self._first = False
            text = text.removeprefix("\ufeff")
        return self._lines(text)

    def _lines(self, text: str) -> Iterator[Event]:
        if text:  # a line feed that begins it may belong to the carriage return that ended the text before
            text, self._after_cr = text.removeprefix("\n") if self._after_cr else text, text.endswith("\r")
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            whole = "".join((*self._pieces, line)) if self._pieces else line
            self._pieces.clear()
            self._pending = 0
            if event := self._line(whole):
                yield event
        if rest:
            self._pieces.append(rest)
            self._pending += len(rest)
            if self._pending > MAX_LINE:
                raise ProviderFailure("body_too_large", f"one line of more than {MAX_LINE} characters", phase="body")

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        return None

    def _dispatch(self) -> Event | None:
        event = Event("\n".join(self._data), self._name or "message") if self._data else None
        self._data.clear()
        self._name = ""
        return event
