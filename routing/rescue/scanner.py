"""One pass over the text of an answer: what is text goes on at once, what may be a call is held until it is known.

Two kinds of calls. Protocol markers of Kimi's own (`native`) are calls nearly wherever they stand: only a quotation
makes them text. Calls in JSON, tags or code (`written`) are what models also write about: they count only at the end
of a message or after a sentence that announces them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..schema import ToolSet
from . import json_form, k2, k3, notation, tags
from .calls import Desk, offered
from .context import LOOK_BACK, Line, Standing, lead, reads_native, reads_written, within_sentence
from .found import Piece
from .markers import JSON_START, K3, LINE_LIMIT, NATIVE, NATIVE_MARK, TURN, anchors, held_from
from .source import LONGEST_MARKER, Hit, Source, Wait, hit, matched, search, skip_space

MAX_ATTEMPTS = 512
"""Written forms that are tried in one message; whoever writes more of them is not calling tools."""
MAX_MARKERS = 20_000
_FENCE_INFO = re.compile(
    rb"(`+|~+)[ \t]*(json|jsonc|json5|tool_calls?|tool-calls?|function_calls?|tool_code)?[ \t]*\r?\n", re.IGNORECASE
)
_LINE_END = re.compile(rb"\n")
_THOUGHT_END = re.compile(rb"</think>")
_XTML_THOUGHT_END = re.compile(rb"<\|close\|>think(?:<\|sep\|>)?|(?=<\|open\|>(?:response|tools)\b)")
_COMMENT_END = re.compile(rb"-->")
_REGION_MARK = re.compile(NATIVE_MARK.pattern)
_SPACES = re.compile(rb"[ \t]*+")


class Scanner:
    """Reads one text. `out` grows with the text that may be delivered, `desk` with the calls."""

    def __init__(self, tools: ToolSet, *, asked: bool = False, thought: bool = False) -> None:
        self.source = Source()
        self.desk = Desk(tools)
        self.out: list[str] = []
        self.thoughts: list[str] = []
        self.dialects: list[str] = []
        self.last_call_end = 0
        self._tools = tools
        self._asked = asked
        self._thought = thought
        """Read as a thought: markers only, nothing in it is a thought of its own."""
        self._names = () if thought else tools.names
        self._anchors = anchors(self._names)
        self._done = 1
        self._scan = 0
        self._plain_until = 0
        self._attempts = self._markers = 0
        self._said = False
        self._line = Line()
        self._tail = ""
        """The end of the text delivered since the last call: what was said before the next one."""

    # text

    def _emit(self, end: int) -> None:
        if end > self._done:
            text = self.source.text(self._done, end)
            self.out.append(text)
            self._tail = (self._tail + text)[-LOOK_BACK:] if len(text) < LOOK_BACK else text[-LOOK_BACK:]
            self._said = self._said or not text.isspace()
            self._done = end

    def _skip(self, end: int) -> None:
        """Leave out what stands before `end`: it is no text."""
        self._done = self._scan = max(end, self._done + 1)
        self._line.skip(self.source, self._done)

    def _pass(self, end: int) -> None:
        """Deliver what stands before `end` unread."""
        self._emit(end)
        self._scan = end

    # the pass

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
        held = held_from(data, self._done, self._names)
        self._emit(held)
        newline = data.rfind(b"\n", max(0, held - LINE_LIMIT), held)
        indented = newline >= 0 and not data[newline:held].strip()
        self._scan = max(self._scan, newline if indented else held)

    def _at(self, found: Hit) -> Wait[None]:
        at = found.start
        if found.kind in _LINE_STARTS:
            at = matched(_SPACES, self.source, at + 1)
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

    # protocol markers

    def _native(self, at: int) -> Wait[None]:
        self._markers += 1
        if self._markers > MAX_MARKERS:
            self._skip(len(self.source.data))
            return
        standing, closer = self._line.around(self.source, at)
        if standing == "text":
            yield from self._rest_of_line(at)
            return
        if closer and (yield from self._closes(at, closer)):
            return
        if standing == "call":
            standing = reads_native(lead(self._tail))
        if standing == "call" and self._asked:
            standing = "doubt"
        piece, channel = yield from self._parse_native(at)
        self._settle_native(piece, standing)
        if channel:
            yield from self._think_until(piece.end, _XTML_THOUGHT_END)

    def _parse_native(self, at: int) -> Wait[tuple[Piece, str]]:
        end = matched(NATIVE_MARK, self.source, at)
        mark = bytes(self.source.data[at:end])
        if mark in TURN:
            return Piece("", at, end, void=True), ""
        if mark in K3:
            return (yield from k3.parse(self.source, at))
        return (yield from k2.parse(self.source, at)), ""

    def _settle_native(self, piece: Piece, standing: Standing) -> None:
        if piece.void:
            self.desk.note("markers_stripped")
            self._skip(piece.end)
        elif standing == "text":
            self._pass(piece.end)
        else:
            self._take([piece], doubt=standing == "doubt")

    def _take(self, pieces: list[Piece], *, doubt: bool) -> None:
        """Hand the calls of pieces to the desk: to be judged, or (in doubt) only to be named."""
        for piece in pieces:
            self.dialects.append(piece.dialect)
            for call in piece.calls:
                if doubt:
                    self.desk.drop(call.name or "", "leaked_call", "it may be an example or a quotation")
                elif self.desk.take(call) is not None:
                    self.last_call_end = piece.end
            for name, reason, detail in piece.refused:
                self.desk.drop(name, reason, detail)
            if piece.flaw:
                self.desk.drop("", "leaked_call", piece.flaw)
        self._skip(pieces[-1].end)
        self._tail = ""

    def _rest_of_line(self, at: int) -> Wait[None]:
        found = yield from search(self.source, _LINE_END, at, 0)
        self._pass(found.start if found else len(self.source.data))

    def _closes(self, at: int, closer: str) -> Wait[bool]:
        """Whether the quotation in which a marker stands is closed behind it on its line; then it is delivered."""
        found = yield from search(self.source, _LINE_END, at, 0)
        end = found.start if found else len(self.source.data)
        line = bytes(self.source.data[at:end])
        if closer.startswith("`"):
            close = re.search(rb"(?<!`)" + closer.encode() + rb"(?!`)", line)
        else:
            last = max((mark.end() for mark in NATIVE_MARK.finditer(line)), default=0)
            last = max([last, *(tag.end() for tag in re.finditer(rb"</?[\w:]+[^<>]*>", line))])
            close = re.compile(re.escape(closer.encode())).search(line, last)
        if close is None:
            return False
        self._pass(at + close.end())
        return True

    # thoughts, comments, fences

    def _think(self, at: int, end: int) -> Wait[None]:
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
            close, mark = hit(end, self.source, scan), hit(_REGION_MARK, self.source, scan)
            if close is not None and close.end >= len(self.source.data) and not self.source.closed:
                close = None  # a line that is not over yet
            if close is not None and (mark is None or close.start <= mark.start):
                self._pass(close.end)
                return
            if mark is not None:
                yield from self._closing_region(mark.start, end, what)
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
        opening = yield from self._fence_line(at)
        length = len(opening) - len(opening.lstrip(opening[:1]))
        if opening.startswith(b"`") and b"`" in opening[length:]:  # a code span that happens to start its line
            self._scan = at + length
            return
        piece = yield from self._fenced_json(at, opening)
        if piece is not None:
            yield from self._decide([piece])
            return
        body = at + len(opening) - opening.endswith(b"\n")
        self._emit(body)
        yield from self._region(at, body, _fence_end(opening[:1], length), "a code block")

    def _fence_line(self, at: int) -> Wait[bytes]:
        newline = yield from search(self.source, _LINE_END, at, 0)
        return bytes(self.source.data[at : newline.end if newline else len(self.source.data)])

    def _fenced_json(self, at: int, opening: bytes) -> Wait[Piece | None]:
        """The fence as a call: nothing in it but one JSON value that is one; None for any other."""
        if not _FENCE_INFO.fullmatch(opening) or not self._may_try():
            return None
        start = yield from skip_space(self.source, at + len(opening))
        while (
            not self.source.closed
            and matched(JSON_START, self.source, start) < 0
            and _may_be_json(self.source.data, start)
        ):
            yield
        if matched(JSON_START, self.source, start) < 0:
            return None
        inner = yield from json_form.parse(self.source, start, self._tools)
        if inner.plain or inner.cut:
            return None if inner.plain else Piece("fenced_json", at, inner.end, flaw=inner.flaw, cut=True)
        close = yield from skip_space(self.source, inner.end)
        newline = self.source.data.rfind(b"\n", inner.end, close)
        length = len(opening) - len(opening.lstrip(opening[:1]))
        found = yield from search(
            self.source, _fence_end(opening[:1], length), max(newline, inner.end), LINE_LIMIT, firm=False
        )
        if found is None or found.start != newline:
            return None
        return Piece("fenced_json", at, found.end, inner.calls, flaw=inner.flaw)

    # written forms

    def _may_try(self) -> bool:
        self._attempts += 1
        return bool(self._names) and self._attempts <= MAX_ATTEMPTS

    def _written(self, at: int, kind: str) -> Wait[None]:
        if at < self._plain_until or not self._may_try():
            self._scan = at + 1
            return
        if kind in {"tag", "bare"}:
            standing, closer = self._line.around(self.source, at)
            if standing == "text":
                yield from self._rest_of_line(at)
                return
            if closer and (yield from self._closes(at, closer)):
                return
        piece = yield from self._parse_written(at, kind)
        if piece is None or piece.plain:
            self._plain_until = max(self._plain_until, piece.end if piece else 0)
            self._scan = at + 1
            return
        yield from self._decide([piece])

    def _parse_written(self, at: int, kind: str) -> Wait[Piece | None]:
        if kind == "json":
            return (yield from json_form.parse(self.source, at, self._tools))
        if kind == "called":
            return (yield from notation.parse(self.source, at))
        if kind == "bare":
            return (yield from k2.parse_bare(self.source, at))
        if kind == "fence":
            return (yield from self._fenced_json(at, (yield from self._fence_line(at))))
        return (yield from tags.parse(self.source, at, self._tools))

    def _decide(self, pieces: list[Piece]) -> Wait[None]:
        """Follow the pieces to what comes after them, then call them calls, text, or doubtful."""
        following = len(self.source.data)
        while not pieces[-1].cut:
            following = yield from skip_space(self.source, pieces[-1].end)
            more = yield from self._another(pieces[-1].end, following)
            if more is None:
                break
            pieces.append(more)
        trailing = not pieces[-1].cut and following < len(self.source.data)
        standing = self._standing(pieces, trailing=trailing)
        if standing != "text":
            self._take(pieces, doubt=standing == "doubt")
        elif all(piece.dialect == "fenced_json" for piece in pieces):
            self._pass(pieces[-1].end)
        else:  # text after all, read on for markers
            self._plain_until = max(self._plain_until, pieces[-1].end)
            self._scan = pieces[0].start + 1

    def _another(self, end: int, at: int) -> Wait[Piece | None]:
        """A further written call right after the last one."""
        while not self.source.closed and held_from(self.source.data, at, self._names) <= at < len(self.source.data):
            yield
        newline = self.source.data.rfind(b"\n", end, at)
        found = hit(self._anchors, self.source, newline if newline >= 0 else at)
        if at >= len(self.source.data) or found is None or found.kind not in _WRITTEN or not self._may_try():
            return None
        start = matched(_SPACES, self.source, found.start + 1) if found.kind in _LINE_STARTS else found.start
        if start != at:
            return None
        piece = yield from self._parse_written(at, found.kind)
        return None if piece is None or piece.plain else piece

    def _standing(self, pieces: list[Piece], *, trailing: bool) -> Standing:
        """What written calls are, by what was said before them and whether something comes after."""
        first = pieces[0]
        said = lead(self._tail)
        reading: Standing = "text" if self._asked else reads_written(said)
        known = any(call.name and offered(self._tools, call.name) for piece in pieces for call in piece.calls)
        in_tags = first.dialect not in {"json", "fenced_json", "call_notation"}
        if in_tags and within_sentence(self._tail):
            return "doubt" if known and reading != "text" else "text"
        if reading == "text" or (not in_tags and not known and not first.flaw and reading == "doubt"):
            return "text"
        if trailing and not in_tags:
            return "doubt" if first.dialect == "json" and not said else "text"
        return reading


_LINE_STARTS = frozenset({"fence", "json", "called"})
_WRITTEN = frozenset({"fence", "json", "called", "bare", "tag"})


def _may_be_json(data: bytearray, start: int) -> bool:
    """Whether what stands from `start` on may still become the first key of a call."""
    probe = bytearray(b"\n") + data[start : start + LINE_LIMIT]
    return held_from(probe, 1, ()) == 1 and bytes(probe[1:2]) in {b"", b"{", b"["}


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
def _fence_end(mark: bytes, length: int) -> re.Pattern[bytes]:
    """A line of at least as many fence marks and nothing else."""
    return re.compile(
        rb"\n[ \t]{0,100}+" + mark + b"{" + str(min(length, 1000)).encode() + rb",}+[ \t]{0,100}+(?=[\r\n]|\Z)"
    )
