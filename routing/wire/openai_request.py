"""Builds a chat-completions request in the form that each host accepts (docs/providers.md). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..catalog.model import Endpoint, Provider
from ..history import prepare
from ..history.tool_names import NameRule
from ..schema.moonshot import adapted
from ..schema.tool import RequestTool
from ..types import ChatRequest, JsonObject
from .base import WireRequest
from .json_body import WrittenList, json_text
from .request_checks import chosen, fitted, function_tools

_K3 = {"none": "low", "minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "max", "max": "max"}
"""OpenAI's `reasoning_effort` -> the value that is sent to Kimi K3, which always thinks."""


def build(request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest:
    """Build the HTTP request that sends a chat request to this endpoint.

    Options that the caller did not set are left out: OpenRouter excludes upstreams that lack any parameter that is
    sent. Raises RequestRejected or EndpointUnavailable for what this endpoint does not accept.
    """
    notes: dict[str, None] = {}
    request = fitted(request, endpoint, notes)
    quirks = provider.quirks | endpoint.quirks
    offered = function_tools(request.tools)
    rule: NameRule = "letter first" if "moonshot_schema" in quirks else "any"
    thinking, thinks = _thinking(request.reasoning_effort, endpoint, notes)
    tools = [tool.name for tool in offered]
    history = prepare(request.messages, endpoint, provider, thinks=thinks, tools=tools, rule=rule)
    names = history.aliases
    body: JsonObject = {"model": endpoint.provider_model_id, "messages": list(history.messages)}
    if offered:
        body["tools"] = _tools(offered, names, quirks, notes)
    body |= _choice(request, names, quirks, notes)
    body |= _sampling(request, quirks, notes)
    body |= thinking
    if request.stream:
        body["stream"] = True
        if "no_stream_options" not in quirks:
            body["stream_options"] = {"include_usage": True}
    headers: dict[str, str] = {}
    if "upstream_pinning" in quirks:
        headers["X-OpenRouter-Metadata"] = "enabled"  # the answer then lists the upstreams that were tried
        if endpoint.upstream:
            # `order` alone does not restrict, and a base slug matches by prefix: only the full tag pins.
            body["provider"] = {"only": [endpoint.upstream], "allow_fallbacks": False, "require_parameters": True}
    told = tuple(dict.fromkeys([*notes, *history.notes]))
    return WireRequest("/chat/completions", body, headers, notes=told, restore=history.restore)


def _tools(
    offered: Sequence[RequestTool], names: Mapping[str, str], quirks: frozenset[str], notes: dict[str, None]
) -> WrittenList:
    """The tools in the form in which they are sent. Each tool is adapted and written as JSON once for all requests."""
    moonshot = "moonshot_schema" in quirks
    forms = []
    for tool in offered:
        name = names.get(tool.name, tool.name)
        form = tool.form(("openai", name, moonshot), _tool)
        forms.append(form)
        notes |= form.notes
    return WrittenList([form.tool for form in forms], f"[{','.join([form.text for form in forms])}]")


class _Form(NamedTuple):
    """A tool as it is sent, its JSON text, and notes about what was changed."""

    tool: JsonObject
    text: str
    notes: dict[str, None]


def _tool(function: JsonObject, _protocol: str, name: str, moonshot: bool) -> _Form:
    sent, changes = {**function, "name": name}, tuple[str, ...]()
    if moonshot and "parameters" in function:
        sent["parameters"], changes = adapted(function["parameters"])
    tool = {"type": "function", "function": sent}
    notes = dict.fromkeys(f"schema of {function['name']}: {change}" for change in changes)
    return _Form(tool, json_text(tool), notes)


def _choice(
    request: ChatRequest, names: Mapping[str, str], quirks: frozenset[str], notes: dict[str, None]
) -> JsonObject:
    body: JsonObject = {}
    if name := chosen(request.tool_choice):
        body["tool_choice"] = {"type": "function", "function": {"name": names.get(name, name)}}
    elif request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.parallel_tool_calls is not None and "no_parallel_tool_calls" in quirks:
        notes["parallel_tool_calls left out: not known here"] = None
    elif request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _sampling(request: ChatRequest, quirks: frozenset[str], notes: dict[str, None]) -> JsonObject:
    body: JsonObject = {}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = request.stop if isinstance(request.stop, str) else list(request.stop)
    for name in ("temperature", "top_p"):
        value = getattr(request, name)
        if value is not None and "fixed_sampling" in quirks:
            notes[f"{name} left out: fixed by the model"] = None
        elif value is not None:
            body[name] = value
    if request.response_format is not None:
        body["response_format"] = dict(request.response_format)
    if request.seed is not None and "no_seed" in quirks:
        notes["seed left out: not known here"] = None
    elif request.seed is not None:
        body["seed"] = request.seed
    return body


def _thinking(effort: str | None, endpoint: Endpoint, notes: dict[str, None]) -> tuple[JsonObject, bool]:
    """The body fields that set how much this endpoint thinks, and whether it will think in this request."""
    if effort is None:
        return {}, endpoint.thinks
    off = effort == "none"
    forms: dict[str, dict[str, Any]] = {
        "thinking_type": {"thinking": {"type": "disabled" if off else "enabled"}},
        "reasoning_effort": {"reasoning_effort": _K3[effort]},
        "reasoning": {"reasoning": {"effort": effort}},
        "chat_template": {"chat_template_kwargs": {"thinking": not off}},
    }
    if endpoint.thinking not in forms:
        notes[f"reasoning_effort left out: {'it does not think' if not endpoint.thinks else 'not known here'}"] = None
        return {}, endpoint.thinks
    k3 = endpoint.thinking == "reasoning_effort"
    if off and k3:
        notes["reasoning_effort low instead of none: it always thinks"] = None
    return forms[endpoint.thinking], k3 or endpoint.always_thinks or not off
