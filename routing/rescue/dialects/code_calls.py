"""Calls as code: `get_weather({"city": "Paris"})`, `get_weather(city="Paris")`, `[first(), second()]`."""

from __future__ import annotations

import re

from ..buffer import LAYOUT, Source, Wait, matched, skip_space
from ..literals import LiteralError, read_call
from ..result import MAX_CALLS, Piece, WrittenCall

_OUTSIDE = re.compile(rb"""(?:[^"'()]++|"(?:[^"\\\r\n]++|\\.)*+"|'(?:[^'\\\r\n]++|\\.)*+')*+""", re.DOTALL)
_IN_STRING = {quote: re.compile(rb"(?:[^\\\r\n" + bytes([quote]) + rb"]++|\\.)*+", re.DOTALL) for quote in b"\"'"}
_HEAD = re.compile(rb"[ \t]*+((?:functions\.)?[\w.\-]{1,160}+)[ \t]?\(")
_BODY = re.compile(rb"\([ \t\r\n]*+(?:\{|\Z|[A-Za-z_]\w*+[ \t]*+=)")
_MAX_DEPTH = 50


def parse(source: Source, start: int) -> Wait[Piece | None]:
    """The call or the list of calls at `start`; None where the parentheses hold other code."""
    at = start
    listed = source.peek(at, 1) == b"["
    at += listed
    calls: list[WrittenCall] = []
    while len(calls) <= MAX_CALLS:
        at = yield from skip_space(source, at)
        name, opened = yield from _head(source, at)
        if not name:
            return None
        end, cut = yield from _closing(source, opened)
        if end < 0:
            begun = cut and matched(_BODY, source, opened) >= 0
            return Piece("call_notation", start, len(source.data), flaw="the call is cut", cut=True) if begun else None
        try:
            calls.append(WrittenCall(name, read_call(source.text(opened, end))))
        except LiteralError:
            return None
        if not listed:
            return Piece("call_notation", start, end, calls)
        at = yield from skip_space(source, end)
        separator = source.peek(at, 1)
        at += 1
        if separator == b"]":
            return Piece("call_notation", start, at, calls)
        if separator != b",":
            return None
    return None


def _head(source: Source, at: int) -> Wait[tuple[str, int]]:
    """The name and the position of the opening parenthesis; an empty name where there is none."""
    while True:
        end = matched(_HEAD, source, at)
        if end >= 0 or source.closed or len(source.data) - at > 200:
            break
        yield
    return (source.text(at, end - 1).strip(LAYOUT), end - 1) if end >= 0 else ("", at)


def _closing(source: Source, at: int) -> Wait[tuple[int, bool]]:
    """Where the parenthesis opened at `at` closes outside strings, and whether the message ended first.

    (-1, False) where a line ends inside a string or parentheses nest too deeply: that is no call.
    """
    depth = 0
    while True:
        at = matched(_OUTSIDE, source, at)
        mark = source.data[at] if at < len(source.data) else -1
        if mark == ord("("):
            depth, at = depth + 1, at + 1
        elif mark == ord(")"):
            depth, at = depth - 1, at + 1
        elif mark in {ord('"'), ord("'")}:
            at = yield from _string(source, at)
            if at < 0:
                return -1, source.closed
        elif source.closed:
            return -1, True
        else:
            yield
        if depth > _MAX_DEPTH:
            return -1, False
        if depth == 0 and mark == ord(")"):
            return at, False


def _string(source: Source, at: int) -> Wait[int]:
    """Where the string opened at `at` ends; -1 where its line or the message ends first."""
    quote = source.data[at]
    at += 1
    while True:
        at = matched(_IN_STRING[quote], source, at)
        if at < len(source.data) and source.data[at] == quote:
            return at + 1
        if source.closed or source.peek(at, 1) in {b"\n", b"\r"}:
            return -1
        yield
