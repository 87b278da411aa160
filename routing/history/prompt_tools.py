"""Emulates tool calling for endpoints without native tools: writes tools, calls and results as text of messages. Pure.

The model answers with text, and rescue finds a tool call in that text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ..types import JsonObject, Message, Tool, ToolChoice
from .calls import NO_RESULT, native_id, numbered, paired
from .reading import as_json, read_message, text_of

TOOLS_EMULATED = "tools_emulated"
"""Beginning of the note that a reply gets if the request's tools were described in the prompt."""


def emulation(tools: Sequence[Tool], tool_choice: ToolChoice | None = None) -> Message:
    """The system message that describes the tools and how to call them.

    Raises RequestRejected if the tools cannot be written as JSON.
    """
    described = as_json([tool["function"] for tool in tools])
    text = (
        f"You can use these tools, described as JSON: {described}\n"
        'To use one, reply with nothing but a JSON object {"name": <tool name>, "arguments": {<arguments>}} '
        "and no other text."
    )
    return {"role": "system", "content": text + _choice_text(tool_choice)}


def _choice_text(tool_choice: ToolChoice | None) -> str:
    if tool_choice == "required":
        return "\nYou must use one of them now."
    if isinstance(tool_choice, Mapping):
        return f"\nYou must use the tool {_named(tool_choice)} now."
    return ""


def _named(tool_choice: Mapping[str, object]) -> str:
    function = tool_choice.get("function")
    return str(function.get("name")) if isinstance(function, Mapping) else ""


def as_text(messages: Sequence[Message], notes: dict[str, None]) -> list[JsonObject]:
    """The messages with tool calls and tool results written as text.

    A call becomes a JSON object in the form that `emulation` asks for. A result becomes a user message. Raises
    RequestRejected for a role or content that no protocol has.
    """
    turns = paired((read_message(message, notes) for message in messages), notes)
    return list(_without_calls(numbered(turns, native_id, notes).messages))


def _without_calls(messages: Sequence[JsonObject]) -> Iterator[JsonObject]:
    names: dict[str, str] = {}
    for message in messages:
        calls = message.get("tool_calls", ())
        names |= {call["id"]: call["function"]["name"] for call in calls}
        if message["role"] == "tool":
            yield {"role": "user", "content": _result(names[message["tool_call_id"]], message["content"])}
        elif calls:
            bare = {key: value for key, value in message.items() if key != "tool_calls"}
            yield {**bare, "content": "\n".join(filter(None, [text_of(message["content"]), *map(_call, calls)]))}
        else:
            yield message


def _call(call: JsonObject) -> str:
    function = call["function"]
    return f'{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": {function["arguments"]}}}'


def _result(name: str, content: str | list[JsonObject]) -> str | list[JsonObject]:
    told = f"Result of tool {name}:"
    if isinstance(content, str):
        return f"{told}\n{content or NO_RESULT}"
    return [{"type": "text", "text": told}, *content]
