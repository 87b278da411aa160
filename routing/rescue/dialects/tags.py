"""Calls in tags: Hermes (`<tool_call>{...}</tool_call>`), Anthropic (`<invoke name=...>`), Llama and Qwen (`<function=...>`).

Values between tags are raw text, without escapes; what the schema wants to be a number or a list is read as JSON.
"""

from __future__ import annotations

import json
import re

from ...parsing.strict_json import StrictJsonError, loads
from ...schema import ToolSet
from ..markers import skip_space
from ..result import MAX_CALLS, Piece, WrittenCall
from .json_calls import extent, written_calls

_OPEN = re.compile(
    r"<(?:antml:)?(?:(?P<wrapper>tool_calls|tool_call|function_calls|function_call|tool_use)"
    r'|(?:invoke|function)[ \t]name=(?P<quote>["\']?)(?P<named>[^"\'<>\r\n{}()\[\]]{1,256})(?P=quote)[ \t]*'
    r"|function=(?P<equals>[^\s<>{}()\[\]=]{1,256}))[ \t]*(?P<end>>?)"
)
_CLOSE = re.compile(r"</(?:antml:)?(tool_calls|tool_call|function_calls|function_call|tool_use|invoke|function)[ \t]*>")
_PARAMETER = re.compile(
    r'<(?:antml:)?parameter(?:=(?P<equals>[^\s<>"]{1,256})|[ \t]name=(?P<quote>["\']?)(?P<named>[^"\'<>\r\n]{1,256})(?P=quote))'
    r"[^<>\r\n]{0,64}>"
)
_VALUE_END = re.compile(r"</(?:antml:)?parameter[ \t]*>|<(?:antml:)?parameter(?:=|[ \t]name=)")
_BROKEN_OPEN = re.compile(r"<(?:antml:)?(?:function=|(?:function|invoke)[ \t]name=)")
_CUT = "the text ends inside a tag's call"
START = re.compile(
    r"<(?:antml:)?(?:(?:tool_calls|tool_call|function_calls|function_call|tool_use)>|(?:invoke|function)[ \t]name=|function=)"
)


class _Broken(Exception):
    """The tags do not form a call."""


def parse(text: str, start: int, tools: ToolSet) -> Piece:
    """The element at `start`, with all calls in it."""
    piece = Piece("hermes", start, start)
    try:
        piece.end = _element(text, start, piece, tools, depth=0)
    except _Broken as error:
        piece.flaw = str(error)
        piece.cut = str(error) == _CUT
        if piece.cut:
            piece.end = len(text)
    return piece


def _element(text: str, start: int, piece: Piece, tools: ToolSet, *, depth: int) -> int:
    opened = _OPEN.match(text, start)
    if opened is None or not (opened["end"] or opened["equals"]):
        broken = _BROKEN_OPEN.match(text, start)
        piece.end = start if depth else max(broken.end() if broken else start, start + 1)
        raise _Broken(_CUT if not re.compile(r"[\s>{(]").search(text, piece.end + 1) else "an opening tag is broken")
    piece.end = opened.end()
    if opened["wrapper"]:
        return _wrapped(text, opened.end(), opened["wrapper"], piece, tools, depth=depth)
    piece.dialect = "function_tag" if opened["equals"] else "xml_invoke"
    return _named(text, opened.end(), (opened["named"] or opened["equals"] or "").strip(), piece)


def _wrapped(text: str, at: int, wrapper: str, piece: Piece, tools: ToolSet, *, depth: int) -> int:
    """What stands between `<tool_call>` and its end: JSON values, or further tags."""
    if depth > 2:
        raise _Broken("tags nest too deeply")
    while True:
        at = piece.end = skip_space(text, at)
        if at >= len(text):
            if not piece.calls:
                raise _Broken(_CUT)
            piece.cut = True
            return at
        if text[at] in "{[":
            at = _json(text, at, piece, tools)
        elif text[at] == "<":
            closed = _CLOSE.match(text, at)
            if closed and closed[1] in {wrapper, "tool_call", "function_call"}:
                return closed.end()
            if closed or len(piece.calls) > MAX_CALLS:
                raise _Broken("tags close in a wrong order")
            at = _element(text, at, piece, tools, depth=depth + 1)
        else:
            raise _Broken("text where a call belongs")


def _json(text: str, at: int, piece: Piece, tools: ToolSet) -> int:
    end, ending = extent(text, at)
    if ending != "whole":
        raise _Broken(_CUT if ending == "cut" else "the brackets of the call do not match")
    try:
        calls = written_calls(loads(text[at:end]), tools)
    except StrictJsonError as error:
        raise _Broken(f"the call is not JSON: {error}") from None
    if not calls:
        raise _Broken("the JSON in the tag is no call")
    piece.calls.extend(calls[: MAX_CALLS + 1])
    return end


def _named(text: str, at: int, name: str, piece: Piece) -> int:
    """The body of `<invoke name=...>` or `<function=...>`: parameters, or one JSON object."""
    at = skip_space(text, at)
    parenthesis = text.startswith("(", at)
    at = skip_space(text, at + parenthesis)
    words = not text.startswith(("{", "["), at)
    if words:
        at, parameters = _parameters(text, at)
        arguments = json.dumps(parameters, ensure_ascii=False)
    else:
        end, ending = extent(text, at)
        if ending != "whole":
            raise _Broken(_CUT if ending == "cut" else "the brackets of the arguments do not match")
        arguments = text[at:end]
        at = skip_space(text, end)
        if parenthesis and text.startswith(")", at):
            at = skip_space(text, at + 1)
    closed = _CLOSE.match(text, at)
    if closed is None or closed[1] not in {"invoke", "function"}:
        raise _Broken(_CUT if at >= len(text) else "a call without its end tag")
    piece.calls.append(WrittenCall(name, arguments, words=words))
    return closed.end()


def _parameters(text: str, at: int) -> tuple[int, dict[str, str]]:
    arguments: dict[str, str] = {}
    while True:
        at = skip_space(text, at)
        found = _PARAMETER.match(text, at)
        if found is None:
            return at, arguments
        key = (found["named"] or found["equals"]).strip()
        close = _VALUE_END.search(text, found.end())
        if close is None:
            raise _Broken(_CUT)
        if not close[0].startswith("</") or key in arguments:
            raise _Broken("a parameter without its end, or twice")
        # Line ends next to the tags only lay them out.
        value = text[found.end() : close.start()].removeprefix("\r").removeprefix("\n")
        arguments[key] = value.removesuffix("\n").removesuffix("\r")
        at = close.end()
