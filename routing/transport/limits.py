"""Limits on one response body, so that no answer costs more than 64 MB of memory (docs/decisions.md).

The largest valid answer has 262,144 tokens: 2.4 MB if every character is escaped, 96 MB as a stream of one event per
token. Memory depends on more than length. One emoji makes every character of a string four bytes wide. `[[],[],[]`
takes 24 times its size when it is parsed. No I/O: bytes come in, bytes or an error go out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..errors import ProviderFailure

MAX_BODY = 4 << 20
"""The most decoded bytes of a body that is not a stream."""
MAX_STREAM = 96 << 20
"""The most decoded bytes of a stream. A stream is not kept in memory as a whole."""
MAX_EVENT = 2 << 20
"""The most decoded bytes of one event of a stream."""
MAX_MARKS = 400_000
"""The most opening braces and brackets, colons and commas in one JSON document: each can become an object of 66 bytes.
"""
_CHUNK = 1 << 16
"""The most bytes that the gzip decoder returns in one piece."""


class BodyLimit:
    """Counts the bytes and JSON values of one decoded body, and refuses a body that exceeds a limit."""

    __slots__ = ("_event_bytes", "_marks", "_max_bytes", "_stream", "_tail", "_total")

    def __init__(self, *, stream: bool, max_bytes: int) -> None:
        self._stream, self._max_bytes = stream, max_bytes
        self._total = self._event_bytes = self._marks = 0
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Add the size of a received chunk (at most a few times 64 KiB) to the total.

        Raises ProviderFailure (`body_too_large`) if the body, one event or the number of JSON values exceeds its limit.
        """
        self._total += len(chunk)
        fresh = self._of_this_event(chunk) if self._stream else chunk
        self._event_bytes += len(fresh)
        self._marks += sum(map(fresh.count, (b"{", b"[", b",", b":")))
        if self._total > self._max_bytes:
            raise _too_large(f"more than {self._max_bytes} bytes")
        if self._stream and self._event_bytes > MAX_EVENT:
            raise _too_large(f"an event of more than {MAX_EVENT} bytes")
        if self._marks > MAX_MARKS:
            raise _too_large(f"more than {MAX_MARKS} JSON values")

    def _of_this_event(self, chunk: bytes) -> bytes:
        """The part of the chunk that belongs to the newest event. An empty line ends an event and resets its counts."""
        both = self._tail + chunk
        self._tail = both[-3:]
        end = max(map(both.rfind, (b"\n\n", b"\r\n\r\n", b"\r\r")))
        if end < 0:
            return chunk
        self._event_bytes = self._marks = 0
        return both[end:]


class GzipDecoder:
    """Decoder of one layer of gzip, at most 64 KiB at a time.

    `problem` says what is wrong with the data; empty if nothing.

    The decoder raises nothing: the frames of an error would hold raw bytes, and with them a key that the host echoed.
    """

    __slots__ = ("_begun", "_inflate", "problem")

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._begun = False
        self.problem = ""

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Decoded chunks, up to the first problem."""
        self._begun = self._begun or bool(raw)
        while raw and not self.problem:
            if self._inflate.eof:  # another gzip member follows
                self._inflate = zlib.decompressobj(wbits=31)
            try:
                yield self._inflate.decompress(raw, _CHUNK)
            except zlib.error:
                self.problem = "declared gzip, but is not"
            raw = self._inflate.unconsumed_tail or self._inflate.unused_data

    def finish(self) -> None:
        """Set `problem` if the data ended early."""
        if self._begun and not self._inflate.eof and not self.problem:
            self.problem = "the gzip data ends early"


def _too_large(detail: str) -> ProviderFailure:
    return ProviderFailure("body_too_large", detail, phase="body")
