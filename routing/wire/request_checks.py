"""What every wire asks before it writes a request: can this endpoint do it at all, and under which tool names? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..catalog.model import Endpoint
from ..errors import EndpointUnavailable, RequestRejected
from ..history.prompt_tools import as_text, emulation
from ..history.tool_names import aliases
from ..types import EFFORTS, ChatRequest, JsonObject, Message, Tool, ToolChoice


@dataclass(frozen=True, slots=True)
class Offer:
    """One function tool, read: `parameters` and `strict` None where the caller gave none."""

    name: str
    description: str
    parameters: JsonObject | None
    strict: bool | None = None


def fitted(request: ChatRequest, endpoint: Endpoint, notes: dict[str, None]) -> ChatRequest:
    """The request as this endpoint can be asked: tools emulated where it has none of its own, no choice without tools.

    Raises EndpointUnavailable (`no_capability`) for what it cannot do by design.
    """
    if request.stream and "stream" not in endpoint.capabilities:
        raise EndpointUnavailable("no_capability", "it does not stream", phase="send")
    if not request.messages:
        raise RequestRejected("bad_request", "there is no message", phase="send")
    if request.reasoning_effort is not None and request.reasoning_effort not in EFFORTS:
        raise RequestRejected("bad_request", f"reasoning_effort is none of {', '.join(EFFORTS)}", phase="send")
    if request.tools:
        _check_choice(request.tool_choice, endpoint)
    if "tools" in endpoint.capabilities:
        return request if request.tools else replace(request, tool_choice=None, parallel_tool_calls=None)
    if request.tools and "tools:emulated" not in endpoint.capabilities:
        raise EndpointUnavailable("no_capability", "it has no tools", phase="send")
    return _emulated(request, notes)


def _check_choice(choice: ToolChoice | None, endpoint: Endpoint) -> None:
    form = choice if isinstance(choice, str) else "named" if choice is not None else None
    if form is not None and form not in endpoint.tool_choices:
        raise EndpointUnavailable("no_capability", f"it does not accept tool_choice {form[:20]}", phase="send")


def _emulated(request: ChatRequest, notes: dict[str, None]) -> ChatRequest:
    messages: list[Message] = list(as_text(request.messages, notes))
    offers(request.tools)  # a tool that cannot be described is refused, as it is where tools are native
    if request.tools and request.tool_choice != "none":
        messages = [emulation(request.tools, request.tool_choice), *messages]
        notes["tools_emulated: described in the prompt"] = None
    return replace(request, messages=messages, tools=(), tool_choice=None, parallel_tool_calls=None)


def offers(tools: Sequence[Tool]) -> list[Offer]:
    """The function tools of a request. Raises RequestRejected for a tool of another kind or without a name."""
    return [_offer(tool) for tool in tools]


def _offer(tool: Any) -> Offer:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise RequestRejected("bad_request", "a tool is no function with a name", phase="send")
    parameters, description = function.get("parameters"), function.get("description")
    return Offer(
        name=function["name"],
        description=description if isinstance(description, str) else "",
        parameters=_plain(parameters) if isinstance(parameters, Mapping) else None,
        strict=strict if isinstance(strict := function.get("strict"), bool) else None,
    )


def _plain(value: Any) -> Any:
    """Mappings and sequences of any kind as dicts and lists, so that JSON can be written."""
    if isinstance(value, Mapping):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value


def chosen(choice: ToolChoice | None) -> str | None:
    """The name of the function that `tool_choice` names; None for the words. Raises RequestRejected for other forms."""
    if choice is None or isinstance(choice, str):
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise RequestRejected("bad_request", "tool_choice names no function", phase="send")
    return name


def names_sent(request: ChatRequest, offered: Sequence[Offer], rule: str) -> Mapping[str, str]:
    """Tool names as the caller knows them -> as they are sent, where these differ; the history's names too."""
    earlier = [
        str(function["name"])
        for message in request.messages
        for call in _calls(message)
        if isinstance(call, Mapping)
        and isinstance(function := call.get("function"), Mapping)
        and isinstance(function.get("name"), str)
        and function["name"]
    ]
    return aliases([*(offer.name for offer in offered), *earlier], rule)


def _calls(message: Any) -> Sequence[Any]:
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    return calls if isinstance(calls, list | tuple) else ()
