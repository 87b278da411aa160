"""The answer that a persona gives to a prompt, and the HTTP response that carries the answer.

Depending on the persona, a request is refused, or its answer is delayed, paced, replaced or cut.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..conversation import Draft, JsonObject, Prompt, completion_tokens, shorten, token_count
from ..http_types import CutConnection, Response, json_response
from ..model import answer
from ..scenario import Persona
from .personas import apply_persona
from .refusals import Refusal, error_event, refusal
from .served_models import SimulatedUsage

_OVERHEAD = 8
"""Number of tokens that the chat template adds to every prompt."""
_TIMER_S = 0.002
"""Seconds. An event of a stream that is due within this time is sent immediately, without a timer."""
_REFUSING = ("rate_limited", "down", "server_error", "retired", "no_credit")
"""Personas that answer with an HTTP error: the kind of the same name in refusals.yaml."""
_HTML = (
    b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>\n"
)


def respond(prompt: Prompt, persona: Persona) -> tuple[Draft, SimulatedUsage]:
    """The answer to a prompt, and the numbers of tokens of prompt and answer.

    The simulated model's answer is cut at the prompt's `max_tokens`, and then changed as the persona does.
    """
    tools = {tool.name: tool for tool in prompt.tools}
    draft = apply_persona(persona, shorten(answer(prompt), prompt.max_tokens), tools)
    return draft, SimulatedUsage(prompt_tokens(prompt), completion_tokens(draft), token_count(draft.reasoning))


def prompt_tokens(prompt: Prompt) -> int:
    """Number of tokens of a prompt: the chat template, the texts and calls of its turns, tools and answer schema."""
    history = "".join(turn.text + "".join(call.arguments for call in turn.calls) for turn in prompt.turns)
    offered = "".join(tool.name + tool.description + str(tool.schema) for tool in prompt.tools)
    return _OVERHEAD + token_count(history + offered + str(prompt.answer_schema or ""))


def refused_by(persona: Persona, provider: str, model: str, upstream: str = "") -> Refusal | None:
    """The HTTP error with which a persona refuses a request; None if the persona does not refuse requests.

    None is also returned for a persona with `how: close`, which closes the connection instead.
    """
    kind = persona.persona
    if kind not in _REFUSING or persona.how == "close":
        return None
    retry_after_s = persona.retry_after_s if kind == "rate_limited" else None
    return refusal(provider, kind, model=model, upstream=upstream, status=persona.status, retry_after_s=retry_after_s)


async def early_response(persona: Persona, provider: str, model: str, upstream: str = "") -> Response | None:
    """The response of a persona that does not need the prompt: an HTTP error or an HTML page.

    Returns None for a persona that answers the prompt. Raises CutConnection if the persona closes the connection.
    """
    if persona.persona == "down" and persona.how == "close":
        raise CutConnection
    refused = refused_by(persona, provider, model, upstream)
    if refused is not None:
        await asyncio.sleep(min(persona.first_token_ms, 20) / 1000)
        return json_response(refused.body, refused.status, refused.headers)
    if persona.persona == "html":
        await asyncio.sleep(persona.first_token_ms / 1000)
        return Response(200, {"content-type": "text/html; charset=utf-8"}, _HTML)
    return None


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """What the response to a prompt needs besides its body.

    `tokens` is the number of completion tokens, `upstream` the upstream's name. `headers` are sent with the response.
    """

    provider: str
    tokens: int
    upstream: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def error(self) -> Refusal:
        """The error that the personas `error_in_200` and `stream_error` send in a response with status 200."""
        return refusal(self.provider, "server_error", upstream=self.upstream, status=502)


async def answer_plain(persona: Persona, info: AnswerInfo, body: JsonObject) -> Response:
    """The response to a prompt if it is not streamed: `body` as JSON.

    The body is sent after the time that the persona takes for the answer's tokens. Some personas replace the
    body by an error, or cut it.
    """
    headers = {"content-type": "application/json", **info.headers}
    wait = persona.first_token_ms / 1000 + info.tokens / persona.tokens_per_s
    if persona.persona in ("error_in_200", "stream_error"):
        body = dict(info.error.body)
    raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if persona.persona == "cut":
        await asyncio.sleep(wait)
        kept = raw[: max(1, int(len(raw) * persona.at))]
        return Response(200, headers, kept, declared_length=len(raw) if persona.how == "close" else None)
    if info.provider == "openrouter":
        return Response(200, headers, chunks=_after_whitespace(raw, wait))
    await asyncio.sleep(wait)
    return Response(200, headers, raw)


async def _after_whitespace(raw: bytes, wait: float) -> AsyncIterator[bytes]:
    """Yield whitespace for `wait` seconds, then the body. OpenRouter keeps connections alive so, as recorded."""
    for _ in range(3):
        yield b"\n         \n"
        await asyncio.sleep(wait / 3)
    yield raw


def answer_stream(persona: Persona, info: AnswerInfo, events: Sequence[str]) -> Response:
    """The response to a prompt if it is streamed: the server-sent `events`, at the persona's pace.

    Some personas replace the events by an error, or cut the stream.
    """
    headers = {"content-type": "text/event-stream", "cache-control": "no-cache", **info.headers}
    if persona.persona == "error_in_200":
        events = [error_event(info.provider, info.error)]
    elif persona.persona in ("stream_error", "cut"):
        # The first part of the stream, which never reaches the chunk with the finish reason.
        last = next((spot for spot, event in enumerate(events) if _finishes(event)), len(events))
        events = list(events[: max(1, int(last * persona.at))])
        if persona.persona == "stream_error":
            events.append(_stream_error(info, events))
    cut = persona.persona == "cut" and persona.how == "close"
    return Response(200, headers, chunks=_paced(events, persona, info.tokens / persona.tokens_per_s, cut=cut))


def _finishes(event: str) -> bool:
    return ('"finish_reason":"' in event) or ("message_delta" in event) or event.startswith("event: done")


def _stream_error(info: AnswerInfo, sent: Sequence[str]) -> str:
    """The event with an error that ends a cut stream.

    OpenRouter sends the error inside a chunk, as documented. The others send an event that has only the error.
    """
    if info.provider != "openrouter":
        return error_event(info.provider, info.error)
    chunks = [json.loads(event[6:]) for event in sent if event.startswith("data: {")]
    head = {key: value for key, value in (chunks[0] if chunks else {}).items() if key != "choices"}
    metadata = {"provider_name": info.upstream, "error_type": "provider_unavailable"}
    error = {"code": 502, "message": "Provider disconnected unexpectedly", "metadata": metadata}
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
    return f"data: {json.dumps({**head, 'error': error, 'choices': [choice]}, separators=(',', ':'))}\n\n"


async def _paced(events: Sequence[str], persona: Persona, lasts_s: float, *, cut: bool) -> AsyncIterator[bytes]:
    """Yield the events of a stream, each when it is due.

    Comments are due immediately and the first event after the first-token time. The other events follow evenly over
    `lasts_s` seconds. If `cut` is true, CutConnection is raised after the last one.
    """
    comments = [event for event in events if event.startswith(":")]
    for comment in comments:
        yield comment.encode()
    await asyncio.sleep(persona.first_token_ms / 1000)
    clock = asyncio.get_running_loop().time
    start = clock()
    data = events[len(comments) :]
    for spot, event in enumerate(data):
        early_s = start + lasts_s * spot / len(data) - clock()
        if early_s > _TIMER_S:
            await asyncio.sleep(early_s)
        yield event.encode()
    if cut:
        raise CutConnection
