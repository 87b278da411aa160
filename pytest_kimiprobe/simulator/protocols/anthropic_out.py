"""Render answers of Anthropic's Messages API, both as one JSON body and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..conversation import Call, JsonObject, parsed, pieces
from .openai_out import ChatAnswer

_STOP = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


def _head(answer: ChatAnswer) -> JsonObject:
    return {"model": answer.model.slug, "id": f"msg_01{answer.serial}", "type": "message", "role": "assistant"}


def _stop(answer: ChatAnswer) -> JsonObject:
    return {"stop_reason": _STOP[answer.draft.finish], "stop_sequence": None}


def _usage(answer: ChatAnswer) -> JsonObject:
    return {
        "input_tokens": answer.usage.prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.usage.completion,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def plain(answer: ChatAnswer) -> JsonObject:
    """The JSON body of an answer that is not streamed."""
    draft = answer.draft
    content: list[JsonObject] = []
    if draft.reasoning:
        content.append({"type": "thinking", "thinking": draft.reasoning, "signature": _signature(answer)})
    if draft.text:
        content.append({"type": "text", "text": draft.text})
    for spot, call in enumerate(
        draft.calls
    ):  # a plain answer always has an object; invalid JSON shows in a stream only
        content.append({**_tool_use(answer, spot, call), "input": parsed(call.arguments) or {}})
    return {**_head(answer), "content": content, **_stop(answer), "usage": _usage(answer)}


def _signature(answer: ChatAnswer) -> str:
    return f"c2ln{answer.serial}"


def _tool_use(answer: ChatAnswer, spot: int, call: Call) -> JsonObject:
    number = f"toolu_01{answer.serial[: -len(str(spot))]}{spot}"
    return {"type": "tool_use", "id": number, "name": call.name, "input": {}, "caller": {"type": "direct"}}


def events(answer: ChatAnswer) -> list[str]:
    """The server-sent events of a streamed answer."""
    return [
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
        for event in _events(answer)
    ]


def _events(answer: ChatAnswer) -> Iterator[JsonObject]:
    started = {
        **_head(answer),
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
    yield {"type": "message_delta", "delta": _stop(answer), "usage": {**used, "output_tokens": answer.usage.completion}}
    yield {"type": "message_stop"}


def _blocks(answer: ChatAnswer) -> Iterator[tuple[JsonObject, list[JsonObject]]]:
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
