"""Writing chat-completions answers, plain and streamed, in each provider's dialect of the format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .nouns import Call, Draft, JsonObject, pieces
from .world import Model, Upstream, Usage, cost_parts


@dataclass(frozen=True, slots=True)
class Served:
    """One answer with what is told around it. `created` is in seconds, `serial` a random text that makes ids unique."""

    provider: str
    model: Model
    draft: Draft
    usage: Usage
    created: int
    serial: str
    upstream: Upstream | None = None
    include_usage: bool = False
    metadata: JsonObject | None = None

    @property
    def upstream_title(self) -> str:
        """The host's name; empty where there is none."""
        return self.upstream.title if self.upstream else ""

    @property
    def id(self) -> str:
        """The answer's id, in the provider's style."""
        if self.provider == "openrouter":
            return f"gen-{self.created}-{self.serial}"
        return f"o{self.serial[:6]}-{self.serial[6:]}" if self.provider == "together" else f"chatcmpl-{self.serial}"


def plain(served: Served) -> JsonObject:
    """The body of an answer that is not streamed."""
    draft = served.draft
    choice: JsonObject = {"index": 0, "logprobs": None, "finish_reason": draft.finish}
    if served.provider == "openrouter":
        choice["native_finish_reason"] = draft.finish
    if served.provider == "together":
        choice["seed"] = 7
    message: JsonObject = {"role": "assistant", "content": _content(served)}
    message |= _reasoning(served, draft.reasoning) if draft.reasoning else {}
    if served.provider == "openrouter":
        message["refusal"] = None
    if draft.calls:
        message["tool_calls"] = [_call(served, spot, call) for spot, call in enumerate(draft.calls)]
    body = {**_head(served, "chat.completion"), "choices": [{**choice, "message": message}], "usage": usage(served)}
    return {**body, **_tail(served)}


def _head(served: Served, kind: str) -> JsonObject:
    head: JsonObject = {"id": served.id, "object": kind, "created": served.created, "model": served.model.slug}
    if served.provider == "openrouter":
        head["provider"] = served.upstream_title
        head |= {"system_fingerprint": None} if kind == "chat.completion" else {}
    if served.provider in ("groq", "moonshot", "moonshot-cn"):
        head["system_fingerprint"] = f"fp_{served.serial[:10].lower()}"
    return head


def _tail(served: Served) -> JsonObject:
    if served.provider == "groq":
        return {
            "usage_breakdown": None,
            "x_groq": {"id": f"req_{served.serial.lower()}", "seed": 7},
            "service_tier": "on_demand",
        }
    if served.provider == "together":
        return {"prompt": []}
    return {"openrouter_metadata": served.metadata} if served.metadata else {}


def _content(served: Served) -> str | None:
    """Moonshot sends an empty text beside calls, the others null."""
    if served.draft.text or not served.draft.calls or served.provider.startswith("moonshot"):
        return served.draft.text
    return None


def _reasoning(served: Served, text: str) -> JsonObject:
    if served.provider.startswith("moonshot"):
        return {"reasoning_content": text}
    if served.provider != "openrouter":
        return {"reasoning": text}
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
    return {"reasoning": text, "reasoning_details": [detail]}


def _call_id(served: Served, spot: int, call: Call) -> str:
    return f"call_{served.serial.lower()}{spot}" if served.provider == "together" else call.id


def _call(served: Served, spot: int, call: Call) -> JsonObject:
    index = {} if served.provider == "groq" else {"index": spot}
    function = {"name": call.name, "arguments": call.arguments}
    return {**index, "id": _call_id(served, spot, call), "type": "function", "function": function}


def usage(served: Served) -> JsonObject:
    """Tokens, and with OpenRouter what they cost."""
    used = served.usage
    told: JsonObject = {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "total_tokens": used.total,
    }
    if served.provider == "openrouter":
        return told | _cost(served)
    if served.provider == "groq":
        times = {"queue_time": 0.01, "prompt_time": 0.005, "completion_time": 0.02, "total_time": 0.025}
        details = {"completion_tokens_details": {"reasoning_tokens": used.reasoning}} if used.reasoning else {}
        return {**told, **times, **details}
    if served.provider.startswith("moonshot"):
        told["cached_tokens"] = 0
    return {
        **told,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }


def _cost(served: Served) -> JsonObject:
    price = served.upstream.price if served.upstream else served.model.price
    prompt, completion = cost_parts(served.usage, price)
    return {
        "cost": float(prompt + completion),
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": float(prompt + completion),
            "upstream_inference_prompt_cost": float(prompt),
            "upstream_inference_completions_cost": float(completion),
        },
        "completion_tokens_details": {"reasoning_tokens": served.usage.reasoning, "image_tokens": 0, "audio_tokens": 0},
    }


def events(served: Served) -> list[str]:
    """The server-sent events of a streamed answer, `[DONE]` last."""
    chunks = [f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n" for chunk in _chunks(served)]
    comments = [": OPENROUTER PROCESSING\n\n"] * 2 if served.provider == "openrouter" else []
    return [*comments, *chunks, "data: [DONE]\n\n"]


def _chunk(served: Served, delta: JsonObject, finish: str | None = None, /, **more: Any) -> JsonObject:
    choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish}
    if served.provider == "openrouter":
        choice["native_finish_reason"] = finish
    else:
        choice["logprobs"] = None
    return {**_head(served, "chat.completion.chunk"), "choices": [choice], **more}


def _chunks(served: Served) -> Iterator[JsonObject]:
    role: JsonObject = {"role": "assistant"}
    again = role if served.provider in ("openrouter", "together") else {}
    draft = served.draft
    if served.provider != "openrouter":
        groq: JsonObject = (
            {"x_groq": {"id": f"req_{served.serial.lower()}", "seed": 7}} if served.provider == "groq" else {}
        )
        yield _chunk(served, {**role, "content": ""}, None, **groq)
    for piece in pieces(draft.reasoning):
        yield _chunk(served, {**({"content": ""} if again else {}), **again, **_reasoning(served, piece)})
    for piece in pieces(draft.text):
        yield _chunk(served, {**again, "content": piece})
    for spot, call in enumerate(draft.calls):
        for delta in _call_deltas(served, spot, call):
            yield _chunk(served, {**({"content": None} if again else {}), **again, "tool_calls": [delta]})
    yield from _endings(served)


def _call_deltas(served: Served, spot: int, call: Call) -> Iterator[JsonObject]:
    """Groq sends a call in one piece, the others the arguments in many."""
    if served.provider == "groq":
        yield {**_call(served, spot, call), "index": spot}
        return
    yield {**_call(served, spot, call), "index": spot, "function": {"name": call.name, "arguments": ""}}
    for piece in pieces(call.arguments):
        yield {"index": spot, "function": {"arguments": piece}}


def _endings(served: Served) -> Iterator[JsonObject]:
    finish, told = served.draft.finish, usage(served)
    if served.provider == "openrouter":  # the finish reason twice, usage always, as recorded
        yield _chunk(served, {"role": "assistant", "content": "", "reasoning": None}, finish)
        yield _chunk(served, {"role": "assistant", "content": ""}, finish, usage=told, **_tail(served))
        return
    if served.provider == "groq":
        yield _chunk(served, {}, finish, x_groq={"id": f"req_{served.serial.lower()}", "usage": told}, usage=told)
    elif served.provider == "together":
        yield _chunk(served, {"role": "assistant", "content": ""}, finish, usage=told)
    else:
        last = _chunk(served, {}, finish)
        last["choices"][0]["usage"] = told
        yield last
    if served.include_usage and served.provider != "together":
        yield {**_head(served, "chat.completion.chunk"), "choices": [], "usage": told}
