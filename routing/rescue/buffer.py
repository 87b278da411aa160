"""The message as it arrives: bytes that only grow, searched from where the last search ended.

The scanner is written as generators: `yield` means "not enough of the message is here yet". So the same code reads a
whole message and one that comes in single characters, and every byte is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeAlias, TypeVar

_T = TypeVar("_T")
Wait: TypeAlias = Generator[None, None, _T]

LONGEST_MARKER = 40
"""No marker of any dialect has more bytes; so much of an unfinished one may stand at the end of what arrived."""
LAYOUT = " \t\r\n"
"""White space that lays a dialect's text out, around a name too; any other control character belongs to what it is in."""
_NOT_SPACE = re.compile(rb"[^ \t\r\n]")


class Source:
    """What has arrived of one message, after a leading line feed, so that every line starts after one."""

    __slots__ = ("closed", "data")

    def __init__(self) -> None:
        self.data = bytearray(b"\n")
        self.closed = False

    def append(self, chunk: str, limit: int) -> bool:
        """Add what arrived, up to `limit` bytes in all; whether everything was within."""
        room = limit + 1 - len(self.data)
        encoded = chunk[: max(room, 0)].encode("utf-8", "surrogatepass")
        fits = len(encoded) <= room and len(chunk) <= room
        if not fits:
            encoded = encoded[: max(room, 0)]
            while encoded and encoded[-1] & 0xC0 == 0x80:  # never half a character
                encoded = encoded[:-1]
            encoded = encoded[:-1] if encoded and encoded[-1] >= 0xC0 else encoded
        self.data += encoded
        return fits

    def peek(self, start: int, length: int) -> bytes:
        """At most `length` bytes from a position on."""
        return bytes(self.data[start : start + length])

    def text(self, start: int, end: int) -> str:
        """The text between two positions that lie on character boundaries."""
        return bytes(self.data[start:end]).decode("utf-8", "surrogatepass")

    def before(self, position: int, limit: int) -> str:
        """At most `limit` bytes before a position, a cut character left out."""
        return bytes(self.data[max(1, position - limit) : position]).decode("utf-8", "ignore")

    def line_start(self, position: int, limit: int) -> int:
        """Where the line of a position starts, or at most `limit` bytes before it."""
        low = max(0, position - limit)
        found = self.data.rfind(b"\n", low, position)
        return found + 1 if found >= 0 else low


def search(
    source: Source, pattern: re.Pattern[bytes], start: int, overlap: int = LONGEST_MARKER, *, firm: bool = True
) -> Wait[Hit | None]:
    """The first match at or after `start`, of at most `overlap` bytes; None once the message is over without one.

    `firm`: a match cannot change with what arrives later. Else one at the very end of what arrived is not taken.
    """
    at = start
    while True:
        found = hit(pattern, source, at)
        if found is not None and (firm or source.closed or found.end < len(source.data)):
            return found
        if source.closed:
            return None
        at = max(start, min(found.start if found else len(source.data), len(source.data) - overlap))
        yield


class Hit:
    """A match without the match object: that one would keep the buffer from growing."""

    __slots__ = ("end", "kind", "start")

    def __init__(self, found: re.Match[bytes]) -> None:
        self.start = found.start()
        self.end = found.end()
        self.kind = found.lastgroup or ""


def hit(pattern: re.Pattern[bytes], source: Source, at: int) -> Hit | None:
    """Search what has arrived."""
    found = pattern.search(source.data, at)
    return Hit(found) if found else None


def matched(pattern: re.Pattern[bytes], source: Source, at: int) -> int:
    """Where a match at exactly `at` ends; -1 without one."""
    found = pattern.match(source.data, at)
    return found.end() if found else -1


def skip_space(source: Source, at: int) -> Wait[int]:
    """The next position that holds no white space; the message's length where only that follows."""
    found = yield from search(source, _NOT_SPACE, at, 0)
    return found.start if found else len(source.data)
