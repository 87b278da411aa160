"""Reads what a recorded request asked for, in OpenAI's terms, from any protocol's body. Pure; bodies are untrusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routing.types import ChatRequest, Tool, ToolChoice
from routing.verify import RequestExpectations, expectations_of


def asked_in(body: Mapping[str, Any], tools: Sequence[Tool]) -> RequestExpectations:
    """What the answer is checked against besides the tools: conversation, `tool_choice`, one or several calls."""
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
    """`tool_choice` in OpenAI's form, translated from Anthropic's `{"type": "any"}` or `{"type": "tool", ...}`."""
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
