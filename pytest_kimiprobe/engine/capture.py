"""Captures one exchange between `exchange` and the transport: each request and answer, or what ended them.

vcrpy patches the HTTP libraries of the whole process and cannot separate concurrent probes; here each probe has its own
transport around the shared one. The key has been removed from all that is captured (routing/transport).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from routing.errors import ExchangeError, error_type
from routing.exchange import Exchange, Sender
from routing.transport import TIMEOUT_S, HttpRequest, HttpResponse
from routing.transport.failures import RequestProgress
from routing.transport.limits import MAX_BODY
from routing.types import Phase

Side = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class CapturedRequest:
    """One request and its answer: the decoded body as far as it came, headers without credentials."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    status: int
    answer_headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class CapturedFailure:
    """Error below HTTP that ended an exchange: refused, cut, timed out.

    `side` says when: `request` before any byte of an answer, `answer` in the middle of the last one.
    """

    reason: str
    detail: str
    phase: Phase
    retryable: bool
    side: Side

    @classmethod
    def of(cls, error: ExchangeError, side: Side) -> CapturedFailure:
        """The failure that describes an error raised by the transport."""
        return cls(error.reason, error.detail, error.phase or "body", error.retryable, side)

    def error(self) -> ExchangeError:
        """The error, to be raised again."""
        kind = error_type(self.reason)
        return kind(self.reason, self.detail, phase=self.phase, retryable=self.retryable)


@dataclass(frozen=True, slots=True)
class CapturedExchange:
    """Everything that one exchange sent and received, in order. `whole` is false if more came than is kept."""

    steps: tuple[CapturedRequest, ...] = ()
    broken: CapturedFailure | None = None
    whole: bool = True


@dataclass(slots=True)
class _PartialCapture:
    """One request whose answer is still being read."""

    request: HttpRequest
    status: int
    headers: Mapping[str, str]
    body: bytearray = field(default_factory=bytearray)

    def step(self) -> CapturedRequest:
        asked = self.request
        headers = {name.lower(): value for name, value in asked.headers.items()}
        return CapturedRequest(
            asked.method, asked.url, headers, asked.content, self.status, dict(self.headers), bytes(self.body)
        )


class CapturingTransport:
    """Transport for one exchange: passes everything on to another transport and captures it."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner
        self._heard: list[_PartialCapture] = []
        self._cut: Side | None = None
        """Whether an exception ended the exchange before an answer (`request`) or while one was read (`answer`)."""
        self._left = MAX_BODY
        self._over = False

    def captured(self, done: Exchange) -> CapturedExchange:
        """The requests and answers captured for this exchange.

        This ends the capture: a later cancel request is left out.
        """
        self._over = True
        broken = CapturedFailure.of(done.error, self._cut) if self._cut and done.error else None
        return CapturedExchange(tuple(heard.step() for heard in self._heard), broken, self._left >= 0)

    async def pause(self, seconds: float) -> None:
        """Wait before the next request."""
        try:
            await self._inner.pause(seconds)
        except asyncio.CancelledError:
            self._cut = "request"
            raise

    @asynccontextmanager
    async def send(
        self,
        request: HttpRequest,
        *,
        timeout_s: float | None = TIMEOUT_S,
        progress: RequestProgress | None = None,
    ) -> AsyncIterator[HttpResponse]:
        """Send through the inner transport and capture the answer; raises the errors of the inner transport."""
        async with AsyncExitStack() as stack:
            sending = self._inner.send(request, timeout_s=timeout_s, progress=progress)
            try:
                response = await stack.enter_async_context(sending)
            except BaseException:  # a transport error, a deadline or anything else: the exchange's error says which
                self._cut = "request"
                raise
            if self._over:
                yield response
                return
            heard = _PartialCapture(request, response.status, response.headers)
            self._heard.append(heard)
            yield HttpResponse(response.status, response.headers, _CapturedChunks(response.chunks, heard, self))

    def cut(self) -> None:
        """Note that the exchange ended while the body was being read."""
        self._cut = "answer"

    def keep(self, heard: _PartialCapture, chunk: bytes) -> None:
        """Keep a chunk of a body, up to the limit."""
        if self._left > 0 and not self._over:
            heard.body += chunk[: self._left]
        self._left -= len(chunk)


class _CapturedChunks:
    """Body that is captured while it is read; not a generator, so that nothing stays open if reading ends early."""

    def __init__(self, chunks: AsyncIterator[bytes], partial: _PartialCapture, owner: CapturingTransport) -> None:
        self._chunks, self._partial, self._owner = chunks, partial, owner

    def __aiter__(self) -> _CapturedChunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except BaseException:
            self._owner.cut()
            raise
        self._owner.keep(self._partial, chunk)
        return chunk
