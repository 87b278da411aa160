"""Emulated tools: finds tools that the prompt describes in its text, and writes calls as the JSON it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..conversation import Call, OfferedTool, Prompt
from ..validity import offer
from .words import pattern

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}
_MOST = 200_000
"""Characters of the prompt that are read."""
_TRIES = 500
"""The search for JSON ends after this many brackets that begin no JSON."""


@dataclass(frozen=True, slots=True)
class DescribedTools:
    """The tools that a prompt describes. `wrapped`: the prompt asks for `{"tool_calls": [...]}`."""

    tools: tuple[OfferedTool, ...]
    wrapped: bool


def described_tools(prompt: Prompt) -> DescribedTools | None:
    """The tools described in the prompt's text, if it also asks for JSON; else None."""
    said = "\n".join(turn.text for turn in prompt.turns if turn.role in ("system", "user"))[:_MOST]
    if not re.search(r"json", said, re.IGNORECASE) or not re.search(r"[\"'`]?(?:name|tool)[\"'`]?\s*:", said):
        return None
    tools = {tool.name: tool for tool in (*_signatures(said), *_from_json(said))}
    return DescribedTools(tuple(tools.values()), '"tool_calls"' in said) if tools else None


def as_text(calls: Sequence[Call], described: DescribedTools) -> str:
    """The JSON that the prompt asks for: one object for one call, else a list of them."""
    listed = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
    value: Any = {"tool_calls": listed} if described.wrapped else listed[0] if len(listed) == 1 else listed
    return json.dumps(value, ensure_ascii=False)


def _from_json(text: str) -> Iterator[OfferedTool]:
    spot, tries = 0, 0
    while tries < _TRIES and (match := re.compile(r"[\[{]").search(text, spot)) is not None:
        try:
            value, spot = json.JSONDecoder().raw_decode(text, match.start())
        except (ValueError, RecursionError):
            spot, tries = match.start() + 1, tries + 1
            continue
        yield from _in_value(value)


def _in_value(value: Any) -> Iterator[OfferedTool]:
    if isinstance(value, list):
        for item in value:
            yield from _in_value(item)
    elif isinstance(value, dict):
        function = value.get("function", value)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            yield from _in_value(list(value.values()))
            return
        schemas = [
            function[key] for key in ("parameters", "input_schema", "schema") if isinstance(function.get(key), dict)
        ]
        if schemas or isinstance(function.get("description"), str):
            yield offer(function["name"], str(function.get("description") or ""), next(iter(schemas), None))


def _signatures(text: str) -> Iterator[OfferedTool]:
    """Tools written as `name(city: string, unit?: string): what it does`."""
    for name, members, about in pattern("<signature>").findall(text):
        properties: dict[str, Any] = {}
        required: list[str] = []
        for member in filter(None, (part.strip() for part in members.split(","))):
            label, _, kind = (part.strip() for part in member.partition(":"))
            kind = kind.split("=")[0].strip().lower()
            properties[label.rstrip("?")] = {"type": _TYPES.get(kind, kind if kind in _TYPES.values() else "string")}
            if not label.endswith("?") and "=" not in member:
                required.append(label)
        yield OfferedTool(name, about, {"type": "object", "properties": properties, "required": required})
