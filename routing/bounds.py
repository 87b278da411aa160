"""How much of a response is taken at most, so that no answer of any kind costs 64 MB of memory (docs/decisions.md).

The largest honest answer has 262,144 tokens: 2.4 MB where every character is escaped, 96 MB as a stream of one event a
token. What costs memory is not only length: a character takes four bytes once an emoji is among them, and `[[],[],[]`
unfolds 24 times when it is parsed. Pure: bytes in, bytes or an error out.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

from .errors import ProviderFailure

MAX_BODY = 4 << 20
"""Decoded bytes of a body that is no stream."""
MAX_STREAM = 96 << 20
"""Decoded bytes of a stream; none of them is kept for long."""
MAX_EVENT = 2 << 20
"""Decoded bytes of one event of a stream."""
MAX_MARKS = 400_000
"""Braces, brackets, colons and commas in one JSON document: each can become an object of 66 bytes."""
MAX_TEXT = 2 << 20
"""Characters of an answer under assembly."""
MAX_PIECES = 400_000
"""Pieces of text in a stream: each costs 60 bytes beside its characters."""
_PIECE = 1 << 16


class Gauge:
    """Measures one decoded body; `feed` raises ProviderFailure (`body_too_large`) once it is more than it may be."""

    __slots__ = ("_limit", "_marks", "_since", "_stream", "_tail", "_total")

    def __init__(self, *, stream: bool, max_bytes: int) -> None:
        self._stream, self._limit = stream, max_bytes
        self._total = self._since = self._marks = 0
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        """Take a piece of at most a few times 64 KiB."""
        self._total += len(piece)
        fresh = self._of_this_event(piece) if self._stream else piece
        self._since += len(fresh)
        self._marks += sum(map(fresh.count, (b"{", b"[", b",", b":")))
        if self._total > self._limit:
            raise _too_large(f"more than {self._limit} bytes")
        if self._stream and self._since > MAX_EVENT:
            raise _too_large(f"an event of more than {MAX_EVENT} bytes")
        if self._marks > MAX_MARKS:
            raise _too_large(f"more than {MAX_MARKS} JSON values")

    def _of_this_event(self, piece: bytes) -> bytes:
        """The part after the last empty line, which ends an event."""
        both = self._tail + piece
        self._tail = both[-3:]
        end = max(map(both.rfind, (b"\n\n", b"\r\n\r\n", b"\r\r")))
        if end < 0:
            return piece
        self._since = self._marks = 0
        return both[end:]


class Room:
    """Room for the text of an answer under assembly; `take` raises ProviderFailure once it is used up."""

    __slots__ = ("_characters", "_pieces")

    def __init__(self) -> None:
        self._characters, self._pieces = MAX_TEXT, MAX_PIECES

    def take(self, text: str) -> str:
        """The text, if there is room for it."""
        self._characters -= len(text)
        self._pieces -= 1
        if self._characters < 0 or self._pieces < 0:
            raise _too_large(f"more than {MAX_TEXT} characters or {MAX_PIECES} pieces of text")
        return text

    def take_value(self, value: Any) -> str:
        """The text of a JSON value, if there is room for it and for the objects that it unfolds into."""
        text = json.dumps(value, ensure_ascii=False)
        self._pieces -= sum(map(text.count, "{[,:"))
        return self.take(text)


class Gunzip:
    """One layer of gzip, unfolded 64 KiB at a time. `problem` says what is wrong with it; nothing is raised.

    An error raised here would carry frames that hold raw bytes, and a key where the host echoed it.
    """

    __slots__ = ("_begun", "_inflate", "problem")

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._begun = False
        self.problem = ""

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Decoded pieces, up to the first problem."""
        self._begun = self._begun or bool(raw)
        while raw and not self.problem:
            if self._inflate.eof:  # another member follows
                self._inflate = zlib.decompressobj(wbits=31)
            try:
                yield self._inflate.decompress(raw, _PIECE)
            except zlib.error:
                self.problem = "declared gzip, but is not"
            raw = self._inflate.unconsumed_tail or self._inflate.unused_data

    def finish(self) -> None:
        """No more comes."""
        if self._begun and not self._inflate.eof and not self.problem:
            self.problem = "the gzip data ends early"


def _too_large(detail: str) -> ProviderFailure:
    return ProviderFailure("body_too_large", detail, phase="body")
