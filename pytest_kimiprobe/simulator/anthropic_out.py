"""Writing Messages answers, plain and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .nouns import Call, Draft, JsonObject, pieces
from .world import Model, Usage

_STOP = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


@dataclass(frozen=True, slots=True)
class Message:
    """One answer with what is told around it; `serial` makes ids unique."""

    model: Model
    draft: Draft
    usage: Usage
    serial: str

    @property
    def head(self) -> JsonObject:
        """What does not depend on the content."""
        return {"model": self.model.slug, "id": f"msg_01{self.serial}", "type": "message", "role": "assistant"}

    @property
    def stop(self) -> JsonObject:
        """Why it ended."""
        return {"stop_reason": _STOP[self.draft.finish], "stop_sequence": None}


def _usage(message: Message) -> JsonObject:
    return {
        "input_tokens": message.usage.prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": message.usage.completion,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def plain(message: Message) -> JsonObject:
    """The body of an answer that is not streamed."""
    draft = message.draft
    content: list[JsonObject] = []
    if draft.reasoning:
        content.append({"type": "thinking", "thinking": draft.reasoning, "signature": _signature(message)})
    if draft.text:
        content.append({"type": "text", "text": draft.text})
    content += [{**_tool_use(message, spot, call), "input": _object(call)} for spot, call in enumerate(draft.calls)]
    return {**message.head, "content": content, **message.stop, "usage": _usage(message)}


def _signature(message: Message) -> str:
    return f"c2ln{message.serial}"


def _tool_use(message: Message, spot: int, call: Call) -> JsonObject:
    number = f"toolu_01{message.serial[: -len(str(spot))]}{spot}"
    return {"type": "tool_use", "id": number, "name": call.name, "input": {}, "caller": {"type": "direct"}}


def _object(call: Call) -> Any:
    try:
        return json.loads(call.arguments)
    except ValueError:  # a plain answer holds an object in any case; what is no JSON shows in a stream only
        return {}


def events(message: Message) -> list[str]:
    """The server-sent events of a streamed answer."""
    return [
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
        for event in _events(message)
    ]


def _events(message: Message) -> Iterator[JsonObject]:
    started = {
        **message.head,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_usage(message), "output_tokens": 1},
    }
    yield {"type": "message_start", "message": started}
    yield {"type": "ping"}
    for spot, (block, deltas) in enumerate(_blocks(message)):
        yield {"type": "content_block_start", "index": spot, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": spot, "delta": delta}
        yield {"type": "content_block_stop", "index": spot}
    used = {"input_tokens": message.usage.prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    yield {"type": "message_delta", "delta": message.stop, "usage": {**used, "output_tokens": message.usage.completion}}
    yield {"type": "message_stop"}


def _blocks(message: Message) -> Iterator[tuple[JsonObject, list[JsonObject]]]:
    draft = message.draft
    if draft.reasoning:
        thoughts: list[JsonObject] = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(draft.reasoning)
        ]
        signed = {"type": "signature_delta", "signature": _signature(message)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
    if draft.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(draft.text)]
    for spot, call in enumerate(draft.calls):
        parts = ["", *(pieces(call.arguments) if call.arguments != "{}" else [])]
        yield _tool_use(message, spot, call), [{"type": "input_json_delta", "partial_json": part} for part in parts]
