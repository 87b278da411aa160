"""The literal marks of every dialect: where a call may start, and what may still become such a mark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from .buffer import LONGEST_MARKER

K2_SECTION_BEGIN = (b"<|tool_calls_section_begin|>", b"<|tool_call_section_begin|>")
K2_SECTION_END = (b"<|tool_calls_section_end|>", b"<|tool_call_section_end|>")
K2_CALL_BEGIN = b"<|tool_call_begin|>"
K2_CALL_END = b"<|tool_call_end|>"
K2_ARGUMENT_BEGIN = (b"<|tool_call_argument_begin|>", b"<|tool_call_arguments_begin|>")
K2 = (*K2_SECTION_BEGIN, *K2_SECTION_END, K2_CALL_BEGIN, K2_CALL_END, *K2_ARGUMENT_BEGIN)
K3_OPEN, K3_CLOSE, K3_SEP, K3_END = b"<|open|>", b"<|close|>", b"<|sep|>", b"<|end_of_msg|>"
K3 = (K3_OPEN, K3_CLOSE, K3_SEP, K3_END)
TURN = tuple(f"<|im_{name}|>".encode() for name in ("end", "start", "middle", "system", "user", "assistant"))
"""Marks of the chat template; they say nothing about calls and are stripped."""
NATIVE = (*K2, *K3, *TURN)

_WRAPPERS = ("tool_calls", "tool_call", "function_calls", "function_call", "tool_use")
_NAMED = ("invoke name=", "function name=", "function=")
TAGS = tuple(
    f"<{space}{name}".encode()
    for space in ("", "antml:")
    for name in (*(f"{wrapper}>" for wrapper in _WRAPPERS), *_NAMED)
)
THINK_OPEN, THINK_CLOSE = b"<think>", b"</think>"
COMMENT_OPEN = b"<!--"
_ANGLED = (*NATIVE, *TAGS, THINK_OPEN, THINK_CLOSE, COMMENT_OPEN)

NAME_KEYS = ("name", "tool", "tool_name", "toolName", "function", "function_name", "action", "recipient_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params")
WRAPPER_KEYS = ("tool_calls", "function_call", "tool_call", "toolCalls", "function_calls")
ID_KEYS = ("id", "tool_call_id", "toolCallId", "call_id")
FIRST_KEYS = (*NAME_KEYS, *ARGUMENT_KEYS, *WRAPPER_KEYS, *ID_KEYS, "type", "role", "index")
"""Keys that a call written as JSON may begin with."""
_KEYS = "|".join(FIRST_KEYS)
_SPACE = rb"[ \t\r\n]{0,64}+"
_JSON_START = rb"(?:\[" + _SPACE + rb")?\{" + _SPACE + rb'"(?:' + _KEYS.encode() + rb')"[ \t\r\n]{0,8}+:'
_JSON_STARTING = re.compile(
    rb"[\[{](?:" + _SPACE + rb"\{?)?" + _SPACE + rb'(?:"([A-Za-z_]{0,24}+)(?:"[ \t\r\n]{0,8}+)?)?\Z'
)
_FENCE_STARTING = re.compile(rb"`{1,2}\Z|~{1,2}\Z")
_WORD_STARTING = re.compile(rb"(\[?)([\w.\-]{1,160}+)[ \t]?\Z")
_FUNCTIONS = b"functions."
BARE = re.compile(rb"functions\.([\w.\-]{0,128}+):(\d{1,9}+)[ \t\r\n]{0,8}+(?=\{)")
_BARE_STARTING = re.compile(rb"(?<![\w.])functions\.[\w.\-]{0,128}+(?::\d{0,9}+[ \t\r\n]{0,8}+)?\Z")

NATIVE_MARK = re.compile(b"|".join(map(re.escape, NATIVE)))
NATIVE_TEXT = re.compile("|".join(re.escape(mark.decode()) for mark in (*K2, *K3)))
K2_MARK = re.compile(b"|".join(map(re.escape, (*K2, *TURN))))
JSON_START = re.compile(_JSON_START)
LINE_LIMIT = 300
"""Bytes of an unfinished line that are looked at for the beginning of a call."""


@lru_cache(maxsize=256)
def anchors(names: tuple[str, ...], *, written: bool) -> re.Pattern[bytes]:
    """Everything where a call, a fence, a comment or a thought may start; `written`: calls in JSON, tags and code too."""
    at_line = rb"(?P<fence>`{3,}+|~{3,}+)"
    angled, first, bare = b"", b"`~", b""
    if written:
        tools = sorted((name.encode("utf-8", "surrogatepass") for name in names), key=len, reverse=True)
        called = rb"\[?(?:functions\.)?(?:" + b"|".join(map(re.escape, tools)) + rb")[ \t]?\("
        at_line += rb"|(?P<json>" + _JSON_START + rb")|(?P<called>" + called + rb")"
        first += b"{[f" + bytes({name[0] for name in tools if name})
        angled = rb"|(?P<tag>" + b"|".join(re.escape(tag[1:]) for tag in TAGS) + rb")"
        bare = rb"|(?<=f)(?P<bare>unctions\.(?<![\w.`\"']functions\.)[\w.\-]{0,128}+:\d{1,9}+[ \t\r\n]{0,8}+\{)"
    # A set of first bytes at the very front: with it the search skips prose ten times faster.
    return re.compile(
        rb"[<\nf](?:(?<=<)(?:(?P<native>" + b"|".join(re.escape(mark[1:]) for mark in NATIVE) + rb")"
        rb"|(?P<think>/?think>)|(?P<comment>!--)" + angled + rb")"
        rb"|(?<=\n)[ \t]{0,100}+(?=[" + re.escape(first) + rb"])(?:" + at_line + rb")" + bare + rb")"
    )


@lru_cache(maxsize=256)
def _first_words(names: tuple[str, ...]) -> tuple[bytes, ...]:
    plain = [name.encode("utf-8", "surrogatepass") for name in names]
    return (*plain, *(_FUNCTIONS + name for name in plain))


def held_from(data: bytearray, start: int, names: Sequence[str]) -> int:
    """From where the end of what arrived may be the beginning of a mark; its length where it cannot."""
    size = len(data)
    held = size
    at = data.rfind(b"<", max(start, size - LONGEST_MARKER))
    while at >= start and at >= 0:
        tail = bytes(data[at:])
        if any(mark.startswith(tail) for mark in _ANGLED):
            held = at
        at = data.rfind(b"<", max(start, size - LONGEST_MARKER), at)
    return min(held, _held_line(data, start, tuple(names)), _held_json(data, start), _held_bare(data, start))


def _held_line(data: bytearray, start: int, names: tuple[str, ...]) -> int:
    """The same for marks that start a line: a fence, JSON, a tool's name."""
    newline = data.rfind(b"\n", max(0, len(data) - LINE_LIMIT))
    if newline < 0:
        return len(data)
    line = bytes(data[newline + 1 :])
    text = line.lstrip(b" \t")
    at = newline + 1 + len(line) - len(text)
    if at < start or not text:
        return len(data)
    if _FENCE_STARTING.match(text):
        return at
    word = _WORD_STARTING.match(text)
    if word and any(name.startswith(word[2]) for name in _first_words(names)):
        return at
    return at if names and text == b"[" else len(data)


def _held_json(data: bytearray, start: int) -> int:
    """The same for the beginning of a call in JSON, which may go over several lines."""
    low = max(start, len(data) - LINE_LIMIT)
    for bracket in (b"[", b"{"):
        at = data.rfind(bracket, low)
        opening = _JSON_STARTING.match(data, at) if at >= 0 else None
        line = data.rfind(b"\n", max(0, at - 101), max(at, 0)) + 1
        if opening is None or line == 0 or data[line:at].strip(b" \t"):
            continue
        if opening[1] is None or any(key.startswith(opening[1].decode()) for key in FIRST_KEYS):
            return at
    return len(data)


def may_become_bare(data: bytearray, at: int) -> bool:
    """Whether the whole rest from `at` is the beginning of `functions.NAME:IDX{`."""
    tail = bytes(data[at : at + LINE_LIMIT])
    return _FUNCTIONS.startswith(tail) or bool(_BARE_STARTING.match(tail))


def _held_bare(data: bytearray, start: int) -> int:
    low = max(start, len(data) - LINE_LIMIT)
    found = _BARE_STARTING.search(data, low)
    if found:
        return found.start()
    for size in range(min(len(_FUNCTIONS) - 1, len(data) - start), 0, -1):
        if data.endswith(_FUNCTIONS[:size]):
            before = data[len(data) - size - 1 : len(data) - size]
            return len(data) if re.match(rb"[\w.`\"']", before) else len(data) - size
    return len(data)
