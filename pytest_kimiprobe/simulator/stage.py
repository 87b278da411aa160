"""Where a request meets its endpoint's persona: drawing, waiting, refusing, breaking off."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import string
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .http import CutConnection, Response, json_response
from .nouns import JsonObject
from .rates import lots, met
from .refusals import Refused, error_event, refusal
from .scenario import Persona, Scenario

_REMEMBERED = 100_000
_PATIENCE_S = 0.002
"""A stream that lags less than this is not worth a timer."""


@dataclass(slots=True)
class Draws:
    """Seeded draws: the same scenario, seed, endpoint, request and number of its repeat give the same outcome."""

    scenario: Scenario
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def draw(self, endpoint: str, body: JsonObject, persona: Persona) -> tuple[Persona, random.Random]:
        """The persona for this one request (healthy where the rate spares it) and the generator for all else."""
        content = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        count = self.seen.get((endpoint, content), 0)
        if len(self.seen) >= _REMEMBERED:
            self.seen.clear()
        self.seen[endpoint, content] = count + 1
        generator = random.Random(f"{self.scenario.seed}|{endpoint}|{content}|{count}")  # noqa: S311 - reproducible on purpose
        hit = generator.random() < persona.rate
        if persona.drawn:
            return met(persona, endpoint, lots(self.scenario.seed, endpoint, content, count)), generator
        return (persona if hit else replace(persona, persona="healthy")), generator


def serial(generator: random.Random) -> str:
    """Twenty letters and digits."""
    return "".join(generator.choices(string.ascii_letters + string.digits, k=20))


_REFUSALS = {
    "rate_limited": "rate_limited",
    "down": "overloaded",
    "server_error": "server_error",
    "retired": "retired",
    "no_credit": "no_credit",
}


def refused_by(persona: Persona, provider: str, model: str, upstream: str = "") -> Refused | None:
    """The error status a persona answers with, if that is what it does."""
    kind = _REFUSALS.get(persona.persona)
    if kind is None or persona.how == "close":
        return None
    return refusal(
        provider,
        kind,
        model=model,
        upstream=upstream,
        status=persona.status,
        retry_after_s=persona.retry_after_s if persona.persona == "rate_limited" else None,
    )


HTML = b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>\n"


async def meet(persona: Persona, provider: str, model: str, upstream: str = "") -> Response | None:
    """What stands instead of an answer: an error status, a page, a closed connection; None where an answer follows."""
    if persona.persona == "down" and persona.how == "close":
        raise CutConnection
    refused = refused_by(persona, provider, model, upstream)
    if refused is not None:
        await asyncio.sleep(min(persona.first_token_ms, 20) / 1000)
        return json_response(refused.body, refused.status, refused.headers)
    if persona.persona == "html":
        await asyncio.sleep(persona.first_token_ms / 1000)
        return Response(200, {"content-type": "text/html; charset=utf-8"}, HTML)
    return None


def inner_error(provider: str, model: str, upstream: str = "") -> Refused:
    """The error that comes inside a 200."""
    return refusal(provider, "server_error", model=model, upstream=upstream, status=502)


@dataclass(frozen=True, slots=True)
class Teller:
    """Who answers, with how many tokens, under which headers."""

    provider: str
    tokens: int
    upstream: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


async def answer_plain(persona: Persona, teller: Teller, body: JsonObject) -> Response:
    """A whole body after the time the tokens take; spoiled or cut as the persona does."""
    headers = {"content-type": "application/json", **teller.headers}
    wait = persona.first_token_ms / 1000 + teller.tokens / persona.tokens_per_s
    if persona.persona in ("error_in_200", "stream_error"):
        body = dict(inner_error(teller.provider, "", teller.upstream).body)
    raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if persona.persona == "cut":
        await asyncio.sleep(wait)
        kept = raw[: max(1, int(len(raw) * persona.at))]
        return Response(200, headers, kept, declared_length=len(raw) if persona.how == "close" else len(kept))
    if teller.provider == "openrouter":
        return Response(200, headers, chunks=_after_whitespace(raw, wait))
    await asyncio.sleep(wait)
    return Response(200, headers, raw)


async def _after_whitespace(raw: bytes, wait: float) -> AsyncIterator[bytes]:
    """OpenRouter keeps a waiting connection alive with whitespace before the body, as recorded."""
    for _ in range(3):
        yield b"\n         \n"
        await asyncio.sleep(wait / 3)
    yield raw


def answer_stream(persona: Persona, teller: Teller, events: Sequence[str]) -> Response:
    """Server-sent events at the persona's pace; broken off as the persona does."""
    headers = {"content-type": "text/event-stream", "cache-control": "no-cache", **teller.headers}
    told = list(events)
    kept = _kept(events, persona.at)
    if persona.persona == "error_in_200":
        told = [error_event(teller.provider, inner_error(teller.provider, "", teller.upstream))]
    elif persona.persona == "stream_error":
        told = [*kept, _stream_error(teller, kept)]
    elif persona.persona == "cut":
        told = kept
    cut = persona.persona == "cut" and persona.how == "close"
    return Response(200, headers, chunks=_paced(told, persona, teller.tokens / persona.tokens_per_s, cut=cut))


def _kept(events: Sequence[str], at: float) -> list[str]:
    """The beginning of a stream, never up to the chunk with the finish reason."""
    last = next((spot for spot, event in enumerate(events) if _finishes(event)), len(events))
    return list(events[: max(1, int(last * at))])


def _finishes(event: str) -> bool:
    return ('"finish_reason":"' in event) or ("message_delta" in event) or event.startswith("event: done")


def _stream_error(teller: Teller, kept: Sequence[str]) -> str:
    """OpenRouter's documented form keeps the chunk around the error; the others send the error alone."""
    if teller.provider != "openrouter":
        return error_event(teller.provider, inner_error(teller.provider, "", teller.upstream))
    chunks = [json.loads(event[6:]) for event in kept if event.startswith("data: {")]
    head = {key: value for key, value in (chunks[0] if chunks else {}).items() if key != "choices"}
    error = {
        "code": 502,
        "message": "Provider disconnected unexpectedly",
        "metadata": {"provider_name": teller.upstream},
    }
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
    return f"data: {json.dumps({**head, 'error': error, 'choices': [choice]}, separators=(',', ':'))}\n\n"


async def _paced(events: Sequence[str], persona: Persona, lasts: float, *, cut: bool) -> AsyncIterator[bytes]:
    """Comments at once, the first event after the first-token time, the rest evenly."""
    comments = [event for event in events if event.startswith(":")]
    for comment in comments:
        yield comment.encode()
    await asyncio.sleep(persona.first_token_ms / 1000)
    start = time.perf_counter()
    data = events[len(comments) :]
    for spot, event in enumerate(data):
        late = start + lasts * spot / len(data) - time.perf_counter()
        if late > _PATIENCE_S:
            await asyncio.sleep(late)
        yield event.encode()
    if cut:
        raise CutConnection
