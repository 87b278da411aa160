"""Calls as JSON: `{"name": ..., "arguments": ...}`, OpenAI's `tool_calls`, arrays and lines of them.

An object is a call by its keys alone: all of them belong to the form, and the one that names a tool is a string. A
JSON answer that happens to have a `name` has other keys beside it.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

from ...parsing.strict_json import MAX_DEPTH, StrictJsonError, loads
from ...schema import ToolSet
from ..call_validation import offered
from ..markers import skip_space
from ..result import MAX_CALLS, Piece, WrittenCall

Ending: TypeAlias = Literal["whole", "cut", "broken"]

NAME_KEYS = ("name", "tool", "tool_name", "toolName", "function", "function_name", "action", "recipient_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params")
WRAPPER_KEYS = (
    "tool_calls", "function_call", "tool_call", "toolCalls", "function_calls", "tool_uses", "calls",
)  # fmt: skip
ID_KEYS = ("id", "tool_call_id", "toolCallId", "call_id")
FIRST_KEYS = (*NAME_KEYS, *ARGUMENT_KEYS, *WRAPPER_KEYS, *ID_KEYS, "type", "role", "index")
"""Keys that a call written as JSON may begin with."""
START = re.compile(
    rf'(?:\[TOOL_CALLS\]\s*)?(?:\[[ \t\r\n]{{0,64}}+)?\{{[ \t\r\n]{{0,64}}+"(?:{"|".join(FIRST_KEYS)})"[ \t\r\n]{{0,8}}+:'
)
STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BRACKET = re.compile(rf'(?:[^"{{}}\[\]]++|{STRING})*+([{{}}\[\]])?', re.DOTALL)
"""Matches wherever it is tried: the next bracket outside strings, or what is before an open string or the end."""

_BESIDE = frozenset({"type", "index", "role", "content", "refusal", *ID_KEYS})
_TYPES = frozenset({"function", "tool_use", "tool_call", "tool-call", "function_call", "custom"})


_MISTRAL = "[TOOL_CALLS]"
"""Mistral's token before a list of calls."""


def extent(text: str, start: int) -> tuple[int, Ending]:
    """Where the JSON value that opens at `start` ends, and how.

    `whole`; `cut` by the end of the text; `broken` if brackets do not match or nest too deeply.
    """
    stack: list[str] = []
    for found in _BRACKET.finditer(text, start):
        mark, at = found[1], found.end()
        if mark is None:
            break
        if mark in "{[":
            stack.append("}" if mark == "{" else "]")
            if len(stack) > MAX_DEPTH:
                return at, "broken"
        elif not stack or stack.pop() != mark:
            return at, "broken"
        elif not stack:
            return at, "whole"
    return len(text), "cut"


def parse(text: str, start: int, tools: ToolSet) -> Piece:
    """The JSON value at `start` with the calls that it is; a `plain` piece for an ordinary value."""
    start += len(_MISTRAL) if text.startswith(_MISTRAL, start) else 0
    start = skip_space(text, start)
    end, ending = extent(text, start)
    named = _names_offered(text[start : min(end, start + 2000)], tools)
    if ending != "whole":
        flaw = f"the JSON of a call is {ending}" if named else ""
        return Piece("json", start, end, flaw=flaw, plain=not named, cut=ending == "cut")
    try:
        value = loads(text[start:end])
    except StrictJsonError as error:
        flaw = f"the JSON of a call is broken: {error}" if named else ""
        return Piece("json", start, end, flaw=flaw, plain=not named)
    calls = written_calls(value, tools)
    known = any(call.name and offered(tools, call.name) for call in calls)
    plain = not calls or not (known or _strong(value)) or not tools.names
    return Piece("json", start, end, [] if plain else calls, plain=plain)


def _names_offered(text: str, tools: ToolSet) -> bool:
    """Whether broken JSON shows both marks of a call: a name key with an offered name."""
    found = re.findall(rf'"(?:{"|".join(NAME_KEYS)})"\s{{0,8}}:\s{{0,8}}"([^"\\]{{1,128}})"', text)
    return any(offered(tools, name) for name in found[:8])


def written_calls(value: Any, tools: ToolSet) -> list[WrittenCall]:
    """The calls that a JSON value is; empty if it is anything else, even in one element only."""
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
        return WrittenCall(body[name], None) if offered(tools, body[name]) else None  # `{"name": "now"}` and no more
    if not isinstance(body[given], (dict, str, type(None))) and not offered(tools, body[name]):
        return None
    if _is_definition(body[name], body[given], tools):
        return None
    given_id = next((value[key] for key in ID_KEYS if isinstance(value.get(key), str)), None)
    return WrittenCall(body[name], body[given], given_id)


def _is_definition(name: str, given: Any, tools: ToolSet) -> bool:
    """Whether the "arguments" are a JSON Schema: a description of the tool."""
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
