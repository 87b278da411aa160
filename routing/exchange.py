"""One request to one endpoint and its answer, with times and cost: what probes and production both do."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from .catalog import Endpoint, Provider
from .errors import ExchangeError, Phase, ProviderFailure
from .transport import HttpRequest, HttpResponse, Transport
from .types import Answer, ChatRequest, CostOrigin, JsonObject
from .wire import Wire, WireRequest, wire_named

REDACTED = "[redacted]"
_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: an endpoint, its provider and the key."""

    endpoint: Endpoint
    provider: Provider
    key: str

    def __repr__(self) -> str:
        return f"Target({self.endpoint.id})"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request and its answer, the key taken out of both.

    Either `answer` or `error` is set. `body` holds the response's bytes as far as they came; times are milliseconds
    from the moment of sending, `first_token_ms` only for streams.
    """

    endpoint: str
    request: JsonObject
    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    answer: Answer | None = None
    error: ExchangeError | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0
    cost_usd: Decimal | None = None
    cost_origin: CostOrigin = "unknown"


async def exchange(transport: Transport, target: Target, request: ChatRequest, *, timeout_s: float) -> Exchange:
    """Send `request` to `target` within `timeout_s` seconds in all. Failures come back as `.error`, never raised."""
    started = time.perf_counter()
    attempt = _Attempt(target)
    try:
        wire = wire_named(target.provider.wire)
        built = wire.build(request, target.endpoint, target.provider)
        attempt.request = built.body
        async with asyncio.timeout(timeout_s):
            await attempt.run(transport, wire, built, started)
    except TimeoutError:
        attempt.error = ProviderFailure("timeout", f"after {timeout_s:g} s", phase=attempt.phase, retryable=True)
    except ExchangeError as error:
        attempt.error = error
    return attempt.result((time.perf_counter() - started) * 1000)


def cost_of(answer: Answer, endpoint: Endpoint, day: datetime | None = None) -> tuple[Decimal | None, CostOrigin]:
    """USD and where the figure comes from: the provider's own report first, then the catalogue's price."""
    if answer.reported_cost_usd is not None:
        return answer.reported_cost_usd, "reported"
    price = endpoint.price_at((day or datetime.now(UTC)).date())
    if price is None or answer.usage is None:
        return None, "unknown"
    return price.cost(answer.usage), "catalog"


class _Attempt:
    """What is known so far, so that a timeout loses nothing."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.request: JsonObject = {}
        self.status: int | None = None
        self.content_type = ""
        self.body = bytearray()
        self.answer: Answer | None = None
        self.error: ExchangeError | None = None
        self.first_token_ms: float | None = None

    @property
    def phase(self) -> Phase:
        return "connect" if self.status is None else "body"

    async def run(self, transport: Transport, wire: Wire, built: WireRequest, started: float) -> None:
        async with transport.send(self._http(wire, built), shard=self.target.provider.name) as response:
            self.status = response.status
            self.content_type = response.headers.get("content-type", "")
            if response.status == 200 and self.content_type.startswith(_EVENT_STREAM):
                self.answer = await self._streamed(wire, response, started)
            else:
                async for chunk in response.chunks:
                    self.body += chunk
                self.answer = wire.parse(response.status, response.headers, bytes(self.body))
                if self.request.get("stream"):
                    self.answer = replace(self.answer, notes=(*self.answer.notes, "stream_ignored"))
        if not self.answer.complete:
            raise ProviderFailure(
                "stream_cut", "the stream ended without a finish reason", phase="body", retryable=True
            )

    async def _streamed(self, wire: Wire, response: HttpResponse, started: float) -> Answer:
        stream = wire.stream()
        async for chunk in response.chunks:
            self.body += chunk
            if stream.feed(chunk) and self.first_token_ms is None:
                self.first_token_ms = (time.perf_counter() - started) * 1000
        return stream.finish()

    def _http(self, wire: Wire, built: WireRequest) -> HttpRequest:
        headers = {"Content-Type": "application/json", **built.headers, **wire.authorization(self.target.key)}
        content = json.dumps(built.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return HttpRequest(built.method, self.target.provider.base_url + built.path, headers, content)

    def result(self, total_ms: float) -> Exchange:
        key = self.target.key
        answer = None if self.error else self.answer
        if answer is not None:
            answer = _scrubbed_answer(answer, key)
        if self.error is not None:
            scrub_error(self.error, key)
            self.error.endpoint = self.target.endpoint.id
            self.error.elapsed_ms = total_ms
        cost, origin = cost_of(answer, self.target.endpoint) if answer else (None, "unknown")
        return Exchange(
            endpoint=self.target.endpoint.id,
            request=self.request,
            status=self.status,
            content_type=self.content_type,
            body=bytes(self.body).replace(key.encode(), REDACTED.encode()) if key else bytes(self.body),
            answer=answer,
            error=self.error,
            first_token_ms=self.first_token_ms,
            total_ms=total_ms,
            cost_usd=cost,
            cost_origin=origin,
        )


def scrub_error(error: ExchangeError, key: str) -> None:
    """Take the key out of an error's words: some providers echo it."""
    if key:
        error.detail = error.detail.replace(key, REDACTED)
        error.args = tuple(arg.replace(key, REDACTED) if isinstance(arg, str) else arg for arg in error.args)
        if error.failed_generation:
            error.failed_generation = error.failed_generation.replace(key, REDACTED)


def _scrubbed_answer(answer: Answer, key: str) -> Answer:
    if not key or not any(key in text for text in (answer.text, answer.reasoning)):
        return answer
    return replace(answer, text=answer.text.replace(key, REDACTED), reasoning=answer.reasoning.replace(key, REDACTED))
