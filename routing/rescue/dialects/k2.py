"""K2 to K2.7: `<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:IDX<|tool_call_argument_begin|>{...}`.

Special tokens of the model, plain text once a host fails to parse them. The section's marks come in the plural and
the singular, or not at all; the end marks may be missing. An end mark inside a JSON string is content: the arguments
are read with JSON's own rules, so a string that stays open swallows the rest and the call is refused.
"""

from __future__ import annotations

import re

from ...parsing.strict_json import StrictJsonError, loads
from ..buffer import LAYOUT, LONGEST_MARKER, Source, Wait, matched, search, skip_space
from ..call_validation import is_counter
from ..markers import (
    BARE,
    K2,
    K2_ARGUMENT_BEGIN,
    K2_CALL_BEGIN,
    K2_CALL_END,
    K2_MARK,
    K2_SECTION_BEGIN,
    K2_SECTION_END,
    NATIVE,
    NATIVE_MARK,
    may_become_bare,
)
from ..result import MAX_CALLS, Piece, WrittenCall
from .json_calls import STRING, extent, string_end

_HEADER = 512
"""Bytes of an id; `functions.NAME:IDX` is far shorter."""
_NAMELIKE = re.compile(r"\w")
_PROSE = re.compile(r"\S+[ \t]+\S+[ \t]+\S")
_HEADER_END = re.compile(rb"[{`]|" + NATIVE_MARK.pattern)
_UNTIL_MARK = re.compile(
    rb'(?:[^"<]++|' + STRING + rb"|<(?=[^|]|\|(?!tool_call|open\||close\||sep\||end_of_|im_).{9}))*+", re.DOTALL
)


def parse(source: Source, start: int) -> Wait[Piece]:
    """The section or the calls whose first mark stands at `start`."""
    piece = Piece("k2", start, start)
    mark, at = _mark_at(source, start)
    piece.mark_end = at
    if mark not in {*K2_SECTION_BEGIN, K2_CALL_BEGIN}:
        return _stray(source, piece, mark, at)
    section = False
    while True:
        section = section or mark in K2_SECTION_BEGIN
        piece.end = (yield from _call(source, at, piece)) if mark == K2_CALL_BEGIN else at
        if mark in K2_SECTION_END:
            break
        if len(piece.calls) + len(piece.refused) > MAX_CALLS:
            yield from _give_up(source, piece)
            break
        following = yield from _next_mark(source, piece, anywhere=section)
        if following is None:
            break
        mark, at = following
    if not piece.calls and not piece.refused and not piece.flaw:
        _without_calls(source, piece)
    return piece


def _give_up(source: Source, piece: Piece) -> Wait[None]:
    """Whoever writes so many calls is stuck: nothing after them is read."""
    while not source.closed:
        yield
    piece.end, piece.cut = len(source.data), True


def _mark_at(source: Source, at: int) -> tuple[bytes, int]:
    end = matched(K2_MARK, source, at)
    return (bytes(source.data[at:end]), end) if end >= 0 else (b"", at)


def _stray(source: Source, piece: Piece, mark: bytes, end: int) -> Piece:
    """An end mark on its own: nothing is lost with it, unless arguments stand before it."""
    piece.end = end
    before = bytes(source.data[max(0, piece.start - 64) : piece.start]).rstrip()
    piece.void = mark not in K2_ARGUMENT_BEGIN and not (mark == K2_CALL_END and before.endswith((b"}", b"]", b'"')))
    piece.flaw = "" if piece.void else "a part of a call stands in the text"
    return piece


def _without_calls(source: Source, piece: Piece) -> None:
    """A section that opens and closes around nothing is only markers; any other was meant to hold a call."""
    inside = K2_MARK.sub(b"", bytes(source.data[piece.start : piece.end]))
    closed = source.data.endswith(K2_SECTION_END, piece.start, piece.end)
    piece.void = closed and not inside.strip()
    piece.flaw = "" if piece.void else "a section of calls holds none"


def _next_mark(source: Source, piece: Piece, *, anywhere: bool) -> Wait[tuple[bytes, int] | None]:
    """The next K2 mark: over noise inside a section, over white space only outside one."""
    if anywhere:
        found = yield from search(source, NATIVE_MARK, piece.end)
        at = found.start if found else len(source.data)
        if not piece.calls:
            piece.end, piece.cut = at, found is None  # nothing was called: the noise belongs to the failed section
    else:
        at = yield from skip_space(source, piece.end)
        yield from whole_mark(source, at)
    mark, end = _mark_at(source, at)
    return (mark, end) if mark in K2 else None


def whole_mark(source: Source, at: int) -> Wait[None]:
    """Wait while what stands at `at` may still become a mark."""
    while not source.closed and len(source.data) - at < LONGEST_MARKER:
        tail = bytes(source.data[at:])
        if not any(len(tail) < len(mark) and mark.startswith(tail) for mark in NATIVE):
            return
        yield


def _call(source: Source, at: int, piece: Piece) -> Wait[int]:
    """Read one call after its begin mark; gives where the next mark is looked for."""
    found = yield from search(source, _HEADER_END, at)
    if found is None:
        piece.flaw, piece.cut = "the call is cut", True
        return len(source.data)
    header = source.peek(at, min(found.start - at, _HEADER)).decode("utf-8", "replace").strip(LAYOUT)
    if _PROSE.match(header) or not _NAMELIKE.search(header):
        piece.refused.append(("", "leaked_call", "text where an id belongs"))
        return found.start
    mark, after = _mark_at(source, found.start)
    begin = after if mark in K2_ARGUMENT_BEGIN else found.start
    end = yield from until_mark(source, begin)
    if end < 0:
        return _cut(source, piece, header, begin)
    mark, after = _mark_at(source, end)
    ended = mark == K2_CALL_END
    if mark in K2_ARGUMENT_BEGIN:
        piece.refused.append((header, "leaked_call", "two bodies in one call"))
        return (yield from until_call_end(source, end))
    arguments = source.text(begin, end).strip()
    if _is_tangled(source, begin, end, arguments):
        piece.refused.append((header, "arguments_not_json", "marks inside what may or may not be a string"))
        yield from _give_up(source, piece)
        return piece.end
    if len(piece.calls) <= MAX_CALLS:
        piece.calls.append(_written(header, arguments, ended=ended))
    return after if ended else end


def _is_tangled(source: Source, begin: int, end: int, arguments: str) -> bool:
    """Whether marks stand in the strings of arguments that are no JSON.

    Then a quotation mark too many or too few has turned inside and outside around: what looks like a call from here
    on may be the content of a string, and the other way round.
    """
    if NATIVE_MARK.search(source.data, begin, end) is None:
        return False
    try:
        loads(arguments)
    except StrictJsonError:
        return True
    return False


def _cut(source: Source, piece: Piece, header: str, begin: int) -> int:
    """The message ends inside the arguments: they count only if they are complete as they stand."""
    piece.calls.append(_written(header, source.text(begin, len(source.data)).strip(), ended=False))
    piece.cut = True
    return len(source.data)


def _written(header: str, arguments: str, *, ended: bool) -> WrittenCall:
    counter = is_counter(header)
    return WrittenCall(None if counter else header, arguments, header, ended=ended, cut=not ended)


def until_call_end(source: Source, at: int) -> Wait[int]:
    """Behind the end of a call that is refused, or before the next one."""
    while True:
        at = yield from until_mark(source, at)
        if at < 0:
            return len(source.data)
        mark, after = _mark_at(source, at)
        if mark not in K2_ARGUMENT_BEGIN:
            return after if mark == K2_CALL_END else at
        at = after


def until_mark(source: Source, at: int) -> Wait[int]:
    """Where the next native mark outside JSON strings starts; -1 where the message ends before."""
    while True:
        at = matched(_UNTIL_MARK, source, at)
        if at < len(source.data) and source.data[at] == ord('"'):
            at = yield from string_end(source, at)
            if at < 0:
                return -1
        elif at < len(source.data):
            yield from whole_mark(source, at)
            if matched(NATIVE_MARK, source, at) >= 0:
                return at
            at += 1
        elif source.closed:
            return -1
        else:
            yield


def parse_bare(source: Source, start: int) -> Wait[Piece]:
    """`functions.NAME:IDX{...}`: the same call after a host has left out the special tokens."""
    calls: list[WrittenCall] = []
    at = end = start
    while True:
        brace = matched(BARE, source, at)
        if brace < 0 or len(calls) > MAX_CALLS:
            break
        end, ending = yield from extent(source, brace)
        if ending != "whole":
            return Piece("k2_bare", start, end, calls, flaw=f"the arguments are {ending}", cut=ending == "cut")
        calls.append(
            WrittenCall(
                source.text(at, brace).strip(LAYOUT), source.text(brace, end), source.text(at, brace).strip(LAYOUT)
            )
        )
        at = yield from skip_space(source, end)
        while not source.closed and may_become_bare(source.data, at):
            yield
    return Piece("k2_bare", start, end, calls)
