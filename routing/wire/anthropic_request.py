"""Builds a request to Anthropic's Messages API from a chat request in OpenAI's names. Pure.

Fields that Anthropic does not have are left out and listed in the notes. If the rest would mean something else, the
request is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog.model import Endpoint, Provider
from ..history import PreparedHistory, prepare
from ..schema.parts import pointed, root_followed, union
from ..schema.tool import RequestTool
from ..types import ChatRequest, JsonObject
from .anthropic_messages import converted
from .base import WireRequest
from .request_checks import chosen, fitted, function_tools, note_unknown, refuse_format

VERSION = "2023-06-01"
"""Value of the header `anthropic-version`: the API version that all public examples and recordings use.
https://platform.claude.com/docs/en/api/versioning
"""
DEFAULT_MAX_TOKENS = 8192
"""`max_tokens` that is sent if the caller sets none, because Anthropic requires it. Thinking tokens count towards it.
"""
_KNOWN = frozenset(
    {
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "reasoning_effort",
        "response_format",
    }
)
_EFFORT = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}


def build(request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest:
    """Build the HTTP request that sends a chat request to this endpoint.

    Raises RequestRejected or EndpointUnavailable for what this endpoint does not accept.
    """
    notes: dict[str, None] = {}
    request = fitted(request, endpoint, notes)
    refuse_format(request)
    offered = function_tools(request.tools)
    tools = [tool.name for tool in offered]
    history = prepare(request.messages, endpoint, provider, tools=tools, rule="plain")
    notes |= dict.fromkeys(history.notes)
    system, messages = converted(history, notes)
    body: JsonObject = {
        "model": endpoint.provider_model_id,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if system:
        body["system"] = system
    body |= _tools(request, offered, history, notes)
    body |= _sampling(request, provider.quirks | endpoint.quirks, notes)
    body |= _thinking(request.reasoning_effort, endpoint, notes)
    note_unknown(request, _KNOWN, notes)
    if request.stream:
        body["stream"] = True
    headers = {"anthropic-version": VERSION}
    return WireRequest("/messages", body, headers, notes=tuple(notes), restore=history.restore)


def _tools(
    request: ChatRequest,
    offered: Sequence[RequestTool],
    history: PreparedHistory,
    notes: dict[str, None],
) -> JsonObject:
    if offered:
        names = history.aliases
        choice = _choice(request, names)
        return {
            "tools": [_tool(tool.function or {}, names, notes) for tool in offered],
            **({"tool_choice": choice} if choice else {}),
        }
    used = dict.fromkeys(
        call["function"]["name"] for message in history.messages for call in message.get("tool_calls", ())
    )
    if not used:
        return {}
    # Anthropic refuses a history with tool calls but no tools. So the tools are named, and calling is forbidden.
    notes["tools_of_the_history: named, not offered"] = None
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in used]
    return {"tools": tools, "tool_choice": {"type": "none"}}


def _tool(offer: JsonObject, names: Mapping[str, str], notes: dict[str, None]) -> JsonObject:
    name = offer["name"]
    schema = _input_schema(offer.get("parameters") or {"type": "object", "properties": {}}, name, notes)
    tool: JsonObject = {"name": names.get(name, name), "input_schema": schema}
    return tool | ({"description": offer["description"]} if "description" in offer else {})


def _input_schema(schema: JsonObject, name: str, notes: dict[str, None]) -> JsonObject:
    """A tool's parameter schema with `type: object` at its root, and a note for each change.

    Anthropic accepts neither `$ref` nor `anyOf`, `oneOf` or `allOf` at the root.
    """
    made, followed = root_followed({key: value for key, value in schema.items() if key != "$schema"})
    if followed:
        notes[f"schema of {name}: $ref at the root followed"] = None
    for keyword in ("anyOf", "oneOf", "allOf"):
        branches = made.pop(keyword, None)
        if isinstance(branches, list):
            notes[f"schema of {name}: {keyword} at the root merged into one object"] = None
            resolved = [
                pointed(schema, branch.get("$ref")) or branch for branch in branches if isinstance(branch, dict)
            ]
            made = union({**made, "anyOf": [branch for branch in resolved if isinstance(branch, dict)] or [{}]})
    if made.get("type") != "object":
        notes |= {f"schema of {name}: type object set at the root": None} if "type" in made else {}
        made = {**made, "type": "object"}
    return made


def _choice(request: ChatRequest, names: Mapping[str, str]) -> JsonObject | None:
    name = chosen(request.tool_choice)
    words = {None: None, "auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
    choice: dict[str, Any] | None
    if name:
        choice = {"type": "tool", "name": names.get(name, name)}
    else:
        choice = words[request.tool_choice if isinstance(request.tool_choice, str) else None]
    if request.parallel_tool_calls is False and (choice or {}).get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _sampling(request: ChatRequest, quirks: frozenset[str], notes: dict[str, None]) -> JsonObject:
    body: JsonObject = {}
    stops = [request.stop] if isinstance(request.stop, str) else list(request.stop or ())
    if kept := [stop for stop in stops if stop.strip()]:
        body["stop_sequences"] = kept
    if len(kept) < len(stops):
        notes["stop left out: a sequence of only whitespace is not taken"] = None
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is None:
            continue
        if "fixed_sampling" in quirks:
            notes[f"{name} left out: fixed by the model"] = None
        else:
            body[name] = min(value, 1.0)  # OpenAI's temperature goes up to 2
            notes |= {f"{name} lowered to 1": None} if value > 1 else {}
    return body


def _thinking(effort: str | None, endpoint: Endpoint, notes: dict[str, None]) -> JsonObject:
    if effort is None:
        return {}
    off = {"adaptive": "disabled", "between_tools": "between_tools"}.get(endpoint.thinking)
    if off is None:
        notes["reasoning_effort left out: not known here"] = None
        return {}
    if effort == "none":
        return {"thinking": {"type": off}}
    return {"output_config": {"effort": _EFFORT[effort]}}
