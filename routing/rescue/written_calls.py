"""Calls in JSON, tags or code: what models also write about. They count only where nothing speaks against it."""

from __future__ import annotations

import re
from functools import lru_cache

from ..schema import ToolSet
from .buffer import Wait, hit, matched, search, skip_space
from .call_validation import offered
from .context.quotations import Foreign
from .context.sentence import Standing, lead, reads_written, within_sentence
from .context.user_request import wanted_forms
from .dialects import code_calls as notation
from .dialects import json_calls as json_form
from .dialects import k2, tags
from .markers import JSON_START, LINE_LIMIT, anchors, held_from
from .result import Piece
from .scanner_state import LINE_END, Flow

MAX_ATTEMPTS = 160
"""Written forms that are tried in one message; whoever writes more of them is not calling tools."""
LINE_STARTS = frozenset({"fence", "json", "called"})
"""Kinds of anchors that begin with the line's indentation."""
SPACES = re.compile(rb"[ \t]*+")
_WRITTEN = frozenset({"fence", "json", "called", "bare", "tag"})
_FENCE_INFO = re.compile(
    rb"(`+|~+)[ \t]*(json|jsonc|json5|tool_calls?|tool-calls?|function_calls?|tool_code)?[ \t]*\r?\n", re.IGNORECASE
)


class WrittenForms(Flow):
    """Tries what looks like a written call, and decides what it is."""

    def __init__(
        self, tools: ToolSet, *, last_user: str | None = None, foreign: Foreign | None = None, thought: bool = False
    ) -> None:
        super().__init__(tools, last_user=last_user, foreign=foreign, thought=thought)
        self._plain_until = 0
        """Before it no written form is tried again."""
        self._attempts = 0
        self._wanted = wanted_forms(last_user)
        """Dialects in which the user wants his answer."""

    def _may_try(self) -> bool:
        self._attempts += 1
        if self._attempts > MAX_ATTEMPTS:
            self._anchors = anchors(self._names, written=False)
        return bool(self._names) and self._attempts <= MAX_ATTEMPTS

    def _written(self, at: int, kind: str) -> Wait[None]:
        if at < self._plain_until or not self._may_try():
            self._scan = at + 1
            return
        quoted = False
        if kind in {"tag", "bare"}:
            standing, closer = self._line.around(self.source, at)
            if standing == "text":
                yield from self._rest_of_line(at)
                return
            if closer and (yield from self._closes(at, closer)):
                return
            quoted = bool(closer)
        piece = yield from self._parse_written(at, kind)
        if piece is None or piece.plain:
            self._plain_until = max(self._plain_until, piece.end if piece else 0)
            self._scan = at + 1
            return
        yield from self._decide([piece], quoted=quoted)

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

    def _decide(self, pieces: list[Piece], *, quoted: bool = False) -> Wait[None]:
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
            self._take(pieces, doubt=quoted or standing == "doubt")
        elif all(piece.dialect == "fenced_json" for piece in pieces):
            said = self._tail
            self._pass(pieces[-1].end)
            self._tail = said
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
        start = matched(SPACES, self.source, found.start + 1) if found.kind in LINE_STARTS else found.start
        if start != at:
            return None
        piece = yield from self._parse_written(at, found.kind)
        return None if piece is None or piece.plain else piece

    def _standing(self, pieces: list[Piece], *, trailing: bool) -> Standing:
        """What written calls are, by what was said before them and whether something comes after."""
        first = pieces[0]
        said = lead(self._tail)
        known = any(call.name and offered(self._tools, call.name) for piece in pieces for call in piece.calls)
        in_tags = first.dialect not in {"json", "fenced_json", "call_notation"}
        reading: Standing = "text" if self._asked else reads_written(said, self._tail, tagged=in_tags)
        if in_tags and within_sentence(self._tail):
            return "doubt" if known and reading != "text" else "text"
        if reading == "text" or (not in_tags and not known and not first.flaw and reading == "doubt"):
            return "text"
        if trailing and not in_tags:
            return "doubt" if first.dialect == "json" and not said else "text"
        if (trailing and not said) or (reading == "call" and first.dialect in self._wanted):
            return "doubt"
        return reading

    def _fence_line(self, at: int) -> Wait[bytes]:
        newline = yield from search(self.source, LINE_END, at, 0)
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
            self.source, fence_end(opening[:1], length), max(newline, inner.end), LINE_LIMIT, firm=False
        )
        if found is None or found.start != newline:
            return None
        return Piece("fenced_json", at, found.end, inner.calls, flaw=inner.flaw)


def _may_be_json(data: bytearray, start: int) -> bool:
    """Whether what stands from `start` on may still become the first key of a call."""
    probe = bytearray(b"\n") + data[start : start + LINE_LIMIT]
    return held_from(probe, 1, ()) == 1 and bytes(probe[1:2]) in {b"", b"{", b"["}


@lru_cache(maxsize=64)
def fence_end(mark: bytes, length: int) -> re.Pattern[bytes]:
    """A line of at least as many fence marks and nothing else."""
    return re.compile(
        rb"\n[ \t]{0,100}+" + mark + b"{" + str(min(length, 1000)).encode() + rb",}+[ \t]{0,100}+(?=[\r\n]|\Z)"
    )
