"""Checks a chat request before a protocol module builds its body: what the endpoint can do, and tools. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..catalog.model import Endpoint, Requirements
from ..errors import EndpointUnavailable, RequestRejected
from ..history.prompt_tools import TOOLS_EMULATED, as_text, emulation
from ..schema import ToolSchemaError, ToolSet
from ..schema.tool import RequestTool
from ..types import EFFORTS, ChatOptions, ChatRequest, Message, Tool, ToolChoice


def fitted(request: ChatRequest, endpoint: Endpoint, notes: dict[str, None]) -> ChatRequest:
    """The request in a form that this endpoint can serve.

    Tools are described in the prompt if the endpoint has no native tools. Without tools, `tool_choice` and
    `parallel_tool_calls` are left out.

    Raises EndpointUnavailable (`no_capability`) if the endpoint lacks a capability that the request needs.
    Raises RequestRejected if the request has no messages or an unknown `reasoning_effort`.
    """
    tools = bool(request.tools)
    needs = Requirements("any" if tools else "", request.stream, tool_choice=request.tool_choice if tools else None)
    if unmet := endpoint.unmet(needs):
        raise EndpointUnavailable("no_capability", f"it {unmet}", phase="send")
    if not request.messages:
        raise RequestRejected("bad_request", "the request has no messages", phase="send")
    if request.reasoning_effort is not None and request.reasoning_effort not in EFFORTS:
        raise RequestRejected("bad_request", f"reasoning_effort must be one of {', '.join(EFFORTS)}", phase="send")
    if "tools" in endpoint.capabilities:
        return request if request.tools else replace(request, tool_choice=None, parallel_tool_calls=None)
    return _emulated(request, notes)


def refuse_format(request: ChatRequest) -> None:
    """Raise EndpointUnavailable if `response_format` asks for JSON. Used for protocols that cannot demand JSON."""
    if (request.response_format or {}).get("type", "text") != "text":
        raise EndpointUnavailable("no_capability", "it takes no response_format", phase="send")


def note_unknown(request: ChatRequest, known: frozenset[str], notes: dict[str, None]) -> None:
    """Add a note for each option that the caller set but that is not in `known`, the options the protocol can send."""
    for name in ChatOptions.__annotations__:
        if name not in known and getattr(request, name) not in (None, "", (), []):
            notes[f"{name} left out: not known here"] = None


def _emulated(request: ChatRequest, notes: dict[str, None]) -> ChatRequest:
    messages: list[Message] = list(as_text(request.messages, notes))
    function_tools(request.tools)  # refuses a tool that cannot be described, as for native tools
    if request.tools and request.tool_choice != "none":
        messages = [emulation(request.tools, request.tool_choice), *messages]
        notes[f"{TOOLS_EMULATED}: described in the prompt"] = None
    return replace(request, messages=messages, tools=(), tool_choice=None, parallel_tool_calls=None)


def function_tools(tools: Sequence[Tool]) -> Sequence[RequestTool]:
    """The tools, all of which have a `function` object: its name, and its description, strict and parameters if given.

    Raises RequestRejected for a tool that is not a function or has no name.
    """
    try:
        offered = ToolSet.of(tools).offered
    except ToolSchemaError as error:
        raise RequestRejected("bad_request", error.reason, phase="send") from None
    if any(tool.function is None for tool in offered):
        raise RequestRejected("bad_request", "a tool is not a function with a name", phase="send")
    return offered


def chosen(choice: ToolChoice | None) -> str | None:
    """The name of the function that `tool_choice` demands; None if it is None or a string such as `auto`.

    Raises RequestRejected for an object that names no function.
    """
    if choice is None or isinstance(choice, str):
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise RequestRejected("bad_request", "tool_choice names no function", phase="send")
    return name
