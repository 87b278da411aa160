"""Render answers of Anthropic's Messages API, plain and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..behaviour.served_models import SimulatedModel, SimulatedUsage
from ..conversation import Call, Draft, JsonObject, pieces

_STOP = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


@dataclass(frozen=True, slots=True)
class MessagesAnswer:
    """One answer with its model, usage and a `serial` that makes ids unique."""

    model: SimulatedModel
    draft: Draft
    usage: SimulatedUsage
    serial: str

    @property
    def head(self) -> JsonObject:
        """Fields that do not depend on the content."""
        return {"model": self.model.slug, "id": f"msg_01{self.serial}", "type": "message", "role": "assistant"}

    @property
    def stop(self) -> JsonObject:
        """Fields that say why the answer ended."""
        return {"stop_reason": _STOP[self.draft.finish], "stop_sequence": None}


def _usage(answer: MessagesAnswer) -> JsonObject:
    return {
        "input_tokens": answer.usage.prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.usage.completion,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def plain(answer: MessagesAnswer) -> JsonObject:
    """The body of an answer that is not streamed."""
    draft = answer.draft
    content: list[JsonObject] = []
    if draft.reasoning:
        content.append({"type": "thinking", "thinking": draft.reasoning, "signature": _signature(answer)})
    if draft.text:
        content.append({"type": "text", "text": draft.text})
    content += [{**_tool_use(answer, spot, call), "input": _object(call)} for spot, call in enumerate(draft.calls)]
    return {**answer.head, "content": content, **answer.stop, "usage": _usage(answer)}


def _signature(answer: MessagesAnswer) -> str:
    return f"c2ln{answer.serial}"


def _tool_use(answer: MessagesAnswer, spot: int, call: Call) -> JsonObject:
    number = f"toolu_01{answer.serial[: -len(str(spot))]}{spot}"
    return {"type": "tool_use", "id": number, "name": call.name, "input": {}, "caller": {"type": "direct"}}


def _object(call: Call) -> Any:
    try:
        return json.loads(call.arguments)
    except ValueError:  # a plain answer always has an object; invalid JSON shows in a stream only
        return {}


def events(answer: MessagesAnswer) -> list[str]:
    """The server-sent events of a streamed answer."""
    return [
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
        for event in _events(answer)
    ]


def _events(answer: MessagesAnswer) -> Iterator[JsonObject]:
    started = {
        **answer.head,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_usage(answer), "output_tokens": 1},
    }
    yield {"type": "message_start", "message": started}
    yield {"type": "ping"}
    for spot, (block, deltas) in enumerate(_blocks(answer)):
        yield {"type": "content_block_start", "index": spot, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": spot, "delta": delta}
        yield {"type": "content_block_stop", "index": spot}
    used = {"input_tokens": answer.usage.prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    yield {"type": "message_delta", "delta": answer.stop, "usage": {**used, "output_tokens": answer.usage.completion}}
    yield {"type": "message_stop"}


def _blocks(answer: MessagesAnswer) -> Iterator[tuple[JsonObject, list[JsonObject]]]:
    draft = answer.draft
    if draft.reasoning:
        thoughts: list[JsonObject] = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(draft.reasoning)
        ]
        signed = {"type": "signature_delta", "signature": _signature(answer)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
    if draft.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(draft.text)]
    for spot, call in enumerate(draft.calls):
        parts = ["", *(pieces(call.arguments) if call.arguments != "{}" else [])]
        yield _tool_use(answer, spot, call), [{"type": "input_json_delta", "partial_json": part} for part in parts]
