"""Emulated tools: none offered, but described in the prompt with the wish to answer in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..conversation import Call, OfferedTool, Prompt
from ..validity import offer

_SIGNATURE = re.compile(
    r"^[ \t]*[-*]?[ \t]*`?([A-Za-z_][\w.-]*)\(([^()\n]*)\)`?[ \t]*(?:->\s*\w+[ \t]*)?(?:[:—\u2013-]+[ \t]*(.*))?$",
    re.MULTILINE,
)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}
_MOST = 200_000
_TRIES = 500
"""Brackets that begin no JSON before the search is given up."""


@dataclass(frozen=True, slots=True)
class Told:
    """The tools a prompt describes and the key names it wants in the JSON."""

    tools: tuple[OfferedTool, ...]
    wrapped: bool
    """The prompt wants `{"tool_calls": [...]}`."""


def described_tools(prompt: Prompt) -> Told | None:
    """The tools described in the prompt's text, if it also asks for JSON; else None."""
    texts = [turn.text for turn in prompt.turns if turn.role in ("system", "user")]
    said = "\n".join(texts)[:_MOST]
    if not re.search(r"json", said, re.IGNORECASE) or not re.search(r"[\"'`]?(?:name|tool)[\"'`]?\s*:", said):
        return None
    tools = {tool.name: tool for tool in (*_signatures(said), *_from_json(said))}
    return Told(tuple(tools.values()), '"tool_calls"' in said) if tools else None


def as_text(calls: Sequence[Call], told: Told) -> str:
    """The JSON that the prompt asks for: one object for one call, else a list of them."""
    listed = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
    value: Any = {"tool_calls": listed} if told.wrapped else listed[0] if len(listed) == 1 else listed
    return json.dumps(value, ensure_ascii=False)


def _from_json(text: str) -> Iterator[OfferedTool]:
    decoder = json.JSONDecoder()
    spot, tries = 0, 0
    while tries < _TRIES and (match := re.compile(r"[\[{]").search(text, spot)) is not None:
        try:
            value, spot = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            spot, tries = match.start() + 1, tries + 1
            continue
        yield from _in_value(value)


def _in_value(value: Any) -> Iterator[OfferedTool]:
    if isinstance(value, list):
        for item in value:
            yield from _in_value(item)
    elif isinstance(value, dict):
        inner = value.get("function", value)
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            schema = next(
                (inner[key] for key in ("parameters", "input_schema", "schema") if isinstance(inner.get(key), dict)),
                None,
            )
            if schema is not None or isinstance(inner.get("description"), str):
                yield offer(inner["name"], str(inner.get("description") or ""), schema)
        else:
            for item in value.values():
                yield from _in_value(item)


def _signatures(text: str) -> Iterator[OfferedTool]:
    """Tools written as `name(city: string, unit?: string): what it does`."""
    for name, members, about in _SIGNATURE.findall(text):
        properties: dict[str, Any] = {}
        required: list[str] = []
        for member in filter(None, (part.strip() for part in members.split(","))):
            label, _, kind = (part.strip() for part in member.partition(":"))
            kind = kind.split("=")[0].strip().lower()
            properties[label.rstrip("?")] = {"type": _TYPES.get(kind, kind if kind in _TYPES.values() else "string")}
            if not label.endswith("?") and "=" not in member:
                required.append(label)
        yield OfferedTool(name, about, {"type": "object", "properties": properties, "required": required})
