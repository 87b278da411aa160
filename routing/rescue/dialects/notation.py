"""Calls as code: `get_weather({"city": "Paris"})`, `get_weather(city="Paris")`, `[first(), second()]`."""

from __future__ import annotations

import re

from ...parsing.literals import LiteralError, read_call
from ..markers import skip_space
from ..result import MAX_CALLS, Piece, WrittenCall

_OUTSIDE = re.compile(r"""(?:[^"'()]++|"(?:[^"\\\r\n]++|\\.)*+"|'(?:[^'\\\r\n]++|\\.)*+')*+([()])?""", re.DOTALL)
_HEAD = re.compile(r"[ \t]*+((?:functions\.)?[\w.\-]{1,160}+)[ \t]?\(")
_BODY = re.compile(r"\([ \t\r\n]*+(?:\{|\Z|[A-Za-z_]\w*+[ \t]*+=)")
_MAX_DEPTH = 50


def parse(text: str, start: int) -> Piece | None:
    """The call or the list of calls at `start`; None if the parentheses hold other code."""
    listed = text.startswith("[", start)
    at = start + listed
    calls: list[WrittenCall] = []
    while len(calls) <= MAX_CALLS:
        head = _HEAD.match(text, skip_space(text, at))
        if head is None:
            return None
        opened = head.end() - 1
        end = _closing(text, opened)
        if end < 0:
            begun = _BODY.match(text, opened)
            return Piece("call_notation", start, len(text), flaw="the call is cut", cut=True) if begun else None
        try:
            calls.append(WrittenCall(head[1], read_call(text[opened:end])))
        except LiteralError:
            return None
        if not listed:
            return Piece("call_notation", start, end, calls)
        at = skip_space(text, end) + 1
        if text.startswith("]", at - 1):
            return Piece("call_notation", start, at, calls)
        if not text.startswith(",", at - 1):
            return None
    return None


def _closing(text: str, at: int) -> int:
    """Where the parenthesis opened at `at` closes outside strings; -1 if it does not."""
    depth = 0
    for found in _OUTSIDE.finditer(text, at):
        if found[1] is None:
            return -1
        depth += 1 if found[1] == "(" else -1
        if depth == 0:
            return found.end()
        if depth > _MAX_DEPTH:
            return -1
    return -1
