"""Calls as JSON: `{"name": ..., "arguments": ...}`, OpenAI's `tool_calls`, arrays and lines of them.

An object is a call by its keys alone: all of them belong to the form, and the one that names a tool is a string. A
JSON answer that happens to have a `name` has other keys beside it.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

from ...parsing.strict_json import MAX_DEPTH, StrictJsonError, loads
from ...schema import ToolSet
from ..buffer import Source, Wait, matched
from ..call_validation import offered
from ..markers import ARGUMENT_KEYS, ID_KEYS, NAME_KEYS, WRAPPER_KEYS
from ..result import MAX_CALLS, Piece, WrittenCall

Ending: TypeAlias = Literal["whole", "cut", "broken"]

STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + STRING + rb")*+([{}\[\]])?", re.DOTALL)
"""Matches wherever it is tried: the next bracket outside strings, or what stands before an open string or the end."""
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)

_BESIDE = frozenset({"type", "index", "role", "content", "refusal", *ID_KEYS})
_TYPES = frozenset({"function", "tool_use", "tool_call", "tool-call", "function_call", "custom"})


def extent(source: Source, start: int) -> Wait[tuple[int, Ending]]:
    """Where the JSON value that opens at `start` ends, and how.

    `whole`; `cut` by the end of the message; `broken` where brackets do not match or nest too deeply.
    """
    at, stack = start, bytearray()
    while True:
        at, ending = _brackets(source.data, at, stack)
        if ending is not None:
            return at, ending
        if at < len(source.data):
            at = yield from string_end(source, at)
            if at < 0:
                return len(source.data), "cut"
        elif source.closed:
            return at, "cut"
        else:
            yield


def _brackets(data: bytearray, at: int, stack: bytearray) -> tuple[int, Ending | None]:
    """Follow brackets until the first one closes or does not match; None where an open string or the data's end stops."""
    for found in _BRACKET.finditer(data, at):
        at = found.end()
        if found.lastindex is None:
            return at, None
        mark = data[at - 1]
        if mark in b"{[":
            stack.append(mark + 2)  # the closing partner in ASCII
            if len(stack) > MAX_DEPTH:
                return at, "broken"
        elif not stack or stack.pop() != mark:
            return at, "broken"
        elif not stack:
            return at, "whole"
    return at, None


def string_end(source: Source, at: int) -> Wait[int]:
    """Where the JSON string that opens at `at` ends; -1 where the message ends inside."""
    at += 1
    while True:
        at = matched(_IN_STRING, source, at)
        if source.peek(at, 1) == b'"':
            return at + 1
        if source.closed:
            return -1
        yield


def parse(source: Source, start: int, tools: ToolSet) -> Wait[Piece]:
    """The JSON value at `start` with the calls that it is; a `plain` piece where it is an ordinary value."""
    end, ending = yield from extent(source, start)
    text = source.text(start, end)
    if ending != "whole":
        plain, cut = not _names_offered(text[:2000], tools), ending == "cut"
        return Piece("json", start, end, flaw="" if plain else f"the JSON of a call is {ending}", plain=plain, cut=cut)
    try:
        calls = written_calls(loads(text), tools)
    except StrictJsonError as error:
        if _names_offered(text[:2000], tools):
            return Piece("json", start, end, flaw=f"the JSON of a call is broken: {error}")
        calls = []
    known = any(call.name and offered(tools, call.name) for call in calls)
    if not calls or not (known or _strong(loads(text))) or not tools.names:
        return Piece("json", start, end, plain=True)
    return Piece("json", start, end, calls)


def _names_offered(text: str, tools: ToolSet) -> bool:
    """Whether broken JSON shows both marks of a call: a name key with an offered name."""
    found = re.findall(rf'"(?:{"|".join(NAME_KEYS)})"\s{{0,8}}:\s{{0,8}}"([^"\\]{{1,128}})"', text)
    return any(offered(tools, name) for name in found[:8])


def written_calls(value: Any, tools: ToolSet) -> list[WrittenCall]:
    """The calls that a JSON value is; empty where it is anything else, were it in one element only."""
    if isinstance(value, list):
        found = [written_calls(item, tools) for item in value[: MAX_CALLS + 1]]
        return [call for calls in found for call in calls] if found and all(found) else []
    if not isinstance(value, dict):
        return []
    wrapper = next((key for key in WRAPPER_KEYS if key in value), None)
    if wrapper is not None:
        beside = {key: child for key, child in value.items() if key != wrapper}
        return written_calls(value[wrapper], tools) if _idle(beside) else []
    call = _written_call(value, tools)
    return [call] if call else []


def _idle(beside: dict[str, Any]) -> bool:
    """Whether what stands beside the calls says nothing of its own."""
    return beside.keys() <= _BESIDE and not beside.get("content") and beside.get("role", "assistant") == "assistant"


def _written_call(value: dict[str, Any], tools: ToolSet) -> WrittenCall | None:
    if not _idle({key: child for key, child in value.items() if key in _BESIDE}):
        return None
    body = {key: child for key, child in value.items() if key not in _BESIDE}
    kind = value.get("type", "function")
    if not isinstance(kind, str) or kind not in _TYPES:
        return None
    function = body.get("function")
    if isinstance(function, dict) and len(body) == 1:
        body = function
    name = next((key for key in NAME_KEYS if isinstance(body.get(key), str)), None)
    given = next((key for key in ARGUMENT_KEYS if key in body), None)
    if name is None or body.keys() > {name, given} or len(body) > 2:
        return None
    if given is None:
        return _bare_name(body[name], tools)
    if not isinstance(body[given], (dict, str, type(None))) and not offered(tools, body[name]):
        return None
    if _is_definition(body[name], body[given], tools):
        return None
    return WrittenCall(body[name], body[given], _id(value))


def _bare_name(name: str, tools: ToolSet) -> WrittenCall | None:
    """`{"name": "now"}` and no more: only where the tool is offered, and then still to be judged."""
    return WrittenCall(name, None) if offered(tools, name) else None


def _id(value: dict[str, Any]) -> str | None:
    return next((value[key] for key in ID_KEYS if isinstance(value.get(key), str)), None)


def _is_definition(name: str, given: Any, tools: ToolSet) -> bool:
    """Whether the "arguments" are a JSON Schema: somebody describes the tool."""
    known = offered(tools, name)
    if not isinstance(given, dict) or not isinstance(given.get("properties"), dict):
        return False
    return known is None or "properties" not in tools.properties(known)


def _strong(value: Any) -> bool:
    """Whether the form can hardly be data: the keys are OpenAI's own, not merely a name with parameters."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and (
        "arguments" in first or "function" in first or bool(first.keys() & set(WRAPPER_KEYS))
    )
