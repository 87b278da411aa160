"""One pass over an answer: its thoughts, the end of its turn, and its native calls.

The four conditions on structure are decided here, each in one place: the call ends the answer (`Reading.tail`), it is
in no thought (`_thought`), it is of this turn (`_turn`), and it is not enclosed (`_native`). What the sentences around
a call say is not read: a host that parses native tokens would have called all that meets these conditions.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import cached_property

from ..schema import ToolSet
from .dialects import k2, k3
from .enclosure import Enclosure, Enclosures
from .markers import (
    ANCHOR,
    BARE_CUT,
    K2_ARGUMENT_BEGIN,
    K2_ARGUMENT_END,
    K2_CALL_END,
    K2_MARK,
    K3_CLOSE,
    K3_OPEN,
    K3_ROLE,
    K3_SEP,
    NATIVE_TEXT,
    STRIPPED,
    THINK_TAG,
)
from .result import Piece

MAX_MARKS = 3_000
"""Marks outside of calls that are read in one answer. One with more of them is broken."""
_IN_SENTENCE = re.compile(
    r"[ \t]*[,.;:)]?[ \t]+(?!functions\.)[^\W\d_][^\s<]*+(?:(?<![.!?])[ \t]+\S|[ \t]+[^\s<])|[ \t]*[,.;)](?:[ \t]|\Z)"
)
"""What follows a mark that a sentence names."""
_MARKS_ONLY = re.compile(rf"(?:\s++|{STRIPPED.pattern})*+")
_RARE_LINE_END = re.compile("[\x0b\x0c\x85\u2028\u2029]|\r(?!\n)")
_LINE_ENDS = dict.fromkeys(map(ord, "\r\x0b\x0c\x85\u2028\u2029"), "\n")
_TURN_MARKS = re.compile(
    rf"(?:{STRIPPED.pattern})(?:(?:user|assistant|system|tool|name)?[ \t]*(?:{STRIPPED.pattern}))*+", re.IGNORECASE
)
"""A run of marks, with the roles that a template writes between them."""


class Reading:
    """An answer, read to its end.

    `pieces` are the native calls of this answer in order, outside of thoughts and enclosures. `flaws` say why the
    answer holds marks that are neither a call nor a quotation. `turn_end` is where the first other turn begins.
    """

    def __init__(self, content: str, tools: ToolSet) -> None:
        self.text = "\n" + content
        self._lines = self.text.translate(_LINE_ENDS) if _RARE_LINE_END.search(content) else self.text
        self.pieces: list[Piece] = []
        self.flaws: list[str] = []
        self.start = 1
        """Where the answer begins, behind its thought."""
        self.end = len(self.text)
        self.turn_end = len(self.text)
        self.stripped = self.misplaced = False
        self.enclosures = Enclosures(self._lines)
        self._tools = tools
        self._removed: list[tuple[int, int]] = []
        self._marks = self._marks_end = 0
        self._unclosed: Enclosure | None = None
        self._read()

    def delivered(self, start: int, end: int) -> str:
        """The text between two positions, without thoughts, calls and marks."""
        kept, at = [], max(start, self.start)
        for begin, stop in sorted([*self._removed, *((piece.start, piece.end) for piece in self.pieces)]):
            if begin >= end:
                break
            if begin >= at:
                kept.append(self.text[at:begin])
            at = max(at, stop)
        kept.append(self.text[at : min(end, self.end)])
        return "".join(kept)

    @cached_property
    def tail(self) -> str:
        """What stands behind the last call, white space and end marks left out: prose there means it ends no answer."""
        last = max((piece.end for piece in self.pieces if piece.holds_calls), default=len(self.text))
        return STRIPPED.sub("", self.delivered(last, self.end) + self.text[self.end :]).strip()

    def _read(self) -> None:
        at = 0
        while (found := ANCHOR.search(self._lines, at)) is not None:
            kind = found.lastgroup
            self._marks += kind not in {"role", "bare"}
            if self._marks > MAX_MARKS:
                self.flaws.append(f"more than {MAX_MARKS} marks")
                self.end = found.start()
                return
            if kind in {"think", "wide"} or (kind == "call" and THINK_TAG.match(self.text, found.start())):
                at = self._thought(found.start())
            elif kind == "call":
                at = self._native(found.start())
            elif kind == "bare":
                at = self._bare(found)
            else:
                at = self._turn(found)
        cut = BARE_CUT.search(self.text, max(self.start, len(self.text) - 400))
        if cut and self.enclosures.at(cut.start()) is None:
            self.pieces.append(Piece("k2_bare", cut.start(), len(self.text), refused=[(cut[1], "leaked_call", _CUT)]))

    def _said(self, position: int) -> bool:
        """Whether the answer has text before a position."""
        return bool(self.delivered(self.start, position).strip()) if position < self.start + 2_000 else True

    def _thought(self, start: int) -> int:
        """A thought is neither delivered nor called, whether its begin or its end is missing."""
        tag = THINK_TAG.match(self.text, start)
        if tag is None or (quoted := self._closed_behind(start, tag.end(), kinds=_CODE)):
            return quoted if tag else start + 1
        if _closes(tag) and self._names(start, tag.end()):
            return tag.end()
        if _closes(tag):
            self.start, self.stripped = tag.end(), True
            self.pieces.clear()
            self.flaws.clear()
            self._removed.clear()
            self.turn_end = len(self.text)
            self.enclosures.skip(tag.end(), reset=True)
            return tag.end()
        end = self._thought_end(tag)
        if self._said(start) and not tag["channel"]:
            # In the middle of a text the tags may be what it is about: the text stays, but nothing in it is called.
            if end < 0:
                self.turn_end = min(self.turn_end, start)
                return tag.end()
            if NATIVE_TEXT.search(self.text, start, end):
                self.flaws.append("marks of a call in a thought")
            self.enclosures.skip(end)
            return end
        end = len(self.text) if end < 0 else end
        self._removed.append((start, end))
        self.enclosures.skip(end, reset=True)
        return end

    def _thought_end(self, opened: re.Match[str]) -> int:
        """Where the thought ends, behind its end tag; -1 if it is never closed. Thoughts nest."""
        depth = 1
        for tag in THINK_TAG.finditer(self.text, opened.end()):
            if _kind(tag) == _kind(opened):
                depth += -1 if _closes(tag) else 1
            if depth == 0:
                return tag.end()
        return -1

    def _turn(self, found: re.Match[str]) -> int:
        """A role line, or a token of a chat template: what follows is not this answer's turn any more."""
        start, end = found.start(), found.end()
        if quoted := self._closed_behind(start + (found.lastgroup == "role"), end):
            return quoted
        self.turn_end = min(self.turn_end, start)
        run = None if found.lastgroup == "role" else _TURN_MARKS.match(self.text, start)
        if run is None or self._names(start, end):
            return end
        end = run.end()
        self._removed.append((start, end))
        self.stripped = True
        if end > self._marks_end and (run := _MARKS_ONLY.match(self.text, end)):
            self._marks_end = run.end()
        if self._marks_end < len(self.text) and self._said(start):
            self.end = start
            return len(self.text)
        return end

    def _native(self, start: int, brace: int = -1) -> int:
        """Marks of calls: quoted, named by a sentence, around nothing, or a call."""
        enclosure = self.enclosures.at(start)
        if brace >= 0:
            piece = k2.parse_bare(self.text, start, brace)
        else:
            xtml = self.text.startswith((K3_OPEN, K3_CLOSE, K3_SEP), start)
            piece = k3.parse(self.text, start) if xtml else k2.parse(self.text, start)
        if K3_ROLE.match(self.text, start):
            self.turn_end = min(self.turn_end, start)
        if enclosure is not None:
            return self._enclosed(piece, enclosure)
        mark = K2_MARK.match(self.text, start)
        if not (piece.calls or any(name for name, _, _ in piece.refused)) and self._names(
            start, mark.end() if mark else piece.end
        ):
            return mark.end() if mark else piece.end
        if piece.flaw:
            self.flaws.append(piece.flaw)
        if mark and mark[0] in _ENDS and not self.pieces:
            self.misplaced = True
        if piece.void:
            self._removed.append((piece.start, piece.end))
            self.stripped = True
        else:
            self.pieces.append(piece)
        self.enclosures.skip(piece.end)
        return piece.end

    def _bare(self, body: re.Match[str]) -> int:
        """A call without its special tokens, if an id stands before its body."""
        start = k2.bare_start(self.text, body.start(), self._tools)
        if start < self.start:
            return body.start() + 1
        if not k2.starts_id(self.text, start, self._tools):
            self.flaws.append("a call whose id runs into other text")
            return body.end()
        return self._native(start, body.end() - 1)

    def _enclosed(self, piece: Piece, enclosure: Enclosure) -> int:
        """Text up to where the enclosure ends. If it never does, or is no clear quotation, the answer is suspect."""
        closer = enclosure.closer
        if enclosure is self._unclosed:
            self._removed.append((piece.start, piece.end))
            return piece.end
        closed = piece.end
        if closer is not None:
            found = closer.search(self.text, piece.start if enclosure.kind == "a fence" else piece.end)
            closed = found.end() if found and found[0].strip() else -1
        if closed < 0 or not enclosure.text:
            self.flaws.append(f"marks of a call in {enclosure.kind}")
            self._unclosed = enclosure
            self._removed.append((piece.start, piece.end))
        return closed if closed >= 0 else piece.end

    def _closed_behind(self, start: int, end: int, kinds: Container[str] | None = None) -> int:
        """Where the quotation of a mark ends, if it is closed behind it; else 0."""
        enclosure = self.enclosures.at(start)
        if enclosure is None or not enclosure.text or (kinds is not None and enclosure.kind not in kinds):
            return 0
        if enclosure.closer is None:
            return end
        found = enclosure.closer.search(self.text, end)
        return found.end() if found and found[0].strip() else 0

    def _names(self, start: int, end: int) -> bool:
        """Whether a sentence names a mark: white space before it, further words behind it on its line."""
        return self.text[start - 1] in " \t\n(" and bool(_IN_SENTENCE.match(self.text, end))


_ENDS = frozenset({K2_CALL_END, *K2_ARGUMENT_BEGIN, *K2_ARGUMENT_END})
"""Marks that come behind the begin of a call."""
_CODE = frozenset({"a fence", "a code span"})
_CUT = "the call is cut before its arguments"


def _closes(tag: re.Match[str]) -> bool:
    return tag["channel"] == "close" or bool(tag["close"] or tag["wide_close"])


def _kind(tag: re.Match[str]) -> str:
    return (tag["name"] or ("channel" if tag["channel"] else "wide")).lower()
