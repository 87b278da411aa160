"""Calls in tags: Hermes (`<tool_call>{...}</tool_call>`), Anthropic (`<invoke name=...>`), Llama and Qwen (`<function=...>`).

Values between tags are raw text, without escapes; what the schema wants to be a number or a list is read as JSON.
"""

from __future__ import annotations

import json
import re

from ...parsing.strict_json import StrictJsonError, loads
from ...schema import ToolSet
from ..buffer import LAYOUT, Source, Wait, matched, search, skip_space
from ..result import MAX_CALLS, Piece, WrittenCall
from .json_calls import extent, written_calls

_OPEN = re.compile(
    rb"<(?:antml:)?(?:(?P<wrapper>tool_calls|tool_call|function_calls|function_call|tool_use)"
    rb'|(?:invoke|function)[ \t]name=(?P<quote>["\']?)(?P<named>[^"\'<>\r\n{}()\[\]]{1,256})(?P=quote)[ \t]*'
    rb"|function=(?P<equals>[^\s<>{}()\[\]=]{1,256}))[ \t]*(?P<end>>?)"
)
_CLOSE = re.compile(
    rb"</(?:antml:)?(tool_calls|tool_call|function_calls|function_call|tool_use|invoke|function)[ \t]*>"
)
_PARAMETER = re.compile(
    rb'<(?:antml:)?parameter(?:=(?P<equals>[^\s<>"]{1,256})|[ \t]name=(?P<quote>["\']?)(?P<named>[^"\'<>\r\n]{1,256})(?P=quote))'
    rb"[^<>\r\n]{0,64}>"
)
_VALUE_END = re.compile(rb"</(?:antml:)?parameter[ \t]*>|<(?:antml:)?parameter(?:=|[ \t]name=)")
_OPENING = re.compile(rb"<[^<>]{0,600}\Z")
_OPENED = re.compile(rb"<[^<>{(\[\r\n]*+[<>{(\[\r\n]")
_BROKEN_OPEN = re.compile(rb"<(?:antml:)?(?:function=|(?:function|invoke)[ \t]name=)")
_HEAD = 700


class _Broken(Exception):
    """The tags do not form a call."""


def parse(source: Source, start: int, tools: ToolSet) -> Wait[Piece]:
    """The element at `start`, with all calls in it."""
    piece = Piece("hermes", start, start)
    try:
        piece.end = yield from _element(source, start, piece, tools, depth=0)
    except _Broken as error:
        piece.flaw = str(error)
        piece.cut = source.closed and str(error) == _CUT
        if piece.cut:
            piece.end = len(source.data)
    return piece


_CUT = "the message ends inside a tag's call"


def _element(source: Source, start: int, piece: Piece, tools: ToolSet, *, depth: int) -> Wait[int]:
    opened = yield from _opened(source, start)
    if opened is None:
        piece.end = start if depth else max(matched(_BROKEN_OPEN, source, start), start + 1)
        raise _Broken(_CUT if source.closed and len(source.data) - start < _HEAD else "an opening tag is broken")
    name, wrapper, equals, at = opened
    piece.end = at
    if wrapper:
        return (yield from _wrapped(source, at, wrapper, piece, tools, depth=depth))
    piece.dialect = "function_tag" if equals else "xml_invoke"
    return (yield from _named(source, at, name, piece))


def _opened(source: Source, start: int) -> Wait[tuple[str, bytes, bool, int] | None]:
    """Name, wrapper, whether it is `<function=NAME`, and the end of the opening tag; that form needs no `>`."""
    while not source.closed and len(source.data) - start < _HEAD and matched(_OPENED, source, start) < 0:
        yield
    found = _OPEN.match(source.data, start)
    if found is None:
        return None
    equals = found["equals"] is not None
    name = (found["named"] or found["equals"] or b"").decode("utf-8", "replace").strip(LAYOUT)
    return (name, found["wrapper"] or b"", equals, found.end()) if found["end"] or equals else None


def _wrapped(source: Source, at: int, wrapper: bytes, piece: Piece, tools: ToolSet, *, depth: int) -> Wait[int]:
    """What stands between `<tool_call>` and its end: JSON values, or further tags."""
    if depth > 2:
        raise _Broken("tags nest too deeply")
    while True:
        at = yield from skip_space(source, at)
        piece.end = at
        if at >= len(source.data):
            if not piece.calls:
                raise _Broken(_CUT)
            piece.cut = True
            return at
        mark = source.peek(at, 1)
        if mark in {b"{", b"["}:
            at = yield from _json(source, at, piece, tools)
        elif mark == b"<":
            closed = yield from _closed(source, at)
            if closed is not None and closed[0] in {wrapper, b"tool_call", b"function_call"}:
                return closed[1]
            if closed is not None or len(piece.calls) > MAX_CALLS:
                raise _Broken("tags close in a wrong order")
            at = yield from _element(source, at, piece, tools, depth=depth + 1)
        else:
            raise _Broken("text where a call belongs")


def _closed(source: Source, at: int) -> Wait[tuple[bytes, int] | None]:
    yield from _tag_arrived(source, at)
    found = _CLOSE.match(source.data, at)
    return (found[1], found.end()) if found else None


def _tag_arrived(source: Source, at: int) -> Wait[None]:
    """Wait until the tag that starts at `at` has its end, or is none."""
    while not source.closed and _OPENING.match(source.peek(at, _HEAD)):
        yield


def _json(source: Source, at: int, piece: Piece, tools: ToolSet) -> Wait[int]:
    end, ending = yield from extent(source, at)
    if ending != "whole":
        raise _Broken(_CUT if ending == "cut" else "the brackets of the call do not match")
    try:
        calls = written_calls(loads(source.text(at, end)), tools)
    except StrictJsonError as error:
        raise _Broken(f"the call is not JSON: {error}") from None
    if not calls:
        raise _Broken("the JSON in the tag is no call")
    piece.calls.extend(calls[: MAX_CALLS + 1])
    return end


def _named(source: Source, at: int, name: str, piece: Piece) -> Wait[int]:
    """The body of `<invoke name=...>` or `<function=...>`: parameters, or one JSON object."""
    at = yield from skip_space(source, at)
    parenthesis = source.peek(at, 1) == b"("
    at = (yield from skip_space(source, at + 1)) if parenthesis else at
    if source.peek(at, 1) in {b"{", b"["}:
        end, ending = yield from extent(source, at)
        if ending != "whole":
            raise _Broken(_CUT if ending == "cut" else "the brackets of the arguments do not match")
        arguments = source.text(at, end)
        at = yield from skip_space(source, end)
        if parenthesis and source.peek(at, 1) == b")":
            at = yield from skip_space(source, at + 1)
        words = False
    else:
        at, parameters = yield from _parameters(source, at)
        arguments = json.dumps(parameters, ensure_ascii=False)
        words = True
    closed = yield from _closed(source, at)
    if closed is None or closed[0] not in {b"invoke", b"function"}:
        raise _Broken(_CUT if source.closed and len(source.data) - at < _HEAD else "a call without its end tag")
    piece.calls.append(WrittenCall(name, arguments, words=words))
    return closed[1]


def _parameters(source: Source, at: int) -> Wait[tuple[int, dict[str, str]]]:
    arguments: dict[str, str] = {}
    while True:
        at = yield from skip_space(source, at)
        yield from _tag_arrived(source, at)
        found = _PARAMETER.match(source.data, at)
        if found is None:
            return at, arguments
        key, begin = (found["named"] or found["equals"]).decode("utf-8", "replace").strip(LAYOUT), found.end()
        del found
        close = yield from search(source, _VALUE_END, begin)
        if close is None:
            raise _Broken(_CUT)
        if source.data[close.start + 1] != ord("/") or key in arguments:
            raise _Broken("a parameter without its end, or twice")
        arguments[key] = _trimmed(source.text(begin, close.start))
        at = close.end


def _trimmed(value: str) -> str:
    """Without the line ends that only lay the tags out."""
    return value.removeprefix("\r").removeprefix("\n").removesuffix("\n").removesuffix("\r")
