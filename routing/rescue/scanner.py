"""One pass over the text of an answer: what is text goes on at once, what may be a call is held until it is known.

Two kinds of calls. Protocol markers of Kimi's own (`native`) are calls nearly wherever they stand: only a quotation
makes them text. Calls in JSON, tags or code (`written`) are what models also write about: they count only at the end
of a message or after a sentence that announces them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..schema import ToolSet
from .buffer import LONGEST_MARKER, Hit, Wait, hit, matched, search
from .context.quotations import Foreign
from .context.sentence import Standing, intends, lead, reads_native, within_sentence
from .dialects import k2, k3
from .markers import K3, K3_END, K3_SEP, LINE_LIMIT, NATIVE, NATIVE_MARK, TURN, held_from
from .result import MAX_CALLS, Piece
from .scanner_state import MAX_MARKERS
from .written_calls import LINE_STARTS, SPACES, WrittenForms, fence_end

MAX_FENCES = 2_500
MAX_TALKS = 64
"""Markers that may be words of sentences in one message; each costs a look at what follows."""
MAX_READINGS = MAX_CALLS
"""Sentences that are read in one message; beyond them every marker is in doubt."""
_THOUGHT_END = re.compile(rb"</think>")
_XTML_THOUGHT_END = re.compile(rb"<\|close\|>think(?:<\|sep\|>)?|(?=<\|open\|>(?:response|tools)\b)")
_COMMENT_END = re.compile(rb"-->")
_WORDS = re.compile(rb"[ \t]*[,.;:)]?[ \t]+[A-Za-z]+[,.;:)]*[ \t]+[A-Za-z<]|[ \t]*[,.;)](?:[ \t]|\Z)")
_AFTER = re.compile(rb"[^ \t]")
_GOES_ON = frozenset(bytes([code]) for code in b"abcdefghijklmnopqrstuvwxyz,;)")
_STRAYS = re.compile(b"(?:" + b"|".join(map(re.escape, (*TURN, K3_SEP, K3_END))) + b")++")


class Scanner(WrittenForms):
    """Reads one text to its end."""

    def __init__(
        self, tools: ToolSet, *, last_user: str | None = None, foreign: Foreign | None = None, thought: bool = False
    ) -> None:
        super().__init__(tools, last_user=last_user, foreign=foreign, thought=thought)
        self._readings = self._talks = 0

    def run(self) -> Wait[None]:
        """Read to the end of the message."""
        while True:
            found = hit(self._anchors, self.source, self._scan)
            if found is not None:
                yield from self._at(found)
            elif self.source.closed:
                self._emit(len(self.source.data))
                return
            else:
                self._release()
                yield

    def _release(self) -> None:
        """Deliver all that cannot be the beginning of a mark."""
        data = self.source.data
        if self._muted:
            self._done = self._scan = len(data)
            return
        held = held_from(data, self._done, self._names)
        self._emit(held)
        newline = data.rfind(b"\n", max(0, held - LINE_LIMIT), held)
        indented = newline >= 0 and not data[newline:held].strip()
        self._scan = max(self._scan, newline if indented else held)

    def _at(self, found: Hit) -> Wait[None]:
        at = found.start
        if found.kind in LINE_STARTS:
            at = matched(SPACES, self.source, at + 1)
        self._emit(at)
        if found.kind == "native":
            yield from self._native(at)
        elif found.kind == "think":
            yield from self._think(at, found.end)
        elif found.kind == "comment":
            yield from self._region(at, found.end, _COMMENT_END, "a comment")
        elif found.kind == "fence":
            yield from self._fence(at)
        else:
            yield from self._written(at, found.kind)

    def _native(self, at: int) -> Wait[None]:
        run = matched(_STRAYS, self.source, at)
        if self._too_many(at, len(NATIVE_MARK.findall(self.source.data, at, run)) if run > at else 1):
            return
        standing, closer = self._line.around(self.source, at)
        if standing == "text":
            yield from self._rest_of_line(at)
            return
        if closer and (yield from self._closes(at, closer)):
            return
        if run > at:  # separators and marks of turns, a flood of them at once
            piece, channel = Piece("", at, run, mark_end=run, void=True), ""
        else:
            piece, channel = yield from self._parse_native(at)
        if not piece.void and standing == "call":
            standing = yield from self._reading(piece.end)
        if (yield from self._is_talk(piece, standing)):
            self._pass(piece.mark_end)
            return
        self._settle_native(piece, standing)
        if channel:
            yield from self._think_until(piece.end, _XTML_THOUGHT_END)

    def _reading(self, end: int) -> Wait[Standing]:
        """What the sentence before (and after) makes of markers."""
        self._readings += 1
        if self._asked or self._readings > MAX_READINGS:
            return "doubt"
        standing = reads_native(lead(self._tail), self._tail)
        in_sentence = not self._tail.strip() or within_sentence(self._tail)
        if standing == "call" and in_sentence and self._tail.strip() and self._tail.endswith(" "):
            return "doubt"  # who stops speaking leaves no space; a word of a sentence has one before it
        if standing == "call" and in_sentence and (yield from self._goes_on(end)):
            return "doubt"
        return standing

    def _is_talk(self, piece: Piece, standing: Standing) -> Wait[bool]:
        """Whether a marker is only a word of a sentence: no call follows it, but further words do."""
        if piece.calls or self._talks >= MAX_TALKS or (piece.void and not self._talks):
            return False
        if (piece.void or standing == "call") and (intends(lead(self._tail)) or not within_sentence(self._tail)):
            return False
        end = piece.mark_end
        while not self.source.closed and len(self.source.data) < end + 80 and b"\n" not in self.source.peek(end, 80):
            yield
        talks = bool(_WORDS.match(self.source.peek(end, 80)))
        self._talks += talks
        return talks

    def _parse_native(self, at: int) -> Wait[tuple[Piece, str]]:
        end = matched(NATIVE_MARK, self.source, at)
        if bytes(self.source.data[at:end]) in K3:
            return (yield from k3.parse(self.source, at))
        return (yield from k2.parse(self.source, at)), ""

    def _goes_on(self, end: int) -> Wait[bool]:
        """Whether the sentence in which a call stands goes on after it."""
        found = yield from search(self.source, _AFTER, end, 0)
        return found is not None and bytes(self.source.data[found.start : found.end]) in _GOES_ON

    def _settle_native(self, piece: Piece, standing: Standing) -> None:
        if piece.void:
            self.desk.note("markers_stripped")
            self._skip(piece.end)
        elif standing == "text":
            self._pass(piece.end)
        else:
            self._take([piece], doubt=standing == "doubt")

    # thoughts, comments, fences

    def _think(self, at: int, end: int) -> Wait[None]:
        if self._too_many(at):
            return
        opens = self.source.data[at + 1] != ord("/")
        if opens and not self._said and not self.dialects and not self._thought:
            yield from self._think_until(end, _THOUGHT_END)
            return
        alone = yield from self._stands_alone(at, end)
        if opens or not alone or self._line.around(self.source, at)[0] != "call":
            self._scan = end
            return
        self.desk.note("markers_stripped")
        self._skip(end)

    def _stands_alone(self, at: int, end: int) -> Wait[bool]:
        """Whether a tag starts or ends its line."""
        while len(self.source.data) <= end and not self.source.closed:
            yield
        start = self.source.line_start(at, LINE_LIMIT)
        return not self.source.data[start:at].strip() or self.source.peek(end, 1) in {b"", b"\n", b"\r"}

    def _think_until(self, begin: int, end: re.Pattern[bytes]) -> Wait[None]:
        """A thought is kept apart and never delivered."""
        found = yield from search(self.source, end, begin)
        close = found.start if found else len(self.source.data)
        self.thoughts.append(self.source.text(begin, close))
        self._skip(found.end if found else close)
        self._tail = ""

    def _region(self, at: int, begin: int, end: re.Pattern[bytes], what: str) -> Wait[None]:
        """A stretch in which nothing is a call: delivered as it comes, but from a marker on only once it is closed."""
        scan = begin
        while True:
            found = hit(_or_native(end), self.source, scan)
            if found is not None and found.kind == "native":
                yield from self._closing_region(found.start, end, what)
                return
            if found is not None and (found.end < len(self.source.data) or self.source.closed):
                self._pass(found.end)
                return
            if self.source.closed:
                self._pass(len(self.source.data))
                return
            held = _held_native(self.source.data, max(at, self._done))
            self._emit(held)
            scan = max(scan, min(held, len(self.source.data) - LINE_LIMIT))
            yield

    def _closing_region(self, mark: int, end: re.Pattern[bytes], what: str) -> Wait[None]:
        self._emit(mark)
        found = yield from search(self.source, end, mark, LINE_LIMIT, firm=False)
        if found is not None:
            self._pass(found.end)
            return
        self.desk.drop("", "leaked_call", f"markers stand in {what} that is never closed")
        self._skip(len(self.source.data))

    def _fence(self, at: int) -> Wait[None]:
        if self._too_many(at, MAX_MARKERS / MAX_FENCES):
            return
        opening = yield from self._fence_line(at)
        length = len(opening) - len(opening.lstrip(opening[:1]))
        if opening.startswith(b"`") and b"`" in opening[length:]:  # a code span that happens to start its line
            self._scan = at + length
            return
        if self._line.ends_item_fence(self.source, at, opening):
            self._pass(at + len(opening))
            return
        piece = yield from self._fenced_json(at, opening)
        if piece is not None:
            yield from self._decide([piece])
            return
        body, said = at + len(opening) - opening.endswith(b"\n"), self._tail
        self._emit(body)
        yield from self._region(at, body, fence_end(opening[:1], length), "a code block")
        self._line.skip(self.source, self._done)
        self._tail = said  # code says nothing about what comes after it


def _held_native(data: bytearray, start: int) -> int:
    """From where the end of what arrived may be the beginning of a protocol marker."""
    at = data.rfind(b"<", max(start, len(data) - LONGEST_MARKER))
    held = len(data)
    while at >= start and at >= 0:
        tail = bytes(data[at:])
        if any(mark.startswith(tail) for mark in NATIVE):
            held = at
        at = data.rfind(b"<", max(start, len(data) - LONGEST_MARKER), at)
    return held


@lru_cache(maxsize=64)
def _or_native(end: re.Pattern[bytes]) -> re.Pattern[bytes]:
    """The end of a region, or a protocol marker in it."""
    return re.compile(b"(?P<native>" + NATIVE_MARK.pattern + b")|(?:" + end.pattern + b")")
