"""What a recorded request asked for, in OpenAI's names, read out of any protocol's body. Pure; the body is a stranger's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routing.types import ChatRequest, Tool, ToolChoice
from routing.verify import RequestExpectations, expectations_of


def asked_in(body: Mapping[str, Any], tools: Sequence[Tool]) -> RequestExpectations:
    """What the answer is held against beside the tools: the conversation, `tool_choice`, one call or several."""
    messages = body.get("messages")
    choice = body.get("tool_choice")
    parallel = body.get("parallel_tool_calls")
    if isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use") is True:
        parallel = False
    read = [message for message in messages if isinstance(message, Mapping)] if isinstance(messages, list) else []
    return expectations_of(
        ChatRequest(
            messages=read,
            tools=tools,
            tool_choice=_choice(choice),
            parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        )
    )


def _choice(choice: Any) -> ToolChoice | None:
    """OpenAI's words are kept, Anthropic's `{"type": "any"}` and `{"type": "tool", "name": ...}` translated."""
    if isinstance(choice, str):
        return choice if choice in {"auto", "none", "required"} else None
    if not isinstance(choice, Mapping):
        return None
    kind, name = choice.get("type"), choice.get("name")
    if kind == "tool" and isinstance(name, str):
        return {"type": "function", "function": {"name": name}}
    if kind == "function" and isinstance(choice.get("function"), Mapping):
        return choice
    return {"any": "required", "none": "none", "auto": "auto"}.get(str(kind))
