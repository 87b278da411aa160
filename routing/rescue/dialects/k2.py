"""K2 to K2.7: `<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:IDX<|tool_call_argument_begin|>{...}`.

Special tokens of the model, plain text if a host fails to parse them. The section's marks come in the plural and the
singular, or not at all; the end marks may be missing. An end mark inside a JSON string is content: the arguments are
read with JSON's own rules, so a string that stays open takes the rest with it and the call is refused.
"""

from __future__ import annotations

import re

from ...parsing.strict_json import StrictJsonError, loads
from ...schema import ToolSet
from ..markers import (
    ANCHOR,
    BARE_HEAD,
    K2,
    K2_ARGUMENT_BEGIN,
    K2_ARGUMENT_END,
    K2_CALL_BEGIN,
    K2_CALL_END,
    K2_MARK,
    K2_SECTION_BEGIN,
    K2_SECTION_END,
    NATIVE_MARK,
    skip_space,
)
from ..result import MAX_CALLS, Piece, WrittenCall
from .json_calls import STRING, extent

_HEADER = 512
"""Characters of an id; `functions.NAME:IDX` is far shorter."""
_HEADER_END = re.compile(rf"[{{`]|{NATIVE_MARK.pattern}")
_LAYOUT = " \t\r\n"
_RUNS_ON = re.compile(r"[A-Za-z0-9_\-/@]\Z")
_COUNTER = re.compile(r"\d{1,9}\Z")
"""An id that is a bare number: the model counted its calls and left the name out."""
_NOISE = 200
"""Characters inside a section, on one line, that are no call."""
_PROSE = re.compile(r"\S+[ \t]+\S+[ \t]+\S")
_UNTIL_MARK = re.compile(rf'(?:[^"<]++|{STRING}|<(?!\|(?:tool_call|open\||close\||sep\||end_of_|im_)))*+', re.DOTALL)


def parse(text: str, start: int) -> Piece:
    """The section or the calls whose first mark is at `start`."""
    piece = Piece("k2", start, start)
    mark, at = _mark_at(text, start)
    if mark not in {*K2_SECTION_BEGIN, K2_CALL_BEGIN}:
        return _stray(text, piece, mark, at)
    section = False
    while mark:
        section = section or mark in K2_SECTION_BEGIN
        piece.end = _call(text, at, piece) if mark == K2_CALL_BEGIN else at
        if mark in K2_SECTION_END:
            break
        if len(piece.calls) + len(piece.refused) > MAX_CALLS:
            piece.end, piece.cut = len(text), True
            break
        mark, at = _next_mark(text, piece, anywhere=section)
    if not piece.holds_calls and not piece.flaw:
        inside = K2_MARK.sub("", text[piece.start : piece.end])
        piece.void = text.endswith(K2_SECTION_END, piece.start, piece.end) and not inside.strip()
        piece.flaw = "" if piece.void else "a section of calls holds none"
    return piece


def _mark_at(text: str, at: int) -> tuple[str, int]:
    found = K2_MARK.match(text, at)
    return (found[0], found.end()) if found else ("", at)


def _stray(text: str, piece: Piece, mark: str, end: int) -> Piece:
    """An end mark alone: nothing is lost with it, unless arguments stand before it."""
    piece.end = end
    before = text[max(0, piece.start - 64) : piece.start].rstrip()
    broken = mark in K2_ARGUMENT_BEGIN or (mark in {K2_CALL_END, *K2_ARGUMENT_END} and before.endswith(("}", "]", '"')))
    piece.void, piece.flaw = not broken, "a part of a call stands in the text" if broken else ""
    return piece


def _next_mark(text: str, piece: Piece, *, anywhere: bool) -> tuple[str, int]:
    """The next K2 mark: over noise inside a section, over white space only outside of one."""
    at = skip_space(text, piece.end)
    if anywhere:
        found = ANCHOR.search(text, piece.end)
        at = found.start() if found else len(text)
        if "\n" in text[piece.end : at].strip() or at - piece.end > _NOISE:
            return "", at
        if not piece.holds_calls and found is None:
            piece.end, piece.cut = at, True  # nothing was called: the noise belongs to the failed section
    mark, end = _mark_at(text, at)
    return (mark, end) if mark in K2 else ("", at)


def _call(text: str, at: int, piece: Piece) -> int:
    """Read one call after its begin mark; returns where the next mark is looked for."""
    found = _HEADER_END.search(text, at)
    if found is None:
        piece.flaw, piece.cut = "the call is cut", True
        return len(text)
    header = text[at : min(found.start(), at + _HEADER)].strip(_LAYOUT)
    mark, after = _mark_at(text, found.start())
    piece.tangled = piece.tangled or not header or mark == K2_CALL_BEGIN
    if _PROSE.match(header) or not re.search(r"\w", header):
        piece.refused.append(("", "leaked_call", "text where an id belongs"))
        return found.start()
    begin = after if mark in K2_ARGUMENT_BEGIN else found.start()
    end = _until_mark(text, begin)
    if end < 0:  # cut: the arguments count only if they are complete as they stand
        piece.calls.append(_written(header, text[begin:].strip(), ended=False))
        piece.cut = True
        return len(text)
    arguments = text[begin:end].strip()
    mark, after = _mark_at(text, end)
    if mark in K2_ARGUMENT_END:
        end = skip_space(text, after)
        mark, after = _mark_at(text, end)
    twice = mark in K2_ARGUMENT_BEGIN
    if twice or (NATIVE_MARK.search(arguments) and not _is_json(arguments)):
        # A quotation mark too many or too few has turned inside and outside around: nothing behind it can be trusted.
        reason = "leaked_call" if twice else "arguments_not_json"
        piece.refused.append((header, reason, "marks inside what may or may not be a string"))
        piece.cut = True
        return len(text)
    ended = mark == K2_CALL_END
    if len(piece.calls) <= MAX_CALLS:
        piece.calls.append(_written(header, arguments, ended=ended))
    return after if ended else end


def _is_json(text: str) -> bool:
    try:
        loads(text)
    except StrictJsonError:
        return False
    return True


def _written(header: str, arguments: str, *, ended: bool) -> WrittenCall:
    return WrittenCall(None if _COUNTER.match(header) else header, arguments, header, ended=ended, cut=not ended)


def _until_mark(text: str, at: int) -> int:
    """Where the next native mark outside JSON strings starts; -1 if the text ends before, or inside a string."""
    while True:
        found = _UNTIL_MARK.match(text, at)
        at = found.end() if found else at
        if at >= len(text) or text[at] == '"':
            return -1
        if NATIVE_MARK.match(text, at):
            return at
        at += 1


def bare_start(text: str, colon: int, tools: ToolSet) -> int:
    """Where the id starts whose `:IDX{` is at `colon`: `functions.NAME`, or an offered name; -1 if there is none."""
    low = max(0, colon - 200)
    found = BARE_HEAD.search(text[low:colon])
    if not found:
        return -1
    word, at = found[0], found[0].rfind("functions.")
    if at >= 0:
        return low + found.start() + at
    fits = [name for name in tools.names if word == name or word.endswith(f".{name}")]
    return colon - len(max(fits, key=len)) if fits else -1


def starts_id(text: str, start: int, tools: ToolSet) -> bool:
    """Whether an id may start at a place: not behind a letter, another id, or the first part of a dotted name."""
    before = text[max(0, start - 200) : start].rpartition("\n")[2]
    if before.endswith("."):
        return text.startswith("functions.", start) or " " in before.strip() or not before[:-1].islower()
    if before.endswith(":"):
        return not before[:-1].endswith(tuple(tools.names))
    return not _RUNS_ON.search(before)


def parse_bare(text: str, start: int, brace: int) -> Piece:
    """`functions.NAME:IDX{...}`: the same call after a host has left out the special tokens."""
    end, ending = extent(text, brace)
    piece = Piece("k2_bare", start, end)
    if ending != "whole":
        piece.flaw, piece.cut = f"the arguments are {ending}", ending == "cut"
        return piece
    header = re.split(r"[\s<]", text[start:brace], maxsplit=1)[0]
    piece.calls.append(WrittenCall(header, text[brace:end], header))
    mark, after = _mark_at(text, skip_space(text, end))
    while mark in {*K2_ARGUMENT_END, K2_CALL_END, *K2_SECTION_END}:
        piece.end = after
        mark, after = _mark_at(text, skip_space(text, after))
    return piece
