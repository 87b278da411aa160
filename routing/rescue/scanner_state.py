"""What of a message goes out, and what is known of the line and the sentence where the reading stands."""

from __future__ import annotations

import re

from ..schema import ToolSet
from .buffer import Source, Wait, search
from .call_validation import Desk
from .context.quotations import Foreign
from .context.sentence import LOOK_BACK, Line
from .context.user_request import asks_about_calls
from .markers import NATIVE_MARK, anchors
from .result import Piece

MAX_MARKERS = 1_500
"""Markers outside calls that are read in one message; after them nothing is read or delivered any more."""
LINE_END = re.compile(rb"\n")
_QUOTED = re.compile(NATIVE_MARK.pattern + rb"|</?[\w:]{1,40}+[^<>\r\n]{0,300}+>")
_NOTHING = re.compile(rb"(?!)")


class Flow:
    """The state of one reading. `out` grows with the text that may be delivered, `desk` with the calls."""

    def __init__(
        self, tools: ToolSet, *, last_user: str | None = None, foreign: Foreign | None = None, thought: bool = False
    ) -> None:
        self.source = Source()
        self.desk = Desk(tools)
        self.out: list[str] = []
        self.thoughts: list[str] = []
        self.dialects: list[str] = []
        self.origins: dict[str, str] = {}
        """The dialect of each call that was taken, by its id."""
        self.tangled: set[str] = set()
        """Dialects whose marks stand in a wrong order somewhere in the message."""
        self.last_call_end = 0
        self.unended = ""
        """The id of the last call, if its own end was not there."""
        self._tools = tools
        self._foreign = foreign or Foreign((), last_user)
        self._asked = asks_about_calls(last_user)
        self._thought = thought
        """Read as a thought: markers only, nothing in it is a thought of its own."""
        self._names = () if thought else tools.names
        self._anchors = anchors(self._names, written=bool(self._names))
        self._done = 1
        """Before it everything is delivered or left out."""
        self._scan = 0
        """From here on marks are looked for."""
        self._markers = 0.0
        self._said = self._muted = False
        self._line = Line()
        self._line_start, self._line_stop = 1, 0
        self._closing: dict[str, int] = {}
        self._tail = ""
        """The end of the text delivered since the last call: what was said before the next one."""

    def _emit(self, end: int) -> None:
        if self._muted:
            self._done = max(end, self._done)
        elif end > self._done:
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

    def _too_many(self, at: int, count: float = 1) -> bool:
        self._markers += count
        if self._markers > MAX_MARKERS:
            self.desk.drop("", "leaked_call", f"more than {MAX_MARKERS} markers")
            self._markers = 0.0
            self._anchors = _NOTHING
            self._muted = True
            self._skip(at)
        return self._muted

    def _take(self, pieces: list[Piece], *, doubt: bool) -> None:
        """Hand the calls of pieces to the desk: to be judged, or (in doubt) only to be named."""
        for piece in pieces:
            if piece.calls or piece.refused or piece.flaw:
                self.dialects.append(piece.dialect)
            if piece.tangled:
                self.tangled.add(piece.dialect)
            if piece.calls and not doubt:
                doubt = self._foreign.holds(self.source.text(piece.start, piece.end), piece.calls)
            for call in piece.calls:
                if doubt:
                    self.desk.drop(call.name or "", "leaked_call", "it may be an example or a quotation")
                elif (taken := self.desk.take(call)) is not None:
                    self.origins[taken.id] = piece.dialect
                    self.last_call_end = piece.end
                    open_end = piece.cut or (piece.dialect == "k2" and not call.ended)
                    self.unended = taken.id if open_end and call is piece.calls[-1] else ""
            for name, reason, detail in piece.refused:
                self.desk.drop(name, reason, detail)
            if piece.flaw:
                self.desk.drop("", "leaked_call", piece.flaw)
        self._skip(pieces[-1].end)
        self._tail = ""

    def _rest_of_line(self, at: int) -> Wait[None]:
        self._pass((yield from self._line_end(at)))

    def _line_end(self, at: int) -> Wait[int]:
        """Where the line of a position ends; looked for once a line."""
        if not self._line_start <= at <= self._line_stop:
            found = yield from search(self.source, LINE_END, at, 0)
            self._line_start, self._line_stop = at, found.start if found else len(self.source.data)
            self._closing.clear()
        return self._line_stop

    def _closes(self, at: int, closer: str) -> Wait[bool]:
        """Whether the quotation in which a marker stands is closed behind it on its line; then it is delivered."""
        end = yield from self._line_end(at)
        close = self._closing.get(closer, at)
        if close < at or closer not in self._closing:
            close = self._closing[closer] = self._close_of(at, end, closer.encode())
        if close > end:
            return False
        self._pass(close)
        return True

    def _close_of(self, at: int, end: int, closer: bytes) -> int:
        """Behind the closing mark; behind the line's end where there is none."""
        if closer.startswith(b"`"):
            found = re.compile(rb"(?<!`)" + closer + rb"(?!`)").search(self.source.data, at, end)
        else:
            last = max((mark.end() for mark in _QUOTED.finditer(self.source.data, at, end)), default=at)
            found = re.compile(re.escape(closer)).search(self.source.data, last, end)
        return found.end() if found else end + 1
