"""Render chat-completions answers, plain and streamed, in each provider's dialect of the format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..behaviour.served_models import SimulatedModel, SimulatedUpstream, SimulatedUsage, cost_parts
from ..conversation import Call, Draft, JsonObject, pieces


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """One answer with all data that is rendered.

    `created` is Unix time in seconds. `serial` is a random text that makes the answer's ids unique. `include_usage`
    is the request's stream option. `metadata` is the value of `openrouter_metadata`, if the request asked for it.
    """

    provider: str
    model: SimulatedModel
    draft: Draft
    usage: SimulatedUsage
    created: int
    serial: str
    upstream: SimulatedUpstream | None = None
    include_usage: bool = False
    metadata: JsonObject | None = None

    @property
    def upstream_title(self) -> str:
        """Name of the upstream that answered; empty if the provider has no upstreams."""
        return self.upstream.title if self.upstream else ""

    @property
    def id(self) -> str:
        """The id of the answer, in the format that the provider uses."""
        if self.provider == "openrouter":
            return f"gen-{self.created}-{self.serial}"
        return f"o{self.serial[:6]}-{self.serial[6:]}" if self.provider == "together" else f"chatcmpl-{self.serial}"


def plain(answer: ChatAnswer) -> JsonObject:
    """The JSON body of an answer that is not streamed."""
    draft = answer.draft
    choice: JsonObject = {"index": 0, "logprobs": None, "finish_reason": draft.finish}
    if answer.provider == "openrouter":
        choice["native_finish_reason"] = draft.finish
    if answer.provider == "together":
        choice["seed"] = 7
    message: JsonObject = {"role": "assistant", "content": _content(answer)}
    message |= _reasoning(answer, draft.reasoning) if draft.reasoning else {}
    if answer.provider == "openrouter":
        message["refusal"] = None
    if draft.calls:
        message["tool_calls"] = [_call(answer, spot, call) for spot, call in enumerate(draft.calls)]
    body = {**_head(answer, "chat.completion"), "choices": [{**choice, "message": message}], "usage": usage(answer)}
    return {**body, **_tail(answer)}


def _head(answer: ChatAnswer, kind: str) -> JsonObject:
    head: JsonObject = {"id": answer.id, "object": kind, "created": answer.created, "model": answer.model.slug}
    if answer.provider == "openrouter":
        head["provider"] = answer.upstream_title
        head |= {"system_fingerprint": None} if kind == "chat.completion" else {}
    if answer.provider in ("groq", "moonshot", "moonshot-cn"):
        head["system_fingerprint"] = f"fp_{answer.serial[:10].lower()}"
    return head


def _tail(answer: ChatAnswer) -> JsonObject:
    if answer.provider == "groq":
        return {"usage_breakdown": None, "x_groq": _groq_request(answer), "service_tier": "on_demand"}
    if answer.provider == "together":
        return {"prompt": []}
    return {"openrouter_metadata": answer.metadata} if answer.metadata else {}


def _groq_request(answer: ChatAnswer) -> JsonObject:
    return {"id": f"req_{answer.serial.lower()}", "seed": 7}


def _content(answer: ChatAnswer) -> str | None:
    """The `content` of the message, which is the answer's text.

    If there are tool calls but no text, Moonshot sends an empty text and the others send null.
    """
    if answer.draft.text or not answer.draft.calls or answer.provider.startswith("moonshot"):
        return answer.draft.text
    return None


def _reasoning(answer: ChatAnswer, text: str) -> JsonObject:
    if answer.provider.startswith("moonshot"):
        return {"reasoning_content": text}
    if answer.provider != "openrouter":
        return {"reasoning": text}
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
    return {"reasoning": text, "reasoning_details": [detail]}


def _call(answer: ChatAnswer, spot: int, call: Call) -> JsonObject:
    index = {} if answer.provider == "groq" else {"index": spot}
    call_id = f"call_{answer.serial.lower()}{spot}" if answer.provider == "together" else call.id
    function = {"name": call.name, "arguments": call.arguments}
    return {**index, "id": call_id, "type": "function", "function": function}


def usage(answer: ChatAnswer) -> JsonObject:
    """The `usage` object of an answer: numbers of tokens, and for OpenRouter also their cost in USD."""
    used = answer.usage
    tokens: JsonObject = {"prompt_tokens": used.prompt, "completion_tokens": used.completion}
    tokens["total_tokens"] = used.prompt + used.completion
    if answer.provider == "openrouter":
        return tokens | _cost(answer)
    if answer.provider == "groq":
        times = {"queue_time": 0.01, "prompt_time": 0.005, "completion_time": 0.02, "total_time": 0.025}
        details = {"completion_tokens_details": {"reasoning_tokens": used.reasoning}} if used.reasoning else {}
        return {**tokens, **times, **details}
    if answer.provider.startswith("moonshot"):
        tokens["cached_tokens"] = 0
    return {
        **tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }


def _cost(answer: ChatAnswer) -> JsonObject:
    price = answer.upstream.price if answer.upstream else answer.model.price
    prompt, completion = cost_parts(answer.usage, price)
    return {
        "cost": float(prompt + completion),
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": float(prompt + completion),
            "upstream_inference_prompt_cost": float(prompt),
            "upstream_inference_completions_cost": float(completion),
        },
        "completion_tokens_details": {"reasoning_tokens": answer.usage.reasoning, "image_tokens": 0, "audio_tokens": 0},
    }


def events(answer: ChatAnswer) -> list[str]:
    """The server-sent events of a streamed answer. The last one is `[DONE]`."""
    chunks = [f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n" for chunk in _chunks(answer)]
    comments = [": OPENROUTER PROCESSING\n\n"] * 2 if answer.provider == "openrouter" else []
    return [*comments, *chunks, "data: [DONE]\n\n"]


def _chunk(answer: ChatAnswer, delta: JsonObject, finish: str | None = None, /, **more: Any) -> JsonObject:
    choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish}
    if answer.provider == "openrouter":
        choice["native_finish_reason"] = finish
    else:
        choice["logprobs"] = None
    return {**_head(answer, "chat.completion.chunk"), "choices": [choice], **more}


def _chunks(answer: ChatAnswer) -> Iterator[JsonObject]:
    role: JsonObject = {"role": "assistant"}
    again = role if answer.provider in ("openrouter", "together") else {}
    draft = answer.draft
    if answer.provider != "openrouter":
        groq = {"x_groq": _groq_request(answer)} if answer.provider == "groq" else {}
        yield _chunk(answer, {**role, "content": ""}, None, **groq)
    for piece in pieces(draft.reasoning):
        yield _chunk(answer, {**({"content": ""} if again else {}), **again, **_reasoning(answer, piece)})
    for piece in pieces(draft.text):
        yield _chunk(answer, {**again, "content": piece})
    for spot, call in enumerate(draft.calls):
        for delta in _call_deltas(answer, spot, call):
            yield _chunk(answer, {**({"content": None} if again else {}), **again, "tool_calls": [delta]})
    yield from _endings(answer)


def _call_deltas(answer: ChatAnswer, spot: int, call: Call) -> Iterator[JsonObject]:
    """The deltas of one tool call in a stream. Groq sends the call in one delta; the others split the arguments."""
    if answer.provider == "groq":
        yield {**_call(answer, spot, call), "index": spot}
        return
    yield {**_call(answer, spot, call), "index": spot, "function": {"name": call.name, "arguments": ""}}
    for piece in pieces(call.arguments):
        yield {"index": spot, "function": {"arguments": piece}}


def _endings(answer: ChatAnswer) -> Iterator[JsonObject]:
    finish, tokens = answer.draft.finish, usage(answer)
    if answer.provider == "openrouter":  # the finish reason twice, usage always, as recorded
        yield _chunk(answer, {"role": "assistant", "content": "", "reasoning": None}, finish)
        yield _chunk(answer, {"role": "assistant", "content": ""}, finish, usage=tokens, **_tail(answer))
        return
    if answer.provider == "groq":
        yield _chunk(answer, {}, finish, x_groq={"id": f"req_{answer.serial.lower()}", "usage": tokens}, usage=tokens)
    elif answer.provider == "together":
        yield _chunk(answer, {"role": "assistant", "content": ""}, finish, usage=tokens)
    else:
        last = _chunk(answer, {}, finish)
        last["choices"][0]["usage"] = tokens
        yield last
    if answer.include_usage and answer.provider != "together":
        yield {**_head(answer, "chat.completion.chunk"), "choices": [], "usage": tokens}
