"""A prepared history as Anthropic's system prompt and turns: user and assistant in turn, tool results first. Pure.

Rules: https://platform.claude.com/docs/en/api/messages and docs/providers.md. Nothing is dropped or put in another
order: what the protocol has no place for is told as marked text where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import EndpointUnavailable
from ..history import Prepared
from ..history.reading import text_of
from ..types import JsonObject
from .images import image_block

_EMPTY = "(empty message)"
_GO_ON = "Continue."
_BEGIN = "(The conversation begins with the assistant.)"


@dataclass(slots=True)
class _Side:
    """One turn under assembly; `results` stand before everything else that the user says."""

    role: str
    results: list[JsonObject] = field(default_factory=list)
    blocks: list[JsonObject] = field(default_factory=list)

    def message(self) -> JsonObject:
        content = [*self.results, *self.blocks] or [{"type": "text", "text": _EMPTY}]
        return {"role": self.role, "content": content}


def converted(history: Prepared, notes: dict[str, None]) -> tuple[str, list[JsonObject]]:
    """The system prompt and the turns. Raises RequestRejected and EndpointUnavailable for content it does not take."""
    messages = list(history.messages)
    leading = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    system = "\n\n".join(filter(str.strip, (text_of(message["content"]) for message in messages[:leading])))
    sides: list[_Side] = []
    for message in messages[leading:]:
        _add(message, sides, history, notes)
    sides = _closed(sides, notes)
    return system, [side.message() for side in sides]


def _add(message: JsonObject, sides: list[_Side], history: Prepared, notes: dict[str, None]) -> None:
    if "name" in message:
        notes["message_fields_removed: name"] = None
    if message["role"] == "assistant":
        blocks = [*_blocks(message["content"]), *map(_tool_use, message.get("tool_calls", ()))]
        if blocks:  # a wholly empty turn is no turn
            _side(sides, "assistant").blocks += blocks
        return
    side = _side(sides, "user")
    if message["role"] == "tool":
        side.results.append(_tool_result(message, made_up=message["tool_call_id"] in history.made_up))
    elif message["role"] == "system":
        notes["system_message_in_the_conversation: marked text of the user's"] = None
        text = text_of(message["content"])
        if text.strip():
            side.blocks.append({"type": "text", "text": f"<system_message>\n{text}\n</system_message>"})
    else:
        side.blocks += _blocks(message["content"])


def _side(sides: list[_Side], role: str) -> _Side:
    """The turn that goes on, or a new one; results can only follow the calls, so they begin one of their own."""
    if not sides or sides[-1].role != role:
        sides.append(_Side(role))
    return sides[-1]


def _closed(sides: list[_Side], notes: dict[str, None]) -> list[_Side]:
    """The user has the first word and the last one."""
    if not sides or sides[0].role == "assistant":
        sides = [_Side("user", blocks=[{"type": "text", "text": _BEGIN if sides else _EMPTY}]), *sides]
    if sides[-1].role == "assistant":
        notes["assistant_message_at_the_end: asked to continue"] = None
        sides = [*sides, _Side("user", blocks=[{"type": "text", "text": _GO_ON}])]
    return sides


def _blocks(content: str | Sequence[JsonObject]) -> list[JsonObject]:
    """Text and image blocks; empty text blocks are refused, so there are none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: JsonObject) -> JsonObject | None:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]} if part["text"].strip() else None
    if part["type"] == "image_url":
        return image_block(part["image_url"]["url"])
    raise EndpointUnavailable("no_capability", f"it takes no {part['type']}", phase="send")


def _tool_use(call: JsonObject) -> JsonObject:
    function = call["function"]
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": json.loads(function["arguments"])}


def _tool_result(message: JsonObject, *, made_up: bool) -> JsonObject:
    content = message["content"]
    result: JsonObject = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
    if isinstance(content, str):
        result |= {"content": content} if content.strip() else {}
    elif blocks := _blocks(content):
        result["content"] = blocks
    return result | ({"is_error": True} if made_up else {})
